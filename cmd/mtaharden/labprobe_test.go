package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"mtaharden/remediate/remote/remotetest"
)

// probed is what a test reads of a probe's report.
type probed struct {
	Run     struct{ Clients []string }
	Targets []struct {
		Target, Address, Verdict, Error string
		Own                             bool
		Listeners                       []struct {
			Addr, Verdict string
			Forms         []string
			Report        struct {
				Product string
				Cases   []struct{ Form, Verdict, Why, Token string }
			}
		}
	}
	Summary map[string]int
}

// probeLab runs probe on hosts of the lab.
func probeLab(t *testing.T, l lab, want int, args ...string) probed {
	t.Helper()
	args = append([]string{"probe", "-i", l.inventory, "--state", t.TempDir(), "--batch", "--rate", "0", "--format", "json"}, args...)
	code, out, stderr := mtaharden(args...)
	if code != want {
		t.Fatalf("%q ended with %d, not %d: %s\n%s", args, code, want, stderr, out)
	}
	var r probed
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// busy lets a sendmail serve on a busy machine: it refuses connections above a load of 12 (op.me, RefuseLA), and tests make one.
const busy = "sed -i '/^MAILER_DEFINITIONS/i define(`confREFUSE_LA'\"'\"', `1000'\"'\"')dnl' /etc/mail/sendmail.mc\n"

// prepared puts a host back to its image, and runs a script on it.
func prepared(t *testing.T, l lab, host, script string) {
	t.Helper()
	if strings.HasSuffix(host, "-sendmail") {
		script = busy + script
	}
	files := map[string]string{}
	if script != "" {
		files["plant.sh"] = script
	}
	plant(t, l, host, files)
}

// openings are a change to each MTA that lets strangers relay.
func openings() map[string]string {
	return map[string]string{
		"postfix":  "postconf -e 'mynetworks = 127.0.0.0/8 0.0.0.0/0'\n",
		"sendmail": "sed -i '/^MAILER_DEFINITIONS/i FEATURE(`promiscuous_relay'\"'\"')dnl' /etc/mail/sendmail.mc\n",
		"exim":     "sed -i \"s/^dc_relay_nets=.*/dc_relay_nets='0.0.0.0\\/0'/\" /etc/exim4/update-exim4.conf.conf\n",
	}
}

// TestLabProbe asks real hosts over the network: as they come they are closed, from outside and from their own network; opened, they relay for either.
func TestLabProbe(t *testing.T) {
	l := needLab(t)
	t.Parallel()
	for _, host := range []string{"deb12-sudo-postfix", "deb13-sendmail", l.host(t, "deb11-exim", "deb12-exim")} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			remotetest.Alone(t, host)
			prepared(t, l, host, "")
			for _, from := range [][]string{{"--from", "outside"}, nil} {
				r := probeLab(t, l, 0, append(from, host)...)
				if len(r.Targets) != 1 || r.Targets[0].Verdict != "refused" || len(r.Run.Clients) != 1 {
					t.Errorf("as it comes, %v: %+v", from, r)
				}
				if p := r.Targets[0].Listeners[0].Report.Product; !strings.EqualFold(p, mtaOf(host)) {
					t.Errorf("the product is %q", p)
				}
				if from != nil && r.Run.Clients[0] != "198.51.100.7" {
					t.Errorf("asked from %v", r.Run.Clients)
				}
			}
			prepared(t, l, host, openings()[mtaOf(host)])
			for _, from := range [][]string{{"--from", "outside"}, nil} {
				r := probeLab(t, l, exitFound, append(from, host)...)
				if v := r.Targets[0].Verdict; v != "relays" && v != "accepts-all" || r.Summary["relays"] != 1 || len(r.Targets[0].Listeners[0].Forms) == 0 {
					t.Errorf("opened, %v: %+v", from, r)
				}
			}
		})
	}
}

// TestLabProbeOwn: what a closed host allows itself is not called open, and what it allows one network alone is found from there alone.
func TestLabProbeOwn(t *testing.T) {
	l := needLab(t)
	t.Parallel()
	host := l.host(t, "deb11-sendmail", "deb12-sendmail")
	remotetest.Alone(t, host)
	prepared(t, l, host, "")
	if r := probeLab(t, l, 0, host, "--from", host); r.Targets[0].Verdict != "own" || !r.Targets[0].Own || r.Summary["relays"] != 0 {
		t.Errorf("from itself: %+v", r)
	}
	prepared(t, l, host, "printf 'Connect:203.0.113\\tRELAY\\n' >>/etc/mail/access\n")
	if r := probeLab(t, l, 0, host, "--from", "outside"); r.Targets[0].Verdict != "refused" {
		t.Errorf("from 198.51.100: %+v", r)
	}
	if r := probeLab(t, l, exitFound, host, "--from", "outside2"); r.Targets[0].Verdict != "relays" && r.Targets[0].Verdict != "accepts-all" {
		t.Errorf("from 203.0.113: %+v", r)
	}
}

