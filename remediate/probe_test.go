package remediate

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
	"mtaharden/remediate/remote/ssh"
)

// smtpServer is a mail server on a loopback port that takes or refuses every recipient but its own, and its address.
func smtpServer(t *testing.T, relays bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveSMTP(c, relays)
		}
	}()
	return l.Addr().String()
}

func serveSMTP(c net.Conn, relays bool) {
	defer c.Close()
	fmt.Fprint(c, "220 mx.example.com ESMTP\r\n")
	for in := bufio.NewScanner(c); in.Scan(); {
		verb, rest, _ := strings.Cut(strings.ToUpper(in.Text()), " ")
		switch {
		case verb == "EHLO":
			fmt.Fprint(c, "250-mx.example.com Hello ["+"198.51.100.2], pleased to meet you\r\n250 SIZE\r\n")
		case verb == "QUIT":
			fmt.Fprint(c, "221 bye\r\n")
			return
		case verb == "RCPT" && !relays && (strings.Contains(rest, "EXAMPLE.ORG") || strings.Contains(rest, "EXAMPLE.NET")):
			fmt.Fprint(c, "550 5.7.1 Relaying denied\r\n")
		case verb == "RCPT" && strings.Contains(rest, "POSTMASTER"), verb == "RCPT" && relays, verb == "MAIL", verb == "RSET", verb == "HELO", verb == "NOOP":
			fmt.Fprint(c, "250 2.1.0 Ok\r\n")
		case verb == "RCPT":
			fmt.Fprint(c, "550 5.1.1 no such user\r\n")
		default:
			fmt.Fprint(c, "502 5.5.1 not implemented\r\n")
		}
	}
}

// served is a driver of one installation at 192.0.2.11:25 that by its configuration refuses strangers and trusts the entries.
func served(entries ...string) *mta.Driver {
	return &mta.Driver{
		Name: "curious", Collect: "mh_fact addrs '127.0.0.1/8 192.0.2.11/24'\n",
		Detect: func(*facts.Snapshot) []mta.Install {
			return []mta.Install{{MTA: "curious", Basis: mta.Lab, Active: true, Listen: []string{"192.0.2.11:25"}}}
		},
		Read: func(_ *facts.Snapshot, in mta.Install) (*mta.Config, error) {
			c := &mta.Config{Install: in}
			for _, e := range entries {
				c.Trusted = append(c.Trusted, mta.Trust{ID: e, Kind: "client-net", Value: e, Net: netip.MustParsePrefix(e), Name: "nets"})
			}
			return c, nil
		},
		Answers: func(*facts.Snapshot, *mta.Config) []judge.Answer {
			q := judge.Question{Class: judge.Outside, Form: "plain", Verb: judge.Rcpt, ClientAddr: "203.0.113.77"}
			return []judge.Answer{{Question: q, Judge: judge.Config, Outcome: judge.Refused, Text: "reject"}}
		},
	}
}

// vantage starts s as a vantage whose own address is src, and returns it. Its routes are told by an ip(8) of its own.
func vantage(t *testing.T, s *remotetest.Server, name, src string) Vantage {
	t.Helper()
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "ip"), []byte("#!/bin/sh\necho \"$4 via 10.0.0.1 dev eth0 src "+src+" uid 0\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH")}
	file, pub := remotetest.NewKeyFile(t, "")
	s.User, s.Keys = "probe", append(s.Keys, pub)
	to := ssh.Target{Name: name, Address: "127.0.0.1", Port: s.Start(t), User: "probe", Identities: []string{file}, KnownHosts: []string{s.KnownHosts(t)}}
	return Vantage{Name: name, Address: src, Open: func(ctx context.Context) (remote.Host, error) { return ssh.Dial(ctx, to) }}
}

// forwardTo answers every request for a connection with one to addr.
func forwardTo(addr string) func(string, string) (net.Conn, error) {
	return func(network, _ string) (net.Conn, error) { return net.Dial(network, addr) }
}

