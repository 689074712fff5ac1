package probe

import (
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"sync"

	"github.com/BurntSushi/toml"
)

//go:embed replies.toml
var repliesTOML string

//go:embed products.toml
var productsTOML string

// tables are what replies mean and which products show themselves how: data, the same for every listener, and never written to.
type tables struct {
	replies  []replyRule
	products []product
}

// replyRule is a row of replies.toml.
type replyRule struct {
	At       []string
	Code     string
	Enhanced string
	Text     string
	Foreign  *bool
	Verdict  ruling
	Again    remedy
	Why      string

	code, enhanced *regexp.Regexp
	text           *finder
}

// ruling is what one reply means; a Verdict is what a dialogue came to.
type ruling string

const (
	taken     ruling = "taken"
	refused   ruling = "refused"
	notTested ruling = "not-tested"
	deferred  ruling = "deferred"
	broken    ruling = "broken"
)

// remedy is what another attempt has to do differently.
type remedy string

const (
	useTLS      remedy = "tls"
	otherHelo   remedy = "helo"
	otherSender remedy = "sender"
	alone       remedy = "fresh"
	later       remedy = "later"
	tellProxy   remedy = "proxy"
)

// givenTables are the tables, read when the first listener is asked: an audit asks many.
var givenTables = sync.OnceValues(loadTables)

// ownWords are words of the questions' own addresses.
var ownWords = regexp.MustCompile(`(?i)\b(antispam|relaytest)\b`)

func loadTables() (*tables, error) {
	t := &tables{}
	var replies struct{ Reply []replyRule }
	meta, err := toml.Decode(repliesTOML, &replies)
	if err != nil {
		return nil, fmt.Errorf("cannot read the table of replies: %w", err)
	}
	if more := meta.Undecoded(); len(more) > 0 {
		return nil, fmt.Errorf("cannot read the table of replies: unknown key %s", more[0])
	}
	for i := range replies.Reply {
		if err := replies.Reply[i].compile(); err != nil {
			return nil, fmt.Errorf("cannot read rule %d of the table of replies: %w", i+1, err)
		}
	}
	t.replies = replies.Reply
	t.products, err = loadProducts()
	return t, err
}

func (r *replyRule) compile() error {
	for _, x := range []struct {
		to   **regexp.Regexp
		text string
	}{{&r.code, r.Code}, {&r.enhanced, r.Enhanced}} {
		if x.text == "" {
			continue
		}
		re, err := regexp.Compile("(?is)" + x.text)
		if err != nil {
			return err
		}
		*x.to = re
	}
	if r.Text != "" {
		var err error
		if r.text, err = newFinder("(?is)" + r.Text); err != nil {
			return err
		}
	}
	if !slices.Contains([]ruling{taken, refused, notTested, deferred, broken}, r.Verdict) {
		return fmt.Errorf("%q is no verdict", r.Verdict)
	}
	if !slices.Contains([]remedy{"", useTLS, otherHelo, otherSender, alone, later, tellProxy}, r.Again) {
		return fmt.Errorf("%q is nothing to do again", r.Again)
	}
	return nil
}

// told is a reply as the rules look at it.
type told struct {
	at, code, enhanced string
	text, lower        string
	ascii              bool
	foreign            bool
}

func (r *replyRule) fits(t told) bool {
	return (len(r.At) == 0 || slices.Contains(r.At, t.at)) &&
		(r.Foreign == nil || *r.Foreign == t.foreign) &&
		(r.code == nil || r.code.MatchString(t.code)) &&
		(r.enhanced == nil || r.enhanced.MatchString(t.enhanced)) &&
		(r.text == nil || r.text.may(t.lower, t.ascii) && r.text.MatchString(t.text))
}

// rule returns what a reply to a command means. A reply that no rule knows (1yz, 3yz) says nothing.
func (t *tables) rule(at string, reply Reply, foreign bool) replyRule {
	reply.Lines = slices.Clone(reply.Lines)
	for i, line := range reply.Lines { // what the server repeats of an address is no word of its own
		reply.Lines[i] = ownWords.ReplaceAllString(line, "x")
	}
	say := told{at: at, code: strconv.Itoa(reply.Code), enhanced: reply.Enhanced, text: reply.text(), foreign: foreign}
	say.lower, say.ascii = folded(say.text)
	for i := range t.replies {
		if t.replies[i].fits(say) {
			return t.replies[i]
		}
	}
	return replyRule{Verdict: broken, Why: "no reply that belongs here"}
}
