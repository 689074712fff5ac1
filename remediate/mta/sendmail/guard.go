package sendmail

import (
	"fmt"
	"slices"
	"strings"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// guardFix is the name of the fix that puts a block of rules at the head of SLocal_check_rcpt in a .cf that is its own source.
const guardFix = "cf:Local_check_rcpt"

// guardHead are the first rules of the block: who is this machine itself, in a network of class R, or logged in by a trusted mechanism may go on.
// Its marks are words that no map gives and no address holds in that place.
const guardHead = `# What is neither for this host nor from a declared relay network, this machine or a login is refused here.
R$*	$: $&{client_addr} $| $&{auth_type} $| $1
R$| $* $| $*	$: <guard_ok> $2
R0 $| $* $| $*	$: <guard_ok> $2
R127.0.0.1 $| $* $| $*	$: <guard_ok> $2
RIPv6:0:0:0:0:0:0:0:1 $| $* $| $*	$: <guard_ok> $2
RIPv6:::1 $| $* $| $*	$: <guard_ok> $2
R$=R $* $| $* $| $*	$: <guard_ok> $4
R$* $| $={TrustAuthMech} $| $*	$: <guard_ok> $3
`

// guardTail are the last ones: clients by name, then the recipient, which ruleset 3 has put into its form (op.me 5.1): to a name of this host
// (class w), one of its virtual domains or a declared relay domain, and not through it: no operator of a route stands in what is left of the
// address, nor within quotes there (map dequote, which every .cf of sendmail's own has).
const guardTail = `R$* $| $* $| $*	$: <$&{client_resolve}> <$&{client_name}> $| $3
R<OK> <$* $=R> $| $*	$: <guard_ok> $3
R<$*> <$*> $| $*	$: <guard_no> $3
R<guard_no> $*	$: <guard_to> $1 $| $>3 $1
R<guard_to> $* $| $* < @ $=w . >	$: <guard_local> $1 $| $2
R<guard_to> $* $| $* < @ $=w >	$: <guard_local> $1 $| $2
R<guard_to> $* $| $* < @ $={VirtHost} . >	$: <guard_local> $1 $| $2
R<guard_to> $* $| $* < @ $* $=R . >	$: <guard_local> $1 $| $2
R<guard_to> $* $| $* < @ $* >	$#error $@ 5.7.1 $: "550 Relaying denied"
R<guard_to> $* $| $*	$: <guard_local> $1 $| $2
R<guard_local> $* $| $-	$: <guard_local> $1 $| $(dequote $2 $)
R<guard_local> $* $| $* % $*	$#error $@ 5.7.1 $: "550 Relaying denied"
R<guard_local> $* $| $* ! $*	$#error $@ 5.7.1 $: "550 Relaying denied"
R<guard_local> $* $| $* @ $*	$#error $@ 5.7.1 $: "550 Relaying denied"
R<guard_local> $* $| $*	$: <guard_ok> $1
R<guard_ok> $*	$: $1
`

// guardAccess are the rules between: the address and its networks in the access database, with the tag and without, the longest first.
func guardAccess() string {
	var b strings.Builder
	keys := []string{"$1.$2.$3.$4", "$1.$2.$3", "$1.$2", "$1"}
	found := "<?> "
	for i, key := range keys {
		for _, tag := range []string{"Connect:", ""} {
			lead := found
			if i == 0 && tag != "" {
				lead = ""
			}
			fmt.Fprintf(&b, "R%s$-.$-.$-.$- $| $* $| $*\t$: <$(access %s%s $: ? $)> $1.$2.$3.$4 $| $5 $| $6\n", lead, tag, key)
		}
	}
	b.WriteString("R<RELAY> $* $| $* $| $*\t$: <guard_ok> $3\nR<$*> $* $| $* $| $*\t$: $2 $| $3 $| $4\n")
	return b.String()
}

// guardBlock is the block for this configuration; an error says why there is none.
func (m *model) guardBlock() (string, error) {
	no := func(why string) (string, error) {
		return "", fmt.Errorf("cannot close the rulesets of %s by a block in SLocal_check_rcpt: %s", m.cf.path, why)
	}
	called := slices.ContainsFunc(m.cf.rulesets[m.rule], func(r cfRule) bool { return strings.Contains(r.rhs, "Local_check_rcpt") })
	obeyed := slices.ContainsFunc(m.cf.rulesets[m.rule], func(r cfRule) bool { return strings.HasPrefix(r.lhs, "$* $| $#$*") && r.rhs == "$#$2" })
	switch {
	case m.mc != nil:
		return no("it is made of " + m.mcPath)
	case m.begins("Local_check_rcpt") < 0 || !called || !obeyed:
		return no("check_rcpt does not ask that ruleset")
	case !m.cf.has("canonify") && !m.cf.has("3"):
		return no("there is no ruleset 3")
	case m.guarded():
		return no("the block is there already")
	}
	if k, ok := m.cf.mapNamed("dequote"); !ok || k.kind != "dequote" {
		return no("there is no map dequote")
	}
	for _, k := range m.cf.maps {
		if k.name == "mailertable" || strings.HasPrefix(k.kind, "ldap") {
			return no("map " + k.name + " may name domains that it takes mail for")
		}
	}
	if m.access == nil {
		return guardHead + guardTail, nil
	}
	for _, e := range m.access.effective() {
		if key, ok := relayKey(e); ok && !isNet(key) {
			return no("the access database lets " + clip(e.key) + " relay, which is no IPv4 network")
		}
	}
	return guardHead + guardAccess() + guardTail, nil
}

// relayKey is the client, domain or sender that an entry lets relay, its tag Connect: taken off.
func relayKey(e entry) (string, bool) {
	if !strings.EqualFold(firstWord(e.value), "RELAY") {
		return "", false
	}
	key := strings.ToLower(e.key)
	key = strings.TrimPrefix(key, "connect:")
	if strings.HasPrefix(key, "localhost") || strings.HasPrefix(key, "ipv6:0:0:0:0:0:0:0:1") || strings.HasPrefix(key, "ipv6:::1") {
		return "", false // this machine itself, whom the block lets go on
	}
	return key, true
}

// isNet says whether a key is an IPv4 address or the first octets of one.
func isNet(key string) bool {
	parts := strings.Split(key, ".")
	return len(parts) <= 4 && !slices.ContainsFunc(parts, func(p string) bool { return p == "" || strings.Trim(p, "0123456789") != "" })
}

// guarded says whether the block heads Local_check_rcpt.
func (m *model) guarded() bool {
	rules := m.cf.rulesets["Local_check_rcpt"]
	return len(rules) > 2 && strings.Contains(rules[1].rhs, "<guard_ok>")
}

// guard puts the block behind the line that begins the ruleset.
func (e *edits) guard(f mta.Fix) error {
	block, err := e.m.guardBlock()
	if err != nil {
		return err
	}
	if f.Op != mta.Add {
		return fmt.Errorf("cannot edit %s: the block can only be added", guardFix)
	}
	at := e.m.begins("Local_check_rcpt")
	e.put(e.m.cf.path, at, at, strings.ReplaceAll(block, "\n", lineEnd(e.m.cf.data)))
	return nil
}

// begins is where the rules of a ruleset begin, also of one that has none; -1 where the .cf has no line for it.
func (m *model) begins(name string) int {
	for _, l := range m.cf.lines {
		if l.kind == 'S' && firstWord(strings.TrimSpace(l.text)) == name {
			return l.end
		}
	}
	return -1
}

// guardRemedy is the block, where the rules themselves, run with it, refuse every outsider whom they let relay, and take what they took for this
// host, from it and from who has logged in. Where that cannot be shown there is no fix: a person has to see to it.
func (m *model) guardRemedy() []mta.Fix {
	if m.mc != nil || m.snap == nil || !m.cf.has("check_rcpt") {
		return nil
	}
	if m.guard == nil {
		fix := mta.Fix{Name: guardFix, Op: mta.Add, Value: "refuse relaying", File: m.source(m.cf.path)}
		m.guard = &[]mta.Fix{}
		if next, err := m.apply(fix); err == nil && m.provenBy(next) {
			m.guard = &[]mta.Fix{fix}
		}
	}
	return *m.guard
}

// provenBy compares what the rules answer before and after.
func (m *model) provenBy(next *model) bool {
	next.prog = next.compiled(m.snap)
	for _, q := range m.ownMail() {
		if before, after := m.evaluated(q).Outcome, next.evaluated(q).Outcome; before != after || after == judge.Refused {
			return false
		}
	}
	closed := 0
	for _, q := range questions(m.snap, m.cf.path) {
		if q.Verb != judge.Rcpt {
			continue
		}
		before, after := m.evaluated(q).Outcome, next.evaluated(q).Outcome
		switch {
		case q.Class == judge.Outside && q.User == "" && before == judge.Relayed:
			if after != judge.Refused {
				return false
			}
			closed++
		case q.Class == judge.Own, q.Class == judge.Inside && before == judge.Relayed && after == judge.Refused:
		case before != after:
			return false
		}
	}
	return closed > 0
}

// ownMail are questions about mail for this host itself, from a stranger.
func (m *model) ownMail() []asked {
	host := m.snap.Fact("sendmail:fqdn")
	if host == "" {
		host = m.snap.Hostname
	}
	var out []asked
	for _, rcpt := range []string{"postmaster@" + host, "postmaster", "a.b+c@" + host, "postmaster@localhost"} {
		out = append(out, askedOf(judge.Question{
			Class: judge.Outside, Form: "local", ClientAddr: "198.51.100.7", ClientName: "client.probe.invalid", Verb: judge.Rcpt,
			Sender: "antispam@example.com", Recipient: rcpt,
		}))
	}
	return out
}
