package probe

import (
	"crypto/tls"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestTLSVersionSilent: a version at whose handshake the server falls silent is not known, and not "not taken".
func TestTLSVersionSilent(t *testing.T) {
	s := parseServer(t, faultGreeting+faultServer)
	s.implicit = true
	s.hello = func(hello *tls.ClientHelloInfo) {
		if slices.Max(hello.SupportedVersions) == tls.VersionTLS10 {
			time.Sleep(time.Hour)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		r := Ask(t.Context(), Listener{Addr: netip.MustParseAddrPort("192.0.2.1:465"), TLS: true},
			Config{Dial: s.dial, From: netip.MustParseAddr("198.51.100.7"), Relay: true, Forms: []string{"plain"}})
		s.open.Wait()
		if len(r.TLS.Untold) != 1 || !strings.HasPrefix(r.TLS.Untold[0], "TLSv1.0: ") {
			t.Errorf("untold: %q, taken: %q", r.TLS.Untold, r.TLS.Versions)
		}
	})
}
