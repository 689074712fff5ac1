package probe

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// TLS is what a handshake showed.
type TLS struct {
	Version  string   `json:"version,omitempty"` // what was agreed when everything was offered
	Cipher   string   `json:"cipher,omitempty"`
	Versions []string `json:"versions,omitempty"` // every version that the server takes, the oldest first
	Untold   []string `json:"untold,omitempty"`   // versions of which it could not be found out, with the reason

	Subject     string    `json:"subject,omitempty"`
	Issuer      string    `json:"issuer,omitempty"`
	Names       []string  `json:"names,omitempty"` // DNS names and addresses of the certificate
	NotBefore   time.Time `json:"not_before,omitzero"`
	NotAfter    time.Time `json:"not_after,omitzero"`
	SHA256      string    `json:"sha256,omitempty"`       // of the certificate, in hexadecimal
	VerifyError string    `json:"verify_error,omitempty"` // "" is a certificate that this machine's roots vouch for, for the server's name
	Error       string    `json:"error,omitempty"`        // why there was no TLS although it is offered
}

// tlsConfig offers everything that this program's library can do, from TLS 1.0 on and with old ciphers too: the judge has to see what a
// server takes, no secret passes, and the certificate is verified afterwards so that a bad one can be reported.
func tlsConfig(name string, lowest, highest uint16) *tls.Config {
	config := &tls.Config{ServerName: name, InsecureSkipVerify: true, MinVersion: lowest, MaxVersion: highest}
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		config.CipherSuites = append(config.CipherSuites, s.ID)
	}
	return config
}

// handshakeError is a TLS handshake that came to nothing.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return "TLS handshake: " + e.err.Error() }

func (e *handshakeError) Unwrap() error { return e.err }

// handshake puts the connection under TLS.
func (c *client) handshake(ctx context.Context, config *tls.Config) error {
	if c.r.Buffered() > 0 {
		return &handshakeError{fmt.Errorf("%w before the TLS handshake", errTurn)}
	}
	c.conn.SetDeadline(time.Now().Add(c.timeout))
	conn := tls.Client(c.conn, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return &handshakeError{err}
	}
	state := conn.ConnectionState()
	c.conn, c.r, c.secure = conn, bufio.NewReader(conn), &state
	return nil
}

// startTLS asks for TLS and greets again, as RFC 3207, 4.2 wants. The Reply is that to STARTTLS where the server would not.
func (c *client) startTLS(ctx context.Context, config *tls.Config, helo string) (Reply, error) {
	reply, err := c.say("STARTTLS")
	if err != nil || !reply.good() {
		return reply, err
	}
	if err := c.handshake(ctx, config); err != nil {
		c.log = append(c.log, Exchange{Sent: "(TLS handshake)", Error: c.explain(err)})
		return Reply{}, err
	}
	return c.hello(helo)
}

// tlsOf describes a connection's TLS. name is whom the certificate should be for; "" leaves the name unchecked.
func tlsOf(s *tls.ConnectionState, name string) *TLS {
	out := &TLS{Version: versionName(s.Version), Cipher: tls.CipherSuiteName(s.CipherSuite)}
	if len(s.PeerCertificates) == 0 {
		out.VerifyError = "the server showed no certificate"
		return out
	}
	cert := s.PeerCertificates[0]
	sum := sha256.Sum256(cert.Raw)
	out.Subject, out.Issuer, out.SHA256 = cert.Subject.String(), cert.Issuer.String(), hex.EncodeToString(sum[:])
	out.NotBefore, out.NotAfter, out.Names = cert.NotBefore, cert.NotAfter, cert.DNSNames
	for _, ip := range cert.IPAddresses {
		out.Names = append(out.Names, ip.String())
	}
	pool := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		pool.AddCert(c)
	}
	if _, err := cert.Verify(x509.VerifyOptions{Intermediates: pool, DNSName: name}); err != nil {
		out.VerifyError = err.Error()
	}
	return out
}

func versionName(v uint16) string { return strings.ReplaceAll(tls.VersionName(v), "TLS ", "TLSv") }

// silence is why a handshake was not answered at all; nil where it was.
func silence(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("the server did not answer in time")
	}
	return nil
}

// heard is a reply in one line, or why there was none.
func (c *client) heard(r Reply, err error) string {
	if err != nil {
		return c.explain(err)
	}
	return r.String()
}
