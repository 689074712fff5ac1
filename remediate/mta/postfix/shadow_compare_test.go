package postfix

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"mtaharden/remediate/judge"
)

// What counts as agreement, by the real Postfix's decisive reply (the first refusal up to DATA, or DATA's own):
//
//	relayed, delivered   2xx to the recipient and 354 to DATA; which of the two is held against the class that the real rewrite service
//	                     finds: elsewhere is relayed, the host's own classes are delivered, a relay domain may be either
//	refused              5xx, or 4xx of the configuration's own rules
//	deferred             4xx that says "configuration error", "lookup failure" or "local problem"; another 4xx may be either, since whether a
//	                     temporary no is policy does not show in it: the reply code is held against the evaluator's all the same
//	dead                 no reply, and a daemon's last words in the log
//
// An answer of one way must agree, its reply code too. An answer of several ways that end alike in what matters (nothing is relayed) must
// hold the real end among the ways' ends, and so must cannot-tell, which is counted by its cause.

// realEnds are the outcomes that a real reply may stand for, none where the question could not be put. Taken is said as relayed.
func realEnds(reply string) []judge.Outcome {
	switch {
	case strings.HasPrefix(reply, "unasked"):
		return nil
	case strings.HasPrefix(reply, "dead"):
		return []judge.Outcome{judge.Dead}
	case strings.HasPrefix(reply, "2"), strings.HasPrefix(reply, "354"):
		return []judge.Outcome{judge.Relayed}
	case strings.HasPrefix(reply, "5"):
		return []judge.Outcome{judge.Refused}
	}
	reply, _, _ = strings.Cut(reply, complaint)
	for _, words := range []string{"configuration error", "server local data error", "lookup failure", "lookup error", "local problem", "queue file write error"} {
		if strings.Contains(strings.ToLower(reply), words) {
			return []judge.Outcome{judge.Deferred}
		}
	}
	return []judge.Outcome{judge.Refused, judge.Deferred}
}

func taken(o judge.Outcome) judge.Outcome {
	if o == judge.Delivered {
		return judge.Relayed
	}
	return o
}

// comparison sums what was compared.
type comparison struct {
	asked, unasked, resolved int
	named, proxied, screened int            // clients asked whether they may use XCLIENT; questions put by a proxy's header, and those of postscreen
	exempt                   int            // cannot-tell of configurations with a policy service, a milter, or a table that is not read
	unput                    map[string]int // questions that could not be put, by cause
	open                     map[string]int // cannot-tell of the others, by cause
	ends                     map[string]int // the real Postfix's answers
	differ                   []string
}

func newComparison() *comparison {
	return &comparison{unput: map[string]int{}, open: map[string]int{}, ends: map[string]int{}}
}

func (k *comparison) add(o *comparison) {
	k.asked, k.unasked, k.resolved, k.exempt = k.asked+o.asked, k.unasked+o.unasked, k.resolved+o.resolved, k.exempt+o.exempt
	k.named, k.proxied, k.screened = k.named+o.named, k.proxied+o.proxied, k.screened+o.screened
	for text, n := range o.unput {
		k.unput[text] += n
	}
	for text, n := range o.open {
		k.open[text] += n
	}
	for text, n := range o.ends {
		k.ends[text] += n
	}
	k.differ = append(k.differ, o.differ...)
}

func (k *comparison) cannotTell() (n int) {
	for _, c := range k.open {
		n += c
	}
	return n
}

func (k *comparison) report(t *testing.T) {
	t.Helper()
	t.Logf("%d questions compared (%d could not be put), %d addresses resolved; the real answers: %v", k.asked, k.unasked, k.resolved, k.ends)
	t.Logf("of these %d by a proxy's header and %d behind postscreen; %d clients asked whether they may use XCLIENT; not put: %v", k.proxied, k.screened, k.named, k.unput)
	t.Logf("cannot-tell: %d (%.2f %%), and %d where a policy service, a milter or an unread table decides", k.cannotTell(), 100*float64(k.cannotTell())/float64(max(1, k.asked)), k.exempt)
	for _, cause := range slices.SortedFunc(maps.Keys(k.open), func(a, b string) int { return k.open[b] - k.open[a] }) {
		t.Logf("  %5d %s", k.open[cause], cause)
	}
}

