package sendmail

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mtaharden/remediate/judge"
)

// Rules of a site's own that no question may have tried: each was planted on Debian 12, where the questions were all refused.
func TestSiteRules(t *testing.T) {
	const stock = "V10/Berkeley\nScheckrcpt\nR$*\t$: $1 $| $>\"Local_check_rcpt\" $1\nR$* $| $#$*\t$#$2\nScheck_rcpt\nR$+\t$: $1 $| $>checkrcpt $1\nR$*\t$: $&{client_addr} $| $1\nSLocal_check_rcpt\n"
	for _, test := range []struct{ name, rules, want string }{
		{"none", "", ""},
		{"a refusal", "Rbad@$*\t$#error $@ 5.7.1 $: no\n", ""},
		{"an address parsed", "R$*\t$: $>CanonAddr $1\nSCanonAddr\nR$*\t$: $>Parse0 $1\nSParse0\nR$*\t$#local $: $1\n", ""},
		{"the daemon's name", "R$*\t$: $&{daemon_name} $| $1\n", "macro daemon_name"},
		{"a login of nobody", "C{TrustAuthMech}ANONYMOUS LOGIN\nO AuthMechanisms=ANONYMOUS LOGIN\n", "AUTH ANONYMOUS"},
		{"a login of nobody forbidden", "C{TrustAuthMech}ANONYMOUS LOGIN\nO AuthMechanisms=ANONYMOUS LOGIN\nO AuthOptions=A,y\n", ""},
		{"granted", "R$*\t$#OK\n", "lets some recipients through"},
		{"granted by another", "R$*\t$@ $>\"Let_in\" $1\nSLet_in\nR$*\t$@ $# OK\n", "lets some recipients through"},
	} {
		m := &model{cf: parseCF("/c", []byte(stock+test.rules))}
		got := ""
		for _, a := range m.siteAnswers() {
			if got = a.Text; a.Outcome != judge.CannotTell {
				t.Errorf("%s: %s", test.name, a.Outcome)
			}
		}
		if got == "" != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// Only the refusal to relay answers a plain question: a reject list or a name server that is away does not.
func TestAboutRelay(t *testing.T) {
	for flat, want := range map[string]bool{
		`$#error$@5.7.1$:"550relayingdenied"`: true, `$#error$@4.7.1$:"450relayingtemporarilydenied"`: true, `$#error$:"571wedonotrelay"`: true,
		`$#error$@4.1.8$:"451domaindoesnotresolve"`: false, `$#error$@5.2.1$:"550mailboxdisabled"`: false, `$#error$@5.1.8$:"553"`: false,
	} {
		if aboutRelay(flat) != want {
			t.Errorf("%s: %v", flat, !want)
		}
	}
}

// The relay check behind delay_checks is asked in place of check_rcpt only where check_rcpt calls and obeys it.
func TestDelayedRule(t *testing.T) {
	for text, want := range map[string]string{
		"Scheckrcpt\nR$*\t$@ $1\nScheck_rcpt\n# R$@\nR$+\t\t$: $1 $| $>checkrcpt $1\nR$+ $| $#error $*\t$#error $2\n": "0",
		"Scheckrcpt\nR$*\t$@ $1\nScheck_rcpt\nR$+\t$: $1 $| $>checkrcpt $1\nR$+ $| $#$*\t$#$2\tkeep\n":                "0",
		"Scheckrcpt\nScheck_rcpt\nR$+\t$@ OK\nR$+\t$: $1 $| $>checkrcpt $1\nR$+ $| $#error $*\t$#error $2\n":          "1",
		"Scheckrcpt\nScheck_rcpt\nR$+\t$: $1 $| $>checkrcpt $1\nR$+ $| $*\t$@ $1\n":                                   "1",
		"Scheckrcpt\nR$*\t$@ $1\nSXcheck_rcpt\nR$+\t$: $1 $| $>checkrcpt $1\nR$+ $| $#error $*\t$#error $2\n":         "1",
	} {
		cf := filepath.Join(t.TempDir(), "sendmail.cf")
		if err := os.WriteFile(cf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		script := strings.TrimSuffix(strings.TrimSpace(Driver.Collect), "sendmail_collect")
		out, err := exec.Command("sh", "-c", script+"\nsm_delayed "+cf+"; echo $?\n").CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%q: %s, want %s (%v)", text, got, want, err)
		}
	}
}

// The file of an ldap map's password is never shown, wherever -P stands.
func TestLDAPPassword(t *testing.T) {
	cf := filepath.Join(t.TempDir(), "sendmail.cf")
	text := "Ka ldap -P /etc/pw1 -h x\nKb ldap -h x -1 -P/etc/pw2 -k (a=b)\nKc hash /etc/mail/c\n"
	if err := os.WriteFile(cf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	script := strings.TrimSuffix(strings.TrimSpace(Driver.Collect), "sendmail_collect")
	out, err := exec.Command("sh", "-c", script+"\nsm_paths "+cf+"\n").CombinedOutput()
	if want := "map hash /etc/mail/c\nsecret /etc/pw1\nsecret /etc/pw2\n"; err != nil || string(out) != want {
		t.Errorf("%s, want %s (%v)", out, want, err)
	}
}

// Questions are about domains that the access map does not reject: a refusal would say nothing of relaying.
func TestQuestionsShunRejected(t *testing.T) {
	dir := t.TempDir()
	cf := filepath.Join(dir, "sendmail.cf")
	access := "example.org\tREJECT\nTo:spam@example.net\tREJECT\nprobe.example.net 550 no\nFrom:example.com\tDISCARD\n"
	for name, text := range map[string]string{"sendmail.cf": "Kaccess hash " + dir + "/access\n", "access": access} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script := strings.TrimSuffix(strings.TrimSpace(Driver.Collect), "sendmail_collect")
	out, err := exec.Command("sh", "-c", "mh_has() { return 1; }\n"+script+"\nsm_addr=10.0.0.1 sm_fqdn=mx.example.edu sm_trust=\nsm_questions "+cf+" | head -n 1\n").CombinedOutput()
	if f := strings.Split(strings.TrimSpace(string(out)), "\t"); err != nil || len(f) != 10 || f[9] != "relaytest@iana.org" {
		t.Errorf("%q (%v)", out, err)
	}
}

// Asking may not act: what a look-up or the reading of the file itself would run or write keeps sendmail from being asked, by name.
func TestActs(t *testing.T) {
	for line, want := range map[string]string{
		"Kgrey program /usr/local/bin/grey":    "run the program of map grey",
		"Kquota socket -T<TMPF> local:/run/q":  "talk to the socket of map quota",
		"Klog syslog -LNOTICE":                 "write to the log through map log",
		"F{VirtHost}|/usr/local/bin/hosts":     "run /usr/local/bin/hosts",
		"Fw|/usr/local/bin/names":              "run /usr/local/bin/names",
		"O AutoRebuildAliases=True":            "run newaliases (AutoRebuildAliases)",
		"O autorebuildaliases = true":          "run newaliases (AutoRebuildAliases)",
		"Kgrey\n\tprogram /usr/local/bin/grey": "run the program of map grey",
		"Kgrey PROGRAM /usr/local/bin/grey":    "run the program of map grey",
		"Fw-o |/usr/local/bin/names":           "run /usr/local/bin/names",
		"F{R}\n -o |/usr/local/bin/names":      "run /usr/local/bin/names",
		"Kaccess hash -T<TMPF> -o /etc/access": "",
		"Kld ldap -1 -v mail -k (uid=%0)":      "",
		"Kdnsbl dns -R A -T<TMP>":              "",
		"O AutoRebuildAliases=False":           "",
	} {
		cf := filepath.Join(t.TempDir(), "sendmail.cf")
		if err := os.WriteFile(cf, []byte(line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		script := strings.TrimSuffix(strings.TrimSpace(Driver.Collect), "sendmail_collect")
		out, err := exec.Command("sh", "-c", script+"\nsm_paths "+cf+" | sed -n 's/^acts //p'\n").CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%s: %q, want %q (%v)", line, got, want, err)
		}
	}
}
