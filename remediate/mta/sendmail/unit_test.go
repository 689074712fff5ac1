package sendmail

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

func TestExpandPrivacy(t *testing.T) {
	for _, c := range []struct{ values, bits, bad string }{
		{"goaway", "needmailhelo needexpnhelo needvrfyhelo noexpn novrfy authwarnings noverb", ""},
		{"public", "", ""},
		{"goaway|public|restrictqrun", "needmailhelo needexpnhelo needvrfyhelo noexpn novrfy restrictqrun authwarnings noverb", ""},
		{"NoVrfy, noexpn  noetrn", "noexpn novrfy noetrn", ""},
		{"novrfy,noveb,needexnhelo", "novrfy", "noveb needexnhelo"}, // as two guides print them
	} {
		bits, bad := expandPrivacy(strings.Split(c.values, "|"))
		if got := strings.Join(bits, " "); got != c.bits {
			t.Errorf("%s: %s, want %s", c.values, got, c.bits)
		}
		if got := strings.Join(bad, " "); got != c.bad {
			t.Errorf("%s: unknown %s, want %s", c.values, got, c.bad)
		}
	}
}

func TestEnumerate(t *testing.T) {
	away, _ := expandPrivacy([]string{"goaway"})
	for _, c := range []struct {
		verb    judge.Verb
		bits    []string
		letters string
		want    judge.Outcome
	}{
		{judge.Vrfy, away, "", judge.Refused},
		{judge.Vrfy, away, "x", judge.Refused},
		{judge.Expn, away, "", judge.Refused},
		{judge.Expn, away, "x", judge.Disclosed},
		{judge.Expn, nil, "", judge.Disclosed},
		{judge.Expn, nil, "X", judge.Refused},
		{judge.Vrfy, []string{"noexpn"}, "", judge.Disclosed},
		{judge.Expn, []string{"novrfy"}, "", judge.Disclosed},
	} {
		if got, _ := enumerate(c.verb, c.bits, c.letters); got != c.want {
			t.Errorf("%s %v %q: %s, want %s", c.verb, c.bits, c.letters, got, c.want)
		}
	}
}

func TestDestination(t *testing.T) {
	for recipient, want := range map[string]string{
		"t@example.org": "example.org", "t%example.org@[192.0.2.1]": "example.org", "t%example.org@mx.test": "example.org",
		`"t@example.org"`: "example.org", `"t%example.org"`: "example.org", `"t@example.org"@[192.0.2.1]`: "example.org",
		"@[192.0.2.1]:t@example.org": "example.org", "@mx.test:t@example.org": "example.org", "example.org!t": "example.org",
		"example.org!t@mx.test": "example.org", "t@example.org@mx.test": "example.org", "root": "",
	} {
		if got := destination(recipient); got != want {
			t.Errorf("%s: %s, want %s", recipient, got, want)
		}
	}
}

// TestHelp: what the real programs answer to HELP with each kind of file.
func TestHelp(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		line int
	}{
		"stock":         {"#vers\t2\nsmtp\tThis is sendmail version $v\nsmtp\tTopics:\n", 2},
		"empty":         {"", 0},
		"other topics":  {"#vers\t2\nhelp\tHELP [ <topic> ]\n", 0},
		"plain":         {"#vers\t2\nsmtp\tThis server takes mail.\n", 0},
		"without vers":  {"smtp\tSee the manual.\n", 1}, // sendmail puts "This is Sendmail version …" before it
		"product later": {"#vers\t2\nsmtp\tTopics:\nsmtp\thttp://www.sendmail.org/\n", 3},
	} {
		if got := helpLine([]byte(c.text)); got != c.line {
			t.Errorf("%s: line %d, want %d", name, got, c.line)
		}
	}
}

func TestBanner(t *testing.T) {
	for greeting, shows := range map[string]bool{
		"$j Sendmail $v/$Z; $b": true, "$j": false, "$j ESMTP": false, "$j ESMTP ready; $b": false, "mail.example.com 8.14.7": true,
		"$j SENDMAIL": true, "Mail Server Ready ; $b": false, "$j ($v)": true,
	} {
		a := bannerAnswer(judge.Question{}, judge.Config, greeting, nil)
		if (a.Outcome == judge.Disclosed) != shows {
			t.Errorf("%q: %s", greeting, a.Outcome)
		}
	}
}

