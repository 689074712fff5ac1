package exim

import (
	"strconv"
	"strings"
)

// exchange is one command of a `-bh` session and what Exim replied.
type exchange struct {
	Form    string // the form that was being tried
	Sender  string
	Command string
	Reply   string // its last line, "250 Accepted"; "" where the session had ended
	Lines   []string
	Trace   []string // what Exim told of the ACL that ran
	Log     string   // what it would have logged of a refusal
}

// code is the reply's code, 0 where there is none.
func (x exchange) code() int {
	if len(x.Reply) < 3 {
		return 0
	}
	n, err := strconv.Atoi(x.Reply[:3])
	if err != nil {
		return 0
	}
	return n
}

// session is one process of `exim -bh`.
type session struct {
	Client    string
	User      string // who it said had logged in (-oMai), "" for nobody
	TLS       bool   // the dialogue was spoken within TLS
	Listener  string // "ADDR.PORT" as given to -oMi, "" for none
	Banner    string
	Exchanges []exchange
	Failure   string // what Exim said where it did not begin a session
}

// stages says which ACLs the configuration has for what comes before RCPT.
type stages struct{ connect, helo, mail bool }

// parseSession joins the dialogue that was sent with the replies (stdout) and the trace (stderr). asked is
// "CLIENT[,user=NAME][,tls] LISTENER COMMAND|=FORM|COMMAND|…" as the collector noted it.
func parseSession(asked string, stdout, stderr []byte, acls stages) session {
	var s session
	var rest string
	s.Client, rest, _ = strings.Cut(asked, " ")
	client, options, _ := strings.Cut(s.Client, ",")
	s.Client = client
	for _, o := range strings.Split(options, ",") {
		s.TLS = s.TLS || o == "tls"
		if user, ok := strings.CutPrefix(o, "user="); ok {
			s.User = user
		}
	}
	s.Listener, rest, _ = strings.Cut(rest, " ")
	if s.Listener == "-" {
		s.Listener = ""
	}
	form, sender := "", ""
	for _, word := range strings.Split(rest, "|") {
		switch {
		case word == "":
		case word[0] == '=':
			form = word[1:]
		default:
			if from, ok := strings.CutPrefix(word, "MAIL FROM:<"); ok {
				sender = strings.TrimSuffix(from, ">")
			}
			s.Exchanges = append(s.Exchanges, exchange{Form: form, Sender: sender, Command: word})
		}
	}
	replies := repliesOf(string(stdout))
	if len(replies) == 0 {
		s.Failure = firstLine(string(stderr), string(stdout))
		return s
	}
	s.Banner = strings.Join(replies[0], "\n")
	for i := range s.Exchanges {
		if i+1 < len(replies) {
			s.Exchanges[i].Lines = replies[i+1]
			s.Exchanges[i].Reply = replies[i+1][len(replies[i+1])-1]
		}
	}
	s.trace(string(stderr), acls)
	s.logs(string(stderr))
	return s
}

// logs gives each RCPT that was refused behind the parser its log lines. They come in order; where the counts differ none is given.
func (s *session) logs(stderr string) {
	var told []string
	var lines []string
	for _, line := range strings.Split(stderr, "\n") {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "LOG: ")
		if !ok {
			continue
		}
		lines = append(lines, rest)
		if strings.Contains(rest, "rejected RCPT") {
			told, lines = append(told, strings.Join(lines, "; ")), nil
		}
	}
	var refused []*exchange
	for i := range s.Exchanges {
		x := &s.Exchanges[i]
		if c := x.code(); strings.HasPrefix(x.Command, "RCPT") && c >= 400 && c != 500 && c != 501 && c != 503 && c != 421 {
			refused = append(refused, x)
		}
	}
	if len(told) == len(refused) {
		for i, x := range refused {
			x.Log = told[i]
		}
	}
}

// misconfigured says whether a log line tells of a mistake in the configuration, not of a name server or a service that is away.
func misconfigured(log string) bool {
	for _, away := range []string{"defer", "timed out", "connect", "verify"} {
		if strings.Contains(log, away) {
			return false
		}
	}
	for _, mistake := range []string{"unknown ACL", "unknown named", "failed to expand", "error in ACL", "unknown condition", "missing"} {
		if strings.Contains(log, mistake) {
			return true
		}
	}
	return false
}

// repliesOf cuts the output into replies; lines that are none (the notice at the start) are passed over.
func repliesOf(out string) [][]string {
	var replies [][]string
	var now []string
	for _, line := range strings.Split(out, "\n") {
		line = strings.TrimRight(line, "\r")
		if len(line) < 3 || strings.Trim(line[:3], "0123456789") != "" {
			continue
		}
		now = append(now, line)
		if len(line) == 3 || line[3] != '-' {
			replies = append(replies, now)
			now = nil
		}
	}
	return replies
}

func firstLine(texts ...string) string {
	for _, t := range texts {
		for _, line := range strings.Split(t, "\n") {
			line = strings.TrimSpace(line)
			if line != "" && !strings.HasPrefix(line, ">>>") && !strings.HasPrefix(line, "****") {
				return line
			}
		}
	}
	return "it said nothing"
}

