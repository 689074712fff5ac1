package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/probe"
	"mtaharden/remediate/report"
)

// hostText is one host for a person to read.
func (p *probeReport) hostText(h *probe.HostResult) string {
	var b strings.Builder
	head := h.Target
	if a := h.Addr.String(); h.Addr.IsValid() && a != h.Target {
		head += " (" + a + ")"
	}
	fmt.Fprintln(&b, report.Clean(head))
	if h.Error != "" {
		fmt.Fprintf(&b, "  %s\n", report.Clean(h.Error))
	}
	for i := range h.Listeners {
		p.listener(&b, h, &h.Listeners[i])
	}
	p.proxies(&b, h)
	for _, l := range h.DNSBL {
		text := p.say.listing[l.Status]
		for _, c := range l.Codes {
			text += " " + c.String()
		}
		p.field(&b, p.say.dnsbl, strings.Join(append([]string{l.Zone + ": " + text}, append(l.Text, one(l.Why)...)...), "; "))
	}
	b.WriteByte('\n')
	return b.String()
}

// one is a list of s, empty for "".
func one(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// field writes a name and a value in columns.
func (p *probeReport) field(b *strings.Builder, name, value string) {
	if value != "" {
		fmt.Fprintf(b, "    %s %s\n", runewidth.FillRight(name, 11), report.Clean(value))
	}
}

func (p *probeReport) listener(b *strings.Builder, h *probe.HostResult, l *probe.ListenerResult) {
	fmt.Fprintf(b, "  %s  %s\n", report.Clean(l.Addr.String()), report.Clean(p.sentence(h, l)))
	r := l.Report
	if r == nil || l.Error != "" {
		return
	}
	p.field(b, p.say.banner, r.Banner)
	p.field(b, p.say.product, strings.TrimSpace(r.Product+" "+r.Version))
	if r.Dead != "" {
		return
	}
	p.tls(b, l, r)
	p.services(b, r)
	p.field(b, p.say.relay, p.counts(l))
	for _, n := range r.Notes {
		p.field(b, p.say.note, n)
	}
	if p.r.p.verbose > 0 {
		p.cases(b, r)
	}
}

// client is whose connection the port was asked over.
func (p *probeReport) client(l *probe.ListenerResult) string {
	from := p.say.askedHere
	if l.Report != nil && l.Report.From.IsValid() {
		from = l.Report.From.String()
	}
	switch {
	case p.r.from.name != "" && l.Report != nil && l.Report.From.IsValid():
		return fmt.Sprintf(p.say.there, p.r.from.name, from)
	case p.r.from.name != "":
		return p.r.from.name
	case from != p.say.askedHere:
		return fmt.Sprintf(p.say.here, from)
	}
	return from
}

// sentence is the verdict on a port in words, with the client of whom it is true.
func (p *probeReport) sentence(h *probe.HostResult, l *probe.ListenerResult) string {
	v := l.Verdict(h.Own)
	out := fmt.Sprintf(p.say.sentence[v], p.client(l))
	switch {
	case v == probe.NotOpen:
		out += ": " + p.say.state[l.State]
		if l.Error != "" {
			out += " (" + l.Error + ")"
		}
	case v == probe.NoService && l.Error != "":
		out += ": " + l.Error
	case v == probe.NoService:
		out += ": " + l.Report.Dead
	case v == probe.Unsure:
		out += why(l.Report)
	case v.Open():
		out += p.say.trusted
	}
	return out
}

// why is the first dialogue that would have decided and did not.
func why(r *probe.Report) string {
	for _, of := range [][]probe.Verdict{{probe.Broken, probe.Deferred}, {probe.Unproven}, {probe.NotTested, probe.NotAsked}} {
		for _, c := range r.Cases {
			if c.Form != probe.LocalForm && slices.Contains(of, c.Verdict) {
				return ": " + c.Form + ": " + c.Why
			}
		}
	}
	return ""
}

func (p *probeReport) tls(b *strings.Builder, l *probe.ListenerResult, r *probe.Report) {
	t := r.TLS
	if t == nil {
		p.field(b, p.say.tls, p.say.noTLS)
		return
	}
	text := strings.TrimSpace(t.Version + " " + t.Cipher)
	if len(t.Versions) > 0 {
		text += " (" + strings.Join(t.Versions, " ") + ")"
	}
	p.field(b, p.say.tls, strings.TrimSpace(text+" "+t.Error))
	if t.Subject == "" && t.SHA256 == "" {
		return
	}
	p.field(b, p.say.cert, fmt.Sprintf("%s, %s %s, %s %s, sha256 %s", t.Subject, p.say.issuer, t.Issuer, p.say.until, t.NotAfter.UTC().Format("2006-01-02"), t.SHA256))
	if t.VerifyError != "" {
		p.field(b, "", fmt.Sprintf(p.say.unverified, t.VerifyError))
	}
}

// services are AUTH, VRFY, EXPN and HELP; of the others what shows too much, or all under -v.
func (p *probeReport) services(b *strings.Builder, r *probe.Report) {
	plain, secure := p.say.noAuth, p.say.noAuth
	if len(r.Plain.Auth) > 0 {
		plain = strings.Join(r.Plain.Auth, " ")
	}
	if len(r.Secure.Auth) > 0 {
		secure = strings.Join(r.Secure.Auth, " ")
	}
	p.field(b, p.say.auth, fmt.Sprintf(p.say.authPlain, plain)+"; "+fmt.Sprintf(p.say.authTLS, secure))
	for _, s := range r.Services {
		usual := s.Verb == judge.Vrfy || s.Verb == judge.Expn || s.Verb == judge.Help
		if s.Verb == judge.Auth || s.Verb == judge.Banner || !usual && s.Outcome != judge.Disclosed && p.r.p.verbose == 0 {
			continue
		}
		p.field(b, string(s.Verb), p.say.outcome[s.Outcome]+": "+s.Text)
	}
}

// counts sums up the relay matrix: the forms that were taken, and how many were refused or could not be tested.
func (p *probeReport) counts(l *probe.ListenerResult) string {
	refused, untested, forms := 0, 0, l.Forms()
	var unproven []string
	for _, c := range l.Report.Cases {
		switch {
		case c.Form == probe.LocalForm: // no foreign recipient
		case c.Verdict == probe.Unproven:
			if !slices.Contains(unproven, c.Form) && !slices.Contains(forms, c.Form) {
				unproven = append(unproven, c.Form)
			}
		case c.Verdict == probe.Refused:
			refused++
		case !c.Verdict.Open():
			untested++
		}
	}
	var parts []string
	if len(forms) > 0 {
		parts = append(parts, strings.Join(forms, " "))
	}
	if len(unproven) > 0 {
		parts = append(parts, fmt.Sprintf(p.say.unproven, strings.Join(unproven, " ")))
	}
	if refused > 0 {
		parts = append(parts, fmt.Sprintf(p.say.forms, refused))
	}
	if untested > 0 {
		parts = append(parts, fmt.Sprintf(p.say.unasked, untested))
	}
	return strings.Join(parts, "; ")
}

// cases is every dialogue with the reply that decided it.
func (p *probeReport) cases(b *strings.Builder, r *probe.Report) {
	for _, c := range r.Cases {
		secure := ""
		if c.TLS && !r.Listener.TLS {
			secure = " TLS"
		}
		fmt.Fprintf(b, "      %s\n", report.Clean(fmt.Sprintf("%-11s %s%s  <%s> -> <%s>  %s", c.Verdict, c.Form, secure, c.Sender, c.Recipient, c.Why)))
	}
}

func (p *probeReport) proxies(b *strings.Builder, h *probe.HostResult) {
	for _, x := range h.Proxies {
		if x.State != probe.Open {
			if p.r.p.verbose > 0 {
				fmt.Fprintf(b, "  %s  %s\n", report.Clean(x.Addr.String()), p.say.state[x.State])
			}
			continue
		}
		verdict := p.say.noProxy
		for _, a := range x.Answers {
			if a.Outcome == judge.CannotTell {
				verdict = p.say.perhapsProxy
			}
		}
		open := probe.OpenProxies(x.Answers)
		if len(open) > 0 {
			verdict = p.say.openProxy
		}
		fmt.Fprintf(b, "  %s  %s\n", report.Clean(x.Addr.String()), verdict)
		for _, a := range x.Answers {
			if a.Outcome == judge.Relayed || p.r.p.verbose > 0 {
				p.field(b, string(a.Kind), strings.Join(append([]string{a.Sink + ": " + a.Text}, append(one(a.Reply), one(a.Banner)...)...), "; "))
			}
		}
	}
}

// totals closes the report of several hosts.
func (p *probeReport) totals(results []probe.HostResult) string {
	if len(results) < 2 {
		return ""
	}
	return p.say.totals + "  " + strings.ReplaceAll(p.sumLine(sumOf(results)), "\n", " ") + "\n"
}

func (p *probeReport) sumLine(s probeSum) string {
	return fmt.Sprintf(p.say.onlyOpen, s.Hosts, s.Relays, s.CannotTell, s.Refused, s.Own, s.NoService, s.Closed, s.Silent, s.NotReached, s.OpenProxy, s.Listed)
}