// TestProbe: what the network judge says of a host, by where its vantages stand. The host is this machine to the run, so nothing is dialled
// but through the vantages.
func TestProbe(t *testing.T) {
	unreachable := Vantage{Name: "lost", Open: func(context.Context) (remote.Host, error) {
		return nil, remote.Wrap("connect to", "lost", remote.ErrUnreachable, fmt.Errorf("no route"))
	}}
	for _, c := range []struct {
		name    string
		relays  bool
		entries []string
		before  []Vantage
		server  *remotetest.Server
		src     string
		address string // the inventory's, where that is another one
		status  plan.Status
		says    string // of the network's evidence
		differ  plan.Status
	}{
		{name: "no vantage", status: plan.Pass, says: "not tested from outside: this machine: it is the host itself", differ: plan.Pass},
		{name: "an open server", relays: true, server: &remotetest.Server{}, src: "198.51.100.2", status: plan.Fail, says: "from outside (198.51.100.2): ", differ: plan.Fail},
		{name: "a sound server", server: &remotetest.Server{}, src: "198.51.100.2", status: plan.Pass, says: "Relaying denied", differ: plan.Pass},
		{name: "a vantage on the host's network", relays: true, server: &remotetest.Server{}, src: "192.0.2.77", status: plan.Pass, says: "outside: 192.0.2.77 is on the host's network", differ: plan.Pass},
		{name: "a vantage that is the host", relays: true, server: &remotetest.Server{}, src: "192.0.2.11", status: plan.Pass, says: "outside: 192.0.2.11 is the host itself", differ: plan.Pass},
		{name: "a trusted vantage", relays: true, entries: []string{"198.51.100.0/24"}, server: &remotetest.Server{}, src: "198.51.100.2", status: plan.Pass, says: "in the trusted entry nets: 198.51.100.0/24", differ: plan.Pass},
		{name: "an entry too wide disqualifies nobody", relays: true, entries: []string{"198.0.0.0/8"}, server: &remotetest.Server{}, src: "198.51.100.2", status: plan.Fail, says: "from outside", differ: plan.Pass},
		{name: "a vantage that is lost costs nothing", relays: true, before: []Vantage{unreachable}, server: &remotetest.Server{}, src: "198.51.100.2", status: plan.Fail, says: "from outside", differ: plan.Fail},
		{name: "a login that may only forward", relays: true, server: &remotetest.Server{NoChannel: true}, src: "198.51.100.9", status: plan.Fail, says: "from outside (198.51.100.9)", differ: plan.Fail},
		{name: "a trusted vantage behind address translation", relays: true, entries: []string{"198.51.100.0/24"}, server: &remotetest.Server{}, src: "10.9.9.9", address: "198.51.100.2", status: plan.Pass, says: "in the trusted entry nets: 198.51.100.0/24", differ: plan.Pass},
		{name: "a stranger behind address translation", relays: true, server: &remotetest.Server{}, src: "10.9.9.9", address: "198.51.100.2", status: plan.Fail, says: "from outside", differ: plan.Fail},
		{name: "a vantage whose translated address is not known", relays: true, server: &remotetest.Server{}, src: "10.9.9.9", status: plan.Unknown, says: "address translation hides", differ: plan.Pass},
		{name: "one that is refused all the same", server: &remotetest.Server{}, src: "10.9.9.9", status: plan.Pass, says: "Relaying denied", differ: plan.Pass},
		{name: "forwarding forbidden", relays: true, server: &remotetest.Server{}, src: "forbidden", status: plan.Pass, says: "administratively prohibited", differ: plan.Pass},
	} {
		t.Run(c.name, func(t *testing.T) {
			probing := &Probing{Vantages: c.before}
			if c.server != nil {
				if c.src != "forbidden" {
					c.server.Forward = forwardTo(smtpServer(t, c.relays))
				} else {
					c.src = "198.51.100.2"
				}
				v := vantage(t, c.server, "outside", c.src)
				v.Address = cmp.Or(c.address, v.Address)
				probing.Vantages = append(probing.Vantages, v)
			}
			var mu sync.Mutex
			var warned []string
			probing.Warn = func(text string) { mu.Lock(); defer mu.Unlock(); warned = append(warned, text) }
			config := Config{Drivers: []*mta.Driver{served(c.entries...)}, Forks: 3, Now: time.Now, Probe: probing}
			for _, name := range []string{"mx1", "mx2"} {
				target := sshTarget(t, &remotetest.Server{})
				target.Name, target.Here = name, true
				config.Targets = append(config.Targets, target)
			}
			hosts := 0
			Run(t.Context(), config, func(o Outcome) {
				hosts++
				if o.Err != nil {
					t.Fatal(o.Err)
				}
				probed(t, o.Result, c.status, c.says, c.differ)
			})
			if hosts != 2 || len(warned) != len(c.before) {
				t.Errorf("%d hosts, warned %q", hosts, warned)
			}
			if s := c.server; s != nil && (s.Logins.Load() != 1 || s.Forwards.Load() == 0 && !strings.Contains(c.says, "host itself")) {
				t.Errorf("%d logins to the vantage and %d connections from it", s.Logins.Load(), s.Forwards.Load())
			}
		})
	}
}

