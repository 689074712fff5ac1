package postfix

import (
	"fmt"
	"strings"
	"testing"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// followed is what an outsider is told by a configuration with one table of the given name in its relay list or in relay_domains, before
// and after the host's postmap was asked; said are the table's entries.
func followed(t *testing.T, where, spec, query, said, stderr string, exit int) (sh string, before, after judge.Outcome) {
	t.Helper()
	main := "mynetworks = 127.0.0.0/8\nmydestination = mx.example.edu\nmyhostname = mx.example.edu\n" + fmt.Sprintf(where, spec)
	s := (&facts.Snapshot{Addrs: labAddrs, Hostname: "mx.example.edu"}).With(
		&facts.File{Path: "/etc/postfix/main.cf", Data: []byte(main)},
		&facts.File{Path: "/etc/postfix/db.cf", Data: []byte("dbname = x\nquery = " + query + "\n")},
		&facts.File{Path: "/etc/postfix/master.cf", Data: []byte(stockMaster)})
	ask := func(s *facts.Snapshot) (*mta.Config, judge.Outcome) {
		cfg, err := read(s, mta.Install{MTA: "postfix", Version: "3.10.4", Config: "/etc/postfix"})
		if err != nil {
			t.Fatal(err)
		}
		m := cfg.Model.(*model)
		return cfg, m.reply(judge.Question{ClientAddr: "198.51.100.7", ClientName: "client.probe.invalid", Form: "plain", Verb: judge.Rcpt, Sender: "a@b.example", Recipient: "relaytest@example.org"}, m.listeners[0]).Outcome
	}
	cfg, before := ask(s)
	if sh = follow(s, cfg); sh == "" {
		return "", before, before
	}
	var frame strings.Builder
	fmt.Fprintf(&frame, "mh-0123456789abcdef01234567 begin 1 - 0\nmh-0123456789abcdef01234567 fact %s %s\n", "postfix:/etc/postfix:asked:"+directly(spec), "198.51.100.7 198.51.100 198.51 198 client.probe.invalid probe.invalid invalid .probe.invalid .invalid example.org org .org")
	keep, err := facts.Parse(strings.NewReader(frame.String() + "mh-0123456789abcdef01234567 done\n"))
	if err != nil {
		t.Fatal(err)
	}
	keep.Addrs, keep.Hostname = s.Addrs, s.Hostname
	for _, name := range []string{"/etc/postfix/main.cf", "/etc/postfix/master.cf", "/etc/postfix/db.cf"} {
		f, _ := s.File(name)
		keep = keep.With(f)
	}
	keep = keep.WithOutputs(&facts.Output{Name: "postfix:/etc/postfix:q:" + directly(spec), Stdout: []byte(said), Stderr: []byte(stderr), Exit: exit})
	_, after = ask(keep)
	return sh, before, after
}

// Where a table stands in followed's configuration.
const (
	inList    = "smtpd_relay_restrictions = check_client_access %s, reject_unauth_destination\n"
	inDomains = "smtpd_relay_restrictions = reject_unauth_destination\nrelay_domains = %s\n"
)

// TestFollowDomains: a table of relay domains that is not read may hold every domain; what postmap says closes it.
func TestFollowDomains(t *testing.T) {
	for said, want := range map[string]judge.Outcome{"": judge.Refused, "example.org\tx\n": judge.Relayed, "org\tx\n": judge.Relayed, "other.example\tx\n": judge.Refused} {
		sh, before, after := followed(t, inDomains, "mysql:/etc/postfix/db.cf", "SELECT a FROM b WHERE c='%s'", said, "", 0)
		if before != judge.CannotTell || sh == "" || after != want {
			t.Errorf("%q: %s, then %s; want cannot-tell, then %s; asked: %q", said, before, after, want, sh)
		}
	}
}

// TestFollow: a table that is not read leaves the answer open; what postmap says closes it. Nothing is asked that could write.
func TestFollow(t *testing.T) {
	for _, c := range []struct {
		name, spec, query, said, stderr string
		exit                            int
		asked                           bool
		after                           judge.Outcome
	}{
		{"entry", "ldap:/etc/postfix/db.cf", "", "198.51.100.7\tOK\n", "", 0, true, judge.Relayed},
		{"network", "ldap:/etc/postfix/db.cf", "", "198.51\tpermit\n", "", 0, true, judge.Relayed},
		{"none", "ldap:/etc/postfix/db.cf", "", "", "", 1, true, judge.Refused},
		{"refusal", "mysql:/etc/postfix/db.cf", "SELECT a FROM b WHERE c='%s'", "198.51.100.7\tREJECT\n", "", 0, true, judge.Refused},
		{"unreachable", "ldap:/etc/postfix/db.cf", "", "", "postmap: fatal: table ldap: query error: Success\n", 1, true, judge.CannotTell},
		{"proxied", "proxy:ldap:/etc/postfix/db.cf", "", "", "", 1, true, judge.Refused},
		{"function", "mysql:/etc/postfix/db.cf", "SELECT touch('%s')", "", "", 0, false, judge.CannotTell},
		{"update", "pgsql:/etc/postfix/db.cf", "UPDATE a SET b=1", "", "", 0, false, judge.CannotTell},
		{"grouped", "mysql:/etc/postfix/db.cf", "SELECT a FROM b WHERE c='%s' AND (d = 1 OR e IN (1, 2)) AND f = CONCAT('%u', '@x')", "", "", 1, true, judge.Refused},
		{"function in a group", "mysql:/etc/postfix/db.cf", "SELECT a FROM b WHERE (d = 1 OR touch ('%s'))", "", "", 0, false, judge.CannotTell},
		{"of a schema", "pgsql:/etc/postfix/db.cf", "SELECT a FROM b WHERE c = my.lower('%s')", "", "", 0, false, judge.CannotTell},
		{"quoted", "mysql:/etc/postfix/db.cf", "SELECT a FROM b WHERE c = `touch`('%s')", "", "", 0, false, judge.CannotTell},
		{"conditions", "mysql:/etc/postfix/db.cf", "SELECT a FROM b\nadditional_conditions = AND touch('%s')", "", "", 0, false, judge.CannotTell},
		{"field", "mysql:/etc/postfix/db.cf", "SELECT a FROM b\nselect_field = touch(a)", "", "", 0, false, judge.CannotTell},
		{"two statements", "sqlite:/etc/postfix/db.cf", "SELECT a FROM b; DELETE FROM b", "", "", 0, false, judge.CannotTell},
		{"server", "socketmap:inet:127.0.0.1:9:x", "", "", "", 0, false, judge.CannotTell},
		{"tcp", "tcp:127.0.0.1:9", "", "", "", 0, false, judge.CannotTell},
		{"cache", "memcache:/etc/postfix/db.cf", "", "", "", 0, false, judge.CannotTell},
		{"mixed", "unionmap:{inline:{x=y},tcp:127.0.0.1:9}", "", "", "", 0, false, judge.CannotTell},
	} {
		t.Run(c.name, func(t *testing.T) {
			sh, before, after := followed(t, inList, c.spec, c.query, c.said, c.stderr, c.exit)
			if before != judge.CannotTell || (sh != "") != c.asked || after != c.after {
				t.Errorf("%s, then %s; want cannot-tell, then %s; asked: %q", before, after, c.after, sh)
			}
		})
	}
}
