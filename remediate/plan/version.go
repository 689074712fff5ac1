package plan

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"mtaharden/playbooks"
)

// version judges whether a fault is mended in this installation: by what probing the program showed, then by its package's changelog,
// then, and only for a program that no package manager owns, by upstream's version. Distributions mend old versions, so a packaged
// program without evidence is for a person to look at.
func (s *subject) version(w playbooks.Want) verdict {
	in := s.judged.Install
	name := strings.ReplaceAll(strings.Join(w.ID, ", "), "|", "/")
	pack := or(in.Package, in.MTA+" "+in.Version)
	v := verdict{status: Pass, want: say("a version or package in which every known fault is mended", "알려진 취약점이 모두 조치된 버전 또는 패키지")}
	silent := func(id string) bool { // an id may have other names: "CVE-2026-45185|EXIM-Security-2026-05-01.1"
		return !slices.ContainsFunc(strings.Split(id, "|"), func(name string) bool { return slices.Contains(in.Fixed, name) })
	}
	switch {
	case w.Probe != "" && slices.Contains(in.Features, w.Probe):
		v.have = say("%s: the program has %s", "%s: 프로그램이 %s 지원", name, w.Probe)
	case in.Package != "" && len(w.ID) > 0 && !slices.ContainsFunc(w.ID, silent):
		v.have = say("%s: named in the changelog of %s", "%s: %s 패키지 변경 이력에 조치됨", name, pack)
	case in.Version == "":
		v.status = Unknown
		v.have = say("the version is not known", "버전을 알 수 없음")
	case w.Affected != "" && versionLess(in.Version, w.Affected), mended(in.Version, w.Fixed):
		v.have = text{in.MTA + " " + in.Version, in.MTA + " " + in.Version}
	case in.Package == "" && len(in.Fixed) > 0: // a program built by hand beside the package, or an owner that could not be found
		v.status = Review
		v.have = say("%s: no package is known to own %s, so the changelog that was read is no evidence", "%s: %s의 소유 패키지를 알 수 없어 변경 이력을 근거로 사용할 수 없음", name, or(in.Program, pack))
	case in.Package != "":
		v.status = Review
		v.have = say("%s: %s says nothing of it in its changelog", "%s: %s 패키지 변경 이력에 언급 없음", name, pack)
	default:
		v.status = Fail
		v.have = say("%s: %s %s has it, mended in %s: %s", "%s: %s %s 해당, 조치 버전 %s: %s", name, in.MTA, in.Version, strings.Join(w.Fixed, ", "), w.Note)
	}
	return v
}

// mended says whether a version holds a fix that came out as first good version of several branches (3.7.22, 3.8.20 …): it is at or above
// that of its own branch, or of a branch above every listed one.
func mended(version string, fixed []string) bool {
	if len(fixed) == 0 {
		return false
	}
	if !versionLess(version, fixed[len(fixed)-1]) {
		return true
	}
	for _, f := range fixed {
		if branch(f) == branch(version) && !versionLess(version, f) {
			return true
		}
	}
	return false
}

// branch is the first two numbers of a version.
func branch(v string) [2]int {
	var b [2]int
	copy(b[:], numbers(v))
	return b
}

// snapshot is the end of a version that Postfix's experimental releases have: 3.11-20250915 came out before 3.11.0.
var snapshot = regexp.MustCompile(`-(19|20)\d{6}$`)

// versionLess compares versions number by number ("8.9.3" is below "8.15.2"); a pre-release (4.98-RC3, 3.11-20250915) is below its release.
func versionLess(a, b string) bool {
	x, y := numbers(snapshot.ReplaceAllString(a, "")), numbers(snapshot.ReplaceAllString(b, ""))
	for i := range max(len(x), len(y)) {
		var p, q int
		if i < len(x) {
			p = x[i]
		}
		if i < len(y) {
			q = y[i]
		}
		if p != q {
			return p < q
		}
	}
	return prerelease(a) && !prerelease(b)
}

func prerelease(v string) bool {
	return strings.Contains(strings.ToUpper(v), "RC") || snapshot.MatchString(v)
}

// numbers returns the leading numbers of a version, up to the first thing that is neither digit nor separator.
func numbers(v string) []int {
	end := strings.IndexFunc(v, func(r rune) bool { return (r < '0' || r > '9') && r != '.' && r != '_' && r != '-' })
	if end >= 0 {
		v = strings.TrimRight(v[:end], "._-")
	}
	var out []int
	for _, f := range strings.FieldsFunc(v, func(r rune) bool { return r == '.' || r == '_' || r == '-' }) {
		n, err := strconv.Atoi(f)
		if err != nil {
			break
		}
		out = append(out, n)
	}
	return out
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
