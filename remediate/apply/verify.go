package apply

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/plan"
)

// Where says what a judge is to judge.
type Where int

const (
	Live    Where = iota // the host as it runs
	InStage              // the candidate, inside the stage: nothing there need be running or listening
)

// Judgement is what the judges made of a host at one moment.
type Judgement struct {
	Result   *plan.Result
	Answers  [][]judge.Answer // of each of Result's installations, in their order: what the configuration and the MTA said
	Offers   []Offer          // what the listeners offer, asked without regard to who the client is
	Seen     []string         // addresses of clients whose mail the log shows as taken
	Complete bool             // the host was read to its end
}

// Offer is what one listener offers every client.
type Offer struct {
	Listener string
	Alive    bool // it greeted with 220
	StartTLS bool
	Auth     []string      // mechanisms, with and without TLS
	Greeting time.Duration // how long the greeting was waited for
	Error    string        // why it was not asked: nothing is known then
}

// Unmet returns what the plan expects of the rules and the judgement does not show, a clause each. In the stage a rule is judged over all
// listeners of its installation, since nothing need listen there; what the stage cannot tell is in doubt, and verified live.
func Unmet(h plan.HostPlan, j *Judgement, where Where) (unmet, doubt []string) {
	if j.Result == nil || !j.Complete {
		return []string{"the host was not read to the end"}, nil
	}
	for _, e := range h.Expect {
		e.Listener = nowAt(j.Result, e.Listener)
		planned := e.Before != plan.Pass && e.After == plan.Pass
		if !planned && e.Before != plan.Pass || where == InStage && byService(h, e) {
			continue
		}
		found := findings(h, j.Result, e, where)
		for _, f := range found {
			if where == InStage && left(h, j.Result, f) {
				continue
			}
			what := e.Rule
			if f.Listener != "" {
				what += " at " + f.Listener
			}
			switch {
			case f.Status == plan.Pass || f.Status == plan.NotApplicable:
			case f.Status == plan.Review && !planned: // nothing that is known to be wrong
				doubt = append(doubt, fmt.Sprintf("%s is for a person to decide now: %s", what, f.Have))
			case f.Status == plan.Fail || f.Status == plan.Error || where == Live:
				unmet = append(unmet, fmt.Sprintf("%s is %s: %s", what, f.Status, f.Have))
			case planned:
				doubt = append(doubt, fmt.Sprintf("%s cannot be told: %s", what, f.Have))
			}
		}
		if len(found) == 0 && planned {
			doubt = append(doubt, e.Rule+" was not judged")
		}
		if len(found) == 0 && where == Live {
			unmet = append(unmet, strings.TrimSpace(e.Rule+" "+e.Listener)+" is not judged any more")
		}
	}
	return compact(unmet), compact(doubt)
}

// byService says whether what mends a rule is that a service is stopped and starts no more: that lies outside the stage, and is verified live.
func byService(h plan.HostPlan, e plan.Expectation) bool {
	found := false
	for _, c := range h.Changes {
		if c.Install != e.Install || !slices.Contains(c.Rules, e.Rule) {
			continue
		}
		if c.Kind != plan.Unit {
			return false
		}
		found = true
	}
	return found
}

// findings returns those of a judgement that an expectation is about. What is the same at all listeners is one finding without a listener: it
// speaks for each of them, and each for it.
func findings(h plan.HostPlan, r *plan.Result, e plan.Expectation, where Where) []plan.Finding {
	var all, exact, whole []plan.Finding
	for _, f := range r.Findings {
		same := f.Install == e.Install
		if e.Install >= 0 && e.Install < len(h.Installs) && f.Install >= 0 && f.Install < len(r.Installs) {
			same = keyOf(h.Installs[e.Install]) == keyOf(r.Installs[f.Install])
		}
		if f.Rule != e.Rule || !same {
			continue
		}
		all = append(all, f)
		if f.Listener == e.Listener {
			exact = append(exact, f)
		}
		if f.Listener == "" {
			whole = append(whole, f)
		}
	}
	switch {
	case where == InStage || e.Listener == "" && len(exact) == 0:
		return all
	case len(exact) > 0:
		return exact
	}
	return whole
}

// left says whether a finding stood before at the very listener and the plan leaves it to a person: it speaks for no other listener.
func left(h plan.HostPlan, r *plan.Result, f plan.Finding) bool {
	return slices.ContainsFunc(h.Expect, func(e plan.Expectation) bool {
		same := e.Install >= 0 && e.Install < len(h.Installs) && f.Install >= 0 && f.Install < len(r.Installs) && keyOf(h.Installs[e.Install]) == keyOf(r.Installs[f.Install])
		return same && e.Rule == f.Rule && e.Listener == f.Listener && e.Before != plan.Pass && e.After != plan.Pass
	})
}