// trace gives each MAIL, RCPT, VRFY and EXPN its part of what Exim told of its ACLs. Replies and trace come on different streams, so
// they are joined by order: every command that reaches an ACL begins one group. Where the counts differ nothing is joined.
func (s *session) trace(stderr string, acls stages) {
	groups := groupsOf(stderr)
	var reach []*exchange
	if acls.connect {
		reach = append(reach, &exchange{})
	}
	for i := range s.Exchanges {
		x := &s.Exchanges[i]
		verb, _ := cutWord(x.Command)
		switch c := x.code(); {
		case c == 0 || c == 500 || c == 501 || c == 503 || c == 504 || c == 421:
		case verb == "RCPT" || verb == "VRFY" || verb == "EXPN", verb == "MAIL" && acls.mail, verb == "EHLO" && acls.helo:
			reach = append(reach, x)
		}
	}
	if len(groups) == len(reach) {
		for i, x := range reach {
			x.Trace = groups[i]
		}
	}
}

// groupsOf cuts a trace at the ACLs that were begun for a command. Exim indents what a called ACL says, and 4.98 goes on indenting
// after a name that DNS does not know: so the depth is counted.
func groupsOf(stderr string) [][]string {
	var groups [][]string
	depth := 0
	for _, line := range strings.Split(stderr, "\n") {
		if strings.HasPrefix(line, ">>> using ACL ") || strings.HasPrefix(line, ">>> ACL is NULL") {
			depth = 0
		}
		text := unmarked(line)
		if depth == 0 && (strings.HasPrefix(text, "using ACL ") || strings.HasPrefix(text, "ACL is NULL")) {
			groups = append(groups, nil)
		}
		depth = max(depth+nesting(text), 0)
		if len(groups) > 0 && (strings.HasPrefix(line, ">>>") || strings.HasPrefix(line, "LOG:")) {
			groups[len(groups)-1] = append(groups[len(groups)-1], line)
		}
	}
	return groups
}

// unmarked is a line of a trace without its mark and indentation, in which 4.98 draws a line every four steps ("!" without UTF-8).
func unmarked(line string) string { return strings.Trim(strings.TrimPrefix(line, ">>>"), " \t\r!╎") }

// nesting is 1 for a line that begins an ACL and -1 for one that ends it. One that ends with a temporary error says no more than that a
// condition deferred.
func nesting(text string) int {
	switch {
	case strings.HasPrefix(text, "using ACL "):
		return 1
	case strings.HasPrefix(text, "end of ACL "), strings.Contains(text, ": endpass encountered"), strings.Contains(text, ": condition test deferred in ") && !strings.HasPrefix(text, "warn:"):
		return -1
	}
	return 0
}

// decision is the verb that ended the outermost ACL of a trace: its place, and what was verified last, where verifying decided.
type decision struct {
	at     place
	verb   string
	verify string // recipient, sender, helo …: the last condition that was looked at was verify
	passed bool   // the outermost ACL accepted
	failed bool   // a router said no in so many words (:fail:)
	lost   string // sender, helo …: what was verified in a block before, and was not met for that
}

func decide(trace []string) decision {
	var d decision
	depth, negated := 0, false
	for _, line := range trace {
		text := unmarked(line)
		depth += nesting(text)
		switch {
		case strings.HasPrefix(text, "processing \"") && depth <= 1:
			d = decision{lost: d.lost}
			rest := strings.TrimPrefix(text, "processing \"")
			d.verb, rest, _ = strings.Cut(rest, "\"")
			rest = strings.TrimSuffix(strings.TrimSpace(rest), ")")
			if i := strings.LastIndex(rest, " "); i > 0 {
				d.at.Line, _ = strconv.Atoi(rest[i+1:])
				d.at.File = strings.TrimPrefix(rest[:i], "(")
			}
		case strings.HasPrefix(text, "accept: condition test yielded \"discard\"") && depth <= 1:
			d.verb = "discard" // an ACL that was called said so
		case strings.HasPrefix(text, "end of ACL ") && depth <= 0:
			d.passed = strings.HasSuffix(strings.TrimSpace(text), ": ACCEPT")
		case strings.HasPrefix(text, "check dnssec"): // a router's own
		case strings.HasPrefix(text, "check "):
			d.verify = ""
			if _, what, ok := strings.Cut(text, "verify = "); ok {
				d.verify, _, _ = strings.Cut(what, "/")
				d.verify = strings.TrimSpace(d.verify)
			}
			negated = strings.HasPrefix(strings.TrimSpace(strings.TrimPrefix(text, "check ")), "!")
		case strings.Contains(text, ": condition test failed in ") && d.verify != "" && !negated && d.lost == "":
			d.lost = d.verify
		case d.verify != "" && strings.Contains(text, "forced address failure"), d.verify != "" && strings.Contains(text, "router forced"):
			d.failed = true
		}
	}
	return d
}
