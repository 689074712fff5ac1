package probe

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"sync"
)

// behindProxy finds out whether the listener greets once it was told a client's address: then it believes anybody about that. A server that
// does not read such headers takes one for a command, and answers EHLO only after it. There are listeners that read one version alone.
func (a *asker) behindProxy(ctx context.Context) bool {
	a.proxied = a.headerRead(ctx)
	if a.declined = a.proxied == 0; a.declined {
		return false
	}
	a.report.Notes = append(a.report.Notes, "the listener takes the client's address from a PROXY header, from anybody: who sends one may be any client")
	return true
}

// headerRead is the version of the header that the listener greets after; 0 is neither. Both are tried at once where more than one connection at a
// time may be open: a server that is simply dead costs its time once.
func (a *asker) headerRead(ctx context.Context) int {
	var greets [3]bool
	try := func(version int) bool {
		b := &asker{l: a.l, c: a.c, tables: a.tables, report: a.report, proxied: version}
		greets[version] = b.greetsBehindProxy(ctx)
		return greets[version]
	}
	if a.c.Parallel < 2 {
		_ = try(1) || try(2)
	} else {
		var both sync.WaitGroup
		both.Go(func() { try(1) })
		both.Go(func() { try(2) })
		both.Wait()
	}
	return max(slices.Index(greets[:], true), 0)
}

func (a *asker) greetsBehindProxy(ctx context.Context) bool {
	c, err := a.dial(ctx, "")
	if err != nil {
		return false
	}
	defer c.quit()
	c.timeout = min(c.timeout, headerWait)
	reply, err := a.introduce(c, a.otherHelo())
	return err == nil && reply.good() && c.session.Greeting != ""
}

// proxyHeader is the beginning of a connection that a proxy passes on (HAProxy's "The PROXY protocol", versions 1 and 2). client is whom it
// names; "" is this side's own address, as far as that is known.
func (a *asker) proxyHeader(client string) string {
	to := netip.AddrPortFrom(a.l.Addr.Addr().Unmap().WithZone(""), a.l.Addr.Port())
	from := netip.MustParseAddr("192.0.2.25")
	switch {
	case client != "" && to.Addr().Is6():
		from = netip.IPv6Loopback()
	case client != "":
		from = netip.MustParseAddr(client)
	case a.report.From.IsValid() && a.report.From.Unmap().Is4() == to.Addr().Is4():
		from = a.report.From.Unmap().WithZone("")
	case to.Addr().Is6():
		from = netip.MustParseAddr("2001:db8::25")
	}
	if a.proxied == 2 {
		return binaryHeader(netip.AddrPortFrom(from, 51234), to)
	}
	kind := "TCP4"
	if to.Addr().Is6() {
		kind = "TCP6"
	}
	return fmt.Sprintf("PROXY %s %s %s 51234 %d\r\n", kind, from, to.Addr(), to.Port())
}

// binaryHeader is that of version 2 (2.2): a signature, version and command, family, length, addresses, ports.
func binaryHeader(from, to netip.AddrPort) string {
	family, size := byte(0x11), 12
	if to.Addr().Is6() {
		family, size = 0x21, 36
	}
	h := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), 0x21, family, 0, byte(size))
	h = append(append(h, from.Addr().AsSlice()...), to.Addr().AsSlice()...)
	h = binary.BigEndian.AppendUint16(h, from.Port())
	return string(binary.BigEndian.AppendUint16(h, to.Port()))
}
