package plan

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// network is what a case says of the network judge: what it answered, where vantages stand, and what is dialled.
type network struct {
	Addrs []string // the host's own
	Heard []struct {
		Listener, Class, Entry, Form, Verb, From, Sender, Says, Text string
		TLS, Perhaps, AcceptsAll                                     bool
	}
	Contact []struct{ Listener, Dialled, From, Seen, Banner, Product string }
	Stand   []struct {
		Addrs  []string
		Itself bool
		Want   string // "outside", "inside" or "none", then words that Entry, Why or Perhaps hold
	}
	Reached []string // the inventory's addresses
	Dialled []string // what is dialled then: "LISTENER ADDR:PORT", or "LISTENER -" for what is skipped
}

func (n network) add(t *testing.T, in *Input) {
	t.Helper()
	in.Snapshot.Addrs = n.Addrs
	for _, h := range n.Heard {
		q := judge.Question{Listener: h.Listener, Class: judge.Class(or(h.Class, "outside")), Entry: h.Entry, Form: h.Form, Verb: judge.Verb(or(h.Verb, "RCPT")), ClientAddr: h.From, Sender: h.Sender, TLS: h.TLS}
		if q.Verb == judge.Rcpt && q.Form == "" {
			q.Form = "plain"
		}
		in.Network = append(in.Network, judge.Answer{Question: q, Judge: judge.Network, Outcome: judge.Outcome(h.Says), Text: h.Text, Perhaps: h.Perhaps, AcceptsAll: h.AcceptsAll})
	}
	for _, c := range n.Contact {
		contact := Contact{Listener: c.Listener, Banner: c.Banner, Product: c.Product}
		contact.Dialled, _ = netip.ParseAddrPort(or(c.Dialled, c.Listener))
		contact.From, _ = netip.ParseAddr(c.From)
		contact.Seen, _ = netip.ParseAddr(c.Seen)
		in.Contacts = append(in.Contacts, contact)
	}
}

// check holds a case to where it says that vantages stand, and to what it says is dialled.
func (n network) check(t *testing.T, in Input) {
	t.Helper()
	for _, s := range n.Stand {
		v := Client{Itself: s.Itself}
		for _, a := range s.Addrs {
			v.Addrs = append(v.Addrs, netip.MustParseAddr(a))
		}
		var config *mta.Config
		if len(in.Installs) > 0 {
			config = in.Installs[0].Config
		}
		st := Stand(in.Snapshot, in.Intent, config, v)
		class, words, _ := strings.Cut(s.Want, " ")
		if or(string(st.Class), "none") != class || words == "" != (st.Why+st.Perhaps+st.Entry == "") || !strings.Contains(st.Entry+"|"+st.Why+"|"+st.Perhaps, words) {
			t.Errorf("%v stands as %+v, want %q", s.Addrs, st, s.Want)
		}
		if st.Remote == (s.Itself || strings.Contains(st.Why, "host itself")) {
			t.Errorf("%v: remote is %v: %s", s.Addrs, st.Remote, st.Why)
		}
	}
	if n.Dialled == nil {
		return
	}
	var reached []netip.Addr
	for _, a := range n.Reached {
		reached = append(reached, netip.MustParseAddr(a))
	}
	targets, skipped, _ := Targets(in, reached)
	var got []string
	for _, d := range targets {
		got = append(got, d.Listener+" "+d.Dial.String())
	}
	for _, s := range skipped {
		listener, _, _ := strings.Cut(s, " ")
		got = append(got, listener+" -")
	}
	if !slices.Equal(got, n.Dialled) {
		t.Errorf("dialled %q, want %q", got, n.Dialled)
	}
}

// TestManyListeners: no host makes the network judge dial without end.
func TestManyListeners(t *testing.T) {
	bases, _ := loadCases(t)
	c := testCase{Base: "postfix"}
	for i := range 400 {
		c.Setup.Listen = append(c.Setup.Listen, netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(1000+i)).String())
	}
	targets, skipped, _ := Targets(c.input(t, bases, baseline(t)), []netip.Addr{netip.MustParseAddr("192.0.2.11")})
	if len(targets) != maxTargets || len(skipped) != 400-maxTargets {
		t.Errorf("%d dialled, %d skipped", len(targets), len(skipped))
	}
}

// TestPassedOver: a finding says why the network judge did not speak to its listener, and one for several listeners shows each judge that
// spoke of any.
func TestPassedOver(t *testing.T) {
	bases, _ := loadCases(t)
	c := testCase{Base: "postfix"}
	c.Setup.Listen = []string{"127.0.0.1:25", "0.0.0.0:587", "10.1.2.3:2525"}
	in := c.input(t, bases, baseline(t))
	in.Snapshot.Addrs = []string{"192.0.2.11/24", "10.1.2.3/24"}
	_, _, in.Passed = Targets(in, []netip.Addr{netip.MustParseAddr("192.0.2.11")})
	if len(in.Passed) != 2 || in.Passed["0.0.0.0:587"] != "" {
		t.Fatalf("%q", in.Passed)
	}
	config, network := Evidence{Judge: judge.Config, Says: judge.Refused}, Evidence{Judge: judge.Network, Says: judge.Refused, Text: "550"}
	s := &subject{in: in}
	for listener, want := range map[string]string{
		"127.0.0.1:25": "not asked: only the host itself reaches 127.0.0.1:25", "0.0.0.0:587": "",
		"10.1.2.3:2525": "not asked: 10.1.2.3:2525 is bound to an address that cannot be told to be this host's from elsewhere",
	} {
		got := s.unasked([]Evidence{config}, listener)
		if want == "" && len(got) != 1 || want != "" && (len(got) != 2 || got[1].Judge != judge.Network || got[1].Says != judge.CannotTell || got[1].Text != want) {
			t.Errorf("%s: %+v, want %q", listener, got, want)
		}
		if both := s.unasked([]Evidence{network}, listener); len(both) != 1 {
			t.Errorf("%s was asked: %+v", listener, both)
		}
	}
	mute := s.unasked([]Evidence{config}, "127.0.0.1:25")
	for _, got := range [][]Evidence{withOthers(mute, []Evidence{config, network}), withOthers([]Evidence{config, network}, mute), withOthers([]Evidence{config}, []Evidence{network})} {
		if len(got) != 2 || !got[0].same(config) || !got[1].same(network) {
			t.Errorf("%+v", got)
		}
	}
}
