package remediate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/remote"
)

// Probing says how the network judge is asked.
type Probing struct {
	// Vantages are tried in their order, after this machine.
	Vantages []Vantage
	// Limit bounds the questions to one host; 0 is 3 minutes. What was not asked by then is not tested.
	Limit time.Duration
	// Warn is told once of a vantage that cannot be used; nil tells nobody.
	Warn func(text string)
}

// Vantage is a host through which the network judge may dial.
type Vantage struct {
	Name    string // the inventory's
	Address string
	Open    func(context.Context) (remote.Host, error)
}

const (
	probeLimit     = 3 * time.Minute
	resolveLimit   = 5 * time.Second
	placeLimit     = 20 // hosts at a time that are asked from one place
	askLimit       = 20 * time.Second
	listenersLimit = 4 // listeners of one host that are asked at a time
	casesLimit     = 3 // dialogues at a time with one listener
	sessionsLimit  = 4 // a vantage's sessions at a time: sshd allows only so many (sshd_config(5), MaxSessions)
)

// network is the network judge of a run: the places it asks from, each connected once and shared by all hosts.
type network struct {
	p      Probing
	ctx    context.Context // the run's: a place outlives the host for which it was opened
	places []*place
}

// place is where connections are made from: this machine, or a vantage.
type place struct {
	v       Vantage // no Open: this machine
	warn    func(string)
	slots   chan struct{}
	once    sync.Once
	host    remote.Host
	dialer  remote.Dialer
	failure error
	asking  chan struct{}
	mu      sync.Mutex
	known   map[netip.Addr]func() []netip.Addr // its addresses towards each target
	mute    bool                               // it did not say its address in time: it is not asked again
}

func newNetwork(ctx context.Context, p *Probing) *network {
	if p == nil {
		return nil
	}
	n := &network{p: *p, ctx: ctx}
	if n.p.Limit <= 0 {
		n.p.Limit = probeLimit
	}
	if n.p.Warn == nil {
		n.p.Warn = func(string) {}
	}
	for _, v := range append([]Vantage{{}}, p.Vantages...) {
		n.places = append(n.places, newPlace(v, n.p.Warn))
	}
	return n
}

func newPlace(v Vantage, warn func(string)) *place {
	return &place{v: v, warn: warn, slots: make(chan struct{}, placeLimit), asking: make(chan struct{}, sessionsLimit), known: map[netip.Addr]func() []netip.Addr{}}
}

func (n *network) close() {
	if n == nil {
		return
	}
	for _, p := range n.places {
		p.once.Do(func() { p.failure = errors.New("the run is over") })
		if p.host != nil {
			p.host.Close()
		}
	}
}

// name is what evidence calls the place.
func (p *place) name() string {
	if p.v.Open == nil {
		return "this machine"
	}
	return p.v.Name
}

// open connects the place, at the first call of a run. A place that cannot be used is told of then, and costs nothing afterwards.
func (p *place) open(run context.Context) error {
	p.once.Do(func() {
		if p.v.Open == nil {
			p.dialer = here{}
			return
		}
		if p.host, p.failure = p.v.Open(run); p.failure == nil {
			var ok bool
			if p.dialer, ok = p.host.(remote.Dialer); !ok {
				p.failure = fmt.Errorf("cannot dial through %s: it opens no connections", p.v.Name)
			}
		}
		if p.failure != nil {
			p.warn("the vantage " + facts.Printable(p.v.Name) + " is not used: " + facts.Printable(p.failure.Error()))
		}
	})
	return p.failure
}

// dial opens a connection from the place.
func (p *place) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return p.dialer.Dial(ctx, network, addr)
}

// here is this machine's own network.
type here struct{}

func (here) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	return d.DialContext(ctx, network, addr)
}

