package ssh

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// login is the course of one authentication.
type login struct {
	t         Target
	ctx       context.Context // of this login
	ring      *keyring
	conn      *watched
	begun     bool     // the host key was accepted and the server has named its methods
	allowed   []string // what the server last said it takes
	partial   []string // what it took so far and found not enough
	questions int
	banner    string // what it last said to people
	keysSent  bool
	offered   int // how many of the ring's keys are behind us
	pwSent    bool
	answered  bool   // a person's answer was sent
	told      bool   // that banner came in answer to a password or to such an answer
	asked     string // a question that could not be answered
	err       error  // why no password could be given
	person    string // what a person had to do
	admitted  bool   // the gate was passed
	denied    error  // why it was not

	clockMu   sync.Mutex
	clock     *time.Timer   // ends the login
	phase     int           // inBanner, …
	limit     time.Duration // of the phase
	until     time.Time     // when it is over
	hostKey   string        // that the host has shown
	untrusted error         // why it is not trusted
}

// errRefused ends an authentication when nothing is left to offer; refusal says the rest.
var errRefused = errors.New("nothing left to offer")

// next chooses what is offered next: keys, then the password, each once. A password refused is not sent a second time by another method: an account
// may be locked after a few wrong ones.
func (l *login) next(c *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	l.begun, l.allowed, l.partial = true, c.AllowedMethods, c.PartialSuccessMethods
	if err := l.conn.why(); err != nil {
		return nil, err
	}
	l.t.tracef("the host takes %s", strings.Join(c.AllowedMethods, ", "))
	may := func(method string) bool {
		return contains(c.AllowedMethods, method) && !contains(c.TriedMethods, method) && !contains(c.PartialSuccessMethods, method)
	}
	switch {
	case contains(c.AllowedMethods, "publickey") && l.more():
		if err := l.gate(); err != nil {
			return nil, err
		}
		l.keysSent = true
		return ssh.PublicKeysCallback(l.signers), nil
	case may("password") && l.t.Password != nil && !l.pwSent && l.err == nil:
		return ssh.PasswordCallback(l.password), nil
	case may("keyboard-interactive") && (l.t.Password != nil && !l.pwSent || l.attended()):
		return ssh.KeyboardInteractive(l.answer), nil
	}
	return nil, errRefused
}

// attended says whether a person is asked what the host wants to know: where one is there, and the host wants it beside what it took, or
// takes nothing else. A fleet that merely lacks a key asks nobody a hundred times.
func (l *login) attended() bool {
	only := len(l.allowed) == 1 && l.allowed[0] == "keyboard-interactive"
	return l.t.Answer != nil && (len(l.partial) > 0 || l.pwSent || only)
}

// more reports whether there are keys that were not offered: all of them at first; later those after one that could not sign, or that the host
// took and found not enough. A round in which the host knew no key is the last one.
func (l *login) more() bool {
	if !l.keysSent {
		return len(l.ring.keys) > 0
	}
	last := -1
	for i, k := range l.ring.keys {
		if k.asked {
			last = i
		}
	}
	if last < l.offered {
		return false
	}
	l.offered = last + 1
	return l.offered < len(l.ring.keys)
}

func (l *login) signers() ([]ssh.Signer, error) {
	var list []ssh.Signer
	for _, k := range l.ring.keys[l.offered:] {
		l.t.tracef("offering %s", k)
		list = append(list, limited(k, l.t.Algorithms.PublicKeys))
		k.login = l
	}
	return list, nil
}

func (l *login) password() (string, error) {
	pw, err := l.t.Password()
	if err == nil {
		err = l.gate()
	} else {
		l.err = err
	}
	if err != nil {
		return "", err
	}
	l.pwSent = true
	l.t.tracef("offering the password")
	return pw, nil
}

// maxQuestions bounds what a person is asked in one login.
const maxQuestions = 8

// answer gives the password to the one question that can be one: not echoed, and asked once. Whatever else the host asks is a person's. What comes without
// a question is for people, as a banner is: PAM says there why an account may not log in.
func (l *login) answer(_, instruction string, questions []string, echo []bool) ([]string, error) {
	if instruction = strings.TrimSpace(instruction); instruction != "" {
		l.banner, l.told = clean(instruction), l.pwSent || l.answered
		l.t.tracef("the host says: %s", instruction)
	}
	var answers []string
	for i, q := range questions {
		given, err := l.answerTo(q, echo[i], len(questions))
		if err != nil {
			return nil, err
		}
		answers = append(answers, given)
	}
	return answers, nil
}

// oneTime says whether a question is for what serves once, as pam_oath, pam_google_authenticator, SecurID and Duo ask for it: a password is the wrong answer.
func oneTime(question string) bool {
	question = strings.ToLower(question)
	return slices.ContainsFunc([]string{"one-time", "one time", "otp", "verification code", "passcode", "token"}, func(w string) bool { return strings.Contains(question, w) })
}

