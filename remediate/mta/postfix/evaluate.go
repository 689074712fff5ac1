package postfix

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// The evaluator answers a question by walking Postfix's restriction lists as smtpd(8) does. What it cannot know (DNS, a policy service,
// a milter, an unread table) is a fork: the walk is made again for each way, and only where the ways end differently is the answer
// cannot-tell.

// maxWays bounds the walks of one question.
const maxWays = 400

// run is one walk.
type run struct {
	m       *model
	s       *service
	at      listener // where the client arrives; of a run that walks no dialogue the service alone
	rw      *service // the rewrite service, which finds the class of an address: overrides of smtpd do not reach it
	q       judge.Question
	script  []int          // the ways to take at the forks, in order of meeting
	widths  []int          // how many ways each met fork has
	known   map[string]int // a fork met twice has one answer
	reasons []string       // what the forks were about
	because []judge.Line
	ended   []judge.Line // lists that said neither yes nor no: what led to mail being taken

	addr, name, helo, sender, rcpt string
	have                           stage // what has been said so far; with smtpd_delay_reject all of it
	deferPermit, deferReject       bool
	listed                         bool // reject_unlisted_recipient has been looked at
	warn                           int  // the depth at which warn_if_reject stands before the restriction, 0 where none does
	discard, redirect, filtered    bool
	unnamed                        bool   // nobody looks for the client's name
	ends                           string // why smtpd ended itself on the way, "" where it did not
	hindered                       bool   // a way on which a DNS list or check refused
	depth                          int
	ofRecipient                    bool            // the address whose class is looked for is the recipient's
	parent                         map[string]bool // parent_domain_matches_subdomains
}

// stage is how far an SMTP dialogue has got.
type stage int

const (
	atConnect stage = iota
	atHelo
	atMail
	atRcpt
)

// verdict is what a restriction, a list or a whole walk says.
type verdict struct {
	kind   kind
	code   int    // SMTP reply code of a refusal
	text   string // the reply, or why
	broken bool   // a configuration or lookup error: it is no policy
	hard   bool   // a configuration error: warn_if_reject does not soften it
	policy bool   // a refusal that the configuration wants, whatever its code
}

type kind int

const (
	dunno kind = iota
	permit
	refuse
)

// way is the end of one walk.
type way struct {
	outcome  judge.Outcome
	text     string
	hindered bool
	reasons  []string
	because  []judge.Line
}

// answer evaluates q at a listener.
func (m *model) answer(q judge.Question, l listener) judge.Answer {
	a := judge.Answer{Question: q, Judge: judge.Config}
	if why, at := m.cannotJudge(); why != "" {
		a.Outcome, a.Text, a.Because = judge.CannotTell, why, at
		return a
	}
	if why, at := m.dead(l); why != "" {
		a.Outcome, a.Text, a.Because = judge.Dead, why, at
		return a
	}
	clear(m.wanted)
	ways, cut := m.ways(q, l)
	a.Outcome, a.Text, a.Because = settle(ways, cut, q)
	if a.Outcome == judge.CannotTell && foreign(q) {
		m.keepWanted()
	}
	return m.evaded(a, l)
}

// ways walks the lists once for each combination of what is not known.
func (m *model) ways(q judge.Question, l listener) (out []way, cut bool) {
	script := []int{}
	for len(out) < maxWays {
		r := newRun(m, l.smtpd, q, script)
		r.at = l
		out = append(out, r.walk())
		script = next(r)
		if script == nil {
			return out, false
		}
	}
	return out, true
}

// next is the script of the walk after r, nil when r was the last: the forks are counted through like digits.
func next(r *run) []int {
	taken := make([]int, len(r.widths))
	copy(taken, r.script)
	for i := len(taken) - 1; i >= 0; i-- {
		if taken[i]+1 < r.widths[i] {
			taken[i]++
			return taken[:i+1]
		}
	}
	return nil
}

