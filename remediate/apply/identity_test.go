package apply

import (
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"mtaharden/remediate/backup"
	"mtaharden/remediate/plan"
)

// TestIdentity holds over random manifests that a restore is what undoes a swap, whoever asks for it and under whatever shell: bytes, owners,
// modes, times, attributes, links and names; and that doing it again does nothing.
func TestIdentity(t *testing.T) {
	rounds := 6
	if os.Getenv("MTALAB_FULL") != "" {
		rounds = 200
	}
	for seed := range rounds {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(uint64(seed), 4))
			shell := shells[r.IntN(len(shells))]
			s := siteIn(t, scratch(t), shell...)
			names := map[string]bool{}
			for range 1 + r.IntN(8) {
				s.plantAny(r, names)
			}
			s.ready()
			s.faulty()
			before := s.before()
			if got := s.do("swap.sh"); got.status != 0 {
				t.Fatalf("%v: swap: %+v", shell, got)
			}
			s.checkSwapped()
			how := [][]string{nil, {"--force"}, {"--guard"}}[r.IntN(3)]
			for range 2 {
				if got := s.do("restore.sh", how...); got.status != 0 {
					t.Fatalf("%v: restore %v: %+v", shell, how, got)
				}
				if d := cmp.Diff(before, tree(t, s.live)); d != "" {
					t.Fatalf("%v: restore %v: %s", shell, how, d)
				}
			}
			s.checkOver("restored")
		})
	}
}

// plantAny plants a random change.
func (s *site) plantAny(r *rand.Rand, names map[string]bool) {
	s.t.Helper()
	name := anyName(r)
	for names[name] || s.shell[0] == "yash" && !utf8.ValidString(name) {
		name = anyName(r)
	}
	names[name] = true
	modes := []fs.FileMode{0o600, 0o640, 0o644, 0o4755, 0o2755, 0o444, 0, 0o7777}
	mode := func() fs.FileMode { return modes[r.IntN(len(modes))] }
	w := want{name: name, before: anyText(r), after: anyText(r), mode: mode(), uid: r.IntN(3), unkept: r.IntN(3) == 0, last: r.IntN(4) == 0}
	switch r.IntN(6) {
	case 0:
		w.before = absent
	case 1:
		w.after = absent
	case 2:
		s.plantMode(name, mode(), mode())
		return
	case 3:
		s.plantScript(name)
		return
	}
	s.plant(w)
}

// plantScript makes a service with rc links that the run takes from some run levels and gives to others.
func (s *site) plantScript(name string) {
	s.t.Helper()
	script := filepath.Join(s.live, "init.d", name)
	it := backup.Item{Kind: plan.Unit, Path: script, Service: &plan.Service{Manager: "sysv", Name: "mta", Before: plan.Running{Active: true}}}
	for level := 2; level < 6; level++ {
		dir := filepath.Join(s.live, "rc"+strconv.Itoa(level)+".d")
		s.mkdir(dir)
		link := filepath.Join(dir, "S20"+name)
		if level < 4 {
			s.must(os.Symlink("../init.d/"+name, link))
			it.Service.Before.Links = append(it.Service.Before.Links, link)
		} else {
			it.Service.After.Links = append(it.Service.After.Links, filepath.Join(dir, "K20"+name))
		}
	}
	s.mkdir(filepath.Dir(script))
	s.write(script, "#!/bin/sh\necho \"$1\" >>"+s.dir+"/script\n")
	s.must(os.Chmod(script, 0o755))
	s.m.Items = append(s.m.Items, it)
}

// anyName is a file name of any bytes.
func anyName(r *rand.Rand) string {
	if r.IntN(2) == 0 {
		odd := oddNames()
		return odd[r.IntN(len(odd))]
	}
	var b strings.Builder
	for range 1 + r.IntN(20) {
		c := byte(1 + r.IntN(255))
		if c == '/' {
			c = '\''
		}
		b.WriteByte(c)
	}
	if name := b.String(); name != "." && name != ".." {
		return name
	}
	return "dots"
}

// anyText is a content, sometimes none, sometimes one that a scratch buffer does not hold.
func anyText(r *rand.Rand) string {
	text := make([]byte, []int{0, 1, 10, 1000, 200_000}[r.IntN(5)])
	for i := range text {
		text[i] = byte(r.IntN(256))
	}
	return string(text)
}
