package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// DNSBL asks lists of addresses that are published in DNS (RFC 5782). Each question tells the list's keeper, and the resolver, which address is asked for.
type DNSBL struct {
	Zones   []string      // as "zen.spamhaus.org"
	Server  string        // ADDR:PORT of the resolver
	Timeout time.Duration // one question; default 5 s
	Any     bool          // look up private and documentation addresses too
	// Exchange puts one question to Server; nil is DNS over UDP, and over TCP where the answer is cut.
	Exchange func(ctx context.Context, m *dns.Msg, server string) (*dns.Msg, error)

	mu    sync.Mutex
	zones map[string]string // what is wrong with a zone, by its name and address family, once it is known
}

// Listing says whether a zone lists an address.
type Listing struct {
	Zone   string       `json:"zone"`
	Status ListStatus   `json:"status"`
	Query  string       `json:"query,omitempty"` // the name that was asked for
	Codes  []netip.Addr `json:"codes,omitempty"` // what the zone answered
	Text   []string     `json:"text,omitempty"`  // its reasons (TXT), as they came
	Why    string       `json:"why,omitempty"`   // why it cannot be told, or was not asked
}

// ListStatus is a zone's verdict on an address.
type ListStatus string

const (
	Listed     ListStatus = "listed"
	NotListed  ListStatus = "not-listed"
	ListUnsure ListStatus = "cannot-tell"
	NotLooked  ListStatus = "not-asked"
)

// SystemResolver is the first name server of a resolv.conf(5), as ADDR:PORT.
func SystemResolver(file string) (string, error) {
	c, err := dns.ClientConfigFromFile(file)
	if err != nil {
		return "", fmt.Errorf("cannot find the system's resolver: %w", err)
	}
	if len(c.Servers) == 0 {
		return "", fmt.Errorf("cannot find the system's resolver: %s names no nameserver", file)
	}
	return net.JoinHostPort(c.Servers[0], cmp.Or(c.Port, "53")), nil
}

// Public says whether an address can be known to the rest of the world; else what kind it is.
func Public(a netip.Addr) (bool, string) {
	a = a.Unmap()
	for _, s := range []struct{ what, nets string }{
		{"private", "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7"},
		{"shared with a provider (RFC 6598)", "100.64.0.0/10"},
		{"for documentation", "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20"},
		{"for benchmarks", "198.18.0.0/15 2001:2::/48"},
		{"this machine's own", "127.0.0.0/8 0.0.0.0/8 ::1/128 ::/128"},
		{"of one link", "169.254.0.0/16 fe80::/10"},
		{"reserved", "192.0.0.0/24 240.0.0.0/4 224.0.0.0/4 ff00::/8 100::/64"},
	} {
		for _, n := range strings.Fields(s.nets) {
			if netip.MustParsePrefix(n).Contains(a.WithZone("")) {
				return false, s.what
			}
		}
	}
	return true, ""
}

// LookUp asks every zone about an address, in the order of the zones.
func (d *DNSBL) LookUp(ctx context.Context, a netip.Addr) []Listing {
	a = a.Unmap().WithZone("")
	var out []Listing
	for _, zone := range d.Zones {
		l := Listing{Zone: zone, Status: NotLooked}
		if public, what := Public(a); !public && !d.Any {
			l.Why = "not looked up: the address is " + what
		} else {
			d.ask(ctx, a, &l)
		}
		out = append(out, l)
	}
	return out
}

func (d *DNSBL) ask(ctx context.Context, a netip.Addr, l *Listing) {
	l.Query = dnsblName(a, l.Zone)
	codes, found, err := d.addresses(ctx, l.Query)
	l.Codes = codes
	switch {
	case err != nil:
		l.Status, l.Why = ListUnsure, err.Error()
		return
	case found:
		l.Status, l.Why = meaning(codes)
	default:
		l.Status = NotListed
	}
	if l.Status == ListUnsure {
		return
	}
	if bad := d.sound(ctx, a.Is6(), l.Zone); bad != "" { // a zone that is dead lists everybody or nobody
		l.Status, l.Why = ListUnsure, bad
		return
	}
	if l.Status == Listed {
		l.Text = d.reasons(ctx, l.Query)
	}
}

// meaning reads a zone's addresses. Those of 127.255.255.0/24 are no listings but complaints about the question.
func meaning(codes []netip.Addr) (ListStatus, string) {
	listed := false
	for _, c := range codes {
		b := c.As4()
		switch {
		case b[0] != 127:
			return ListUnsure, fmt.Sprintf("the zone answers %s, which is no list's answer: it is dead, or the resolver answers in its place", c)
		case b[1] == 255 && b[2] == 255:
			return ListUnsure, complaint(b[3])
		case c == netip.AddrFrom4([4]byte{127, 0, 0, 1}):
			return ListUnsure, "the zone answers 127.0.0.1, which no list may (RFC 5782, 2.1)"
		default:
			listed = true
		}
	}
	if !listed {
		return NotListed, ""
	}
	return Listed, ""
}

