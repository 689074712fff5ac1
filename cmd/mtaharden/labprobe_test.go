package main

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
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
			Report        struct{ Product string }
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

// openings are a change to each MTA of the lab that lets strangers relay, and the host it is made to.
func openings() map[string]string {
	return map[string]string{
		"deb12-postfix":  "postconf -e 'mynetworks = 127.0.0.0/8 0.0.0.0/0'\n",
		"deb12-sendmail": "sed -i '/^MAILER_DEFINITIONS/i FEATURE(`promiscuous_relay'\"'\"')dnl' /etc/mail/sendmail.mc\n",
		"deb12-exim":     "sed -i \"s/^dc_relay_nets=.*/dc_relay_nets='0.0.0.0\\/0'/\" /etc/exim4/update-exim4.conf.conf\n",
	}
}

// TestLabProbe asks real hosts over the network: as they come they are closed, from outside and from their own network; opened, they relay for either.
func TestLabProbe(t *testing.T) {
	l := needLab(t)
	for host, script := range openings() {
		t.Run(host, func(t *testing.T) {
			prepared(t, l, host, "")
			for _, from := range [][]string{{"--from", "outside"}, nil} {
				r := probeLab(t, l, 0, append(from, host)...)
				if len(r.Targets) != 1 || r.Targets[0].Verdict != "refused" || len(r.Run.Clients) != 1 {
					t.Errorf("as it comes, %v: %+v", from, r)
				}
				if p := r.Targets[0].Listeners[0].Report.Product; !strings.EqualFold(p, strings.TrimPrefix(host, "deb12-")) {
					t.Errorf("the product is %q", p)
				}
				if from != nil && r.Run.Clients[0] != "198.51.100.7" {
					t.Errorf("asked from %v", r.Run.Clients)
				}
			}
			prepared(t, l, host, script)
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
	const host = "deb12-sendmail"
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

// TestLabSweep sweeps the lab's own network from outside: each host that listens is found, and the open one alone relays.
func TestLabSweep(t *testing.T) {
	l := needLab(t)
	prepared(t, l, "deb12-postfix", openings()["deb12-postfix"])
	one := netip.MustParseAddr(probeLab(t, l, exitFound, "deb12-postfix", "--from", "outside").Targets[0].Address)
	network, err := one.Prefix(27)
	if err != nil {
		t.Fatal(err)
	}
	r := probeLab(t, l, exitFound, network.String(), "--from", "outside")
	if r.Summary["hosts"] != 30 || r.Summary["relays"] != 1 || r.Summary["cannot_tell"] != 0 {
		t.Errorf("%+v", r.Summary)
	}
	for _, target := range r.Targets {
		if relays := target.Verdict == "relays" || target.Verdict == "accepts-all"; relays != (target.Address == one.String()) {
			t.Errorf("%s is %s", target.Address, target.Verdict)
		}
	}
}
