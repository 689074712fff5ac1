package postfix

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
	"mtaharden/remediate/remote"
)

//go:embed prove.sh
var proveScript string

// Bounds of what the daemons of a stage are asked.
const (
	maxDialogues  = 400
	secondsProved = 100
	fieldMark     = "\x1f"
)

// prove is the sh that puts the questions of every listener to the daemons of a stage, where each takes XCLIENT (XCLIENT_README): what a
// client would be answered is then the daemon's own word. It needs bash, whose /dev/tcp is the one TCP client that every such host has.
func prove(_ *facts.Snapshot, c *mta.Config) string {
	m, ok := c.Model.(*model)
	if !ok {
		return ""
	}
	var lines []string
	for _, l := range m.listeners {
		for _, q := range m.provable(l, c.Trusted) {
			if d := m.dialogueOf(q, l); len(lines) < maxDialogues && !strings.ContainsAny(strings.Join(d, ""), fieldMark+"\r\n\x00") {
				lines = append(lines, strings.Join(d, fieldMark))
			}
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return "if mh_has bash; then\nmh_ask " + remote.Quote("postfix:"+m.dir+":proved") + fmt.Sprintf(" %d \"$mh_path\" -c %s <<'DIALOGUES'\n", secondsProved, remote.Quote(proveScript)) +
		strings.Join(lines, "\n") + "\nDIALOGUES\nfi\n"
}

// provable are the questions that a daemon on the loopback interface can be asked in a client's name: those of a client that gets as far as the
// listener, by the listener's own protocol.
func (m *model) provable(l listener, trusted []mta.Trust) []judge.Question {
	if l.smtpd == nil {
		return nil
	}
	if name, _ := m.upstream(l); name != "" {
		return nil // it waits for a proxy's header
	}
	asker := m.asker(l)
	var out []judge.Question
	for _, q := range asker.questions(trusted) {
		switch {
		case q.Verb != judge.Rcpt && q.Verb != judge.Banner && q.Verb != judge.Auth:
		case !asker.reach() && q.Class == judge.Outside, !sameProtocol(q.ClientAddr, l.addr):
		default:
			out = append(out, q)
		}
	}
	return out
}

// sameProtocol says whether a client's address is of the listener's protocol.
func sameProtocol(client, listener string) bool {
	host, _, err := net.SplitHostPort(listener)
	a, errA := netip.ParseAddr(client)
	b, errB := netip.ParseAddr(host)
	return err == nil && errA == nil && errB == nil && a.Is4() == b.Is4()
}

// questionKey names a question in a line of the transcript.
func questionKey(q judge.Question) string {
	data, err := json.Marshal(q)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:10])
}

