package postfix

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// randomAsks are clients, HELO names, logins, senders and recipients in chance pairs.
func randomAsks(seed uint64, m *model, n int) []ask {
	g := &gen{r: rand.New(rand.NewPCG(seed, 11))}
	all := forms("lab.example.edu", "10.9.9.1")
	clients := [][2]string{{"127.0.0.1", "localhost"}, {"10.9.9.50", ""}, {"10.9.9.50", "desk.lab.example.edu"}, {"2001:db8::9", "six.example.net"}, {"203.0.113.9", ""}, {"192.0.2.33", "host.example.org"},
		{"198.51.100.7", "client7.example.net"}, {"198.51.100.7", "client7.example.net"}, {"198.51.100.7", "client7.example.net"}, {"198.51.100.7", ""}}
	var out []ask
	text := string(m.main.data)
	for range n {
		l := m.listeners[0]
		if len(m.listeners) > 1 && g.chance(40) {
			l = m.listeners[g.r.IntN(len(m.listeners))]
		}
		q := all[g.r.IntN(len(all))]
		c := clients[g.r.IntN(len(clients))]
		if strings.Contains(text, "permit_inet_interfaces") {
			c = clients[0] // XCLIENT does not change the address that this one looks at
		}
		q.Listener, q.ClientAddr, q.ClientName = l.addr, c[0], c[1]
		q.Helo = g.pick("client7.example.net", "client7.example.net", "lab.example.edu", "[198.51.100.7]", "short", "198.51.100.7", "bad_name!", "")
		if g.chance(25) {
			q.Form, q.Recipient = "", g.pick("user@lab.example.edu", "nobody@lab.example.edu", "x@relay.example.com", "root", "user@[10.9.9.1]", "postmaster", "user", "x@localhost", "user-ext@lab.example.edu", "user+ext@lab.example.edu",
				"user@virtual.example.com", "postmaster@lab.example.edu", "x@sub.relay.example.com")
		} else if g.chance(20) {
			q.Form, q.Recipient = "plain", g.pick("x%example.org@relay.example.com", "x@host.example.org", "example.org!x@relay.example.com", "x@example.org.", "x@org", `"a b"@example.org`, "a!b%c@example.org",
				"x@EXAMPLE.org", "x@[192.0.2.1]", "x%example.org@virtual.example.com", "x@backup.example.com", "x@[10.9.9.1].")
		}
		if g.chance(30) {
			q.Sender = g.pick("user@lab.example.edu", "short@host", "noname", "", "antispam@example.com", "x%example.org@lab.example.edu", "nobody@lab.example.edu", "a@nowhere.example.net", "user+ext@lab.example.edu")
		}
		a := ask{Helo: g.chance(15), Reverse: g.pick("", "", "rev.example.net")}
		if m.yes("smtpd_sasl_auth_enable", l.smtpd) && g.chance(50) { // else nobody logs in, whom XCLIENT could name all the same
			q.User = g.pick("alice", "bob")
		}
		// Who wants to relay encrypts where that is to be had, says the evaluator of reject_plaintext_session.
		if m.offersTLS(l.smtpd) && (g.chance(60) || strings.Contains(text, "reject_plaintext_session")) {
			q.TLS, a.Cert = true, g.chance(30)
		}
		if strings.Contains(text, "smtpd_command_filter") { // it sees the quotes, which an evaluator does not, and the question is of EHLO
			q.Recipient, a.Helo = bare(q.Recipient), false
		}
		if strings.Contains(text, "smtpd_authorized_x") { // which EHLO alone looks at
			a.Helo = false
		}
		a.Q = q
		if g.chance(20) {
			a.Proxy = "any"
		}
		out = append(out, a)
	}
	out[0].Q.Form, out[0].Q.Recipient = "", "x@relay.example.com"
	out[1].Q.Form, out[1].Q.Recipient = "", "user@virtual.example.com"
	return out
}

// bare is an address that is written without quotes: a blank needs them, and without is no address in SMTP (501 whatever the lists say),
// though it is one as an evaluator holds it.
func bare(addr string) string {
	return strings.NewReplacer(`"`, "", " ", "-").Replace(addr)
}

// randomRange is the first seed and how many configurations: MTAHARDEN_RANDOM, "FIRST COUNT", or what MTAHARDEN_DIFFERENCE_SEED and
// MTAHARDEN_POSTFIX_CONFIGS say, each with a default.
func randomRange() (first, count uint64) {
	number := func(text string, otherwise uint64) uint64 {
		if n, err := strconv.ParseUint(text, 10, 64); err == nil {
			return n
		}
		return otherwise
	}
	if f := strings.Fields(os.Getenv("MTAHARDEN_RANDOM")); len(f) == 2 {
		return number(f[0], 1), number(f[1], 60)
	}
	return 1000 * number(os.Getenv("MTAHARDEN_DIFFERENCE_SEED"), 1), number(os.Getenv("MTAHARDEN_POSTFIX_CONFIGS"), 30)
}

const (
	shadowsEach = 2   // real Postfixes at a time of one version
	asksEach    = 11  // questions to a configuration
	whole       = 500 // from so many configurations on the run must have met every word, and know nearly every answer
)