// addresses returns the place's own addresses towards a target: the one that its routes choose, else every one that might be chosen.
func (p *place) addresses(run context.Context, target netip.AddrPort) ([]netip.Addr, error) {
	if p.v.Open == nil {
		conn, err := net.Dial("udp", target.String()) // no packet is sent: the kernel chooses route and address
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		at, err := netip.ParseAddrPort(conn.LocalAddr().String())
		return []netip.Addr{at.Addr().Unmap().WithZone("")}, err
	}
	own := p.told(run, target.Addr())
	if len(own) > 0 && !disguised(own, target.Addr()) {
		return own, nil
	}
	// A login that may only forward runs no command: the inventory's word for the place is all there is. Behind address translation that may
	// be the address that others see.
	all, err := resolve(run, p.v.Address)
	all = slices.DeleteFunc(all, func(a netip.Addr) bool { return a.Is4() != target.Addr().Unmap().Is4() })
	if len(own) > 0 {
		return append(own, all...), nil
	}
	return all, err
}

// disguised says that a target sees none of these addresses: they are private, and it is not.
func disguised(own []netip.Addr, target netip.Addr) bool {
	private := func(a netip.Addr) bool {
		return a.Unmap().IsPrivate() || netip.MustParsePrefix("100.64.0.0/10").Contains(a.Unmap()) // RFC 1918, 4193, 6598
	}
	return !private(target) && len(own) > 0 && !slices.ContainsFunc(own, func(a netip.Addr) bool { return !private(a) })
}

// told asks the vantage itself for its addresses towards a target, once.
func (p *place) told(run context.Context, target netip.Addr) []netip.Addr {
	p.mu.Lock()
	tell, ok := p.known[target]
	if !ok {
		tell = sync.OnceValue(func() []netip.Addr { return p.source(run, target) })
		p.known[target] = tell
	}
	p.mu.Unlock()
	return tell()
}

func (p *place) source(run context.Context, target netip.Addr) []netip.Addr {
	p.asking <- struct{}{}
	defer func() { <-p.asking }()
	p.mu.Lock()
	mute := p.mute
	p.mu.Unlock()
	if mute {
		return nil
	}
	ctx, cancel := context.WithTimeout(run, askLimit)
	defer cancel()
	own := Source(ctx, p.host, target)
	if len(own) == 0 && ctx.Err() != nil {
		p.mu.Lock()
		p.mute = true
		p.mu.Unlock()
	}
	return own
}

// Source asks a host for its own addresses towards a target: the one that its routes choose, else every one that might be chosen; none where it does not say.
func Source(ctx context.Context, host remote.Host, target netip.Addr) []netip.Addr {
	res, err := host.Run(ctx, remote.Cmd{Argv: []string{"/bin/sh", "-s", target.String()}, Stdin: []byte(sourceSh)}, 64<<10)
	if err != nil {
		return nil
	}
	return parseSource(string(res.Stdout), target)
}

// resolve returns the addresses of the inventory's word for a host.
func resolve(ctx context.Context, address string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(address); err == nil {
		return []netip.Addr{a.Unmap().WithZone("")}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveLimit)
	defer cancel()
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", address)
	if err != nil {
		return nil, fmt.Errorf("cannot find the address of %s: %w", address, err)
	}
	for i := range all {
		all[i] = all[i].Unmap()
	}
	return all, nil
}

// sourceSh prints "src ADDR", the address from which $1 is reached, as ip-route(8) says; where there is no such tool, "own ADDR" for every
// address that ifconfig names.
const sourceSh = `PATH=$PATH:/usr/sbin:/sbin
LC_ALL=C
export PATH LC_ALL
a=$(ip -o route get "$1" 2>/dev/null | sed -n 's/.* src \([0-9a-fA-F.:]*\).*/\1/p')
if [ -n "$a" ]; then
  echo "src $a"
else
  { ip -o addr show || ifconfig -a; } 2>/dev/null | tr -s ' \t/%' '[\n*]' | sed -n 's/^addr://; s/^\([0-9a-fA-F]*[.:][0-9a-fA-F.:]*\)$/own \1/p'
fi
`

// parseSource reads sourceSh's output: the addresses of the target's family that are no loopback's.
func parseSource(out string, target netip.Addr) []netip.Addr {
	var all []netip.Addr
	for line := range strings.Lines(out) {
		kind, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		a, err := netip.ParseAddr(text)
		a = a.Unmap()
		switch {
		case err != nil || len(all) == 64 || a.Is4() != target.Unmap().Is4():
		case kind == "src":
			return []netip.Addr{a}
		case kind == "own" && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.IsMulticast() && !a.IsUnspecified() && !slices.Contains(all, a):
			all = append(all, a)
		}
	}
	return all
}