// dialogueOf are the fields of one dialogue.
func (m *model) dialogueOf(q judge.Question, l listener) []string {
	host, port, err := net.SplitHostPort(l.addr)
	if err != nil {
		return []string{"\n"}
	}
	switch host {
	case "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	mode := "plain"
	switch {
	case m.yes("smtpd_tls_wrappermode", l.front):
		mode = "wrapper"
	case q.TLS:
		mode = "starttls"
	}
	return append([]string{questionKey(q), host, port, mode}, commandsOf(q)...)
}

// commandsOf are the commands of a question: who asks, by XCLIENT, and what.
func commandsOf(q judge.Question) []string {
	if q.Verb == judge.Banner {
		return nil
	}
	name, addr := q.ClientName, q.ClientAddr
	if name == "" {
		name = "[UNAVAILABLE]"
	}
	if strings.Contains(addr, ":") {
		addr = "IPV6:" + addr
	}
	x := "XCLIENT NAME=" + name + " REVERSE_NAME=" + name + " ADDR=" + addr
	if q.User != "" {
		x += " LOGIN=" + q.User
	}
	helo := q.Helo
	if helo == "" {
		helo = "probe.invalid"
	}
	out := []string{x, "EHLO " + helo}
	if q.Verb == judge.Rcpt {
		out = append(out, "MAIL FROM:<"+q.Sender+">", "RCPT TO:<"+q.Recipient+">", "DATA")
	}
	return out
}

// proved are the daemons' answers, where the snapshot holds them; says is what the configuration answers to the same questions.
func (m *model) proved(trusted []mta.Trust, says []judge.Answer) []judge.Answer {
	out, ok := m.snap.Output("postfix:" + m.dir + ":proved")
	if !ok {
		return nil
	}
	lines := map[string][]string{}
	for line := range strings.Lines(string(out.Stdout)) {
		if w := strings.SplitN(strings.TrimRight(line, "\r\n"), "\t", 3); len(w) == 3 {
			lines[w[0]] = w[1:]
		}
	}
	var answers []judge.Answer
	for _, l := range m.listeners {
		for _, q := range m.provable(l, trusted) {
			if w, ok := lines[questionKey(q)]; ok {
				a := m.heard(q, l, w[0], w[1], says)
				answers = append(answers, unproven(a, trusted))
			}
		}
	}
	return answers
}

// heard makes an answer of how a dialogue ended. What a daemon of the stage puts off says nothing: no DNS, policy service or milter is in reach
// there. A recipient in a routed form that is taken may be the host's own: then the configuration says where the mail goes.
func (m *model) heard(q judge.Question, l listener, step, reply string, says []judge.Answer) judge.Answer {
	a := judge.Answer{Question: q, Judge: judge.MTA, Outcome: judge.CannotTell, Text: facts.Printable(reply)}
	code := ""
	if len(reply) >= 3 && strings.Trim(reply[:3], "0123456789") == "" {
		code = reply[:3]
	}
	switch {
	case step == "connect", step == "greeting" && code == "":
		a.Outcome = judge.Dead
		if m.needsOthers(l) {
			a.Outcome, a.Text = judge.CannotTell, "it does not greet in the stage, where its authentication service is out of reach"
		}
	case step == "greeting" || step == "tls" || step == "1":
		a.Text = "the stage's own client is refused: " + a.Text
	case q.Verb == judge.Banner:
		a.Outcome = judge.Refused
		if word := leaks(strings.TrimPrefix(reply, code+" "), m); word != "" {
			a.Outcome, a.Text = judge.Disclosed, a.Text+" (it names "+word+")"
		}
	case q.Verb == judge.Auth && step == "end":
		a.Outcome, a.Text = judge.Refused, "AUTH is not offered without TLS"
		if slices.Contains(strings.Fields(strings.ReplaceAll(strings.ToUpper(reply), "=", " ")), "AUTH") {
			a.Outcome, a.Text = judge.Disclosed, "AUTH is offered without TLS"
		}
	case q.Verb == judge.Rcpt && (strings.HasPrefix(code, "5") || strings.HasPrefix(reply, "454") && strings.Contains(reply, "elay access denied")):
		a.Outcome = judge.Refused
	case q.Verb == judge.Rcpt && step == "end":
		a.Outcome = m.taken(q, l, says)
	case strings.HasPrefix(code, "4"):
		a.Text = "put off in the stage, where no DNS and no other service is in reach: " + a.Text
	}
	return a
}

// taken says what becomes of mail that smtpd took.
func (m *model) taken(q judge.Question, l listener, says []judge.Answer) judge.Outcome {
	if m.value("smtpd_end_of_data_restrictions", l.smtpd) != "" {
		return judge.CannotTell
	}
	for _, s := range says {
		if s.Question == q && (s.Outcome == judge.Delivered || s.Outcome == judge.CannotTell) {
			return s.Outcome
		}
	}
	if q.Form == "local" {
		return judge.Delivered
	}
	return judge.Relayed
}

// needsOthers says whether smtpd ends at once where an authentication service on a TCP port is out of reach.
func (m *model) needsOthers(l listener) bool {
	return l.smtpd != nil && m.yes("smtpd_sasl_auth_enable", l.smtpd) && strings.HasPrefix(m.value("smtpd_sasl_path", l.smtpd), "inet:")
}
