package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mtaharden/remediate/probe"
)

// probing are the flags of probe.
type probing struct {
	reach
	from          string
	ports         []string
	usualPorts    bool
	sweep, resume bool
	allForms, yes bool
	stranger      bool
	rate          float64
	replyTime     time.Duration
	domain        string
	ownDomains    []string
	recipient     string
	deliver       string
	mailbox       string
	proxy         bool
	proxyPorts    []string
	sink          string
	dnsbl         []string
	dnsblAny      bool
	resolver      string
	mail          string
}

func newProbeCommand() *cobra.Command {
	p := &probing{}
	c := &cobra.Command{
		Use:   "probe TARGET|CIDR|@FILE…",
		Short: "Ask mail servers over the network whether they relay",
		Long: `probe talks SMTP to servers as a stranger would: banner, EHLO, TLS, AUTH, VRFY, EXPN,
HELP, and every form of address in which mail might be passed on. It stops before
DATA unless --deliver is given. What it finds is true of the client that asked.

TARGET is a name, an address, NAME:PORT, [ADDRESS]:PORT, or a host of the inventory;
@FILE has a target a line (# begins a comment). With -i and no TARGET the hosts of
the inventory are asked. A network, as 192.0.2.0/24, is swept: each address that has
the port open is asked in the deciding forms alone (--all-forms: in all).

Exit status: 0 nothing was found, 2 something relays, is an open proxy or is listed,
3 a server could not be asked to the end, 4 a target was not reached, 64 bad usage.`,
		Example: `  mtaharden probe mail.example.com
  mtaharden probe mail.example.com --from probe1 -i hosts.toml
  mtaharden probe 192.0.2.0/24 --format csv -o sweep.csv --mail summary.txt
  mtaharden probe 192.0.2.0/24 --resume`,
	}
	p.register(c)
	c.RunE = func(c *cobra.Command, args []string) error { return runProbe(c, p, args) }
	return c
}

func (p *probing) register(c *cobra.Command) {
	f := c.Flags()
	p.reach.register(f, "write the report to `FILE`")
	p.timeLimit = 10 * time.Minute
	f.Lookup("host-timeout").DefValue = p.timeLimit.String()
	f.Lookup("host-timeout").Usage = "give up a server that is not asked in `D`"
	f.StringVar(&p.from, "from", "", "ask through the SSH connection of `HOST` of the inventory")
	f.StringSliceVar(&p.ports, "port", nil, "ask `PORT`, PORT/tls where TLS comes first (default 25; 465 is 465/tls)")
	f.BoolVar(&p.usualPorts, "ports", false, "ask the usual ports: 25, 465, 587 and 2525")
	f.BoolVar(&p.sweep, "sweep", false, "sweep the targets though they are no networks")
	f.BoolVar(&p.resume, "resume", false, "take up the sweep of these targets where it was cut off")
	f.BoolVar(&p.allForms, "all-forms", false, "ask every form of address in a sweep too, and VRFY, EXPN, HELP")
	f.BoolVar(&p.yes, "yes", false, "sweep more than 65536 addresses")
	f.BoolVar(&p.stranger, "stranger", false, "judge this machine's own addresses like any other (a container's published port)")
	f.Float64Var(&p.rate, "rate", 10, "at most `N` new connections a second (0: no limit)")
	f.DurationVar(&p.replyTime, "reply-timeout", time.Minute, "wait `D` for a reply; some servers greet after 30s")
	f.StringVar(&p.domain, "domain", "example.org", "the foreign `DOMAIN` that recipients are in")
	f.StringSliceVar(&p.ownDomains, "own-domain", nil, "a `DOMAIN` of the server's own, to route foreign addresses through")
	f.StringVar(&p.recipient, "recipient", "", "an account of the server's own: `USER` or USER@DOMAIN")
	f.StringVar(&p.deliver, "deliver", "", "send a message to `USER@DOMAIN` in each form that is taken")
	f.StringVar(&p.mailbox, "mailbox", "", "the mbox `FILE` or Maildir in which what --deliver sent arrives")
	f.BoolVar(&p.proxy, "proxy", false, "ask the usual ports of proxies for a tunnel to a mail server")
	f.StringSliceVar(&p.proxyPorts, "proxy-ports", nil, "ask `PORT` for a tunnel to a mail server")
	f.StringVar(&p.sink, "sink", "", "where the tunnel should lead: `HOST:25` (beside 127.0.0.1:25 and the target itself)")
	f.StringSliceVar(&p.dnsbl, "dnsbl", nil, "look the address up in `ZONE`, which tells its keeper")
	f.BoolVar(&p.dnsblAny, "dnsbl-any", false, "look up private and documentation addresses too")
	f.StringVar(&p.resolver, "resolver", "", "ask the DNS server `ADDR:PORT` (default: the system's)")
	f.StringVar(&p.mail, "mail", "", "write a summary to `FILE` that can be pasted into a mail")
}

