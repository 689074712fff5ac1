package main

import (
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/probe"
	"mtaharden/remediate/remote/remotetest"
)

// TestProbeFrom dials through another host's SSH connection: the report names that host, and one that forwards nothing is told from a closed port.
func TestProbeFrom(t *testing.T) {
	at := startMail(t, "relay")
	f := newFleet(t)
	vantage := &remotetest.Server{Forward: net.Dial}
	f.add("vantage", vantage, "")
	f.add("strict", &remotetest.Server{}, "")
	inv := f.inventory()
	ask := func(want int, args ...string) (probed, string) {
		t.Helper()
		args = append([]string{"probe", "-i", inv, "--state", t.TempDir(), "--batch", "--rate", "0", "--format", "json"}, args...)
		code, out, stderr := mtaharden(args...)
		var r probed
		if err := json.Unmarshal([]byte(out), &r); err != nil || code != want {
			t.Fatalf("%q ended with %d, not %d: %v\n%s\n%s", args, code, want, err, stderr, out)
		}
		return r, out
	}
	r, out := ask(exitFound, at.String(), "--from", "vantage", "--stranger")
	if r.Targets[0].Verdict != "relays" || !strings.Contains(out, `"vantage": "vantage"`) || !strings.Contains(out, "RELAYS for vantage (") {
		t.Errorf("%s", out)
	}
	if vantage.Logins.Load() != 1 {
		t.Errorf("%d logins", vantage.Logins.Load())
	}
	if r, _ = ask(0, at.String(), "--from", "vantage"); r.Targets[0].Verdict != "own" {
		t.Errorf("%+v", r)
	}
	if _, out = ask(exitUnreachable, "127.0.0.1:1", "--from", "vantage"); !strings.Contains(out, `"state": "closed"`) {
		t.Errorf("%s", out)
	}
	if _, out = ask(exitUnreachable, at.String(), "--from", "strict"); !strings.Contains(out, `"state": "unreachable"`) || !strings.Contains(out, "prohibited") {
		t.Errorf("%s", out)
	}
	if r, _ = ask(exitUnreachable, "127.0.80.0/29", "--from", "strict"); r.Summary["not_reached"] != 6 {
		t.Errorf("%+v", r.Summary)
	}
}

// TestProbeStatus: the highest exit status wins, and what is nobody's failure is none.
func TestProbeStatus(t *testing.T) {
	port := func(state probe.PortState, verdicts ...probe.Verdict) probe.HostResult {
		l := probe.ListenerResult{State: state}
		if state == probe.Open {
			l.Report = &probe.Report{}
		}
		for _, v := range verdicts {
			l.Report.Cases = append(l.Report.Cases, probe.Case{Form: "plain", Verdict: v})
		}
		return probe.HostResult{Target: "mx", Addr: netip.MustParseAddr("192.0.2.1"), Listeners: []probe.ListenerResult{l}}
	}
	refused, relays, unsure := port(probe.Open, probe.Refused), port(probe.Open, probe.Relays), port(probe.Open, probe.Deferred)
	closed, silent, noway := port(probe.Closed), port(probe.Silent), port(probe.Unreachable)
	own := port(probe.Open, probe.Relays)
	own.Own = true
	listed, proxy, lost, other := refused, closed, probe.HostResult{Target: "my", Error: "no such host"}, noway
	listed.DNSBL = []probe.Listing{{Zone: "bl.example", Status: probe.Listed}}
	proxy.Proxies = []probe.ProxyResult{{State: probe.Open, Answers: []probe.ProxyAnswer{{Outcome: judge.Relayed}}}}
	other.Target = "other"
	for _, c := range []struct {
		name         string
		results      []probe.HostResult
		single, over int // exit status of a probe, and of a sweep
	}{
		{"refused", []probe.HostResult{refused}, 0, 0},
		{"relays", []probe.HostResult{refused, relays}, 2, 2},
		{"own", []probe.HostResult{own}, 0, 0},
		{"unsure", []probe.HostResult{relays, unsure}, 3, 3},
		{"closed", []probe.HostResult{refused, closed}, 4, 0},
		{"silent", []probe.HostResult{silent}, 4, 0},
		{"no way to one address of two", []probe.HostResult{refused, noway}, 0, 0},
		{"no way to another target", []probe.HostResult{refused, other}, 4, 4},
		{"a name without address", []probe.HostResult{lost}, 4, 4},
		{"listed", []probe.HostResult{listed}, 2, 2},
		{"proxy", []probe.HostResult{proxy}, 2, 2},
	} {
		for sweep, want := range map[bool]int{false: c.single, true: c.over} {
			got, s := 0, (*status)(nil)
			if err := probeVerdict(c.results, sweep); errors.As(err, &s) {
				got = s.code
			}
			if got != want {
				t.Errorf("%s, sweep %t: %d, want %d", c.name, sweep, got, want)
			}
		}
	}
}

// TestArrivals looks for a token in an mbox and in a Maildir.
func TestArrivals(t *testing.T) {
	dir := t.TempDir()
	mbox := filepath.Join(dir, "mbox")
	for _, sub := range []string{"new", "cur", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, "Maildir", sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, file := range map[string]string{mbox: mbox, filepath.Join(dir, "Maildir"): filepath.Join(dir, "Maildir", "cur", "1:2,S")} {
		m := newMailbox(name)
		m.begun = m.begun.Add(-time.Second)
		write := func(text string) {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("Subject: another\n")
		if got, err := m.holds(t.Context(), "mthtoken"); got || err != nil {
			t.Errorf("%s: %t, %v", name, got, err)
		}
		write("Subject: relay test mthtoken\n")
		if got, err := m.holds(t.Context(), "mthtoken"); !got || err != nil {
			t.Errorf("%s: %t, %v", name, got, err)
		}
	}
	if _, err := newMailbox(filepath.Join(dir, "none")).holds(t.Context(), "x"); err == nil {
		t.Error("a mailbox that is not there is no error")
	}
}
