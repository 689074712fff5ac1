package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// resolver is a DNS server on loopback that holds these names; others do not exist. A value is an address, or a text after "TXT ", or the name of an error.
func resolver(t *testing.T, zone map[string][]string) (server string, asked func() []string) {
	t.Helper()
	var mu sync.Mutex
	var log []string
	handle := func(w dns.ResponseWriter, q *dns.Msg) {
		name := q.Question[0].Name
		mu.Lock()
		log = append(log, dns.TypeToString[q.Question[0].Qtype]+" "+name)
		mu.Unlock()
		m := new(dns.Msg).SetReply(q)
		values, ok := zone[name]
		if !ok {
			m.Rcode = dns.RcodeNameError
		}
		for _, v := range values {
			text, isText := strings.CutPrefix(v, "TXT ")
			head := dns.RR_Header{Name: name, Rrtype: q.Question[0].Qtype, Class: dns.ClassINET}
			switch addr := net.ParseIP(v); {
			case dns.StringToRcode[v] != 0:
				m.Rcode = dns.StringToRcode[v]
			case isText && head.Rrtype == dns.TypeTXT:
				m.Answer = append(m.Answer, &dns.TXT{Hdr: head, Txt: []string{text}})
			case addr != nil && head.Rrtype == dns.TypeA:
				m.Answer = append(m.Answer, &dns.A{Hdr: head, A: addr})
			}
		}
		if _, udp := w.RemoteAddr().(*net.UDPAddr); udp && len(values) > 3 {
			m.Answer, m.Truncated = nil, true
		}
		w.WriteMsg(m)
	}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", pc.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: dns.HandlerFunc(handle)}, {Listener: l, Handler: dns.HandlerFunc(handle)}} {
		go s.ActivateAndServe()
	}
	t.Cleanup(func() { pc.Close(); l.Close() })
	return pc.LocalAddr().String(), func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), log...)
	}
}

// lists are zones of every sort.
func lists() map[string][]string {
	out := map[string][]string{}
	put := func(zone string, entries map[string]string) {
		for a, v := range entries {
			name := dnsblName(netip.MustParseAddr(a), zone)
			out[name] = append(out[name], strings.Split(v, "|")...)
		}
	}
	put("good.example", map[string]string{"127.0.0.2": "127.0.0.2", "9.9.9.1": "127.0.0.2|127.0.0.10|TXT open relay\x1b[31m", "9.9.9.2": "127.0.0.4",
		"::ffff:7f00:2": "127.0.0.2", "2620:fe::1": "127.0.0.3", "192.0.2.7": "127.0.0.2",
		"9.9.9.9": "127.0.0.2|127.0.0.3|127.0.0.4|127.0.0.5|127.0.0.6"})
	put("wild.example", map[string]string{"127.0.0.1": "127.0.0.2", "127.0.0.2": "127.0.0.2", "9.9.9.1": "127.0.0.2"})
	put("dead.example", map[string]string{})
	put("parked.example", map[string]string{"9.9.9.1": "198.51.100.80"})
	put("public.example", map[string]string{"9.9.9.1": "127.255.255.254"})
	put("often.example", map[string]string{"9.9.9.1": "127.255.255.255"})
	put("typo.example", map[string]string{"9.9.9.1": "127.255.255.252"})
	put("self.example", map[string]string{"9.9.9.1": "127.0.0.1"})
	put("broken.example", map[string]string{"9.9.9.1": "SERVFAIL"})
	put("closed.example", map[string]string{"9.9.9.1": "REFUSED"})
	put("only4.example", map[string]string{"127.0.0.2": "127.0.0.2"})
	return out
}

