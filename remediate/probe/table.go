package probe

import (
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/BurntSushi/toml"
)

//go:embed replies.toml
var repliesTOML string

//go:embed products.toml
var productsTOML string

// tables are what replies mean and which products show themselves how: data, read once for each listener.
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

	code, enhanced, text *regexp.Regexp
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
)

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
	}{{&r.code, r.Code}, {&r.enhanced, r.Enhanced}, {&r.text, r.Text}} {
		if x.text == "" {
			continue
		}
		re, err := regexp.Compile("(?is)" + x.text)
		if err != nil {
			return err
		}
		*x.to = re
	}
	if !slices.Contains([]ruling{taken, refused, notTested, deferred, broken}, r.Verdict) {
		return fmt.Errorf("%q is no verdict", r.Verdict)
	}
	if !slices.Contains([]remedy{"", useTLS, otherHelo, otherSender, alone, later}, r.Again) {
		return fmt.Errorf("%q is nothing to do again", r.Again)
	}
	return nil
}

func (r *replyRule) fits(at string, reply Reply, foreign bool) bool {
	return (len(r.At) == 0 || slices.Contains(r.At, at)) &&
		(r.Foreign == nil || *r.Foreign == foreign) &&
		(r.code == nil || r.code.MatchString(strconv.Itoa(reply.Code))) &&
		(r.enhanced == nil || r.enhanced.MatchString(reply.Enhanced)) &&
		(r.text == nil || r.text.MatchString(reply.text()))
}

// rule returns what a reply to a command means. A reply that no rule knows (1yz, 3yz) says nothing.
func (t *tables) rule(at string, reply Reply, foreign bool) replyRule {
	reply.Lines = slices.Clone(reply.Lines)
	for i, line := range reply.Lines { // what the server repeats of an address is no word of its own
		reply.Lines[i] = ownWords.ReplaceAllString(line, "x")
	}
	for _, r := range t.replies {
		if r.fits(at, reply, foreign) {
			return r
		}
	}
	return replyRule{Verdict: broken, Why: "no reply that belongs here"}
}