// one compares the answer to one question; class is the recipient's own, where the real rewrite service was asked.
func (k *comparison) one(m *model, a ask, reply string, to *resolved) {
	l, ok := listenerOf(m, a.Q)
	if !ok {
		k.differ = append(k.differ, "no listener "+a.Q.Listener)
		return
	}
	ends := realEnds(reply)
	if ends == nil {
		k.unasked++
		k.unput[fmt.Sprintf("%.60s", strings.TrimPrefix(reply, "unasked: "))]++
		return
	}
	k.asked++
	if a.Proxy != "" {
		k.proxied++
	}
	if l.front.command == "postscreen" {
		k.screened++
	}
	k.ends[string(ends[0])]++
	q := unquoted(a.Q)
	ans := m.reply(q, l)
	if a.Proxy != "" && a.Claim == nil && ans.Outcome == judge.CannotTell {
		ans = m.answer(q, l) // this proxy tells the truth
	}
	if a.Claim != nil {
		q.ClientAddr, q.ClientName, q.User = a.Claim.Addr, a.Claim.Name, a.Claim.User
	}
	if why := k.judged(m, l, ans, q, ends, reply, to); why != "" {
		k.differ = append(k.differ, fmt.Sprintf("%s %s from %s (%s) user %q tls %v helo %s <%s> to <%s>: %s: the evaluator says %s (%s), Postfix says %q", a.Q.Listener, a.Q.Form,
			a.Q.ClientAddr, a.Q.ClientName, a.Q.User, a.Q.TLS, a.Q.Helo, a.Q.Sender, a.Q.Recipient, why, ans.Outcome, ans.Text, reply))
	}
}

func (k *comparison) judged(m *model, l listener, ans judge.Answer, q judge.Question, ends []judge.Outcome, reply string, to *resolved) string {
	if ans.Outcome == judge.Dead || ends[0] == judge.Dead {
		if ans.Outcome == ends[0] {
			return ""
		}
		return "dead or not"
	}
	if why, _ := m.cannotJudge(); why != "" {
		k.open[why]++
		return ""
	}
	ways, cut := m.ways(q, l)
	if ans.Outcome == judge.CannotTell {
		k.undecided(ways, ans.Text)
	}
	if strings.Contains(allReasons(ways), "policy service") { // what it says may be an error too, which is no other end for who relays
		ends = append(ends, map[judge.Outcome]judge.Outcome{judge.Deferred: judge.Refused, judge.Refused: judge.Deferred, judge.Relayed: judge.Delivered}[ends[0]])
	}
	if !cut && !slices.ContainsFunc(ways, func(w way) bool { return slices.Contains(ends, taken(w.outcome)) }) {
		return "no way ends so"
	}
	switch {
	case len(ways) > 1:
		hindered := slices.ContainsFunc(ways, func(w way) bool { return w.hindered && slices.Contains(ends, taken(w.outcome)) })
		if ans.Outcome == judge.Relayed && ends[0] != judge.Relayed && !hindered {
			return "not relayed"
		}
		return ""
	case ends[0] == judge.Relayed && ans.Outcome != judge.Relayed && ans.Outcome != judge.Delivered && ans.Outcome != judge.CannotTell:
		return "relayed"
	case ends[0] == judge.Relayed:
		if m.value("smtpd_command_filter", l.smtpd) != "" {
			return "" // the recipient may be another one
		}
		if strings.Contains(ans.Text, "thrown away") || strings.Contains(ans.Text, "(REDIRECT)") {
			return "" // it goes to nobody, or to somebody else
		}
		return misplaced(ans, to)
	}
	if ans.Outcome == judge.Relayed {
		return "not relayed"
	}
	if m.value("smtpd_milters", l.smtpd) != "" {
		return "" // a mail filter that does not answer has said its own 451 before
	}
	if code, _ := replyCode(ways[0].text); code != 0 && !strings.HasPrefix(reply, fmt.Sprint(code)) {
		return "another code"
	}
	return ""
}

// mayName compares whether a client may use XCLIENT.
func (k *comparison) mayName(m *model, a ask, named string) {
	l, ok := listenerOf(m, a.Q)
	if !ok || named == "" {
		return
	}
	k.named++
	if h, unknown := m.mayNameClients(unquoted(a.Q), l.smtpd); unknown == "" && h.ok != (named == "yes") {
		k.differ = append(k.differ, fmt.Sprintf("XCLIENT of %s: the evaluator says %v %s, Postfix announces it: %s", a.Q.ClientAddr, h.ok, h.failed, named))
	}
}

