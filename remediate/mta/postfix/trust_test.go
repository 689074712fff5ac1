package postfix

import (
	"net/netip"
	"slices"
	"testing"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// TestTrustedByTables: whom an access table lets relay is found where tables are made of others, too; and what is not a list of keys is not
// taken to do nothing.
func TestTrustedByTables(t *testing.T) {
	for _, c := range []struct {
		name, restriction string
		want              []string // kind and value of each entry that may say yes
		outcome           judge.Outcome
	}{
		{"pipe", "check_sender_access pipemap:{inline:{boss@customer.example=yes,x@customer.example=no},inline:{yes=OK,no=DUNNO}}", []string{"sender boss@customer.example"}, judge.Relayed},
		{"union", "check_sender_access unionmap:{inline:{boss@customer.example=OK},inline:{x@customer.example=DUNNO}}", []string{"sender boss@customer.example"}, judge.Relayed},
		{"union in a pipe", "check_helo_access pipemap:{unionmap:{inline:{a.example=yes},inline:{b.example=no}},inline:{yes=OK}}", []string{"helo a.example"}, judge.Relayed},
		{"patterns in a union", "check_sender_access unionmap:{regexp:{{/@customer/ OK}}}", []string{"sender unionmap:{regexp:{{/@customer/ OK}}}"}, judge.CannotTell},
		{"patterns in a pipe", "check_sender_access pipemap:{regexp:{{/@customer/ yes}},inline:{yes=OK}}", []string{"sender pipemap:{regexp:{{/@customer/ yes}},inline:{yes=OK}}"}, judge.CannotTell},
		{"a union that refuses", "check_sender_access unionmap:{regexp:{{/@customer/ REJECT}},inline:{a@b.example=REJECT}}", nil, ""},
		{"patterns of senders", "check_sender_access regexp:{{/@customer/ OK}}", []string{"sender regexp:{{/@customer/ OK}} line 0"}, judge.CannotTell},
		{"patterns of greetings", "check_helo_access regexp:{{/letmein/ OK}}", []string{"helo regexp:{{/letmein/ OK}} line 0"}, judge.CannotTell},
		{"patterns that hold the question", "check_sender_access regexp:{{/@/ OK}}", []string{"sender regexp:{{/@/ OK}} line 0"}, judge.Relayed},
	} {
		t.Run(c.name, func(t *testing.T) {
			main := "compatibility_level = 2\nmyhostname = lab.example.edu\nmydestination = $myhostname\nmynetworks =\nsmtpd_relay_restrictions = " + c.restriction + ", reject_unauth_destination\n"
			s, cfg := testCase{name: c.name, addrs: labAddrs, files: map[string]string{"main.cf": main, "master.cf": stockMaster}}.config(t, "3.10")
			var got []string
			for _, e := range cfg.Trusted {
				got = append(got, e.Kind+" "+e.Value)
			}
			if !slices.Equal(got, c.want) {
				t.Fatalf("trusted: %q, want %q", got, c.want)
			}
			if len(c.want) == 0 {
				return
			}
			said := judge.Outcome("")
			for _, a := range answers(s, cfg) {
				if a.Question.Class == judge.Inside && a.Question.Entry == cfg.Trusted[0].ID {
					said = a.Outcome
				}
			}
			if said != c.outcome {
				t.Errorf("the entry's own question: %q, want %q", said, c.outcome)
			}
		})
	}
}

// TestRewrites: a table that makes a foreign address of one's own, of a domain that the sender wrote left of the @, is not passed over.
func TestRewrites(t *testing.T) {
	for _, c := range []struct {
		param, rule string
		found       bool
	}{
		{"recipient_canonical_maps", `/^(.+)=(.+)@lab\.example\.edu$/ $1@$2`, true},
		{"canonical_maps", `/^(.+)=(.+)@lab\.example\.edu$/ ${1}@${2}`, true},
		{"virtual_alias_maps", `/^([^@]+)--(.+)@/ root, $(1)@$(2)`, true},
		{"virtual_alias_maps", `/^(?:SRS0=)?(.+)=(.+)\@(.*)$/ $1@mail.$2`, true},
		{"virtual_alias_maps", `/^(.+)=(.+)@lab\.example\.edu$/ $1@$2.example.com`, false},
		{"virtual_alias_maps", `/^(.*)\+.*@(.*)$/ $1@$2`, false},
		{"virtual_alias_maps", `/^(.*)@lab\.example\.edu$/ $1@example.org`, false},
		{"virtual_alias_maps", `/^(.*)@lab\.example\.edu$/ $1`, false},
		{"sender_canonical_maps", `/^(.+)=(.+)@lab\.example\.edu$/ $1@$2`, false},
	} {
		main := "compatibility_level = 2\nmyhostname = lab.example.edu\nmydestination = $myhostname\nmynetworks =\n" + c.param + " = regexp:/etc/postfix/rewrite\n"
		s, cfg := testCase{name: c.param, addrs: labAddrs, files: map[string]string{"main.cf": main, "master.cf": stockMaster, "/etc/postfix/rewrite": c.rule + "\n"}}.config(t, "3.10")
		if !c.found {
			if len(cfg.Trusted) != 0 {
				t.Errorf("%s %s: %v", c.param, c.rule, cfg.Trusted)
			}
			continue
		}
		if len(cfg.Trusted) != 1 || cfg.Trusted[0].File != "/etc/postfix/rewrite" || cfg.Trusted[0].Line != 1 {
			t.Errorf("%s %s: %+v", c.param, c.rule, cfg.Trusted)
			continue
		}
		for _, a := range answers(s, cfg) {
			if a.Question.Entry == cfg.Trusted[0].ID && a.Outcome != judge.CannotTell {
				t.Errorf("%s: %v: %s", c.rule, a.Question, a.Outcome)
			}
		}
	}
}

// TestStrangerIsNotTrusted: what a client of a trusted network may is no answer for strangers, and every form is asked of one whom no
// entry names.
func TestStrangerIsNotTrusted(t *testing.T) {
	main := "compatibility_level = 2\nmyhostname = lab.example.edu\nmydestination = $myhostname\nmynetworks =\nrelay_domains = example.com\nallow_untrusted_routing = yes\n" +
		"smtpd_relay_restrictions = check_client_access inline:{198.51.100=OK}, reject_unauth_destination\n"
	s, cfg := testCase{name: "stranger", addrs: labAddrs, files: map[string]string{"main.cf": main, "master.cf": stockMaster}}.config(t, "3.10")
	covered := func(addr string) bool {
		return slices.ContainsFunc(cfg.Trusted, func(e mta.Trust) bool { return e.Net.IsValid() && e.Net.Contains(netip.MustParseAddr(addr)) })
	}
	if !covered("198.51.100.7") {
		t.Fatalf("%+v", cfg.Trusted)
	}
	open := func(a judge.Answer) bool {
		return a.Question.Class == judge.Outside && a.Outcome == judge.Relayed && !covered(a.Question.ClientAddr)
	}
	if !slices.ContainsFunc(answers(s, cfg), open) {
		t.Error("no stranger of another network relays by an odd form of address")
	}
}
