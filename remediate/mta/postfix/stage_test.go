package postfix

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// staged reads a case as a running instance.
func staged(t *testing.T, c testCase, files ...*facts.File) (*facts.Snapshot, *mta.Config) {
	t.Helper()
	s := c.snapshot().With(files...)
	cfg, err := read(s, mta.Install{MTA: "postfix", Version: "3.7.11", Config: "/etc/postfix", Active: true, Listen: []string{"0.0.0.0:25"}})
	if err != nil {
		t.Fatal(err)
	}
	return s, cfg
}

// TestStaging: tables are built by the type and the name that the configuration has for them, wherever their text really is; an authentication
// service's socket stays in reach; the queue, the data and the mail store are empty.
func TestStaging(t *testing.T) {
	c := testCase{addrs: labAddrs, files: map[string]string{
		"main.cf": "compatibility_level = 2\nmynetworks = lmdb:/srv/nets, 127.0.0.0/8\nsmtpd_client_restrictions = check_client_access hash:$config_directory/access\n" +
			"smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = private/auth\nqueue_directory = /var/spool/postfix\ndata_directory = /var/lib/postfix\nmail_spool_directory = /var/mail/\n",
		"/srv/nets": "192.0.2.1 x\n", "/etc/postfix/access": "192.0.2.2 OK\n",
	}}
	s, cfg := staged(t, c, &facts.File{Path: "/etc/postfix/access", Target: "/srv/real", Data: []byte("192.0.2.2 OK\n")})
	st := staging(s, cfg, []string{"/srv/nets", "/srv/real", "/etc/postfix/main.cf"})
	var got []string
	for _, g := range st.Generated {
		got = append(got, g.Path+" of "+g.Sources[0]+" by "+strings.Join(g.Show, " "))
	}
	want := []string{"/srv/nets.lmdb of /srv/nets by postmap -c /etc/postfix -s lmdb:/srv/nets", "/etc/postfix/access.db of /srv/real by postmap -c /etc/postfix -s hash:/etc/postfix/access"}
	if !slices.Equal(got, want) {
		t.Errorf("generated\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(st.Fresh) != 3 || st.Fresh[0].Path != "/var/spool/postfix" || !slices.Equal(st.Fresh[0].Sockets, []string{"/var/spool/postfix/private/auth"}) {
		t.Errorf("empty: %+v", st.Fresh)
	}
	if len(st.Before) != 1 || len(st.Start) != 1 || len(st.After) != 1 || !st.Listens {
		t.Errorf("started by %v, %v, %v", st.Before, st.Start, st.After)
	}
}

// TestXclientScripts: every smtpd may be told another client's address, no other service, and afterwards the file is what it was.
func TestXclientScripts(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "master.cf")
	const text = "# smtp inet n - n - - smtpd\nsmtp inet n - y - - smtpd\n  -o a=b\n# note\n  -o c=d\nsmtpd pass - - y - - smtpd -o x=y\npickup unix n - y 60 1 pickup\n587 inet n - n - - smtpd\n"
	if err := os.WriteFile(name, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	run := func(script string) string {
		if out, err := exec.Command("/bin/sh", "-c", script, "sh", dir).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		got, _ := os.ReadFile(name)
		return string(got)
	}
	f := parseMaster(name, []byte(run(openXclient)))
	if len(f.services) != 4 || len(f.broken) > 0 {
		t.Fatalf("%d services, broken %v", len(f.services), f.broken)
	}
	for _, s := range f.services {
		o, ok := s.override("smtpd_authorized_xclient_hosts")
		if smtpd := s.command == "smtpd"; ok != smtpd || ok && o.value != "0.0.0.0/0,[::]/0" {
			t.Errorf("%s: %v", s.title(), o)
		}
	}
	if got := run(closeXclient); got != text {
		t.Errorf("left %q", got)
	}
	if left, _ := filepath.Glob(dir + "/.*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestStartNew: the candidate's start is never handed over to systemd, as Debian 13's postfix-script does without INVOCATION_ID.
func TestStartNew(t *testing.T) {
	dir := t.TempDir()
	const debian13 = "#!/bin/sh\n[ \"$INVOCATION_ID\" ] || { echo redirecting the startup to systemd; exit 1; }\necho \"$*\"\n"
	if err := os.WriteFile(filepath.Join(dir, "postfix"), []byte(debian13), 0o755); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("/bin/sh", "-c", startNew, "sh", "/etc/postfix-two", "postfix-two")
	c.Env = []string{"PATH=" + dir + ":/usr/bin:/bin"}
	if out, err := c.CombinedOutput(); err != nil || string(out) != "-c /etc/postfix-two start\n" {
		t.Errorf("%v: %s", err, out)
	}
}

// TestHeard: what a daemon of the stage says, and what that means.
func TestHeard(t *testing.T) {
	_, cfg := staged(t, testCase{addrs: labAddrs, files: map[string]string{"main.cf": "compatibility_level = 2\n"}})
	m := cfg.Model.(*model)
	q := judge.Question{Class: judge.Outside, Form: "plain", Verb: judge.Rcpt, Recipient: "relaytest@example.org"}
	with := func(verb judge.Verb, form string) judge.Question { x := q; x.Verb, x.Form = verb, form; return x }
	routed := with(judge.Rcpt, "percent-name")
	says := []judge.Answer{{Question: routed, Outcome: judge.Delivered}, {Question: q, Outcome: judge.Refused}}
	for _, c := range []struct {
		q           judge.Question
		step, reply string
		want        judge.Outcome
	}{
		{q, "end", "354 End data with <CR><LF>.<CR><LF>", judge.Relayed}, // against what the configuration says
		{routed, "end", "354 go", judge.Delivered},
		{with(judge.Rcpt, "local"), "end", "354 go", judge.Delivered},
		{q, "4", "554 5.7.1 <relaytest@example.org>: Relay access denied", judge.Refused},
		{q, "4", "454 4.7.1 <relaytest@example.org>: Relay access denied", judge.Refused},
		{q, "4", "451 4.3.5 Server configuration error", judge.CannotTell},
		{q, "3", "450 4.1.8 Domain not found", judge.CannotTell},
		{q, "5", "554 5.5.1 no", judge.Refused},
		{q, "1", "550 5.7.0 Error: insufficient authorization", judge.CannotTell},
		{q, "greeting", "421 4.7.0 too many", judge.CannotTell},
		{q, "greeting", "the connection ended", judge.Dead},
		{q, "connect", "cannot connect", judge.Dead},
		{q, "tls", "no TLS", judge.CannotTell},
		{q, "4", "the connection ended", judge.CannotTell},
		{with(judge.Banner, ""), "end", "220 lab.example.edu ESMTP Postfix (Debian/GNU)", judge.Disclosed},
		{with(judge.Banner, ""), "end", "220 lab.example.edu ESMTP", judge.Refused},
		{with(judge.Auth, ""), "end", "250 lab.example.edu PIPELINING AUTH PLAIN LOGIN DSN", judge.Disclosed},
		{with(judge.Auth, ""), "end", "250 lab.example.edu PIPELINING AUTH=PLAIN", judge.Disclosed},
		{with(judge.Auth, ""), "end", "250 lab.example.edu PIPELINING DSN", judge.Refused},
		{with(judge.Auth, ""), "2", "550 no", judge.CannotTell},
	} {
		a := m.heard(c.q, m.listeners[0], c.step, c.reply, says)
		if a.Outcome != c.want || a.Judge != judge.MTA || a.Question != c.q || a.Text == "" {
			t.Errorf("%s %s %q: %+v, want %s", c.q.Verb, c.step, c.reply, a, c.want)
		}
	}
}

// TestProved: the daemons' answers come from the transcript by question, and a live host's judgement, which has none, is as before.
func TestProved(t *testing.T) {
	s, cfg := staged(t, testCase{addrs: labAddrs, files: map[string]string{"main.cf": "compatibility_level = 2\nmynetworks = 127.0.0.0/8 192.0.2.0/24\n"}})
	live := answers(s, cfg)
	sh := prove(s, cfg)
	var transcript strings.Builder
	asked := 0
	for _, line := range strings.Split(sh, "\n") {
		if w := strings.Split(line, fieldMark); len(w) >= 4 {
			asked++
			transcript.WriteString(w[0] + "\t4\t554 5.7.1 Relay access denied\n")
		}
	}
	if asked < 20 || asked > maxDialogues {
		t.Fatalf("%d questions in\n%s", asked, sh)
	}
	s = s.WithOutputs(&facts.Output{Name: "postfix:/etc/postfix:proved", Stdout: []byte(transcript.String() + "strange line\n")})
	cfg, err := read(s, cfg.Install)
	if err != nil {
		t.Fatal(err)
	}
	both := answers(s, cfg)
	heard := both[len(live):]
	if len(heard) != asked {
		t.Errorf("%d of %d answers were heard", len(heard), asked)
	}
	refused := 0
	for _, a := range heard {
		if a.Judge != judge.MTA {
			t.Errorf("%+v", a)
		}
		if a.Outcome == judge.Refused {
			refused++
		}
	}
	if refused < 20 {
		t.Errorf("%d refusals", refused)
	}
}
