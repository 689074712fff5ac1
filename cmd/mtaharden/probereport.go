package main

import (
	"cmp"
	"encoding/csv"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/probe"
	"mtaharden/remediate/report"
)

// probeSchema names the shape of probe's json and jsonl. Fields may be added to it, none removed.
const probeSchema = "mtaharden-probe/1"

// probeReport writes what was found, in the format that was asked for: text and jsonl as it comes, the others when all is known.
type probeReport struct {
	w   io.Writer
	r   *probeRun
	say probeWords
}

func newProbeReport(w io.Writer, r *probeRun) *probeReport {
	return &probeReport{w: w, r: r, say: probeWordsOf(r.p.lang)}
}

// host writes one host where the format does not wait for the others.
func (p *probeReport) host(h *probe.HostResult) error {
	switch {
	case p.r.p.format == "jsonl":
		type line struct {
			Schema string `json:"schema"`
			Run    string `json:"run"`
			jsonTarget
		}
		return report.JSON(p.w, line{probeSchema, runID(p.r.begun), p.target(h)}, "")
	case p.r.p.format == "text" && !p.r.sweep:
		_, err := io.WriteString(p.w, p.hostText(h))
		return err
	}
	return nil
}

// end writes the rest.
func (p *probeReport) end(results []probe.HostResult, now time.Time) error {
	p.r.sort(results)
	switch p.r.p.format {
	case "json":
		return p.document(results, now)
	case "csv":
		return p.table(results)
	case "text":
		text := p.totals(results)
		if p.r.sweep {
			text = p.summary(results, now)
		}
		_, err := io.WriteString(p.w, text)
		return err
	}
	return nil
}

// sort puts hosts into the order of the targets as they were named, and within a network into that of the addresses.
func (r *probeRun) sort(results []probe.HostResult) {
	order := map[string]int{}
	for i, t := range r.targets {
		if _, ok := order[t.Text]; !ok {
			order[t.Text] = i
		}
	}
	slices.SortStableFunc(results, func(a, b probe.HostResult) int {
		if r.sweep {
			return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Target, b.Target))
		}
		return cmp.Or(order[a.Target]-order[b.Target], a.Addr.Compare(b.Addr))
	})
}

type jsonProbeRun struct {
	ID       string   `json:"id"`
	Command  string   `json:"command"`
	Started  string   `json:"started"`
	Finished string   `json:"finished"`
	Targets  []string `json:"targets"` // as they were named
	Vantage  string   `json:"vantage"` // the host dialled through, "" for this machine
	Clients  []string `json:"clients"` // the addresses that the questions came from, as far as they are known
	Sweep    bool     `json:"sweep"`
	Forms    []string `json:"forms"` // the forms of address asked for, empty for all
}

type jsonTarget struct {
	Target    string              `json:"target"`
	Address   string              `json:"address"`
	Verdict   probe.Verdict       `json:"verdict"`      // of the gravest port
	Text      string              `json:"verdict_text"` // in the report's language
	Own       bool                `json:"own"`          // asked from the very machine
	Error     string              `json:"error"`
	Listeners []jsonProbeListener `json:"listeners"`
	Proxies   []jsonProxy         `json:"proxies"`
	DNSBL     []probe.Listing     `json:"dnsbl"`
}

type jsonProbeListener struct {
	Addr    string          `json:"addr"`
	TLS     bool            `json:"tls"`
	State   probe.PortState `json:"state"`
	Error   string          `json:"error"`
	Verdict probe.Verdict   `json:"verdict"`
	Text    string          `json:"verdict_text"`
	Forms   []string        `json:"forms"`            // in which a foreign recipient was taken
	Report  *probe.Report   `json:"report,omitempty"` // everything that was said
}

type jsonProxy struct {
	Addr    string              `json:"addr"`
	State   probe.PortState     `json:"state"`
	Open    bool                `json:"open"`
	Error   string              `json:"error"`
	Answers []probe.ProxyAnswer `json:"answers"`
}

func (p *probeReport) target(h *probe.HostResult) jsonTarget {
	out := jsonTarget{Target: h.Target, Verdict: h.Verdict(), Own: h.Own, Error: h.Error, Listeners: []jsonProbeListener{}, Proxies: []jsonProxy{}, DNSBL: none(h.DNSBL)}
	if h.Addr.IsValid() {
		out.Address = h.Addr.String()
	}
	out.Text = p.say.verdict[out.Verdict]
	for i := range h.Listeners {
		l := &h.Listeners[i]
		v := l.Verdict(h.Own)
		out.Listeners = append(out.Listeners, jsonProbeListener{Addr: l.Addr.String(), TLS: l.TLS, State: l.State, Error: l.Error, Verdict: v,
			Text: p.sentence(h, l), Forms: none(l.Forms()), Report: l.Report})
	}
	for _, x := range h.Proxies {
		out.Proxies = append(out.Proxies, jsonProxy{x.Addr.String(), x.State, len(probe.OpenProxies(x.Answers)) > 0, x.Error, none(x.Answers)})
	}
	return out
}

// none makes an empty list of none, so that a reader finds [] and never null.
func none[T any](v []T) []T {
	if v == nil {
		return []T{}
	}
	return v
}