// keyOf names an installation whatever its place in a list: the running ones stand first there.
func keyOf(i plan.Install) string { return i.MTA + "\x00" + i.Instance + "\x00" + i.Config }

func compact(s []string) []string {
	slices.Sort(s)
	return slices.Compact(s)
}

// way is one that mail takes, or does not, through one installation.
type way struct {
	install string
	q       judge.Question
}

// ways sorts out what the judges answered: true where some judge says that the mail goes through and none that it does not.
func (j *Judgement) ways(where Where) map[way]bool {
	out := map[way]bool{}
	for i, answers := range j.Answers {
		if j.Result == nil || i >= len(j.Result.Installs) {
			break
		}
		key := keyOf(j.Result.Installs[i])
		for _, a := range answers {
			p := wayOf(key, a.Question, where)
			switch a.Outcome {
			case judge.Relayed, judge.Delivered:
				if _, said := out[p]; !said {
					out[p] = true
				}
			case judge.Refused, judge.Dead, judge.Deferred:
				out[p] = false
			}
		}
	}
	return out
}

// wayOf is the way that a question is about. A copy has no listeners. From where somebody logs in is any stranger's address: another one where a
// plan takes a network away that held the first.
func wayOf(install string, q judge.Question, where Where) way {
	if where == InStage {
		q.Listener = ""
	}
	if q.User != "" && q.Class == judge.Outside {
		q.ClientAddr = ""
	}
	return way{install, q}
}

// legitimate says whether mail that goes this way is what a mail server is for: to its own recipients from anywhere, and from its own
// machine, its own networks, clients that are let in by name, and people who have logged in.
func (p way) legitimate() bool {
	q := p.q
	switch {
	case q.Verb != judge.Rcpt:
		return false
	case q.Form == "local" || q.User != "":
		return true
	case q.Form != "" && q.Form != "plain":
		return false
	}
	return q.Class == judge.Localhost || q.Class == judge.Own || q.Class == judge.Inside
}

// Lost compares the ways of legitimate mail, the listeners and their offers before and after, and returns what was lost, a clause each. What
// the plan means to take away is no loss: an entry that lets clients in (they are named in the plan's impact).
func Lost(h plan.HostPlan, before, after *Judgement, where Where) []string {
	return lost(h, before, after, where, func(install string) bool { return takesAway(h, install) })
}

// LostBack is what a rollback loses, which brings back what it was asked to: it may take any entry away with what the run had put in its place.
func LostBack(before, after *Judgement) []string {
	return lost(plan.HostPlan{}, before, after, Live, func(string) bool { return true })
}

// lost does it; touched says of which installations entries may be gone.
func lost(h plan.HostPlan, before, after *Judgement, where Where, touched func(install string) bool) []string {
	lost := lostWays(h, before, after, where, touched)
	if where == Live {
		lost = append(lost, lostListeners(h, before.Result, after.Result)...)
		lost = append(lost, lostOffers(before.Offers, after.Offers, after.Result)...)
	}
	return compact(lost)
}

func lostWays(h plan.HostPlan, before, after *Judgement, where Where, touched func(install string) bool) []string {
	was, is := before.ways(where), after.ways(where)
	var lost []string
	for p, good := range was {
		if !good || !p.legitimate() {
			continue
		}
		there := p
		there.q.Listener = nowAt(after.Result, p.q.Listener)
		now, asked := is[there]
		if now || planned(h, p, before) || !asked && ofEntry(p.q) && touched(p.install) {
			continue // of an entry that is gone nobody asks any more
		}
		if !asked && known(after, there, where) {
			continue // no judge can tell, and none says no
		}
		if !asked && where == InStage { // a copy has no listener to lose: the judge had no time for the question
			lost = append(lost, p.String()+" was not asked about again")
			continue
		}
		lost = append(lost, p.String()+" is lost")
	}
	return lost
}

// ofEntry says whether a question was put for an entry's sake alone: about a client within it, or its neighbour just outside. Beside 128.0.0.0/1
// that is an address of the loopback's; this machine itself is asked about by 127.0.0.1 and ::1.
func ofEntry(q judge.Question) bool {
	addr, err := netip.ParseAddr(q.ClientAddr)
	neighbour := err == nil && q.Class == judge.Localhost && addr.Is4() && addr != netip.AddrFrom4([4]byte{127, 0, 0, 1})
	return q.Class == judge.Inside || q.Class == judge.Beside || neighbour
}