func TestDNSBL(t *testing.T) {
	server, asked := resolver(t, lists())
	for _, c := range []struct {
		zone, addr string
		want       ListStatus
		says       string // of Why, and of Text
	}{
		{"good.example", "9.9.9.1", Listed, "open relay"},
		{"good.example", "9.9.9.2", Listed, ""},
		{"good.example", "9.9.9.3", NotListed, ""},
		{"good.example", "9.9.9.9", Listed, ""}, // five codes come by TCP
		{"good.example", "::ffff:9.9.9.1", Listed, "open relay"},
		{"good.example", "2620:fe::1", Listed, ""},
		{"good.example", "2620:fe::2", NotListed, ""},
		{"good.example", "192.0.2.7", NotLooked, "for documentation"},
		{"good.example", "10.1.2.3", NotLooked, "private"},
		{"good.example", "127.0.0.2", NotLooked, "this machine's own"},
		{"good.example", "fd00::1", NotLooked, "private"},
		{"good.example", "100.64.9.9", NotLooked, "shared with a provider"},
		{"wild.example", "9.9.9.1", ListUnsure, "it lists everybody"},
		{"wild.example", "9.9.9.3", ListUnsure, "it lists everybody"},
		{"dead.example", "9.9.9.1", ListUnsure, "does not list 127.0.0.2"},
		{"parked.example", "9.9.9.1", ListUnsure, "no list's answer"},
		{"public.example", "9.9.9.1", ListUnsure, "public resolver"},
		{"often.example", "9.9.9.1", ListUnsure, "too often"},
		{"typo.example", "9.9.9.1", ListUnsure, "mistyped"},
		{"self.example", "9.9.9.1", ListUnsure, "no list may"},
		{"broken.example", "9.9.9.1", ListUnsure, "SERVFAIL"},
		{"closed.example", "9.9.9.1", ListUnsure, "REFUSED"},
		{"only4.example", "2620:fe::1", ListUnsure, "may hold no IPv6"},
	} {
		d := &DNSBL{Zones: []string{c.zone}, Server: server, Timeout: 30 * time.Second}
		got := d.LookUp(t.Context(), netip.MustParseAddr(c.addr))
		if len(got) != 1 || got[0].Status != c.want || !strings.Contains(got[0].Why+strings.Join(got[0].Text, " "), c.says) {
			t.Errorf("%s of %s: %+v, want %s with %q", c.addr, c.zone, got, c.want, c.says)
		}
		if len(got) == 1 && (got[0].Status == Listed) != (len(got[0].Codes) > 0 && got[0].Why == "") {
			t.Errorf("%s of %s: %+v", c.addr, c.zone, got)
		}
	}
	for _, q := range asked() {
		if strings.Contains(q, ".2.0.192.") || strings.Contains(q, "3.2.1.10.") {
			t.Errorf("an address that is nobody's business was asked for: %s", q)
		}
	}
}

// TestDNSBLOnce: a zone's test entries are asked for once, and a private address where it is wanted.
func TestDNSBLOnce(t *testing.T) {
	server, asked := resolver(t, lists())
	d := &DNSBL{Zones: []string{"good.example", "wild.example"}, Server: server, Timeout: 30 * time.Second, Any: true}
	for _, a := range []string{"9.9.9.1", "9.9.9.3", "192.0.2.7"} {
		if got := d.LookUp(t.Context(), netip.MustParseAddr(a)); got[0].Status != map[string]ListStatus{"9.9.9.1": Listed, "9.9.9.3": NotListed, "192.0.2.7": Listed}[a] || got[1].Status != ListUnsure {
			t.Errorf("%s: %+v", a, got)
		}
	}
	count := map[string]int{}
	for _, q := range asked() {
		count[q]++
	}
	for _, q := range []string{"A 2.0.0.127.good.example.", "A 1.0.0.127.good.example.", "A 1.0.0.127.wild.example.", "A 1.9.9.9.good.example.", "TXT 1.9.9.9.good.example."} {
		if count[q] != 1 {
			t.Errorf("%s was asked %d times: %v", q, count[q], count)
		}
	}
}

// TestDNSBLSilent: a resolver that does not answer makes nobody listed, and nobody not listed.
func TestDNSBLSilent(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	d := &DNSBL{Zones: []string{"good.example"}, Server: pc.LocalAddr().String(), Timeout: 50 * time.Millisecond}
	if got := d.LookUp(t.Context(), netip.MustParseAddr("9.9.9.1")); got[0].Status != ListUnsure || !strings.Contains(got[0].Why, "does not answer") {
		t.Errorf("%+v", got)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if got := d.LookUp(ctx, netip.MustParseAddr("9.9.9.1")); got[0].Status != ListUnsure || got[0].Why != "enough" {
		t.Errorf("%+v", got)
	}
}

func TestDNSBLName(t *testing.T) {
	for a, want := range map[string]string{
		"192.0.2.99":                "99.2.0.192.bl.example.",                                                      // RFC 5782, 2.1
		"2001:db8:1:2:3:4:567:89ab": "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bl.example.", // RFC 5782, 2.4
	} {
		if got := dnsblName(netip.MustParseAddr(a), "bl.example"); got != want {
			t.Errorf("%s: %s, want %s", a, got, want)
		}
	}
}
