package plan

import (
	"fmt"
	"io/fs"
	"strconv"

	"mtaharden/playbooks"
	"mtaharden/remediate/facts"
)

// mode judges permission bits. A file that is not there cannot be run by anyone.
func (s *subject) mode(w playbooks.Want) verdict {
	bits, _ := strconv.ParseUint(w.Deny, 8, 12)
	deny := fs.FileMode(bits)
	var v verdict
	for _, path := range w.Path {
		v = v.join(s.fileMode(path, deny))
	}
	return v
}

func (s *subject) fileMode(path string, deny fs.FileMode) verdict {
	v := verdict{want: say("%s without permission bits %04o", "%s 권한에서 %04o 제거", path, uint32(deny)), file: path}
	f, ok := s.in.Snapshot.File(path)
	switch {
	case !ok || f.State == facts.Unreadable:
		v.status, v.have = Unknown, say("%s was not looked at", "%s 확인하지 못함", path)
	case f.State == facts.Absent:
		v.status, v.have = Pass, say("%s does not exist", "%s 없음", path)
	case unixMode(f.Mode)&deny == 0:
		v.status, v.have = Pass, shownMode(path, f)
	default:
		v.status, v.have = Fail, shownMode(path, f)
		target := path
		if f.Target != "" {
			target = f.Target
		}
		before := unixMode(f.Mode)
		v.modes = []Change{{
			Path: target, Kind: ModeChange,
			Before: &Attr{f.Owner, f.Group, octal(before)}, After: &Attr{f.Owner, f.Group, octal(before &^ deny)},
			Diff: fmt.Sprintf("mode %s %s -> %s (%s:%s)\n", target, octal(before), octal(before&^deny), f.Owner, f.Group),
		}}
	}
	return v
}

func shownMode(path string, f *facts.File) text {
	shown := fmt.Sprintf("%s %s %s:%s", path, octal(unixMode(f.Mode)), f.Owner, f.Group)
	return text{shown, shown}
}

// unixMode is the twelve permission bits as chmod counts them.
func unixMode(m fs.FileMode) fs.FileMode {
	out := m.Perm()
	if m&fs.ModeSetuid != 0 {
		out |= 0o4000
	}
	if m&fs.ModeSetgid != 0 {
		out |= 0o2000
	}
	if m&fs.ModeSticky != 0 {
		out |= 0o1000
	}
	return out
}

func octal(m fs.FileMode) string { return fmt.Sprintf("%04o", uint32(m)) }
