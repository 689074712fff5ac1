package probe

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"mtaharden/remediate/judge"
)

// ProxyKind is a way to ask a port to pass a connection on.
type ProxyKind string

const (
	HTTPConnect ProxyKind = "connect" // CONNECT HOST:PORT (RFC 9110, 9.3.6)
	HTTPGet     ProxyKind = "get"     // GET http://HOST:PORT/ (RFC 9112, 3.2.2)
	HTTPPost    ProxyKind = "post"    // POST http://HOST:PORT/
	SOCKS4      ProxyKind = "socks4"
	SOCKS4a     ProxyKind = "socks4a" // SOCKS 4 with a name in place of the address
	SOCKS5      ProxyKind = "socks5"  // RFC 1928, without a login
)

// proxyKinds are in the order in which they are tried.
func proxyKinds() []ProxyKind {
	return []ProxyKind{HTTPConnect, SOCKS5, SOCKS4, SOCKS4a, HTTPPost, HTTPGet}
}

// ProxyPorts are the ports on which open proxies are usually met.
func ProxyPorts() []uint16 {
	return []uint16{80, 81, 808, 1080, 3128, 8000, 8080, 8081, 8088, 8118, 8123, 8443, 8888}
}

// ProxyConfig is how a port is asked whether it is an open proxy.
type ProxyConfig struct {
	Dial    Dial
	Sinks   []string      // HOST:PORT of mail servers to which the tunnel may lead, tried in turn until one greets
	Timeout time.Duration // one connection from its opening to its end; default 15 s
}

// ProxyAnswer is what became of one request to pass a connection on.
type ProxyAnswer struct {
	Kind    ProxyKind     `json:"kind"`
	Sink    string        `json:"sink"`             // where the tunnel was to lead
	Outcome judge.Outcome `json:"outcome"`          // relayed: a mail server greeted through it; refused; cannot-tell
	Reply   string        `json:"reply"`            // the proxy's own answer, as it came
	Banner  string        `json:"banner,omitempty"` // the greeting that was read through the tunnel
	Text    string        `json:"text"`             // what it means
	cut     bool          // another sink would be answered alike: the port does not speak this protocol at all
	silent  bool          // not a byte came
	limit   time.Duration // of this try
}

// AskProxy asks one port in every way to lead to a mail server. It is an open proxy only where a mail server's own greeting (220) is read through it: a
// status of 200 alone is given by many a web server. The error says that there was no connection at all.
func AskProxy(ctx context.Context, at netip.AddrPort, c ProxyConfig) ([]ProxyAnswer, error) {
	if c.Timeout <= 0 {
		c.Timeout = 15 * time.Second
	}
	var out []ProxyAnswer
	web := false // it has spoken HTTP
	for _, kind := range proxyKinds() {
		for _, sink := range c.Sinks {
			limited := c
			if web && strings.HasPrefix(string(kind), "socks") {
				limited.Timeout = min(c.Timeout, webSOCKS)
			}
			a, err := askProxy(ctx, at, kind, sink, limited)
			if err != nil && len(out) == 0 {
				return nil, err
			}
			if ctx.Err() != nil {
				return out, context.Cause(ctx)
			}
			if err != nil {
				a.Outcome, a.Text = judge.CannotTell, err.Error()
			}
			_, spoke := statusCode(a.Reply)
			web = web || spoke
			if web && a.silent {
				a.refused(true, "it speaks HTTP, and says nothing to SOCKS")
			}
			out = append(out, a)
			if a.Outcome == judge.Relayed || a.cut {
				break
			}
		}
	}
	return out, nil
}

// webSOCKS is how long a port that speaks HTTP has for an answer of SOCKS: a proxy of both gives it at once.
const webSOCKS = 5 * time.Second

// OpenProxies are the answers that prove one.
func OpenProxies(answers []ProxyAnswer) []ProxyAnswer {
	return slices.DeleteFunc(slices.Clone(answers), func(a ProxyAnswer) bool { return a.Outcome != judge.Relayed })
}

func askProxy(ctx context.Context, at netip.AddrPort, kind ProxyKind, sink string, c ProxyConfig) (ProxyAnswer, error) {
	a := ProxyAnswer{Kind: kind, Sink: sink, limit: c.Timeout}
	host, portText, err := net.SplitHostPort(sink)
	if err != nil {
		return a, fmt.Errorf("cannot lead a tunnel to %q: %w", sink, err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return a, fmt.Errorf("cannot lead a tunnel to %q: %q is no port", sink, portText)
	}
	if kind == SOCKS4 && !isIPv4(host) {
		a.Outcome, a.Text = judge.CannotTell, "not asked: SOCKS 4 leads to IPv4 addresses alone"
		return a, nil
	}
	conn, err := c.Dial(ctx, "tcp", at.String())
	if err != nil {
		return a, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(c.Timeout))
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	r := bufio.NewReaderSize(io.LimitReader(conn, maxProxyReply), maxTextLine)
	switch kind {
	case SOCKS4, SOCKS4a:
		a.socks4(conn, r, host, uint16(port))
	case SOCKS5:
		a.socks5(conn, r, host, uint16(port))
	default:
		a.http(conn, r)
	}
	return a, nil
}

func isIPv4(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().Is4()
}

// What a port may say before it is no longer listened to, in bytes.
const (
	maxProxyReply = 64 << 10
	maxHeader     = 100 // lines
)

// refused says that the port does not pass this on; cut that it never would.
func (a *ProxyAnswer) refused(cut bool, format string, args ...any) {
	a.Outcome, a.cut, a.Text = judge.Refused, cut, fmt.Sprintf(format, args...)
}

func (a *ProxyAnswer) unsure(format string, args ...any) {
	a.Outcome, a.Text = judge.CannotTell, fmt.Sprintf(format, args...)
}

// tunnel reads what comes through a granted tunnel: only a mail server's greeting proves it.
func (a *ProxyAnswer) tunnel(w io.Writer, r *bufio.Reader) {
	first, err := readLine(r)
	code, _, _, _ := splitReply(first)
	switch {
	case first == "" && err != nil:
		a.unsure("a tunnel is granted, and no greeting came through it: %s", plainError(err, a.limit))
	case code == 220:
		a.Outcome, a.Banner, a.Text = judge.Relayed, first, "a mail server greets through it: it passes on connections to port 25"
		for n := 0; strings.HasPrefix(first, "220-") && n < maxHeader && err == nil; n++ {
			first, err = readLine(r)
		}
		io.WriteString(w, "QUIT\r\n")
		readLine(r)
	case code >= 400:
		a.Banner = first
		a.unsure("a tunnel is granted, and the mail server behind it refuses service")
	default:
		a.refused(false, "what came through is no mail server's greeting but %q", first)
	}
}