// probeRun is one run of probe, made from its flags: what is asked of whom, and from where.
type probeRun struct {
	p       *probing
	targets []probe.Target
	ports   []probe.Port
	named   []probe.Host       // targets by name and address, resolved
	lost    []probe.HostResult // targets whose names lead nowhere
	total   uint64             // addresses to ask
	sweep   bool
	config  probe.SweepConfig
	from    vantage
	begun   time.Time
	since   time.Time // when the first of what is reported was asked: an earlier run's beginning, where a sweep is taken up
}

func runProbe(c *cobra.Command, p *probing, args []string) error {
	if err := p.check(c); err != nil {
		return err
	}
	r, err := p.plan(c, args)
	if err != nil {
		return err
	}
	out, err := openReport(c.OutOrStdout(), p.output)
	if err != nil {
		return err
	}
	defer out.discard()
	h := newProbeReport(out, r)
	results, err := r.ask(c, h)
	if err != nil {
		return err
	}
	if err := h.end(results, time.Now()); err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	if err := out.commit(); err != nil {
		return err
	}
	if p.mail != "" {
		if err := saveWhole(p.mail, []byte(mailSummary(r, results, time.Now()))); err != nil {
			return err
		}
	}
	return probeVerdict(results, r.sweep)
}

// plan reads everything that was given, and refuses what cannot be meant, before anything is asked.
func (p *probing) plan(c *cobra.Command, args []string) (*probeRun, error) {
	r := &probeRun{p: p, begun: time.Now()}
	r.since = r.begun
	inv, hosts, err := p.load()
	if err != nil {
		return nil, err
	}
	if r.targets, err = p.targets(c, args, inv, hosts); err != nil {
		return nil, err
	}
	r.sweep = p.sweep || slices.ContainsFunc(r.targets, func(t probe.Target) bool { return t.Prefix.IsValid() })
	if err := p.bounds(c, r); err != nil {
		return nil, err
	}
	if r.config, err = p.sweepConfig(r.sweep); err != nil {
		return nil, usageError(c, err)
	}
	if r.ports, err = p.portList(); err != nil {
		return nil, usageError(c, err)
	}
	if err := r.resolve(c.Context(), inv); err != nil {
		return nil, err
	}
	return r, r.vantage(c, inv)
}

// What a sweep may hold without --yes, and at all.
const (
	sweepUnasked = 1 << 16
	sweepMost    = 1 << 20
)

func (p *probing) bounds(c *cobra.Command, r *probeRun) error {
	var count uint64
	for _, t := range r.targets {
		n := t.Count()
		if count += n; count < n || count > sweepMost {
			return badInput(fmt.Errorf("%s holds too many addresses: a sweep has at most %d; name smaller networks", whichTarget(t), sweepMost))
		}
	}
	switch {
	case count > sweepUnasked && !p.yes:
		return badInput(fmt.Errorf("the targets hold %d addresses: give --yes to sweep more than %d", count, sweepUnasked))
	case p.resume && !r.sweep:
		return usageError(c, errors.New("--resume takes up a sweep: name a network, or give --sweep"))
	case p.deliver != "" && r.sweep:
		return usageError(c, errors.New("--deliver sends mail, and a sweep sends none: name the servers that relay one by one"))
	}
	return nil
}

// whichTarget names a target with its place.
func whichTarget(t probe.Target) string {
	if t.At == "" {
		return t.Text
	}
	return t.At + ": " + t.Text
}

// ask asks every host that has not been asked before, and returns what became of all.
func (r *probeRun) ask(c *cobra.Command, h *probeReport) (results []probe.HostResult, err error) {
	defer r.from.close()
	var file *probe.SweepFile
	skip := map[netip.Addr]bool{}
	if r.sweep {
		dir := r.p.stateDir()
		if dir == "" {
			return nil, badInput(errors.New("cannot find the state directory for the sweep: there is no home directory; name one with --state"))
		}
		if file, err = probe.OpenSweep(filepath.Join(dir, "sweeps"), r.request(), r.p.resume); err != nil {
			return nil, badInput(err)
		}
		defer file.Close()
		results = r.before(c, file, skip)
	}
	w := newSweepProgress(c.ErrOrStderr(), r)
	for _, old := range results {
		w.done(&old, true)
	}
	results = append(results, r.lost...)
	for i := range results {
		if err := h.host(&results[i]); err != nil {
			return nil, fmt.Errorf("cannot write the report: %w", err)
		}
	}
	err = probe.Sweep(c.Context(), r.hosts(skip), r.config, func(one probe.HostResult) error {
		results = append(results, one)
		w.done(&one, false)
		if file != nil && !noWay(&one) {
			if err := file.Put(one); err != nil {
				return err
			}
		}
		return h.host(&one)
	})
	if c.Context().Err() != nil && file != nil {
		fmt.Fprintf(c.ErrOrStderr(), "mtaharden: %d of %d addresses are asked, and kept in %s\nmtaharden: hint: the same command with --resume asks the rest\n", len(results)-len(r.lost), r.total, file.Name)
	}
	if err == nil && file != nil {
		err = file.End(time.Now())
	}
	if c.Context().Err() != nil && file == nil {
		return r.interrupted(context.Cause(c.Context()), results, h, err)
	}
	return results, err
}