// complaint is what several lists mean by 127.255.255.N.
func complaint(n byte) string {
	switch n {
	case 252:
		return "127.255.255.252: the list says that the zone's name is mistyped"
	case 254:
		return "127.255.255.254: the list does not answer a public resolver: ask through one of your own (--resolver)"
	case 255:
		return "127.255.255.255: the list has been asked too often from this resolver"
	}
	return fmt.Sprintf("127.255.255.%d: the list complains of the question", n)
}

// sound asks a zone once for the entries that every list must have and must not have (RFC 5782, 5). It returns what is wrong with it.
func (d *DNSBL) sound(ctx context.Context, v6 bool, zone string) string {
	key := fmt.Sprint(zone, v6)
	d.mu.Lock() // held while the zone is asked: another address waits for the answer in place of asking the same
	defer d.mu.Unlock()
	if bad, known := d.zones[key]; known {
		return bad
	}
	if d.zones == nil {
		d.zones = map[string]string{}
	}
	bad := d.test(ctx, v6, zone)
	if ctx.Err() == nil {
		d.zones[key] = bad
	}
	return bad
}

func (d *DNSBL) test(ctx context.Context, v6 bool, zone string) string {
	must, mustNot := netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.1")
	if v6 {
		must, mustNot = netip.MustParseAddr("::ffff:7f00:2"), netip.MustParseAddr("::ffff:7f00:1")
	}
	codes, found, err := d.addresses(ctx, dnsblName(must, zone))
	switch status, why := meaning(codes); {
	case err != nil:
		return err.Error()
	case status == ListUnsure:
		return why
	case !found && v6:
		return "the zone has no entry for tests of IPv6: it may hold no IPv6 addresses at all"
	case !found:
		return "the zone does not list 127.0.0.2, which every list must: it is dead, or no list"
	}
	if _, found, err = d.addresses(ctx, dnsblName(mustNot, zone)); err != nil {
		return err.Error()
	} else if found {
		return "the zone lists " + mustNot.String() + ", which no list may: it lists everybody"
	}
	return ""
}

// dnsblName is the name under which a zone holds an address: its bytes backwards, those of IPv6 as nibbles (RFC 5782, 2.1 and 2.4).
func dnsblName(a netip.Addr, zone string) string {
	var labels []string
	if a.Is4() {
		for _, b := range a.As4() {
			labels = append(labels, fmt.Sprint(b))
		}
	} else {
		for _, b := range a.As16() {
			labels = append(labels, fmt.Sprintf("%x", b>>4), fmt.Sprintf("%x", b&15))
		}
	}
	slices.Reverse(labels)
	return strings.Join(labels, ".") + "." + dns.Fqdn(zone)
}

// maxRecords bounds what is taken of one answer.
const maxRecords = 16

// addresses are the A records of a name; found is false where the name does not exist or has none.
func (d *DNSBL) addresses(ctx context.Context, name string) (out []netip.Addr, found bool, err error) {
	m, err := d.exchange(ctx, name, dns.TypeA)
	if err != nil {
		return nil, false, err
	}
	for _, rr := range m.Answer {
		if r, ok := rr.(*dns.A); ok && len(out) < maxRecords {
			if a, ok := netip.AddrFromSlice(r.A.To4()); ok {
				out = append(out, a)
			}
		}
	}
	return out, len(out) > 0, nil
}

// reasons are the TXT records of a listed name; that there are none, or that they do not come, changes nothing.
func (d *DNSBL) reasons(ctx context.Context, name string) []string {
	m, err := d.exchange(ctx, name, dns.TypeTXT)
	if err != nil {
		return nil
	}
	var out []string
	for _, rr := range m.Answer {
		if r, ok := rr.(*dns.TXT); ok && len(out) < maxRecords {
			out = append(out, strings.Join(r.Txt, ""))
		}
	}
	return out
}

func (d *DNSBL) exchange(ctx context.Context, name string, kind uint16) (*dns.Msg, error) {
	q := new(dns.Msg).SetQuestion(name, kind)
	q.SetEdns0(1232, false)
	ask := d.Exchange
	if ask == nil {
		ask = overNet
	}
	var m *dns.Msg
	var err error
	for range 2 { // a datagram may be lost
		limited, cancel := context.WithTimeout(ctx, cmp.Or(d.Timeout, 5*time.Second))
		m, err = ask(limited, q, d.Server)
		cancel()
		if err == nil || ctx.Err() != nil {
			break
		}
	}
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return nil, fmt.Errorf("the resolver %s does not answer", d.Server)
	case err != nil:
		return nil, fmt.Errorf("cannot ask the resolver %s: %w", d.Server, err)
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		return nil, fmt.Errorf("the resolver %s answers %s", d.Server, dns.RcodeToString[m.Rcode])
	}
	return m, nil
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// overNet asks by UDP, and by TCP where the answer did not fit.
func overNet(ctx context.Context, m *dns.Msg, server string) (*dns.Msg, error) {
	r, _, err := new(dns.Client).ExchangeContext(ctx, m, server)
	if err == nil && r.Truncated {
		r, _, err = (&dns.Client{Net: "tcp"}).ExchangeContext(ctx, m, server)
	}
	return r, err
}