func (l *login) answerTo(question string, echo bool, of int) (string, error) {
	person := l.attended() || l.t.Answer != nil && of > 1
	secret := strings.Contains(strings.ToLower(question), "password") || !person && of == 1
	switch {
	case secret && !oneTime(question) && !echo && !l.pwSent && l.t.Password != nil:
		return l.password()
	case !person || l.questions >= maxQuestions:
		l.asked = clean(question)
		return "", errors.New("a question that has no answer here")
	}
	if err := l.gate(); err != nil {
		return "", err
	}
	l.questions++
	l.person = "answer " + strconv.Quote(clean(strings.TrimSpace(question)))
	l.patience()
	given, err := l.t.Answer(clean(question), echo)
	l.err = err
	l.answered = l.answered || err == nil
	return given, err
}

// unable reports whether it is this machine that has failed: a key that the host knows did not sign, a password or an answer could not be had. The host then
// has refused nothing but keys that it does not know: no password, no answer and no signature.
func (l *login) unable() bool {
	unsigned := slices.ContainsFunc(l.ring.keys, func(k *credential) bool { return k.err != nil })
	return (unsigned || l.err != nil) && !l.pwSent && !l.answered && !l.signed()
}

// signed reports whether the host got the signature of a key that it knows, and that key was not one of several things that it wants.
func (l *login) signed() bool {
	return !contains(l.partial, "publickey") && slices.ContainsFunc(l.ring.keys, func(k *credential) bool { return k.asked && k.err == nil })
}

// notYet reports whether the host is booting or going down: pam_nologin(8) lets root in alone then, and the same login may succeed in a moment. It is asked after the
// credential was found right: sshd sends its words then and hangs up, or refuses where they came by keyboard-interactive. An account that has expired
// or is not for that host ends just so, with PAM's words for it or with none. Only systemd's own words tell one from the other: an /etc/nologin that a person wrote is
// a refusal therefore, and shown.
func (l *login) notYet(err error) bool {
	if !l.told && !(hungUp(err) && (l.signed() || l.pwSent || len(l.partial) > 0)) {
		return false
	}
	return nologin(l.banner)
}

// nologin reports whether these are the words of systemd alone, today's or those of its first years: who has
// another reason beside them is refused for that one, too.
func nologin(said string) bool {
	return slices.ContainsFunc([]string{"pam_nologin(8).", "pam_nologin(8)", "ystem is booting up.", "ystem is going down."}, func(end string) bool { return strings.HasSuffix(strings.TrimSpace(said), end) })
}

// refusal says why nothing that was offered let us in.
func (l *login) refusal() error {
	parts := l.keysRefused()
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if len(l.ring.keys) == 0 && l.t.Password == nil {
		add("there was no key to offer and no password")
	} else if len(l.ring.keys) == 0 && contains(l.allowed, "publickey") && !l.pwSent {
		add("there was no key to offer")
	}
	switch {
	case l.err != nil:
		add("no password: %v", l.err)
	case l.asked != "":
		add("the host asks %q", l.asked)
	case l.pwSent:
		add("the host refused the password")
	}
	if l.told {
		add("it said %q", l.banner)
	}
	if l.t.Password == nil && l.t.NoPassword != "" && (contains(l.allowed, "password") || contains(l.allowed, "keyboard-interactive")) {
		add("%s", l.t.NoPassword)
	}
	if len(l.ring.keys) == 0 && len(l.ring.none) > 0 {
		add("no such file: %s", strings.Join(l.ring.none, ", "))
	}
	parts = append(parts, l.ring.notes...)
	if len(l.allowed) > 0 {
		add("the host takes %s", strings.Join(l.allowed, ", "))
	}
	return fmt.Errorf("user %s: %s", l.t.User, strings.Join(parts, "; "))
}

// keysRefused says of the keys offered why none let us in.
func (l *login) keysRefused() []string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	for _, k := range l.ring.keys {
		if k.err != nil {
			add("%s could not sign: %v", k, k.err)
		} else if k.asked && contains(l.partial, "publickey") {
			add("the host took %s and wants more", k)
		} else if k.asked {
			add("the host knows %s but did not let it in", k)
			if l.banner != "" {
				add("it said %q", l.banner)
			}
		}
	}
	if l.keysSent && len(parts) == 0 {
		names := make([]string, len(l.ring.keys))
		for i, k := range l.ring.keys {
			names[i] = k.String()
		}
		add("the host accepts none of the keys offered: %s", strings.Join(names, ", "))
	}
	for _, k := range l.ring.keys {
		if cert, ok := k.PublicKey().(*ssh.Certificate); ok && !k.asked && l.keysSent {
			if why := principals(cert, l.t.User); why != "" {
				add("%s: %s", describeCertificate(cert, k.from), why)
			}
		}
	}
	return parts
}

// tooMany reports whether a host ended the login because of too many tries, and says what to do about it.
func tooMany(err error) string {
	if err == nil || !strings.Contains(err.Error(), "Too many authentication failures") {
		return ""
	}
	return " (it bears fewer wrong tries than sshd's usual six: name the right key first, by identity or IdentitiesOnly)"
}
