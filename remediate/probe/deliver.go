package probe

import (
	"context"
	"slices"
	"strings"
	"time"
)

// deliver sends one message in each form that was taken, or may have been, to the address that the caller named, and waits for them to arrive.
func (a *asker) deliver(ctx context.Context) {
	user, domain, ok := cutAddress(a.c.Deliver)
	if !ok || !a.c.Relay {
		return
	}
	var sent []string
	for i := range a.cases {
		k := &a.cases[i]
		if !k.Verdict.Open() && k.Verdict != Unproven || slices.Contains(sent, k.Form) || ctx.Err() != nil {
			continue
		}
		sent = append(sent, k.Form)
		a.send(ctx, k, user, domain)
	}
	a.await(ctx)
}

func cutAddress(s string) (user, domain string, ok bool) {
	i := strings.LastIndex(s, "@")
	if i < 1 || i == len(s)-1 || strings.ContainsAny(s, "\r\n<> ") {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

// send does a case once more with the caller's address, and this time hands over a message.
func (a *asker) send(ctx context.Context, k *asked, user, domain string) {
	s := &slot{}
	defer s.drop()
	var probe asked
	c, ok := a.ready(ctx, s, k.question, try{helo: k.Helo, tls: k.TLS && !a.l.TLS, as: k.question.as}, &probe)
	if !ok {
		k.Why += "; no message could be sent: " + probe.Why
		return
	}
	for _, command := range k.question.prelude {
		if reply, err := c.say(command); err != nil || !reply.good() {
			a.unsent(k, command, reply, err, c)
			return
		}
	}
	word := token()
	for _, step := range []struct {
		command string
		code    int
	}{{"MAIL FROM:<" + k.Sender + ">", 2}, {k.question.rcptCommand(user, domain), 2}, {"DATA", 3}} {
		if reply, err := c.say(step.command); err != nil || reply.Code/100 != step.code {
			a.unsent(k, step.command, reply, err, c)
			return
		}
	}
	reply, err := c.send(a.message(k, word, user+"@"+domain), sentMessage)
	if err != nil || !reply.good() {
		a.unsent(k, sentMessage, reply, err, c)
		return
	}
	k.Dialogue = append(k.Dialogue, c.log...)
	k.Token = word
	k.Why += "; accepts a message, delivery unproven: " + reply.String()
}

// sentMessage stands for a message among the commands of a dialogue.
const sentMessage = "(message)"

// unsent records that the server took the recipient and not the message. That is a refusal only where it is about relaying: a filter that dislikes a
// test's text may let another's pass.
func (a *asker) unsent(k *asked, command string, reply Reply, err error, c *client) {
	k.Dialogue = append(k.Dialogue, c.log...)
	if err == nil && reply.Code/100 == 5 && (command == "DATA" || command == sentMessage) {
		k.Verdict = Unproven
		if rule := a.tables.rule("DATA", reply, true); rule.Verdict == refused && rule.Why != "" { // in so many words
			k.Verdict = Refused
		}
		k.Why = "the recipient was taken and the message refused: " + reply.String()
		return
	}
	k.Why += "; no message could be sent: " + command + ": " + c.heard(reply, err)
}

// message is the text of a message that says what it is, up to the closing dot.
func (a *asker) message(k *asked, word, to string) string {
	from := k.Sender
	if !strings.Contains(from, "@") {
		from = senderUser + "@" + a.matrix().third
	}
	return strings.Join([]string{
		"From: <" + from + ">", "To: <" + to + ">", "Subject: relay test " + word,
		"Date: " + time.Now().UTC().Format(time.RFC1123Z), "Message-ID: <" + word + "@probe.invalid>", "Auto-Submitted: auto-generated", "",
		"This message tests whether the mail server " + a.l.Addr.String() + " sends mail on for strangers.",
		"Form: " + k.Form, "Token: " + word, ".",
	}, "\r\n")
}

// arrivalPoll is how often arrival is looked for.
const arrivalPoll = 2 * time.Second

// await looks for the messages that were sent until all have come or the time is out.
func (a *asker) await(ctx context.Context) {
	if a.c.Arrived == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, a.c.Wait)
	defer cancel()
	for {
		open := 0
		for i := range a.cases {
			k := &a.cases[i]
			if k.Token == "" || k.Verdict == Proven {
				continue
			}
			there, err := a.c.Arrived(ctx, k.Token)
			if err != nil {
				a.report.Notes = append(a.report.Notes, "cannot look for the messages: "+err.Error())
				return
			}
			if there {
				k.Verdict = Proven
				k.Why = strings.Replace(k.Why, "delivery unproven", "and it arrived", 1)
				continue
			}
			open++
		}
		if open == 0 || !pause(ctx, arrivalPoll) {
			return
		}
	}
}