// misplaced compares relayed and delivered with the class that the real rewrite service finds. Its class does not tell that mail of any
// domain at all, taken as local, is sent on.
func misplaced(a judge.Answer, to *resolved) string {
	o := a.Outcome
	switch {
	case o == judge.CannotTell:
		return ""
	case to != nil && to.Class == classLocal && strings.HasSuffix(a.Text, "sends it on"):
		return ""
	case to == nil || to.Fail || to.Class == classRelay || to.Class == classVirtual:
		return ""
	case to.Class == classDefault && o != judge.Relayed:
		return "it goes elsewhere"
	case to.Class != classDefault && o != judge.Delivered:
		return "it stays here"
	}
	return ""
}

// undecided counts a cannot-tell under its causes.
func (k *comparison) undecided(ways []way, said string) {
	text := allReasons(ways)
	if text == "" {
		text, _, _ = strings.Cut(said, " (")
	}
	for _, cause := range []string{"policy service", "mail filter", "are not read", "was not collected"} {
		if strings.Contains(text, cause) {
			k.exempt++
			return
		}
	}
	k.open[text]++
}

// address compares what the evaluator makes of an address with the real rewrite service.
func (k *comparison) address(m *model, s *service, text string, real resolved) {
	k.resolved++
	r := newRun(m, s, judge.Question{Recipient: text, ClientAddr: "198.51.100.7"}, nil)
	t := r.resolve(text)
	switch {
	case len(r.widths) > 0:
		return
	case (t.failed != "") != real.Fail:
		k.differ = append(k.differ, fmt.Sprintf("address <%s>: the evaluator says failed: %q, Postfix says %v", text, t.failed, real))
	case real.Fail:
	case !strings.EqualFold(t.addr, real.Addr) || t.class != real.Class || t.routed != real.Route:
		k.differ = append(k.differ, fmt.Sprintf("address <%s>: the evaluator says <%s> %s routed %v, Postfix says <%s> %s routed %v", text, t.addr, t.class, t.routed,
			real.Addr, real.Class, real.Route))
	}
}

// whole compares an order's replies.
func (k *comparison) whole(m *model, o order, r replies) {
	to := map[string]*resolved{}
	for i := range r.Resolved {
		to[o.Addrs[i]] = &r.Resolved[i]
		k.address(m, m.listeners[0].smtpd, o.Addrs[i], r.Resolved[i])
	}
	for i, reply := range r.Replies {
		k.mayName(m, o.Asks[i], r.Named[i])
		k.one(m, o.Asks[i], reply, to[unquoted(o.Asks[i].Q).Recipient])
	}
}

// TestShadow asks a real Postfix what the cases of testdata/judge say: all, or those whose names MTAHARDEN_POSTFIX_CASES matches.
func TestShadow(t *testing.T) {
	for _, root := range shadowRoots(t) {
		s := startShadow(t, root)
		t.Run(s.minor(), func(t *testing.T) {
			t.Parallel()
			sum, cases := newComparison(), 0
			for _, c := range loadCases(t, "testdata/judge/"+cmp.Or(os.Getenv("MTAHARDEN_POSTFIX_CASES"), "*")+".txtar") {
				if slices.Contains(c.versions, s.minor()) {
					sum.add(c.shadow(t, s))
					cases++
				}
			}
			t.Logf("%d recorded cases", cases)
			sum.report(t)
		})
	}
}

func (c testCase) shadow(t *testing.T, s *shadow) *comparison {
	_, cfg := c.config(t, s.Version)
	m := cfg.Model.(*model)
	var asks []ask
	for _, ac := range c.accepts {
		for _, q := range c.matrix(m, ac) {
			asks = append(asks, ask{Q: q})
		}
	}
	for _, k := range c.asks {
		if k.q.Verb == judge.Rcpt {
			asks = append(asks, ask{Q: k.q})
		}
	}
	asks = m.routed(asks)
	if len(asks) == 0 {
		asks = []ask{{Q: c.matrix(m, acceptance{0, "198.51.100.7", "client7.example.net"})[1]}}
	}
	o := c.orderOf(asks)
	for _, a := range asks {
		o.Addrs = append(o.Addrs, unquoted(a.Q).Recipient)
	}
	r, err := s.ask(o)
	if err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	k := newComparison()
	k.whole(m, o, r)
	for _, d := range k.differ {
		t.Errorf("%s: %s", c.name, d)
	}
	return k
}
