package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"mtaharden/playbooks"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// trust judges the entries by which the configuration lets somebody relay. An entry counts only when a judge showed that it works: the
// MTAs silently ignore some that look dangerous, such as a network in CIDR form in sendmail's access map.
func (s *subject) trust(w playbooks.Want) verdict {
	var bad verdict
	var idle, fine text
	n, explained := 0, s.explained()
	for _, t := range s.judged.Config.Trusted {
		if !slices.Contains(w.Entry, t.Kind) {
			continue
		}
		why, assumed := s.excess(t, w.Allow)
		works := judge.Relayed
		var shown []Evidence
		switch {
		case !why.empty():
			works, shown = s.effective(t)
		case explained:
			why = s.beyond(t)
		}
		switch {
		case why.empty():
			fine = fine.listed(shownTrust(t).and(assumed))
		case works == judge.Refused:
			idle = idle.listed(shownTrust(t).with(say("has no effect", "효력 없음")))
		case n == maxEntries:
			bad.have = bad.have.and(say("and more", "외 다수"))
			n++
		case n < maxEntries:
			bad = bad.join(entryVerdict(t, works, why, shown))
			n++
		}
	}
	return s.trustVerdict(w, bad, idle, fine)
}

// maxEntries bounds the bad entries that a finding names and that its fixes take away at once.
const maxEntries = 200

// listed adds an item to a list that passes, up to a bound.
func (t text) listed(item text) text {
	if len(t.en) > maxHave {
		return t
	}
	return t.and(item)
}

func entryVerdict(t mta.Trust, works judge.Outcome, why text, shown []Evidence) verdict {
	v := verdict{status: Fail, have: shownTrust(t).with(why), file: t.File, line: t.Line, fixes: t.Fix, evidence: shown}
	if works != judge.Relayed {
		v.status, v.fixes = Unknown, nil
		v.have = v.have.with(say("whether it has an effect is not known", "효력 여부를 알 수 없음"))
	}
	return v
}

func (s *subject) trustVerdict(w playbooks.Want, v verdict, idle, fine text) verdict {
	switch {
	case v.status == Fail:
		v.evidence = slices.DeleteFunc(v.evidence, func(e Evidence) bool { return e.Says == judge.CannotTell })
	case v.status == "" && len(s.judged.Config.Unread) > 0 && w.Allow != "never": // what anyone can claim, the answers show by themselves
		v.status, v.have = Unknown, s.unread()
	case v.status == "":
		v.status, v.have = Pass, fine.cut(maxHave)
	}
	v.have = v.have.and(idle.cut(maxHave))
	v.want = s.wantedTrust(w.Allow)
	return v
}

// with adds a remark in brackets.
func (t text) with(u text) text { return text{t.en + " (" + u.en + ")", t.ko + " (" + u.ko + ")"} }

// maxHave bounds what a passing finding lists, in bytes.
const maxHave = 400

func shownTrust(t mta.Trust) text {
	shown := t.Value
	if t.Name != "" {
		shown = t.Name + ": " + t.Value
	}
	return text{shown, shown}
}

func (s *subject) wantedTrust(allow string) text {
	switch {
	case allow == "never":
		return say("nobody relays by a claim that anyone can make", "누구나 위조할 수 있는 근거로 릴레이를 허용하지 않음")
	case allow == "domains":
		return say("only whole names of one's own domains, no top-level domain and no tree of them", "최상위 도메인이나 도메인 트리 전체가 아닌 정확한 자기 도메인만 허용")
	case len(s.in.Intent.RelayNetworks) > 0:
		var nets []string
		for _, p := range s.in.Intent.RelayNetworks {
			nets = append(nets, p.String())
		}
		all := strings.Join(nets, ", ")
		return say("no network outside relay_networks: %s", "relay_networks 밖의 네트워크 없음: %s", all)
	}
	return say("no network wider than /16 (private: /8, IPv6: /48)", "/16보다 넓은 네트워크 없음 (사설망 /8, IPv6 /48)")
}

// excess says why an entry goes too far, or nothing; assumed is what was taken for granted where it does not.
func (s *subject) excess(t mta.Trust, allow string) (why, assumed text) {
	switch {
	case allow == "never":
		return say("anyone can claim this", "누구나 위조 가능"), text{}
	case t.Kind == "any":
		return say("it lets everyone relay", "모든 클라이언트에 릴레이 허용"), text{}
	case t.Kind == "table" && !t.Net.IsValid():
		return say("what it holds is not known", "내용을 알 수 없음"), text{}
	case allow == "domains":
		return tooManyNames(t.Value), text{}
	case !t.Net.IsValid():
		return say("it is not read as a network", "네트워크로 해석되지 않음"), text{}
	}
	return tooWide(t.Net, s.in.Intent.RelayNetworks)
}

