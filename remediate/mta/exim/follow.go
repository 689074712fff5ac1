package exim

import (
	"maps"
	"path"
	"slices"
	"strings"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// maxFollow bounds the files that a second command sends.
const maxFollow = 40

// follow is the sh that sends the tables which decide a question and which the first command did not find named where it looks: those of
// look-ups within conditions and routers.
func follow(_ *facts.Snapshot, cfg *mta.Config) string {
	m, ok := cfg.Model.(*model)
	if !ok || m.broken != "" || m.cfg.strange != "" || !m.agrees {
		return ""
	}
	var files []string
	for _, f := range m.unread() {
		if plainPath(f) && len(files) < maxFollow {
			files = append(files, "'"+f+"'")
		}
	}
	if len(files) == 0 {
		return ""
	}
	return "mh_file " + strings.Join(files, " ") + "\n"
}

// unread are the files that evaluating the standard questions came upon and that the snapshot says nothing of.
func (m *model) unread() []string {
	found := map[string]bool{}
	questions := append(m.standard(), m.uncovered(nil)...)
	for _, q := range questions {
		if q.Verb != judge.Rcpt || q.ClientAddr == "" {
			continue
		}
		for _, free := range []bool{false, true} {
			e := newEvaluator(m.cfg, q)
			e.unread, e.free, e.loggedIn = found, free, free
			m.cfg.forecast(e)
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// plainPath says whether a name may be asked for: absolute, of plain letters, and of a file that holds no passwords.
func plainPath(f string) bool {
	low := strings.ToLower(f)
	for _, word := range []string{"passw", "secret", "shadow", "private", "userdb", ".key"} {
		if strings.Contains(low, word) {
			return false
		}
	}
	return strings.HasPrefix(f, "/etc/") && path.Clean(f) == f && strings.Trim(low, "abcdefghijklmnopqrstuvwxyz0123456789_.+/-") == ""
}
