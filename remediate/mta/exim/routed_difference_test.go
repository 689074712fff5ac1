package exim

import (
	"fmt"
	"strings"
	"testing"

	"mtaharden/remediate/judge"
)

// hacks are ways in which a configuration reads "%" and "!" in a local part: a main option, and a router before the usual ones.
var hacks = []struct{ main, router string }{
	{"", ""},
	{"percent_hack_domains = mx.example.edu", ""},
	{"percent_hack_domains = +local_domains : other.example.edu", ""},
	{"percent_hack_domains = other.example.edu", ""},
	{"percent_hack_domains = *", ""},
	{"", "driver = redirect\n  local_parts = ^.*%\n  data = ${sg{$local_part}{%}{@}}"},
	{"", "driver = redirect\n  domains = +local_domains\n  data = ${if match{$local_part}{^(.*)%(.*)\\$}{$1@$2}}"},
	{"", "driver = redirect\n  data = ${if match{$local_part}{^(.*)!(.*)\\$}{$2@$1}}"},
	{"", "driver = redirect\n  local_parts = ^.*[@%!/|]\n  data = :fail: no"},
	{"", "driver = redirect\n  local_parts = ^.*%\n  data = root"},
	{"", "driver = redirect\n  local_parts = ^.*%\n  data = /dev/null\n  file_transport = in"},
	{"", "driver = redirect\n  local_parts = ^.*%\n  senders = *@example.com\n  data = ${sg{$local_part}{%}{@}}"},
	{"", "driver = redirect\n  local_parts = ^.*%\n  condition = ${if eq{$domain}{other.example.edu}}\n  data = ${sg{$local_part}{%}{@}}"},
	{"percent_hack_domains = other.example.edu", "driver = redirect\n  local_parts = ^.*%\n  data = x%y@other.example.edu"},
}

const hackedConf = `primary_hostname = mx.example.edu
domainlist local_domains = @ : other.example.edu
%s
acl_smtp_rcpt = r
begin acl
r:
  accept
begin routers
%s
dns:
  driver = dnslookup
  domains = ! +local_domains
  transport = out
here:
  driver = accept
  local_parts = root : probe : x%%y
  transport = in
begin transports
out:
  driver = smtp
in:
  driver = appendfile
  file = /dev/null
  user = mail
`

// TestDifferenceRouted compares where the reading sends a recipient whose local part may be read as a way on with where Exim routes it.
func TestDifferenceRouted(t *testing.T) {
	recipients := []string{
		"probe%example.org@mx.example.edu", "probe%example.org@other.example.edu", "example.org!probe@mx.example.edu", "probe%mx.example.edu@other.example.edu",
		"probe%example.org%mx.example.edu@mx.example.edu", "nobody%other.example.edu@mx.example.edu", "probe@mx.example.edu", "probe%example.net@example.org",
	}
	for _, root := range shadowRoots(t) {
		s := startShadow(t, root)
		told := 0
		for _, h := range hacks {
			router := ""
			if h.router != "" {
				router = "hack:\n  " + h.router
			}
			text := fmt.Sprintf(hackedConf, h.main, router)
			o := order{Files: map[string]string{"/etc/exim4/made.conf": text}, Config: "/etc/exim4/made.conf"}
			for _, r := range recipients {
				o.Talks = append(o.Talks, talk{Args: []string{"-f", "probe@example.com", "-bt", r}})
			}
			got, err := s.ask(o)
			if err != nil || got.Broken != "" {
				t.Fatalf("%v %s\n%s", err, got.Broken, text)
			}
			m := modelOf(t, s.number(), "/etc/exim4/made.conf", text, "", s.addrs, func(string) ([]byte, bool, bool) { return nil, false, true })
			for i, r := range recipients {
				q := judge.Question{Class: judge.Outside, Form: formOf("<" + r), ClientAddr: "198.51.100.7", Verb: judge.Rcpt, Sender: "probe@example.com", Recipient: r}
				a := m.fromConfig(q)
				says := routedTo(got.Heard[i][0])
				if a.Outcome != judge.CannotTell {
					told++
				}
				// what no router takes is "delivered" where its domain is the host's own: it is no way out
				if a.Outcome != judge.CannotTell && (a.Outcome == judge.Relayed) != (says == judge.Relayed) || says == judge.Delivered && a.Outcome == judge.Refused {
					t.Errorf("exim %s: %s: the reading says %s (%s %v), Exim routes it %s:\n%s\n%s", s.version, r, a.Outcome, a.Text, a.Because, says, got.Heard[i], h)
				}
			}
		}
		t.Logf("exim %s: %d of %d recipients told", s.number(), told, len(hacks)*len(recipients))
		if told < len(hacks)*len(recipients)*2/3 {
			t.Error("too few were told")
		}
	}
}

// routedTo reads what -bt printed: CannotTell is an address that is not delivered at all.
func routedTo(text string) judge.Outcome {
	switch {
	case strings.Contains(text, "transport = out"):
		return judge.Relayed
	case strings.Contains(text, "transport = in"):
		return judge.Delivered
	}
	return judge.CannotTell
}