// tooWide judges a network. Loopback and link-local clients are this machine or its wire and are never too wide. With declared networks an
// entry must lie within one; without, at most /16 is taken as the site's own, /8 for private addresses (RFC 1918) and /48 for IPv6.
func tooWide(net netip.Prefix, declared []netip.Prefix) (why, assumed text) {
	net = unmap(net)
	addr, bits := net.Addr(), net.Bits()
	switch {
	case within(net, netip.MustParsePrefix("127.0.0.0/8")), within(net, netip.MustParsePrefix("::1/128")),
		within(net, netip.MustParsePrefix("fe80::/10")), within(net, netip.MustParsePrefix("169.254.0.0/16")):
		return text{}, text{}
	case len(declared) > 0:
		for _, d := range declared {
			if within(net, unmap(d)) {
				return text{}, text{}
			}
		}
		return say("outside relay_networks", "relay_networks 범위를 벗어남"), text{}
	}
	limit := 16
	switch {
	case addr.Is6():
		limit = 48
	case private(net):
		limit = 8
	}
	if bits < limit {
		return say("/%d is wider than /%d", "/%d는 /%d보다 넓음", bits, limit), text{}
	}
	return text{}, say("taken as the site's own, relay_networks is not declared", "relay_networks가 선언되지 않아 자체 네트워크로 간주")
}

func private(net netip.Prefix) bool {
	for _, p := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"} {
		if within(net, netip.MustParsePrefix(p)) {
			return true
		}
	}
	return false
}

// within says whether a lies within b.
func within(a, b netip.Prefix) bool {
	return a.Addr().BitLen() == b.Addr().BitLen() && a.Bits() >= b.Bits() && b.Contains(a.Addr())
}

// unmap turns an IPv4 network written within IPv6 (::ffff:127.0.0.0/104) into the IPv4 network it means.
func unmap(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96).Masked()
	}
	return p.Masked()
}

// tooManyNames says why a domain entry goes too far: everything, a top-level domain, or a public suffix under which strangers register.
func tooManyNames(value string) text {
	name := strings.ToLower(strings.Trim(value, " \t"))
	if tag, rest, ok := strings.Cut(name, ":"); ok && !strings.ContainsAny(tag, "./*") {
		name = rest // sendmail's access keys: "To:org"
	}
	bare := strings.Trim(strings.TrimLeft(name, "*"), ".")
	if bare == "" || strings.HasSuffix(bare, "@") { // "postmaster@": that account of any domain
		return say("it stands for every domain", "모든 도메인에 해당")
	}
	suffix, icann := publicsuffix.PublicSuffix(bare)
	if suffix != bare || !icann {
		return text{}
	}
	return say("everyone under .%s is within it", ".%s 아래의 모든 도메인이 포함됨", bare)
}

// explained says whether entries by network alone can explain why a client relays: the host is no open relay, and no entry is of a kind that
// cannot be matched against an address.
func (s *subject) explained() bool {
	for _, u := range s.judged.Config.Trusted {
		if u.Kind != "recipient" && (u.Kind != "client-net" || !u.Net.IsValid()) {
			return false
		}
	}
	return !slices.ContainsFunc(s.answers, openly)
}

// openly says whether an answer shows that a stranger relays.
func openly(a judge.Answer) bool {
	q := a.Question
	return q.Class == judge.Outside && q.User == "" && q.Verb == judge.Rcpt && a.Outcome == judge.Relayed
}

// beyond says that a client just outside a network entry relays as well, though nothing else lets it: the MTA reads the entry wider than
// it looks.
func (s *subject) beyond(t mta.Trust) text {
	for _, a := range s.about(t.ID) {
		addr, err := netip.ParseAddr(a.Question.ClientAddr)
		if t.Kind == "client-net" && a.Question.Class == judge.Beside && a.Outcome == judge.Relayed && err == nil && !s.trusts(addr) {
			return say("%s, just outside it, relays too", "범위 밖의 %s도 릴레이됨", a.Question.ClientAddr)
		}
	}
	return text{}
}

// trusts says whether an entry by network, or being the host itself, explains that an address may relay.
func (s *subject) trusts(addr netip.Addr) bool {
	for _, own := range s.in.Snapshot.Addrs {
		if p, err := netip.ParsePrefix(own); err == nil && p.Addr().Unmap() == addr.Unmap() {
			return true
		}
	}
	return addr.Unmap().IsLoopback() || covered(addr, s.judged.Config.Trusted)
}

// effective says whether an entry lets somebody relay: Relayed, Refused (it does not), or CannotTell.
func (s *subject) effective(t mta.Trust) (judge.Outcome, []Evidence) {
	asked, shown := false, false
	var open string
	for _, a := range s.about(t.ID) {
		if a.Question.Class != judge.Inside && a.Judge != judge.Network { // the network's strangers with an entry stand within it
			continue
		}
		asked = true
		switch {
		case a.Outcome == judge.Relayed, a.Outcome == judge.Delivered && t.Kind == "recipient":
			return judge.Relayed, []Evidence{said(a)}
		case a.Outcome == judge.CannotTell, a.Outcome == judge.Dead, a.Outcome == judge.Delivered: // mail that stays here shows nothing of relaying
			open = a.Text
		case a.Outcome == judge.Refused:
			shown = true
		}
	}
	switch {
	case shown:
		return judge.Refused, nil
	case asked:
		return judge.CannotTell, []Evidence{{Judge: judge.Config, Says: judge.CannotTell, Text: open}}
	}
	return judge.CannotTell, []Evidence{{Judge: judge.Config, Says: judge.CannotTell, Text: fmt.Sprintf("no judge was asked about entry %s", t.ID)}}
}
