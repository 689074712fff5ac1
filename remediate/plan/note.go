package plan

import (
	"slices"

	"mtaharden/playbooks"
)

// note judges what reading the configuration noticed: nothing of the want's codes may be among it.
func (s *subject) note(w playbooks.Want) verdict {
	v := verdict{status: Pass, want: say("nothing of the kind", "해당 사항 없음"), have: say("nothing noticed", "특이사항 없음")}
	first := true
	for _, n := range s.judged.Config.Notes {
		if !slices.Contains(w.Code, n.Code) {
			continue
		}
		if first {
			v.status, v.have, v.file, v.line = Fail, text{n.Text, n.Text}, n.File, n.Line
			first = false
			continue
		}
		v.have = v.have.and(text{n.Text, n.Text})
	}
	switch {
	case len(s.judged.Config.Unread) == 0:
	case v.status == Pass:
		v.status, v.have = Unknown, s.unread()
	case !s.in.Snapshot.Root: // it may have been noticed only because something could not be read
		v.status, v.have = Unknown, v.have.and(s.unread())
	}
	return v
}