// known says whether a question was put to the judges, whatever they answered.
func known(j *Judgement, p way, where Where) bool {
	for i, answers := range j.Answers {
		if i >= len(j.Result.Installs) || keyOf(j.Result.Installs[i]) != p.install {
			continue
		}
		if slices.ContainsFunc(answers, func(a judge.Answer) bool { return wayOf(p.install, a.Question, where) == p }) {
			return true
		}
	}
	return false
}

// planned says whether the plan means to take a way of relaying away from a client that the host lets in by what it has: one let in by an entry
// of an installation that the plan changes, or one of its own network that no inventory declares and that rode on a hole which lets in
// strangers too, on a line that the plan changes, or on a default in whose place the plan sets something. Who was seen to relay so is in the plan's impact. Local mail, people who have logged in,
// this machine and declared networks are never meant.
func planned(h plan.HostPlan, p way, before *Judgement) bool {
	q := p.q
	if q.Form == "local" || q.User != "" || !takesAway(h, p.install) || declared(h.Intent, q.ClientAddr) {
		return false
	}
	switch q.Class {
	case judge.Inside:
		return true
	case judge.Own:
		return before.answered(p.install, func(a judge.Answer) bool {
			same := a.Question
			same.Listener = p.q.Listener
			open := a.Question.Class == judge.Outside && a.Question.Verb == judge.Rcpt && a.Question.User == "" && a.Outcome == judge.Relayed
			return open || same == p.q && a.Outcome == judge.Relayed && slices.ContainsFunc(a.Because, func(l judge.Line) bool { return changes(h, l) })
		})
	}
	return false
}

// declared says whether the inventory lets an address relay.
func declared(i plan.Intent, client string) bool {
	addr, err := netip.ParseAddr(client)
	return err == nil && slices.ContainsFunc(i.RelayNetworks, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) })
}

// answered says whether an installation has an answer of a kind.
func (j *Judgement) answered(install string, kind func(judge.Answer) bool) bool {
	for i, answers := range j.Answers {
		if i < len(j.Result.Installs) && keyOf(j.Result.Installs[i]) == install && slices.ContainsFunc(answers, kind) {
			return true
		}
	}
	return false
}

// takesAway says whether the plan changes something of an installation at all.
func takesAway(h plan.HostPlan, install string) bool {
	return slices.ContainsFunc(h.Changes, func(c plan.Change) bool {
		return c.Install < len(h.Installs) && keyOf(h.Installs[c.Install]) == install
	})
}

// changes says whether the plan takes a line of a file out, or makes another of it, as its diff shows; or sets what nothing on the host did: a
// place without file and line is a default, and its text begins with the setting's name.
func changes(h plan.HostPlan, l judge.Line) bool {
	if name, _, _ := strings.Cut(l.Text, " "); l.File == "" && l.Line == 0 && name != "" {
		return slices.ContainsFunc(h.Changes, func(c plan.Change) bool { return slices.Contains(addedSettings(c.Diff), name) })
	}
	return l.Line > 0 && slices.ContainsFunc(h.Changes, func(c plan.Change) bool {
		return c.Path == l.File && slices.Contains(removedLines(c.Diff), l.Line)
	})
}

// removedLines are the numbers of the lines that a unified difference takes out.
func removedLines(diff string) []int {
	var out []int
	at, hunk := 0, false
	for line := range strings.Lines(diff) {
		switch {
		case strings.HasPrefix(line, "@@ -"):
			hunk = true
			number, _, _ := strings.Cut(strings.TrimPrefix(line, "@@ -"), " ")
			number, _, _ = strings.Cut(number, ",")
			at, _ = strconv.Atoi(number)
		case !hunk || line[0] == '+' || line[0] == '\\':
		case line[0] == '-':
			out = append(out, at)
			at++
		default:
			at++
		}
	}
	return out
}

// addedSettings are the names that a unified difference sets, as "NAME = VALUE", in lines that it puts in.
func addedSettings(diff string) []string {
	var out []string
	for line := range strings.Lines(diff) {
		text, added := strings.CutPrefix(line, "+")
		if name, _, set := strings.Cut(text, "="); added && set && !strings.HasPrefix(line, "+++ ") {
			out = append(out, strings.TrimSpace(name))
		}
	}
	return out
}

func (p way) String() string {
	q := p.q
	who := map[judge.Class]string{judge.Outside: "a client from outside", judge.Localhost: "this machine", judge.Own: "its own network",
		judge.Inside: "a client let in by " + q.Entry, judge.Beside: "a client beside " + q.Entry}[q.Class]
	if q.User != "" {
		who = "a logged-in user"
	}
	what := "relaying for "
	if q.Form == "local" {
		what = "delivery to its own recipients from "
	}
	text := what + cmp.Or(who, "a client")
	if q.Listener != "" {
		text += " at " + q.Listener
	}
	return text
}
