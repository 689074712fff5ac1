package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"mtaharden/remediate/probe"
)

// decidingForms are what a sweep asks: who may send to a foreign domain at all, and the ways of hiding one that are most often open.
func decidingForms() []string {
	return []string{"plain", "null-sender", "own-sender", "percent-name", "bang-name", "route-name", "quoted"}
}

// sweepConfig turns the flags into what is asked. An error names its flag.
func (p *probing) sweepConfig(sweep bool) (probe.SweepConfig, error) {
	c := probe.SweepConfig{Hosts: p.forks, Rate: p.rate, Connect: p.connect, OpenOnly: sweep}
	c.Config = probe.Config{Relay: true, Domain: p.domain, Deliver: p.deliver, Timeout: p.replyTime, Budget: p.timeLimit}
	if sweep && !p.allForms {
		c.Config.Forms, c.Config.Brief = decidingForms(), true
	}
	if p.rate < 0 || p.replyTime <= 0 {
		return c, errors.New("--rate and --reply-timeout are not negative, and a reply needs some time")
	}
	for _, check := range []func(*probe.SweepConfig) error{p.addresses, p.delivery, p.proxies, p.lists} {
		if err := check(&c); err != nil {
			return c, err
		}
	}
	return c, nil
}

// addresses checks the names that go into addresses of mail.
func (p *probing) addresses(*probe.SweepConfig) error {
	for _, d := range append([]string{p.domain}, p.ownDomains...) {
		flag := "--own-domain"
		if d == p.domain {
			flag = "--domain"
		}
		if err := domainName(d); err != nil {
			return fmt.Errorf("%s: %w", flag, err)
		}
	}
	if p.recipient != "" && !mailbox(p.recipient, true) {
		return fmt.Errorf("--recipient %q is no account: USER or USER@DOMAIN", p.recipient)
	}
	return nil
}

func domainName(s string) error {
	t, err := probe.ParseTarget(s)
	switch {
	case err != nil:
		return err
	case t.Name == "" || t.Port != 0 || !strings.Contains(t.Name, "."):
		return fmt.Errorf("%q is no domain's name", s)
	}
	return nil
}

// mailbox says whether s can be written between the brackets of an SMTP command.
func mailbox(s string, local bool) bool {
	user, domain, whole := strings.Cut(s, "@")
	if user == "" || strings.Trim(strings.ToLower(user), "abcdefghijklmnopqrstuvwxyz0123456789.+-_=") != "" {
		return false
	}
	return whole && domainName(domain) == nil || local && !whole
}

func (p *probing) delivery(c *probe.SweepConfig) error {
	switch {
	case p.deliver != "" && !mailbox(p.deliver, false):
		return fmt.Errorf("--deliver %q is no address of the form USER@DOMAIN", p.deliver)
	case p.mailbox != "" && p.deliver == "":
		return errors.New("--mailbox is where the message of --deliver arrives: give both")
	case p.mailbox != "":
		c.Config.Arrived = newMailbox(p.mailbox).holds
	}
	return nil
}

func (p *probing) proxies(c *probe.SweepConfig) error {
	if p.proxy {
		c.Proxies = probe.ProxyPorts()
	}
	for _, s := range p.proxyPorts {
		n, err := portNumber(s)
		if err != nil {
			return fmt.Errorf("--proxy-ports: %w", err)
		}
		if !slices.Contains(c.Proxies, n) {
			c.Proxies = append(c.Proxies, n)
		}
	}
	if p.sink == "" {
		return nil
	}
	if len(c.Proxies) == 0 {
		return errors.New("--sink is where a proxy's tunnel leads: give --proxy or --proxy-ports too")
	}
	t, err := probe.ParseTarget(p.sink)
	switch {
	case err != nil:
		return fmt.Errorf("--sink: %w", err)
	case t.Prefix.IsValid():
		return fmt.Errorf("--sink %q is a network, and a tunnel leads to one mail server", p.sink)
	case t.Port == 0 && t.Addr.Is6():
		return fmt.Errorf("--sink %q has no port: did you mean %q?", p.sink, "["+p.sink+"]:25")
	case t.Port == 0:
		return fmt.Errorf("--sink %q has no port: did you mean %q?", p.sink, p.sink+":25")
	}
	host := t.Name
	if t.Addr.IsValid() {
		host = t.Addr.String()
	}
	c.Sinks = []string{net.JoinHostPort(host, strconv.Itoa(int(t.Port)))}
	return nil
}

func (p *probing) lists(c *probe.SweepConfig) error {
	if err := p.dnsServer(); err != nil {
		return err
	}
	if len(p.dnsbl) == 0 {
		if p.dnsblAny {
			return errors.New("--dnsbl-any is of no use without --dnsbl ZONE")
		}
		return nil
	}
	for _, z := range p.dnsbl {
		if err := domainName(z); err != nil {
			return fmt.Errorf("--dnsbl: %w", err)
		}
	}
	server := p.resolver
	if server == "" {
		var err error
		if server, err = probe.SystemResolver("/etc/resolv.conf"); err != nil {
			return fmt.Errorf("%w: name one with --resolver", err)
		}
	}
	c.DNSBL = &probe.DNSBL{Zones: p.dnsbl, Server: server, Any: p.dnsblAny}
	return nil
}

// dnsServer gives --resolver its port.
func (p *probing) dnsServer() error {
	if p.resolver == "" {
		return nil
	}
	if a, err := netip.ParseAddr(p.resolver); err == nil {
		p.resolver = net.JoinHostPort(a.String(), "53")
		return nil
	}
	if _, err := netip.ParseAddrPort(p.resolver); err != nil {
		return fmt.Errorf("--resolver %q is not of the form ADDR:PORT", p.resolver)
	}
	return nil
}

// portList reads the ports of --port and --ports.
func (p *probing) portList() ([]probe.Port, error) {
	words := p.ports
	if p.usualPorts {
		words = append(slices.Clone(words), "25", "465", "587", "2525")
	}
	if len(words) == 0 {
		words = []string{"25"}
	}
	var out []probe.Port
	for _, w := range words {
		number, mode, has := strings.Cut(w, "/")
		n, err := portNumber(number)
		if err != nil {
			return nil, fmt.Errorf("--port: %w", err)
		}
		if has && mode != "tls" && mode != "plain" {
			return nil, fmt.Errorf("--port %q: after the slash comes tls or plain", w)
		}
		port := probe.Port{Number: n, TLS: mode == "tls" || n == 465 && mode != "plain"}
		if !slices.Contains(out, port) {
			out = append(out, port)
		}
	}
	return out, nil
}

func portNumber(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	switch services := map[string]string{"smtp": "25", "smtps": "465", "submissions": "465", "submission": "587"}; {
	case services[s] != "":
		return 0, fmt.Errorf("%q is no port: did you mean %q?", s, services[s])
	case err != nil || n == 0:
		return 0, fmt.Errorf("%q is no port: a port is a number from 1 to 65535", s)
	}
	return uint16(n), nil
}
