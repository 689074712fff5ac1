package probe

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Host is one address and what is asked of it.
type Host struct {
	Target  string     // as the person named it
	Addr    netip.Addr // where it is
	Ports   []Port     // the SMTP ports, asked one after the other
	Name    string     // the server's own name, where it is known
	Domains []string   // domains of its own
	Local   string     // a recipient of its own
}

// Port is one SMTP port.
type Port struct {
	Number uint16
	TLS    bool // TLS from the first byte on
}

// SweepConfig is how hosts are asked.
type SweepConfig struct {
	Config
	Ask        func(context.Context, Listener, Config) *Report // nil is Ask of this package
	Sources    []netip.Addr                                    // the vantage's own addresses: of each family the first is where connections come from
	Connect    time.Duration                                   // how long a port has to take a connection; default 10 s
	Hosts      int                                             // hosts at the same time, each over one connection at a time; default 1
	Rate       float64                                         // new connections a second, of all hosts together; 0 is as many as come
	Proxies    []uint16                                        // ports to be asked whether they are open proxies
	Sinks      []string                                        // HOST:PORT to which a proxy's tunnel is to lead
	SinkTime   time.Duration                                   // one try of a tunnel; default 15 s
	DNSBL      *DNSBL                                          // nil looks nothing up
	OpenOnly   bool                                            // look up only addresses with an open port
	OwnMachine func(netip.Addr) bool                           // the address is of the machine that the connections come from; nil: none is
}

// Sweep asks every host, and hands each result to done, one at a time, as it comes. It stops with the cause of ctx's end, or with the error of done; a host
// that was not asked to the end by then has no result.
func Sweep(ctx context.Context, hosts iter.Seq[Host], c SweepConfig, done func(HostResult) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	pace := &pace{every: every(c.Rate)}
	free := make(chan struct{}, max(c.Hosts, 1))
	var mu sync.Mutex
	var all sync.WaitGroup
	for h := range hosts {
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		all.Go(func() {
			defer func() { <-free }()
			r := c.host(ctx, h, pace)
			mu.Lock()
			defer mu.Unlock()
			if ctx.Err() != nil {
				return // what an interrupted dialogue said is no verdict
			}
			if err := done(r); err != nil {
				stop(err)
			}
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// host asks all that is to be asked of one host, one connection at a time.
func (c *SweepConfig) host(ctx context.Context, h Host, p *pace) HostResult {
	r := HostResult{Target: h.Target, Addr: h.Addr, Own: c.OwnMachine != nil && c.OwnMachine(h.Addr)}
	for _, port := range h.Ports {
		if ctx.Err() != nil {
			return r
		}
		r.Listeners = append(r.Listeners, c.listener(ctx, h, port, p))
	}
	for _, port := range c.Proxies {
		if ctx.Err() != nil {
			return r
		}
		r.Proxies = append(r.Proxies, c.proxy(ctx, h, port, p))
	}
	if c.DNSBL != nil && ctx.Err() == nil && (!c.OpenOnly || r.Open()) {
		r.DNSBL = c.DNSBL.LookUp(ctx, h.Addr)
	}
	return r
}

func (c *SweepConfig) listener(ctx context.Context, h Host, port Port, p *pace) ListenerResult {
	at := netip.AddrPortFrom(h.Addr, port.Number)
	out := ListenerResult{Addr: at, TLS: port.TLS}
	dial := c.paced(p)
	first, err := dial(ctx, "tcp", at.String())
	if err != nil {
		out.State, out.Error = dialState(err), dialWhy(err)
		return out
	}
	one := &firstDial{conn: first, addr: at.String(), next: dial}
	defer one.close()
	ask, config := c.Ask, c.Config
	if ask == nil {
		ask = Ask
	}
	config.Dial = one.dial
	for _, a := range slices.Backward(c.Sources) {
		if a.Is4() == h.Addr.Is4() {
			config.From = a
		}
	}
	out.State = Open
	out.Report = ask(ctx, Listener{Addr: at, TLS: port.TLS, Name: h.Name, Domains: h.Domains, Local: h.Local}, config)
	if out.Report.Err != nil {
		out.Error = out.Report.Err.Error()
	}
	return out
}

func (c *SweepConfig) proxy(ctx context.Context, h Host, port uint16, p *pace) ProxyResult {
	out := ProxyResult{Addr: netip.AddrPortFrom(h.Addr, port), State: Open}
	sinks := append(slices.Clone(c.Sinks), "127.0.0.1:25", net.JoinHostPort(h.Addr.String(), "25"))
	answers, err := AskProxy(ctx, out.Addr, ProxyConfig{Dial: c.paced(p), Sinks: sinks, Timeout: c.SinkTime})
	out.Answers = answers
	if err != nil {
		out.State, out.Error = dialState(err), dialWhy(err)
	}
	return out
}

// paced is Dial at the sweep's rate, each opening bounded.
func (c *SweepConfig) paced(p *pace) Dial {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if err := p.wait(ctx); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeoutCause(ctx, cmp.Or(c.Connect, 10*time.Second), errSilent)
		defer cancel()
		conn, err := c.Dial(ctx, network, addr)
		if err != nil && context.Cause(ctx) == errSilent {
			err = errSilent
		}
		return conn, err
	}
}

var errSilent = errors.New("no answer in time")

// firstDial gives the connection by which a port was found open to whom asks for it first: it need not be opened twice.
type firstDial struct {
	mu   sync.Mutex
	conn net.Conn
	addr string
	next Dial
}

func (f *firstDial) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	f.mu.Lock()
	conn := f.conn
	if addr == f.addr {
		f.conn = nil
	}
	f.mu.Unlock()
	if conn != nil && addr == f.addr {
		return conn, nil
	}
	return f.next(ctx, network, addr)
}

func (f *firstDial) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conn != nil {
		f.conn.Close()
	}
}

// dialState says what kind of failure a connection's is. Through another host only its words tell.
func dialState(err error) PortState {
	text := strings.ToLower(err.Error())
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), strings.Contains(text, "connection refused"):
		return Closed
	case errors.Is(err, errSilent), isTimeout(err), strings.Contains(text, "timed out"), strings.Contains(text, "i/o timeout"), strings.Contains(text, "no answer within"),
		errors.Is(err, syscall.EHOSTUNREACH), strings.Contains(text, "no route to host"): // so says the last router where no machine has the address
		return Silent
	}
	return Unreachable
}

// dialWhy is an error without the address that the reader knows already.
func dialWhy(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return op.Err.Error()
	}
	return err.Error()
}

// pace lets something happen at most once in a while, whoever does it.
type pace struct {
	mu    sync.Mutex
	every time.Duration
	next  time.Time
}

// every is the time between two of n a second.
func every(n float64) time.Duration {
	if n <= 0 {
		return 0
	}
	return time.Duration(float64(time.Second) / n)
}

// wait returns when it is the caller's turn.
func (p *pace) wait(ctx context.Context) error {
	p.mu.Lock()
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	turn := p.next.Sub(now)
	p.next = p.next.Add(p.every)
	p.mu.Unlock()
	if turn <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(turn)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
