package sendmail

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
)

const seedMC = "divert(0)dnl\ninclude(`/usr/share/sendmail/cf/m4/cf.m4')dnl\ndefine(`confPRIVACY_FLAGS', `authwarnings')dnl\n" +
	"#FEATURE(`promiscuous_relay')dnl\nRELAY_DOMAIN(`org net')dnl\nifdef(`x', `FEATURE(`access_db')')\nMAILER(`smtp')dnl\n"

const seedCF = "V10/Berkeley\nFR-o /etc/mail/relay-domains\nKaccess hash -T<TMPF> /etc/mail/access\nO PrivacyOptions=authwarnings\nOL9\n" +
	"Scheck_rcpt\nR$*\t\t$: $1\n\tcontinued\nMlocal, P=/bin/x, F=lsDFM,\n\tA=x\n"

func FuzzCF(f *testing.F) {
	f.Add([]byte(seedCF))
	f.Add([]byte("O \nOp\nK\nC\nF\nD{x\nM\n\n\tfolded"))
	f.Fuzz(func(t *testing.T, data []byte) {
		whole(t, "fuzz.cf", data)
		c := parseCF("fuzz.cf", data)
		for _, o := range c.options {
			if o.at > len(data) || o.at >= 0 && o.at > o.line.end {
				t.Fatalf("the value of %s is said to stand behind its line", o.name)
			}
		}
		c.whole()
		differ(c.lines, parseCF("", data).lines)
	})
}

func FuzzM4(f *testing.F) {
	f.Add([]byte(seedMC), true)
	f.Add([]byte("define(`a',dnl\n`b')dnl\nchangequote([,])FEATURE([x])"), false)
	f.Add([]byte("FEATURE(`never\nifelse(a,b,`c(`)"), false)
	f.Fuzz(func(t *testing.T, data []byte, comments bool) {
		m := parseM4("fuzz.mc", data, comments)
		for _, c := range m.calls {
			if c.start < 0 || c.end > len(data) || c.start >= c.end {
				t.Fatalf("%s lies at %d to %d of %d", c.name, c.start, c.end, len(data))
			}
			for _, a := range c.args {
				if a.inner[0] > a.inner[1] || a.inner[1] > len(data) || a.start > a.end {
					t.Fatalf("an argument of %s lies at %d to %d, inner %v", c.name, a.start, a.end, a.inner)
				}
			}
		}
	})
}

func FuzzAccess(f *testing.F) {
	f.Add([]byte("# c\nConnect:198.51.100\tRELAY\norg RELAY\nbad\nIPv6:2001:db8\tRELAY\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		whole(t, "access", data)
		entries, _ := parseEntries(data)
		for _, e := range append(entries, parseWords(data)...) {
			k := splitKey(e.key)
			kind, net := classify(k.what)
			if kind == keyNet != net.IsValid() {
				t.Fatalf("%q is read as a network and has none", e.key)
			}
		}
		staleKeys(entries, entries)
		helpLines(data)
	})
}

func FuzzSaid(f *testing.F) {
	f.Add([]byte("Version 8.18.1\nsetoption PrivacyOptions (p)=goaway\nADDRESS TEST MODE\n> Undefined ruleset MHQ1\ncheck_rcpt returns: RELAY\n"), []byte("1\toutside\t\tplain\t198.51.100.7\tp.example.net\t\tRCPT\ta@b\tc@d\n"))
	f.Fuzz(func(t *testing.T, out, questions []byte) {
		m := &model{cf: parseCF("x.cf", nil), said: parseSaid(&facts.Output{Stdout: out})}
		for _, q := range parseQuestions(questions) {
			a := m.mtaAnswer(&facts.Snapshot{}, q)
			if a.Outcome == "" {
				t.Fatalf("no outcome for %+v", q)
			}
		}
	})
}

