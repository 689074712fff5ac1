package postfix

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"hash/fnv"
	"math/big"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// The services that the shadow's Postfix meets: a log, a certificate, a DNS server, a login service (Dovecot's protocol), a policy
// service.

// shadowLog receives what the daemons log.
type shadowLog struct {
	mu    sync.Mutex
	lines []string
}

func listenLog(name string) (*shadowLog, error) {
	os.Remove(name)
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	os.Chmod(name, 0o666)
	l := &shadowLog{}
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			l.mu.Lock()
			l.lines = append(l.lines, string(bytes.TrimRight(buf[:n], "\n\x00")))
			l.mu.Unlock()
		}
	}()
	return l, nil
}

// mark is where the log stands; what is older is of no use any more.
func (l *shadowLog) mark() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.lines)
}

func (l *shadowLog) since(mark int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines[mark:])
}

// wait returns the first line that is wanted, "" where the process ended without.
func (l *shadowLog) wait(mark int, wanted func(string) bool, ended func() bool) string {
	for start := time.Now(); time.Since(start) < patience; {
		for _, line := range l.since(mark) {
			if wanted(line) {
				return line
			}
		}
		if ended != nil && ended() {
			l.settle()
			ended = nil
			start = time.Now().Add(time.Second - patience) // a last look at what it said
		}
		time.Sleep(2 * time.Millisecond)
	}
	return ""
}

// settle gives what was sent before the sender ended the time to arrive.
func (l *shadowLog) settle() {
	for n := -1; n != l.mark(); time.Sleep(30 * time.Millisecond) {
		n = l.mark()
	}
}

// fatal is the last thing that a daemon which answers the clients of a port said before it gave up.
func (l *shadowLog) fatal(mark int, port string) string {
	for _, line := range slices.Backward(l.since(mark)) {
		if (strings.Contains(line, "fatal:") || strings.Contains(line, "panic:")) &&
			(strings.Contains(line, "postfix/at"+port+"/") || strings.Contains(line, "postfix/atsmtpd/") || strings.Contains(line, "/trivial-rewrite[") || strings.Contains(line, "/postscreen[")) {
			return line
		}
	}
	return ""
}

// complaint parts a reply from what the log said meanwhile.
const complaint = "  [log: "

// complaints are the warnings of one dialogue, to be read beside its reply.
func (l *shadowLog) complaints(mark int) string {
	text := ""
	for _, line := range l.since(mark) {
		if _, warning, ok := strings.Cut(line, "warning: "); ok && len(text) < 300 && !strings.Contains(text, warning) && !strings.Contains(warning, "comment at end") {
			text += complaint + warning + "]"
		}
	}
	return text
}

// shadowTLS is a certificate that is its own authority, of both sides.
type shadowTLS struct{ cert tls.Certificate }

func makeTLS(name string) (*shadowTLS, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "lab.example.edu"}, DNSNames: []string{"lab.example.edu"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	if err := os.WriteFile(name, text, 0o600); err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(text, text)
	return &shadowTLS{pair}, err
}

func (s *shadowTLS) client(cert bool) *tls.Config {
	c := &tls.Config{InsecureSkipVerify: true} // the test's own server, on loopback
	if cert {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &s.cert, nil }
	}
	return c
}