func newRun(m *model, s *service, q judge.Question, script []int) *run {
	r := &run{m: m, s: s, rw: m.rewriter(s), q: q, script: script, known: map[string]int{}, parent: map[string]bool{}}
	r.addr, r.name, r.helo, r.sender, r.rcpt = q.ClientAddr, q.ClientName, q.Helo, q.Sender, q.Recipient
	if a, err := netip.ParseAddr(r.addr); err == nil {
		r.addr = a.Unmap().String()
	}
	r.unnamed = strings.EqualFold(m.value("smtpd_peername_lookup", s), "no") // the name that the address has is not asked for
	if r.name == "" || r.unnamed {
		r.name = "unknown"
	}
	for _, name := range []string{"mynetworks", "relay_domains", "smtpd_access_maps"} { // of who may use XCLIENT or XFORWARD smtpd asks no such thing
		r.parent[name] = r.matchesParents(name)
	}
	return r
}

// matchesParents reports whether the list of that name covers what is below its domains; the parameter that says so is a match list
// itself, read by smtpd, and for relay_domains by the rewrite service.
func (r *run) matchesParents(list string) bool {
	s := r.s
	if list == "relay_domains" {
		s = r.rw
	}
	return r.inList("parent_domain_matches_subdomains", list, s).ok
}

// fork returns which of n ways to take for what key names; why says what is not known.
func (r *run) fork(key, why string, n int) int {
	if way, ok := r.known[key]; ok {
		return way
	}
	way := 0
	if i := len(r.widths); i < len(r.script) {
		way = r.script[i]
	}
	r.widths = append(r.widths, n)
	r.known[key] = way
	if !slices.Contains(r.reasons, why) {
		r.reasons = append(r.reasons, why)
	}
	return way
}

// maybe is a fork of two: true comes second.
func (r *run) maybe(key, why string) bool { return r.fork(key, why, 2) == 1 }

// hinders is a fork of two whose second way only ever refuses, and which no one who wants to relay is bound to meet: he comes from an
// address that no list names, and writes names that exist.
func (r *run) hinders(key, why string) bool {
	way := r.fork(key, why, 2)
	r.hindered = r.hindered || way == 1
	return way == 1
}

func (r *run) note(o mta.Origin, text string) {
	line := judge.Line{File: o.File, Line: o.Line, Text: text}
	if len(r.because) < 12 && !slices.Contains(r.because, line) {
		r.because = append(r.because, line)
	}
}

// walk is one dialogue up to the end of the message: what RCPT TO takes, DATA may still refuse.
func (r *run) walk() way {
	v := r.screened()
	if v.kind != refuse {
		v = r.commands()
	}
	if v.kind == dunno {
		if v = r.checkRecipient(); v.kind != refuse {
			v = r.checkData()
		}
	}
	w := way{reasons: r.reasons, because: r.because, text: v.text, hindered: r.hindered}
	if r.ends != "" {
		w.outcome, w.text = judge.Dead, ends+r.ends
		return w
	}
	if v.kind == refuse {
		w.outcome = refusal(v)
		if w.text == "" {
			w.text = fmt.Sprint(v.code)
		}
		return w
	}
	w.outcome, w.text = r.accepted()
	w.reasons, w.because = r.reasons, append(r.because, r.ended...)
	return w
}

// ends begins the answer where smtpd serves a client up to some command, and then ends itself without a reply.
const ends = "smtpd ends without a reply: "

func refusal(v verdict) judge.Outcome {
	switch {
	case v.broken:
		return judge.Deferred
	case v.policy || v.code >= 500:
		return judge.Refused
	}
	return judge.Deferred
}