// interrupted adds the hosts that an interrupt left without a result. Of a sweep, which can be taken up again, their number is told.
func (r *probeRun) interrupted(why error, results []probe.HostResult, h *probeReport, err error) ([]probe.HostResult, error) {
	type host struct {
		target string
		addr   netip.Addr
	}
	asked := map[host]bool{}
	for _, one := range results {
		asked[host{one.Target, one.Addr}] = true
	}
	for one := range r.all() {
		if asked[host{one.Target, one.Addr}] {
			continue
		}
		left := probe.HostResult{Target: one.Target, Addr: one.Addr, Error: fmt.Sprintf("not asked to the end: %v", why)}
		results = append(results, left)
		if wrong := h.host(&left); wrong != nil {
			return results, fmt.Errorf("cannot write the report: %w", wrong)
		}
	}
	return results, err
}

// before are the results that an earlier run of the sweep has left; skip gets their addresses.
func (r *probeRun) before(c *cobra.Command, file *probe.SweepFile, skip map[netip.Addr]bool) (out []probe.HostResult) {
	if !r.p.resume {
		if old := file.Before; old != nil && !old.Ended && len(old.Hosts) > 0 {
			fmt.Fprintf(c.ErrOrStderr(), "mtaharden: the sweep begun at %s was not ended: what it had is kept in %s.old\n", old.Request.Begun.UTC().Format(time.DateTime), file.Name)
		}
		return nil
	}
	r.since = file.Before.Request.Begun
	for addr, h := range file.Before.Hosts {
		skip[addr] = true
		out = append(out, h)
	}
	fmt.Fprintf(c.ErrOrStderr(), "mtaharden: the sweep begun at %s UTC is taken up: %d of %d addresses are asked already\n",
		file.Before.Request.Begun.UTC().Format(time.DateTime), len(out), r.total)
	return out
}

// request is what makes this sweep the one that it is.
func (r *probeRun) request() probe.Request {
	p := r.p
	var words, lists []string
	for _, t := range r.targets {
		if t.At == "" {
			words = append(words, t.Text)
			continue
		}
		file := t.At[:strings.LastIndex(t.At[:strings.LastIndex(t.At, ":")], ":")]
		if !slices.Contains(words, "@"+file) {
			words = append(words, "@"+file)
		}
		lists = append(lists, t.Text)
	}
	set := func(name, value string) probe.Setting { return probe.Setting{Name: name, Value: value} }
	flag := func(on bool) string {
		if on {
			return "true"
		}
		return ""
	}
	return probe.Request{Targets: words, From: p.from, Hosts: r.total, Begun: r.begun.UTC(), Asked: []probe.Setting{
		set("the list of targets", strings.Join(lists, " ")), set("--port", strings.Join(p.ports, ",")), set("--ports", flag(p.usualPorts)),
		set("--all-forms", flag(p.allForms)), set("--domain", p.domain), set("--own-domain", strings.Join(p.ownDomains, ",")),
		set("--recipient", p.recipient), set("--proxy", flag(p.proxy)), set("--proxy-ports", strings.Join(p.proxyPorts, ",")), set("--sink", p.sink),
		set("--dnsbl", strings.Join(p.dnsbl, ",")), set("--dnsbl-any", flag(p.dnsblAny)), set("--stranger", flag(p.stranger)),
	}}
}

// probeVerdict is the exit status: the highest that applies.
func probeVerdict(results []probe.HostResult, sweep bool) error {
	reached := map[string]bool{}
	for i := range results {
		reached[results[i].Target] = reached[results[i].Target] || results[i].Open()
	}
	code := 0
	for i := range results {
		code = max(code, hostStatus(&results[i], sweep, reached[results[i].Target]))
	}
	if code == 0 {
		return nil
	}
	return &status{code: code}
}

// hostStatus is the exit status for one host. Where nothing listens on an address of a sweep, that is no failure; nor is it where there is no way to one of a
// name's addresses (IPv6 from a machine without) and another one answered.
func hostStatus(h *probe.HostResult, sweep, reached bool) int {
	code := 0
	if port, _ := h.OpenProxy(); port != nil || len(h.Listed()) > 0 {
		code = exitFound
	}
	for i := range h.Listeners {
		switch v := h.Listeners[i].Verdict(h.Own); {
		case v.Open():
			code = max(code, exitFound)
		case v == probe.Unsure, v == probe.NoService:
			code = max(code, exitIncomplete)
		}
	}
	if h.Error != "" || noWay(h) && !reached || !sweep && !h.Open() && !noWay(h) {
		code = exitUnreachable
	}
	return code
}

// noWay says that a host was not asked for a reason that is not its own: it is asked again when the sweep is taken up.
func noWay(h *probe.HostResult) bool {
	return slices.ContainsFunc(h.Listeners, func(l probe.ListenerResult) bool { return l.State == probe.Unreachable })
}