func TestOptions(t *testing.T) {
	c := parseCF("x", []byte("O PRIVACYOPTIONS = goaway\nO Timeout.Queuereturn=5d\nOpnovrfy\nOr15m\nO NoSuchThing=1\nO DaemonPortOptions=Port=smtp\n"))
	var got []string
	for _, o := range c.options {
		word := o.name + "=" + o.value
		if !o.known {
			word += "?"
		}
		got = append(got, word)
	}
	want := []string{"PrivacyOptions=goaway", "Timeout.Queuereturn=5d", "PrivacyOptions=novrfy", "Timeout=15m", "NoSuchThing=1?", "DaemonPortOptions=Port=smtp"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDaemonListener(t *testing.T) {
	for value, want := range map[string]string{
		"Name=MTA": "0.0.0.0:25", "Port=smtp,Addr=127.0.0.1, Name=MTA": "127.0.0.1:25", "Family=inet6, Port=submission, M=Ea": "[::]:587",
		"Port=2525": "0.0.0.0:2525", "A=::1,P=smtps": "[::1]:465",
	} {
		if got := daemonListener(value); got != want {
			t.Errorf("%s: %s, want %s", value, got, want)
		}
	}
}

func TestCommandOptions(t *testing.T) {
	got := commandOptions(strings.Fields("/usr/sbin/sendmail-mta -Am -L sm-mta -bd -q10m -OLogLevel=3 -O PrivacyOptions=public -oA/x"))
	want := map[string]string{"LogLevel": "3", "PrivacyOptions": "public", "AliasFile": "/x"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestMasked: an edit that reaches into a secret is refused.
func TestMasked(t *testing.T) {
	data := []byte("Connect:10\tRELAY\nAuthInfo:mail\t<secret 1>\n")
	f := mta.File{Path: "/etc/mail/access", Data: data, Origin: &facts.File{Data: data, Masks: []facts.Mask{{Offset: 31, Length: 10, Origin: 4}}}}
	if err := unmasked(f, f.Origin.Masks, []change{{0, 17, ""}}); err != nil {
		t.Error(err)
	}
	err := unmasked(f, f.Origin.Masks, []change{{17, 42, ""}})
	if err == nil || !strings.Contains(err.Error(), "/etc/mail/access:2: a secret") {
		t.Errorf("error %v", err)
	}
	if got := shifted(f.Origin.Masks, []change{{0, 17, ""}}); got[0].Offset != 14 {
		t.Errorf("the mask moved to %d", got[0].Offset)
	}
}

// TestRecipient: what check_rcpt returns and what becomes of the recipient.
func TestRecipient(t *testing.T) {
	for value, want := range map[string]judge.Outcome{
		`$# error $@ 5 . 7 . 1 $: "550 Relaying denied"`:             judge.Refused,
		`$# error $@ 4 . 3 . 0 $: "451 Temporary system failure."`:   judge.Deferred,
		`$# error $@ 4 . 4 . 0 $: "450 Relaying temporarily denied"`: judge.Refused,
		`$# RELAY`:              judge.Relayed, // an authenticated client
		`RELAY`:                 judge.Relayed,
		`OK`:                    judge.Relayed,
		`$# discard $: discard`: judge.Refused,
		`relaytest < @ example . org > $| @ relaytest`: judge.Relayed, // promiscuous_relay
	} {
		m := &model{cf: parseCF("x.cf", nil), rule: "check_rcpt", said: &said{blocks: map[int][]string{1: {"check_rcpt returns: " + value}}}}
		if got, _ := m.recipient(asked{n: 1, Question: judge.Question{Class: judge.Outside}}); got != want {
			t.Errorf("%s: %s, want %s", value, got, want)
		}
	}
}

// TestDeclared: an entry that names a sender or a client says nothing of the recipient, whatever domain they have in common.
func TestDeclared(t *testing.T) {
	for _, c := range []struct {
		entry, recipient string
		want             bool
	}{
		{"access:to:example.org", "a@example.org", true},
		{"access:to:example.org", "a@host.example.org", true},
		{"access:to:example.org", "a@xexample.org", false},
		{"R:example.org", "a@example.org", true},
		{"access:example.org", "a@example.org", true},
		{"access:to:a@example.org", "a@example.org", true},
		{"access:a@example.org", "b@example.org", false},
		{"access:from:a@example.org", "b@example.org", false},
		{"access:from:example.org", "b@example.org", false},
		{"access:connect:example.org", "b@example.org", false},
		{"access:to:org", "b@example.org", false},
		{"auth", "b@example.org", false},
	} {
		if got := declared(judge.Question{Entry: c.entry, Recipient: c.recipient}); got != c.want {
			t.Errorf("%s, %s: %v", c.entry, c.recipient, got)
		}
	}
}