// routedOn is a Postfix that takes any account of its own name, and hands its mail to a server behind it, which trusts it and undoes what hides
// an address.
const routedOn = `postconf -e 'mydestination = localhost' 'relay_domains = $myhostname' 'allow_untrusted_routing = yes' "transport_maps = inline:{$(hostname -f)=smtp:[127.0.0.1]:10026}"
postconf -Me 'inner/unix=inner unix n - n - 0 cleanup -o recipient_canonical_maps=regexp:/etc/postfix/inner -o recipient_canonical_classes=envelope_recipient'
postconf -Me '127.0.0.1:10026/inet=127.0.0.1:10026 inet n - n - - smtpd -o cleanup_service_name=inner -o myhostname=inner.lab.test'
printf '%s\n' '/^"?([^@%!"]*)@([^@"]*)"?@[^@]*$/ $1@$2' '/^([^@%]*)%([^@%]*)(%[^@]*)?@[^@]*$/ $1@$2' '/^([^@!%]*)!([^@!%]*)@[^@]*$/ $2@$1' >/etc/postfix/inner
`

// TestLabDeliver sends messages by the command itself: what arrives is proved, and nothing else is.
func TestLabDeliver(t *testing.T) {
	l := needLab(t)
	t.Parallel()
	var inv struct{ Defaults struct{ Identity string } }
	if _, err := toml.DecodeFile(l.inventory, &inv); err != nil {
		t.Fatal(err)
	}
	sink := filepath.Join(filepath.Dir(filepath.Dir(inv.Defaults.Identity)), "sink.jsonl")
	for _, c := range []struct {
		host, name      string
		script          string
		look            bool // whether arrival is looked for, which waits for what does not come
		code            int
		verdict, form   string
		of, says, never string
	}{
		{"deb12-sudo-postfix", "it arrives", openings()["postfix"], true, exitFound, "proven", "plain", "proven", "and it arrived: 250 2.0.0 Ok: queued as ", "delivery unproven"},
		{"deb12-sysvinit-postfix", "a filter takes it away later", openings()["postfix"] + "postconf -e 'header_checks = regexp:/etc/postfix/filter'\necho '/^Subject: relay test/ DISCARD' >/etc/postfix/filter\n", false,
			exitFound, "relays", "plain", "relays", "accepts a message, delivery unproven: 250 2.0.0 Ok: queued as ", "arrived"},
		{"deb13-postfix", "a server behind sends it on", routedOn, true, exitFound, "proven", "percent-name", "proven", "and it arrived: 250 2.0.0 Ok: queued as ", ""},
		{"deb12-sudo-postfix", "any account is taken, and no more", "postconf -e 'mydestination = localhost' 'relay_domains = $myhostname' 'allow_untrusted_routing = yes'\n", false,
			exitIncomplete, "cannot-tell", "percent-name", "unproven", "accepts a message, delivery unproven: 250 2.0.0 Ok: queued as ", "arrived"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			remotetest.Alone(t, c.host)
			prepared(t, l, c.host, c.script)
			args := []string{c.host, "--from", "outside", "--deliver", "tok@example.org", "--host-timeout", "3m"}
			if c.look {
				args = append(args, "--mailbox", sink)
			}
			target := probeLab(t, l, c.code, args...).Targets[0]
			if target.Verdict != c.verdict {
				t.Errorf("the verdict is %s, not %s", target.Verdict, c.verdict)
			}
			met := false
			for _, k := range target.Listeners[0].Report.Cases {
				if c.never != "" && strings.Contains(k.Why, c.never) {
					t.Errorf("%s is %s: %s", k.Form, k.Verdict, k.Why)
				}
				met = met || k.Form == c.form && k.Verdict == c.of && k.Token != "" && strings.Contains(k.Why, c.says)
			}
			if !met {
				t.Errorf("%s is not %s with %q: %+v", c.form, c.of, c.says, target.Listeners[0].Report.Cases)
			}
		})
	}
}
