package sendmail

import (
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// openCF is a .cf of a few rules in sendmail's form, which relays for everybody.
const openCF = `V10/Berkeley
DnMAILER-DAEMON
O OperatorChars=.:%@!^/[]+
Kdequote dequote
Kaccess hash /etc/mail/access
Cwlocalhost lab.example.edu
CR192.0.2
Mlocal, P=/usr/bin/procmail, F=lsDFMAw5:/|@qSPfhn9, A=procmail -Y
Mesmtp, P=[IPC], F=mDFMuXa, A=TCP $h
S3
R$* < $+ > $*	$: $2
R@ $+ : $+	$: $2
R$+ ! $+	$: $2 @ $1 . UUCP
R$+ @ $+	$: $1 < @ $2 . >
R$+ % $+	$: $1 < @ $2 . >
S0
R$* < @ $=w . >	$#local $: $1
R$* < @ $+ . >	$#esmtp $@ $2 $: $1 < @ $2 >
R$*	$#local $: $1
Scheck_rcpt
R$*	$: $1 $| $>"Local_check_rcpt" $1
R$* $| $#$*	$#$2
R$* $| $*	$@ $>"Basic_check_rcpt" $1
SLocal_check_rcpt
SBasic_check_rcpt
R$*	$@ RELAY
##### promiscuous_relay
`

func openHost(t *testing.T, cf, access, mc string) (*facts.Snapshot, *mta.Config) {
	t.Helper()
	a := &txtar.Archive{Files: []txtar.File{
		{Name: "fact sendmail:programs", Data: []byte("/usr/sbin/sendmail")}, {Name: "fact sendmail:configs", Data: []byte("/etc/mail/sendmail.cf")},
		{Name: "fact sendmail:fqdn", Data: []byte("lab.example.edu")}, {Name: "file /etc/mail/sendmail.cf", Data: []byte(cf)},
		{Name: "file /etc/mail/access", Data: []byte(access)}, {Name: "file /etc/mail/access.db", Data: []byte("x")},
		{Name: "out sendmail:map:hash:/etc/mail/access", Data: []byte(strings.ToLower(access))},
	}}
	if mc != "" {
		a.Files = append(a.Files, txtar.File{Name: "fact sendmail:mc:/etc/mail/sendmail.cf", Data: []byte("/etc/mail/sendmail.mc")},
			txtar.File{Name: "file /etc/mail/sendmail.mc", Data: []byte(mc)})
	}
	s := framed(t, a)
	c, err := read(s, detect(s)[0])
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

func stranger(rcpt string) judge.Question {
	return judge.Question{Class: judge.Outside, Form: "plain", ClientAddr: "198.51.100.7", Verb: judge.Rcpt, Sender: "antispam@example.com", Recipient: rcpt}
}

// TestGuard: rulesets that relay for everybody, in a .cf that is its own source, are closed by a block that the rules, run with it, show to close
// them; comments stay, and who was let in by a network, a login or as this machine stays in.
func TestGuard(t *testing.T) {
	_, c := openHost(t, openCF, "Connect:203.0.113\tRELAY\nConnect:localhost\tRELAY\nConnect:198.51.100.9\tREJECT\n", "")
	fixes := remedy(c, judge.Answer{Question: stranger("relaytest@example.org"), Judge: judge.Config, Outcome: judge.Relayed})
	if len(fixes) != 1 || fixes[0].Name != guardFix || fixes[0].Op != mta.Add {
		t.Fatalf("%+v", fixes)
	}
	files, err := edit(c, fixes)
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %d files", err, len(files))
	}
	text := string(files[0].Data)
	head, tail, _ := strings.Cut(openCF, "SLocal_check_rcpt\n")
	if !strings.HasPrefix(text, head+"SLocal_check_rcpt\n") || !strings.HasSuffix(text, tail) {
		t.Errorf("more than the block changed:\n%s", text)
	}
	_, after := openHost(t, text, "Connect:203.0.113\tRELAY\nConnect:198.51.100.9\tREJECT\n", "")
	m := after.Model.(*model)
	from := func(addr string) judge.Question {
		q := stranger("relaytest@example.org")
		q.ClientAddr = addr
		return q
	}
	login := from("198.51.100.7")
	login.User = "somebody"
	for _, x := range []struct {
		q    judge.Question
		want judge.Outcome
	}{
		{from("198.51.100.7"), judge.Refused}, {from("2001:db8::7"), judge.Refused}, {from("198.51.100.9"), judge.Refused}, {from("203.0.114.1"), judge.Refused},
		{from("203.0.113.1"), judge.Relayed}, {from("192.0.2.9"), judge.Relayed}, {from("127.0.0.1"), judge.Relayed}, {from("0:0:0:0:0:0:0:1"), judge.Relayed},
		{stranger("relaytest%example.org@lab.example.edu"), judge.Refused}, {stranger("example.org!relaytest"), judge.Refused},
		{stranger(`"relaytest@example.org"@lab.example.edu`), judge.Refused}, {stranger("relaytest@[198.51.100.1]"), judge.Refused},
	} {
		if a := m.evaluated(askedOf(x.q)); a.Outcome != x.want {
			t.Errorf("%s to %s: %s (%s), want %s", x.q.ClientAddr, x.q.Recipient, a.Outcome, a.Text, x.want)
		}
	}
	for _, rcpt := range []string{"postmaster@lab.example.edu", "postmaster", "a.b+c@localhost"} {
		if a := m.evaluated(askedOf(stranger(rcpt))); a.Outcome == judge.Refused {
			t.Errorf("mail to %s is refused: %s", rcpt, a.Text)
		}
	}
	if len(m.holes()) > 0 {
		t.Errorf("with the block it still shows %+v", m.holes())
	}
	if again := remedy(after, judge.Answer{Question: stranger("relaytest@example.org"), Outcome: judge.Relayed}); len(again) != 0 {
		t.Errorf("of a .cf that has the block more is wanted: %+v", again)
	}
}

// TestNoGuard: where the block could not be shown to close the relay, or would shut out whom the site lets in by other means, there is no fix.
func TestNoGuard(t *testing.T) {
	for name, x := range map[string]struct{ cf, access string }{
		"a mailer table":        {strings.Replace(openCF, "Cw", "Kmailertable hash /etc/mail/mailertable\nCw", 1), ""},
		"clients by name":       {openCF, "Connect:example.net\tRELAY\n"},
		"destinations":          {openCF, "To:example.net\tRELAY\n"},
		"not asked":             {strings.Replace(openCF, `$>"Local_check_rcpt" $1`, "ok", 1), ""},
		"not obeyed":            {strings.Replace(openCF, "R$* $| $#$*\t$#$2\n", "", 1), ""},
		"no such ruleset":       {strings.Replace(openCF, "SLocal_check_rcpt\n", "", 1), ""},
		"let in before":         {strings.Replace(openCF, "Scheck_rcpt\n", "Scheck_rcpt\nR$*\t$@ RELAY\n", 1), ""},
		"no map that dequotes":  {strings.Replace(openCF, "Kdequote dequote\n", "", 1), ""},
		"of a ruleset 3 in two": {strings.Replace(openCF, "R$+ @ $+\t$: $1 < @ $2 . >", "R$+ @ $+\t$: $1", 1), ""},
	} {
		_, c := openHost(t, x.cf, x.access, "")
		if fixes := remedy(c, judge.Answer{Question: stranger("relaytest@example.org"), Judge: judge.Config, Outcome: judge.Relayed}); len(fixes) > 0 {
			t.Errorf("%s: %+v", name, fixes)
		}
	}
}

// TestSiteRule: the site's own rule that decided is taken out of the macro source, where it stands there once; one of the standard rules is not.
func TestSiteRule(t *testing.T) {
	closed := strings.Replace(openCF, "R$*\t$@ RELAY", "R$*\t$#error $@ 5.7.1 $: \"550 Relaying denied\"", 1)
	cf := strings.Replace(closed, "SLocal_check_rcpt\n", "SLocal_check_rcpt\nR$*\t$: $1\nR$*\n\t\t$# OK\n", 1)
	line := 1 + strings.Count(cf[:strings.Index(cf, "R$*\n\t\t$# OK")], "\n")
	a := judge.Answer{Question: stranger("relaytest@example.org"), Judge: judge.MTA, Outcome: judge.Relayed, Because: []judge.Line{{File: "/etc/mail/sendmail.cf", Line: line}}}
	mc := "OSTYPE(`linux')dnl\nLOCAL_RULESETS\nSLocal_check_rcpt\nR$*\t$: $1\nR$*\n\t\t$# OK\n"
	_, c := openHost(t, cf, "", mc)
	fixes := remedy(c, a)
	if len(fixes) != 1 || fixes[0].Name != "rule" || fixes[0].Line != 5 || fixes[0].File != "/etc/mail/sendmail.mc" {
		t.Fatalf("%+v", fixes)
	}
	files, err := edit(c, fixes)
	if err != nil || len(files) != 1 || !strings.HasSuffix(string(files[0].Data), "R$*\t$: $1\ndnl R$*\ndnl \t\t$# OK\n") {
		t.Fatalf("%v: %+v", err, files)
	}
	for name, other := range map[string]string{"twice": mc + "R$*\n\t\t$# OK\n", "not there": "OSTYPE(`linux')dnl\n", "commented": strings.ReplaceAll(mc, "R$*\n", "dnl R$*\n")} {
		_, c := openHost(t, cf, "", other)
		if fixes := remedy(c, a); slices.ContainsFunc(fixes, func(f mta.Fix) bool { return f.Name == "rule" }) {
			t.Errorf("%s: %+v", name, fixes)
		}
	}
}

// TestAgain asks the rules once more: each client has an answer of his own, and of a client's name, which is not that of another address,
// nothing is said.
func TestAgain(t *testing.T) {
	head, _, _ := strings.Cut(openCF, "SBasic_check_rcpt\n")
	cf := head + "SBasic_check_rcpt\nR$*\t$: < $&{client_addr} > $1\nR< 203.0.113.9 > $*\t$@ RELAY\nR$*\t$#error $@ 5.7.1 $: \"550 Relaying denied\"\n"
	_, c := openHost(t, cf, "", "")
	ask := func(client, name string) (judge.Answer, bool) {
		return again(c, judge.Question{Class: judge.Outside, Form: "plain", ClientAddr: client, ClientName: name, Verb: judge.Rcpt, Sender: "a@example.com", Recipient: "b@example.net"})
	}
	for client, want := range map[string]judge.Outcome{"8.8.4.4": judge.Refused, "203.0.113.9": judge.Relayed} {
		if b, ok := ask(client, ""); !ok || b.Outcome != want {
			t.Errorf("%s: %v %s %s", client, ok, b.Outcome, b.Text)
		}
	}
	if b, ok := ask("8.8.4.4", "mx.example.com"); ok {
		t.Errorf("of a name: %s %s", b.Outcome, b.Text)
	}
	c.Trusted = append(c.Trusted, mta.Trust{ID: "net", Kind: "client-net"}, mta.Trust{ID: "name", Kind: "client-name"})
	for entry, want := range map[string]bool{"net": true, "name": false, "unknown": false} {
		b, ok := again(c, judge.Question{Class: judge.Inside, Entry: entry, Form: "plain", ClientAddr: "8.8.4.4", Verb: judge.Rcpt, Sender: "a@example.com", Recipient: "b@example.net"})
		if ok != want || ok && b.Outcome != judge.Refused {
			t.Errorf("within the entry %s: %v %s %s", entry, ok, b.Outcome, b.Text)
		}
	}
}