func (p *probeReport) document(results []probe.HostResult, now time.Time) error {
	run := jsonProbeRun{ID: runID(p.r.begun), Command: "probe", Started: p.r.since.UTC().Format(time.RFC3339), Finished: now.UTC().Format(time.RFC3339),
		Targets: p.r.request().Targets, Vantage: p.r.from.name, Clients: none(p.r.clients(results)), Sweep: p.r.sweep, Forms: none(p.r.config.Forms)}
	targets := []jsonTarget{}
	for i := range results {
		targets = append(targets, p.target(&results[i]))
	}
	return report.JSON(p.w, struct {
		Schema  string       `json:"schema"`
		Run     jsonProbeRun `json:"run"`
		Targets []jsonTarget `json:"targets"`
		Summary probeSum     `json:"summary"`
	}{probeSchema, run, targets, sumOf(results)}, "  ")
}

// clients are the addresses that the questions came from.
func (r *probeRun) clients(results []probe.HostResult) (out []string) {
	for _, h := range results {
		for _, l := range h.Listeners {
			if l.Report != nil && l.Report.From.IsValid() && !slices.Contains(out, l.Report.From.String()) {
				out = append(out, l.Report.From.String())
			}
		}
	}
	slices.Sort(out)
	return out
}

// probeSum counts addresses by the gravest that was found at each.
type probeSum struct {
	Hosts      int `json:"hosts"`
	Relays     int `json:"relays"` // proven and accepts-all among them
	CannotTell int `json:"cannot_tell"`
	Own        int `json:"own"`
	Refused    int `json:"refused"`
	NoService  int `json:"no_service"`
	Closed     int `json:"closed"`
	Silent     int `json:"silent"`
	NotReached int `json:"not_reached"` // no way there, or a name without an address
	OpenProxy  int `json:"open_proxy"`
	Listed     int `json:"listed"`
}

func sumOf(results []probe.HostResult) probeSum {
	s := probeSum{Hosts: len(results)}
	for i := range results {
		h := &results[i]
		if port, _ := h.OpenProxy(); port != nil {
			s.OpenProxy++
		}
		if len(h.Listed()) > 0 {
			s.Listed++
		}
		*s.count(h)++
	}
	return s
}

func (s *probeSum) count(h *probe.HostResult) *int {
	switch v := h.Verdict(); {
	case v.Open():
		return &s.Relays
	case v == probe.Unsure:
		return &s.CannotTell
	case v == probe.OwnRelays:
		return &s.Own
	case v == probe.Refused:
		return &s.Refused
	case v == probe.NoService:
		return &s.NoService
	case h.Error != "" || noWay(h):
		return &s.NotReached
	case slices.ContainsFunc(h.Listeners, func(l probe.ListenerResult) bool { return l.State == probe.Closed }):
		return &s.Closed
	}
	return &s.Silent
}

// table writes a line a port.
func (p *probeReport) table(results []probe.HostResult) error {
	w := csv.NewWriter(p.w)
	w.UseCRLF = true
	row := func(cells ...string) {
		for i := range cells {
			cells[i] = report.Cell(cells[i])
		}
		w.Write(cells) // the writer keeps its first error
	}
	row(p.say.columns...)
	for i := range results {
		h := &results[i]
		address, listed := "", strings.Join(h.Listed(), " ")
		if h.Addr.IsValid() {
			address = h.Addr.String()
		}
		if len(h.Listeners)+len(h.Proxies) == 0 {
			row(h.Target, address, "", "", "", p.say.verdict[probe.NotOpen], "", "", "", "", "", "", "", "", "", "", listed, h.Error)
		}
		for j := range h.Listeners {
			row(p.listenerRow(h, &h.Listeners[j], address, listed)...)
		}
		for _, x := range h.Proxies {
			row(p.proxyRow(h, x, address, listed)...)
		}
	}
	w.Flush()
	return w.Error()
}

func (p *probeReport) listenerRow(h *probe.HostResult, l *probe.ListenerResult, address, listed string) []string {
	r := l.Report
	if r == nil {
		r = &probe.Report{}
	}
	tls, until, client := "", "", ""
	if r.TLS != nil {
		tls = strings.Join(r.TLS.Versions, " ")
		if tls == "" {
			tls = r.TLS.Version
		}
		if !r.TLS.NotAfter.IsZero() {
			until = r.TLS.NotAfter.UTC().Format(time.DateOnly)
		}
	}
	if r.From.IsValid() {
		client = r.From.String()
	}
	return []string{h.Target, address, strconv.Itoa(int(l.Addr.Port())), "smtp", p.say.state[l.State], p.say.verdict[l.Verdict(h.Own)],
		strings.Join(l.Forms(), " "), client, r.Banner, strings.TrimSpace(r.Product + " " + r.Version), tls, until, strings.Join(r.Plain.Auth, " "),
		p.service(r, judge.Vrfy), p.service(r, judge.Expn), "", listed, l.Error + r.Dead}
}

// service is what became of VRFY or EXPN.
func (p *probeReport) service(r *probe.Report, verb judge.Verb) string {
	for _, s := range r.Services {
		if s.Verb == verb {
			return p.say.outcome[s.Outcome]
		}
	}
	return ""
}

func (p *probeReport) proxyRow(h *probe.HostResult, x probe.ProxyResult, address, listed string) []string {
	verdict, kinds, banner := p.say.noProxy, []string{}, ""
	if x.State != probe.Open {
		verdict = p.say.verdict[probe.NotOpen]
	}
	for _, a := range probe.OpenProxies(x.Answers) {
		verdict, banner = p.say.openProxy, a.Banner
		kinds = append(kinds, string(a.Kind))
	}
	return []string{h.Target, address, strconv.Itoa(int(x.Addr.Port())), "proxy", p.say.state[x.State], verdict,
		"", "", banner, "", "", "", "", "", "", strings.Join(kinds, " "), listed, x.Error}
}