// accepted says where an accepted recipient's mail goes.
func (r *run) accepted() (judge.Outcome, string) {
	to := r.resolve(r.rcpt)
	if name := r.filter(); name != "" {
		raw, o, _ := r.m.raw(name, r.s)
		r.note(o, name+" = "+raw)
		if r.maybe("filter", "a mail filter ("+name+") may refuse") {
			return judge.Refused, "refused by a mail filter"
		}
	}
	how := ""
	if to.unsure == "" && !r.filtered && r.m.value("content_filter", r.s) == "" { // a filter's transport comes before that of the address
		how = r.m.stays(to.channel)
	}
	switch {
	case r.discard:
		return judge.Delivered, "250: taken and thrown away (DISCARD)"
	case r.redirect:
		return judge.Delivered, "250: taken and redirected (REDIRECT)"
	case how != "" && (to.class == classDefault || to.class == classRelay):
		return judge.Delivered, fmt.Sprintf("250: taken and %s (transport %s)", how, to.channel)
	case to.class == classDefault:
		return judge.Relayed, fmt.Sprintf("250: relayed to <%s>", to.addr)
	case to.class == classRelay && to.routed:
		return judge.Relayed, fmt.Sprintf("250: <%s> is routed on from the relay domain %q", to.addr, to.entry)
	case to.class == classRelay && to.wide:
		return judge.Relayed, fmt.Sprintf("250: relayed to <%s>: relay_domains entry %q covers it", to.addr, to.entry)
	case (to.class == classVirtual || to.class == classLocal) && to.wide && r.sentOn(to):
		return judge.Relayed, fmt.Sprintf("250: relayed to <%s>: %s entry %q covers it, and the transport %s sends it on", to.addr, to.class, to.entry, to.channel)
	case to.class == classRelay:
		return judge.Delivered, fmt.Sprintf("250: taken for the declared relay domain %q", to.entry)
	}
	return judge.Delivered, fmt.Sprintf("250: taken for delivery here (%s)", to.class)
}

// filter names the parameter that puts a filter before the queue, which may refuse and can never permit; "" for none. A client in
// smtpd_milter_maps has milters of its own, or none.
func (r *run) filter() string {
	if r.m.value("smtpd_proxy_filter", r.s) != "" {
		return "smtpd_proxy_filter"
	}
	name, milters := "smtpd_milters", r.m.value("smtpd_milters", r.s)
	for _, w := range r.m.members("smtpd_milter_maps", r.s) {
		if f := r.look(r.m.table(w.text), r.addr); f.ok {
			name, milters = "smtpd_milter_maps", f.value
			break
		}
	}
	if milters == "" || strings.EqualFold(milters, "DISABLE") {
		return ""
	}
	return name
}

// sentOn reports whether the transport of an address speaks SMTP to other hosts.
func (r *run) sentOn(to target) bool {
	if to.unsure != "" {
		return r.maybe("sent on "+to.addr, "the transport of "+to.addr+": "+to.unsure)
	}
	s := r.m.service(to.channel, "unix")
	return to.channel == "smtp" || to.channel == "relay" || s != nil && s.command == "smtp"
}

// settle makes one answer of the ways' ends.
func settle(all []way, cut bool, q judge.Question) (judge.Outcome, string, []judge.Line) {
	ends := map[judge.Outcome]way{}
	ways := slices.DeleteFunc(slices.Clone(all), func(w way) bool { return w.hindered })
	hindered := len(ways) < len(all)
	for _, w := range ways {
		if _, ok := ends[w.outcome]; !ok {
			ends[w.outcome] = w
		}
	}
	relayed, relays := ends[judge.Relayed]
	switch {
	case relays && (len(ends) > 1 || cut):
		return judge.CannotTell, "relayed or not: " + allReasons(ways), relayed.because
	case cut:
		return judge.CannotTell, "more ways than are followed: " + allReasons(ways), ways[0].because
	case len(ends) > 1 && !foreign(q):
		return judge.CannotTell, "accepted or not: " + allReasons(ways), ways[0].because
	}
	// Whatever the forks say, nothing is relayed: the plainest end stands for all.
	for _, o := range []judge.Outcome{judge.Relayed, judge.Refused, judge.Deferred, judge.Delivered, judge.Dead} {
		if w, ok := ends[o]; ok {
			if o == judge.Relayed && hindered {
				w.text += "; what refuses some does not refuse all: " + allReasons(all)
			}
			return o, w.text, w.because
		}
	}
	return judge.CannotTell, "no way was followed", nil
}

// foreign reports whether the question is about relaying, so that every end but relayed means the same.
func foreign(q judge.Question) bool { return q.Form != "" && q.Form != "local" }

func allReasons(ways []way) string {
	var all []string
	for _, w := range ways {
		for _, reason := range w.reasons {
			if !slices.Contains(all, reason) {
				all = append(all, reason)
			}
		}
	}
	if len(all) > 4 {
		all = append(all[:4], "and more")
	}
	return strings.Join(all, "; ")
}