// TestShadowRandom compares the evaluator with real Postfixes over random configurations.
func TestShadowRandom(t *testing.T) {
	first, count := randomRange()
	for _, root := range shadowRoots(t) {
		shadows := []*shadow{}
		for range shadowsEach {
			shadows = append(shadows, startShadow(t, root))
		}
		t.Run(shadows[0].minor(), func(t *testing.T) {
			t.Parallel()
			sum, words := randomRun(t, shadows, first, count)
			slices.Sort(sum.differ)
			for _, d := range sum.differ {
				t.Error(d)
			}
			t.Logf("configurations %d to %d", first, first+count-1)
			sum.report(t)
			never := words.never()
			t.Logf("%d of %d words produced and reached; not: %s", len(wanted(shadows[0].Version))-len(never), len(wanted(shadows[0].Version)), strings.Join(never, ", "))
			if sum.asked == 0 {
				t.Error("nothing was compared")
			}
			if count < whole {
				return
			}
			if len(never) > 0 {
				t.Error("words of the lists are never met")
			}
			if share := 100 * float64(sum.cannotTell()) / float64(max(1, sum.asked)); share >= 2 {
				t.Errorf("%.2f %% of the questions are not answered", share)
			}
		})
	}
}

// randomRun asks the shadows, each its share of the seeds.
func randomRun(t *testing.T, shadows []*shadow, first, count uint64) (*comparison, *coverage) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	sum, words := newComparison(), newCoverage(shadows[0].Version)
	for i, s := range shadows {
		wg.Go(func() {
			for seed := first + uint64(i); seed < first+count; seed += uint64(len(shadows)) {
				k := s.random(t, seed, words)
				mu.Lock()
				sum.add(k)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return sum, words
}

func (s *shadow) random(t *testing.T, seed uint64, words *coverage) *comparison {
	k := newComparison()
	c, produced := randomCase(seed)
	cfg, err := c.readWith(s)
	if err != nil {
		k.differ = append(k.differ, fmt.Sprintf("seed %d: %v", seed, err))
		return k
	}
	m := cfg.Model.(*model)
	asks := m.routed(randomAsks(seed, m, asksEach))
	o := c.orderOf(asks)
	for _, a := range asks {
		o.Addrs = append(o.Addrs, unquoted(a.Q).Recipient)
	}
	r, err := s.ask(o)
	if err != nil {
		k.differ = append(k.differ, fmt.Sprintf("seed %d: %v", seed, err))
		return k
	}
	reached := map[string]bool{}
	m.visit = func(word string) { reached[word] = true }
	k.whole(m, o, r)
	m.visit = nil
	words.add(produced, reached)
	for i, d := range k.differ {
		k.differ[i] = fmt.Sprintf("seed %d: %s", seed, d)
	}
	return k
}

// shapes are words that are no name which an evaluation meets: how a configuration is written. A configuration of that shape that was
// compared has them reached.
var shapes = map[string]bool{"override": true, "postscreen": true, "if/endif": true, "{ }": true, "rewrite override": true, "mynetworks_style": true}

// coverage counts in how many configurations each word was produced, and in how many reached by the evaluator.
type coverage struct {
	mu                sync.Mutex
	version           string
	produced, reached map[string]int
}

func newCoverage(version string) *coverage {
	return &coverage{version: version, produced: map[string]int{}, reached: map[string]int{}}
}

func (c *coverage) add(produced, reached map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for w := range produced {
		c.produced[w]++
		if reached[w] || shapes[w] || slices.ContainsFunc(otherParameters, func(p parameter) bool { return p.name == w && p.by == "none" }) {
			c.reached[w]++
		}
	}
}

// never are the words of the lists that were not both produced and reached.
func (c *coverage) never() (out []string) {
	for _, w := range wanted(c.version) {
		if c.reached[w] == 0 {
			out = append(out, fmt.Sprintf("%s (%d)", w, c.produced[w]))
		}
	}
	return out
}

// wanted are the words of the lists that a version has.
func wanted(version string) []string {
	out := []string{"override", "postscreen", "if/endif", "{ }", "smtpd_client_restrictions", "smtpd_helo_restrictions", "smtpd_sender_restrictions", "smtpd_relay_restrictions",
		"smtpd_recipient_restrictions", "smtpd_data_restrictions", "smtpd_end_of_data_restrictions", "mynetworks", "mynetworks_style", "mydestination", "relay_domains",
		"virtual_alias_domains", "virtual_mailbox_domains", "local_recipient_maps", "smtpd_sender_login_maps", "smtpd_restriction_classes", "compatibility_level", "smtpd_milters"}
	for _, c := range restrictionWords {
		out = append(out, c.word)
	}
	for _, a := range argumentWords {
		out = append(out, a.word)
	}
	for _, c := range tableTypes {
		out = append(out, c.word)
	}
	for _, p := range otherParameters {
		out = append(out, p.name)
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return slices.DeleteFunc(out, func(w string) bool { return sinceOf[w] != "" && !atLeast(parseVersion(version), sinceOf[w]) })
}

// sinceOf names the release that brought a word which older ones do not look at.
var sinceOf = map[string]string{"smtpd_relay_before_recipient_restrictions": "3.6", "postscreen_denylist_action": "3.6"}