// zones are what the shadow's DNS server knows; a name of no record does not exist, unless something is below it.
const zones = `
lab.example.edu.            60 IN A     10.9.9.1
example.net.                60 IN A     192.0.2.80
example.net.                60 IN MX    10 mail.example.net.
example.net.                60 IN NS    ns.example.net.
mail.example.net.           60 IN A     192.0.2.25
ns.example.net.             60 IN A     192.0.2.53
client7.example.net.        60 IN A     198.51.100.7
7.100.51.198.in-addr.arpa.  60 IN PTR   client7.example.net.
desk.lab.example.edu.       60 IN A     10.9.9.50
50.9.9.10.in-addr.arpa.     60 IN PTR   desk.lab.example.edu.
9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. 60 IN PTR six.example.net.
six.example.net.            60 IN AAAA  2001:db8::9
example.org.                60 IN MX    10 mx.example.org.
example.org.                60 IN NS    ns.example.org.
mx.example.org.             60 IN A     192.0.2.35
ns.example.org.             60 IN A     192.0.2.54
host.example.org.           60 IN A     192.0.2.36
example.com.                60 IN A     192.0.2.37
relay.example.com.          60 IN MX    5 mx.example.org.
relay.example.com.          60 IN MX    10 lab.example.edu.
backup.example.com.         60 IN MX    10 lab.example.edu.
backup.example.com.         60 IN MX    5 mail.example.net.
null.example.com.           60 IN MX    0 .
7.100.51.198.bl.example.net.  60 IN A   127.0.0.2
7.100.51.198.bl.example.net.  60 IN TXT "listed"
9.113.0.203.wl.example.net.   60 IN A   127.0.0.3
example.com.rhs.example.net.  60 IN A   127.0.0.2
client7.example.net.rhs.example.net. 60 IN A 127.0.0.4
`

// serveDNS answers on 127.0.0.1:53; what is below temp.example.net fails for now.
func serveDNS() error {
	known := map[string][]dns.RR{}
	p := dns.NewZoneParser(strings.NewReader(zones), ".", "")
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		name := strings.ToLower(rr.Header().Name)
		known[name] = append(known[name], rr)
	}
	if err := p.Err(); err != nil {
		return err
	}
	handle := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.RecursionAvailable = true
		name := strings.ToLower(q.Question[0].Name)
		exists := false
		for n, rrs := range known {
			exists = exists || n == name || strings.HasSuffix(n, "."+name)
			for _, rr := range rrs {
				if n == name && (rr.Header().Rrtype == q.Question[0].Qtype || q.Question[0].Qtype == dns.TypeANY) {
					m.Answer = append(m.Answer, rr)
				}
			}
		}
		switch {
		case strings.HasSuffix(name, "temp.example.net."):
			m.Rcode = dns.RcodeServerFailure
		case !exists:
			m.Rcode = dns.RcodeNameError
		}
		w.WriteMsg(m)
	})
	packets, err := net.ListenPacket("udp", "127.0.0.1:53")
	if err != nil {
		return err
	}
	streams, err := net.Listen("tcp", "127.0.0.1:53")
	if err != nil {
		return err
	}
	go (&dns.Server{PacketConn: packets, Handler: handle}).ActivateAndServe()
	go (&dns.Server{Listener: streams, Handler: handle}).ActivateAndServe()
	return nil
}

func serveLines(addr string, each func(c net.Conn)) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); each(c) }()
		}
	}()
	return nil
}

// serveLogins offers a mechanism and knows nobody: who is logged in is said by XCLIENT.
func serveLogins() error {
	return serveLines("127.0.0.1:9996", func(c net.Conn) {
		fmt.Fprintf(c, "VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t0123456789abcdef0123456789abcdef\nDONE\n")
		r := bufio.NewReader(c)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if f := strings.Split(line, "\t"); f[0] == "AUTH" && len(f) > 1 {
				fmt.Fprintf(c, "FAIL\t%s\n", f[1])
			}
		}
	})
}

// servePolicy decides by the request's own text, so that an order asked twice is answered alike (SMTPD_POLICY_README).
func servePolicy() error {
	actions := []string{"DUNNO", "OK", "REJECT", "DEFER_IF_PERMIT", "450 4.7.1 later", "PREPEND X-A: b", "permit_mynetworks"}
	return serveLines("127.0.0.1:9998", func(c net.Conn) {
		r := bufio.NewReader(c)
		sum := fnv.New32()
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if name, _, _ := strings.Cut(line, "="); slices.Contains([]string{"sender", "recipient", "client_address"}, name) {
				sum.Write([]byte(line))
			}
			if line == "\n" {
				fmt.Fprintf(c, "action=%s\n\n", actions[sum.Sum32()%uint32(len(actions))])
				sum.Reset()
			}
		}
	})
}
