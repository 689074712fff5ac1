package apply

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
)

// TestMailLog reads on in a log that grows, in one that was turned over, and in the journal where no log has grown: one that nobody writes any more
// may have been left from the days before it.
func TestMailLog(t *testing.T) {
	t.Parallel()
	const line = "smtpd[7]: NOQUEUE: reject: RCPT from x[192.0.2.9]: 554 5.7.1 <a@example.org>: Relay access denied\n"
	for _, c := range []struct {
		name, before, journal string
		write                 func(t *testing.T, log string)
		want                  []string
	}{
		{"a log that grows", "old\n", "journalctl: never asked [192.0.2.8] relay denied\n", func(t *testing.T, log string) {
			f, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
			must(t, err)
			_, err = f.WriteString(line)
			must(t, err)
			must(t, f.Close())
		}, []string{"192.0.2.9"}},
		{"a log that was turned over", "old and long enough, longer than what comes: " + line + line, "", func(t *testing.T, log string) {
			must(t, os.Rename(log, log+".1"))
			must(t, os.WriteFile(log, []byte(line), 0o600))
		}, []string{"192.0.2.9"}},
		{"a log that nobody writes", line, strings.ReplaceAll(line, "192.0.2.9", "192.0.2.8"), func(*testing.T, string) {}, []string{"192.0.2.8"}},
		{"no log", "", line, func(*testing.T, string) {}, []string{"192.0.2.9"}},
	} {
		tools := map[string]string{"journalctl": c.journal}
		tools["head"] = "#!/bin/sh\necho 'head: illegal option -- c' >&2\nexit 2\n" // POSIX knows -n alone, and so does head(1) of Solaris
		dir := t.TempDir()
		log := filepath.Join(dir, "var/log/mail.log")
		must(t, os.MkdirAll(filepath.Dir(log), 0o755))
		if c.before != "" {
			must(t, os.WriteFile(log, []byte(c.before), 0o600))
		}
		h := remotetest.NewDir(t, dir, tools)
		run := func(words ...string) string {
			res, err := h.Run(t.Context(), remote.Script(strings.ReplaceAll(maillogSh, "/var/", dir+"/var/"), words...), logLimit)
			if err != nil || res.Exit != 0 {
				t.Fatalf("%s: %v, exit status %d: %s", c.name, err, res.Exit, res.Stderr)
			}
			return string(res.Stdout)
		}
		m := parseMark(run("mark"))
		c.write(t, log)
		var got []string
		for _, r := range parseRefusals(run(append([]string{"since"}, m...)...)) {
			got = append(got, r.Client.String())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: the clients refused are %v, want %v", c.name, got, c.want)
		}
	}
}

// TestMailLogUnread: a log that was not read to its end shows nothing of who was refused.
func TestMailLogUnread(t *testing.T) {
	t.Parallel()
	h := remotetest.NewDir(t, "", nil)
	h.Shell = []string{"/bin/sh", "-c", "echo '[192.0.2.9] relay denied'; kill -9 $$", "sh"}
	if got, err := refusedSince(t.Context(), h, mark{"now 1"}); err == nil {
		t.Errorf("it is read: %v", got)
	}
}

// TestOwnQuestions: what the network judge is refused is no lost mail, whatever form it asked in; that the server cannot serve it is a loss still.
func TestOwnQuestions(t *testing.T) {
	t.Parallel()
	const log = `postfix/smtpd[9]: NOQUEUE: reject: RCPT from x[192.0.2.1]: 454 4.7.1 <relaytest@example.org@[192.0.2.9]>: Relay access denied; from=<> to=<"relaytest@example.org"@[192.0.2.9]>
sm-mta[9]: ruleset=check_rcpt, arg1=<relaytest%example.org>, relay=x [192.0.2.2], reject=550 5.7.1 <relaytest%example.org>... Relaying denied
H=x [192.0.2.3] F=<antispam@example.net> rejected RCPT relaytest@example.org: relay not permitted
H=x [192.0.2.4] F=<antispam@example.net> rejected RCPT <kim@example.org>: relay not permitted
sm-mta[9]: ruleset=check_rcpt, arg1=<norelaytester@example.org>, relay=x [192.0.2.5], reject=550 5.7.1 <norelaytester@example.org>... Relaying denied
postfix/smtpd[9]: NOQUEUE: reject: RCPT from x[192.0.2.6]: 451 4.3.5 <relaytest@example.org>: Server configuration error; from=<> to=<relaytest@example.org>
`
	var got []string
	for _, r := range parseRefusals(log) {
		got = append(got, r.Client.String())
	}
	if want := []string{"192.0.2.4", "192.0.2.5", "192.0.2.6"}; !slices.Equal(got, want) {
		t.Errorf("refused were %v, want %v", got, want)
	}
}