// FuzzEdit: an edit either is refused, or leaves every line alone that it has no business with, and what it set is there.
func FuzzEdit(f *testing.F) {
	f.Add([]byte(seedMC), []byte(seedCF), []byte("a\tb\nConnect:198\tRELAY\n"), "goaway", uint8(0))
	f.Add([]byte(strings.ReplaceAll(seedMC, "\n", "\r\n")), []byte(strings.TrimSuffix(seedCF, "\n")), []byte("198\tRELAY"), "novrfy", uint8(1))
	f.Add([]byte(""), []byte(seedCF), []byte(""), "a\nO Evil=1", uint8(2))
	f.Fuzz(func(t *testing.T, source, cf, access []byte, value string, which uint8) {
		if bytes.Contains(source, []byte("\n|")) || len(source)+len(cf)+len(access) > 1<<16 {
			return
		}
		s := snapshotOf(t, source, cf, access)
		c, err := read(s, mta.Install{Config: "/etc/mail/sendmail.cf"})
		if err != nil {
			return
		}
		fix := []mta.Fix{
			{Name: "PrivacyOptions", Op: mta.Add, Value: value}, {Name: "SmtpGreetingMessage", Op: mta.Set, Value: value},
			{Name: "mc:FEATURE(promiscuous_relay)", Op: mta.Unset}, {Name: "access", Op: mta.Remove, Value: value},
			{Name: "LogLevel", Op: mta.Set, Value: value}, {Name: "mc:RELAY_DOMAIN(org)", Op: mta.Remove},
			{Name: "PrivacyOptions", Op: mta.Remove, Value: value}, {Name: "mailer:local:M", Op: mta.Set, Value: value},
		}[which%8]
		files, err := edit(c, []mta.Fix{fix})
		if err != nil {
			return
		}
		if strings.ContainsAny(value, "\r\n") && (fix.Value == value) {
			t.Fatalf("a value with a line break was taken: %q", value)
		}
		for _, after := range files {
			untouched(t, value, after)
		}
	})
}

// untouched fails when a line is gone or moved that no edit has any business with: in a .mc those outside every call, in a .cf those
// that are no option, mailer or class, in a list those of another key. Line ends are all of the kind that was there.
func untouched(t *testing.T, value string, after mta.File) {
	before := after.Origin.Data
	left := strings.SplitAfter(string(after.Data), "\n")
	for _, s := range physical(before) {
		if !bystander(after.Path, before, s, value) {
			continue
		}
		line := strings.TrimRight(string(before[s.start:s.end]), "\r\n")
		at := slices.IndexFunc(left, func(l string) bool { return strings.TrimRight(l, "\r\n") == line })
		if at < 0 {
			t.Fatalf("%s:%d: %q is gone or moved:\n%q\n%q", after.Path, s.line, line, before, after.Data)
		}
		left = left[at+1:]
	}
	if crlf := bytes.Count(before, []byte("\r\n")); crlf > 0 && crlf == bytes.Count(before, []byte("\n")) {
		if bytes.Count(after.Data, []byte("\r\n")) != bytes.Count(after.Data, []byte("\n")) {
			t.Fatalf("%s: a line end of another kind came in", after.Path)
		}
	}
}

// bystander reports whether a line is none that an edit may change.
func bystander(path string, data []byte, s span, value string) bool {
	switch {
	case strings.HasSuffix(path, ".mc"):
		for _, c := range parseM4(path, data, includesCF(data)).calls {
			if c.start < s.end && s.start < c.end {
				return false
			}
		}
		return true
	case strings.HasSuffix(path, ".cf"):
		return !strings.ContainsRune("OMC \t", rune(data[s.start]))
	}
	return !strings.EqualFold(firstWord(string(data[s.start:s.end])), strings.TrimSpace(value))
}

func snapshotOf(t testing.TB, source, cf, access []byte) *facts.Snapshot {
	a := &txtar.Archive{Files: []txtar.File{
		{Name: "file /etc/mail/sendmail.cf", Data: cf}, {Name: "file /etc/mail/access", Data: access},
	}}
	if len(source) > 0 {
		a.Files = append(a.Files, txtar.File{Name: "fact sendmail:mc:/etc/mail/sendmail.cf", Data: []byte("/etc/mail/sendmail.mc")},
			txtar.File{Name: "file /etc/mail/sendmail.mc", Data: source})
	}
	return framed(t, a)
}