// TestProbeEntry: every vantage within an entry too wide is asked from, beside one stranger; a second stranger adds nothing.
func TestProbeEntry(t *testing.T) {
	sound, open := smtpServer(t, false), smtpServer(t, true)
	first, within, second := &remotetest.Server{Forward: forwardTo(sound)}, &remotetest.Server{Forward: forwardTo(open)}, &remotetest.Server{Forward: forwardTo(sound)}
	probing := &Probing{Vantages: []Vantage{
		vantage(t, first, "first", "198.51.100.2"), vantage(t, within, "within", "203.0.113.7"), vantage(t, second, "second", "198.51.100.3"),
	}}
	target := sshTarget(t, &remotetest.Server{})
	target.Here = true
	c := Config{Targets: []Target{target}, Drivers: []*mta.Driver{served("203.0.0.0/8")}, Forks: 1, Now: time.Now, Probe: probing}
	Run(t.Context(), c, func(o Outcome) {
		probed(t, o.Result, plan.Fail, "from within (203.0.113.7)", plan.Pass)
	})
	if first.Forwards.Load() == 0 || within.Forwards.Load() == 0 || second.Forwards.Load() != 0 {
		t.Errorf("%d connections from the first stranger, %d from within the entry, %d from the second stranger", first.Forwards.Load(), within.Forwards.Load(), second.Forwards.Load())
	}
}

func probed(t *testing.T, res *plan.Result, status plan.Status, says string, differ plan.Status) {
	t.Helper()
	for _, f := range res.Findings {
		if f.MTA == "unknown" {
			continue // the host is this machine: who else listens on a mail port here is no matter of ours
		}
		switch f.Rule {
		case "open-relay":
			network := ""
			for _, e := range f.Evidence {
				if e.Judge == judge.Network {
					network = e.Text
				}
			}
			if f.Status != status || !strings.Contains(network, says) {
				t.Errorf("open-relay is %s, not %s; the network says %q, not %q", f.Status, status, network, says)
			}
		case "judges-disagree":
			if f.Status != differ {
				t.Errorf("judges-disagree is %s: %s", f.Status, f.Have)
			}
		}
	}
}

// TestSource: the addresses that a vantage may show to a target, by whatever tool it has.
func TestSource(t *testing.T) {
	four, six := netip.MustParseAddr("192.0.2.11"), netip.MustParseAddr("2001:db8::1")
	for _, c := range []struct {
		out    string
		target netip.Addr
		want   string
	}{
		{"src 198.51.100.2\n", four, "[198.51.100.2]"},
		{"motd\nsrc 198.51.100.2\nown 10.0.0.1\n", four, "[198.51.100.2]"},
		{"src 198.51.100.2\n", six, "[]"},
		{"own 127.0.0.1\nown 10.0.0.1\nown 10.0.0.1\nown fe80::1\nown 2001:db8::7\n", four, "[10.0.0.1]"},
		{"own ::1\nown fe80::1\nown 2001:db8::7\n", six, "[2001:db8::7]"},
		{"src \x1b[31m\nown 1.2.3\n", four, "[]"},
	} {
		if got := fmt.Sprint(parseSource(c.out, c.target)); got != c.want {
			t.Errorf("%q for %s: %s, not %s", c.out, c.target, got, c.want)
		}
	}
}

func FuzzSource(f *testing.F) {
	f.Add("src 198.51.100.2\nown fe80::1%eth0\n", "192.0.2.1")
	f.Fuzz(func(t *testing.T, out, target string) {
		to, err := netip.ParseAddr(target)
		if err != nil {
			return
		}
		for _, a := range parseSource(out, to) {
			if !a.IsValid() || a.Is4() != to.Unmap().Is4() {
				t.Fatalf("%s for %s", a, to)
			}
		}
	})
}
