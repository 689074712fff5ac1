package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"

	"mtaharden/remediate/probe"
	"mtaharden/remediate/report"
)

// mailWidth is how long a line of a summary may be, in columns (RFC 3676, 4.2: at most 78).
const mailWidth = 76

// mailSummary is a summary that can be pasted into a mail.
func mailSummary(r *probeRun, results []probe.HostResult, now time.Time) string {
	p := newProbeReport(nil, r)
	r.sort(results)
	return p.summary(results, now)
}

// summary has one line an address that says anything, in sections from the gravest on, and the totals.
func (p *probeReport) summary(results []probe.HostResult, now time.Time) string {
	var b strings.Builder
	fold(&b, fmt.Sprintf(p.say.title, strings.Join(p.r.request().Targets, " "), portWords(p.r.ports)), "  ")
	from := p.say.askedHere
	if p.r.from.name != "" {
		from = p.r.from.name
	}
	if clients := p.r.clients(results); len(clients) > 0 {
		from = fmt.Sprintf(p.say.there, from, strings.Join(clients, ", "))
	}
	fold(&b, fmt.Sprintf(p.say.asked, from, p.r.since.UTC().Format("2006-01-02 15:04"), now.UTC().Format("2006-01-02 15:04"), version), "  ")
	if p.r.config.Forms != nil {
		fold(&b, fmt.Sprintf(p.say.askedForms, strings.Join(p.r.config.Forms, " ")), "  ")
	}
	for _, section := range []string{"relays", "proxy", "unsure", "own", "refuses", "none", "listed", "lost", "closed"} {
		p.section(&b, section, results)
	}
	b.WriteString("\n" + p.sumLine(sumOf(results)) + "\n")
	if s := sumOf(results); s.Relays > 0 {
		b.WriteByte('\n')
		fold(&b, p.say.means, "")
	}
	return b.String()
}

// portWords names ports as --port does.
func portWords(ports []probe.Port) string {
	var out []string
	for _, p := range ports {
		word := fmt.Sprint(p.Number)
		if p.TLS {
			word += "/tls"
		}
		out = append(out, word)
	}
	return strings.Join(out, " ")
}

// fold writes a line in pieces that fit, all but the first indented.
func fold(b *strings.Builder, text, indent string) {
	column := 0
	for _, word := range strings.Fields(report.Clean(text)) {
		n := runewidth.StringWidth(word)
		switch {
		case column > 0 && column+1+n > mailWidth:
			b.WriteString("\n" + indent)
			column = len(indent)
		case column > 0:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	b.WriteByte('\n')
}

// section writes the addresses of one kind, none where there are none.
func (p *probeReport) section(b *strings.Builder, section string, results []probe.HostResult) {
	var lines []string
	for i := range results {
		if slices.Contains(p.sections(&results[i]), section) {
			lines = append(lines, p.line(section, &results[i]))
		}
	}
	if len(lines) == 0 || section == "closed" && p.r.p.verbose == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", p.say.sections[section])
	for _, l := range lines {
		fmt.Fprintln(b, runewidth.Truncate("  "+report.Clean(l), mailWidth, "…"))
	}
}

// sections are those that a host belongs to.
func (p *probeReport) sections(h *probe.HostResult) (out []string) {
	switch v := h.Verdict(); {
	case v.Open():
		out = append(out, "relays")
	case v == probe.Unsure:
		out = append(out, "unsure")
	case v == probe.OwnRelays:
		out = append(out, "own")
	case v == probe.Refused:
		out = append(out, "refuses")
	case v == probe.NoService:
		out = append(out, "none")
	case h.Error != "" || noWay(h):
		out = append(out, "lost")
	default:
		out = append(out, "closed")
	}
	if port, _ := h.OpenProxy(); port != nil {
		out = append(out, "proxy")
	}
	if len(h.Listed()) > 0 {
		out = append(out, "listed")
	}
	return out
}

// line is what a section says of a host, the ports first that made it belong there.
func (p *probeReport) line(section string, h *probe.HostResult) string {
	name := h.Target
	if h.Addr.IsValid() {
		name = h.Addr.String()
	}
	out := runewidth.FillRight(name, 15)
	switch section {
	case "proxy":
		port, a := h.OpenProxy()
		return fmt.Sprintf("%s  %d %s %s", out, port.Addr.Port(), a.Kind, a.Banner)
	case "listed":
		return out + "  " + strings.Join(h.Listed(), " ")
	case "lost":
		for _, l := range h.Listeners {
			out += "  " + l.Error
		}
		return out + "  " + h.Error
	case "closed":
		for _, l := range h.Listeners {
			out += fmt.Sprintf("  %d %s", l.Addr.Port(), p.say.state[l.State])
		}
		return out
	}
	return out + p.ports(h)
}

// ports are those of a host that gave it its verdict.
func (p *probeReport) ports(h *probe.HostResult) (out string) {
	for i := range h.Listeners {
		l := &h.Listeners[i]
		if l.Verdict(h.Own) != h.Verdict() {
			continue
		}
		what := ""
		if len(h.Listeners) > 1 {
			what = fmt.Sprintf("port %d  ", l.Addr.Port())
		}
		switch v := l.Verdict(h.Own); v {
		case probe.NoService:
			what += l.Error + l.Report.Dead
		case probe.Unsure:
			what += strings.TrimPrefix(why(l.Report), ": ")
		default:
			if v.Open() {
				what += string(v) + "  " + some(l.Forms(), 1) + "  "
			}
			what += strings.TrimPrefix(l.Report.Banner, "220 ")
		}
		out += "  " + what
	}
	return out
}

// some are the first words of a list, and how many more there are.
func some(words []string, n int) string {
	if len(words) <= n {
		return strings.Join(words, " ")
	}
	return fmt.Sprintf("%s +%d", strings.Join(words[:n], " "), len(words)-n)
}
