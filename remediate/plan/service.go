package plan

import (
	"net/netip"
	"slices"
	"strings"
)

// service judges whether the host's declared role needs a mail server here.
func (s *subject) service() verdict {
	in := s.judged.Install
	if in.MTA == "unknown" {
		in.MTA = "it"
	}
	v := verdict{want: say("a mail server only where the host's role needs one", "업무상 필요한 서버에서만 메일 서비스 실행")}
	state := say("%s runs and listens on %s", "%s 실행 중, 수신 주소 %s", in.MTA, strings.Join(in.Listen, " "))
	if len(in.Listen) == 0 {
		state = say("%s runs and listens nowhere", "%s 실행 중, 수신 포트 없음", in.MTA)
	}
	if !in.Active {
		state = say("%s is installed and does not run", "%s 설치됨, 실행되지 않음", in.MTA)
	}
	role := s.in.Intent.Role
	outward := slices.IndexFunc(in.Listen, func(l string) bool { return !loopback(l) })
	switch {
	case !in.Active && unseen(s.in):
		v.status = Unknown
		v.have = say("whether %s runs could not be seen", "%s 실행 여부를 확인할 수 없음", in.MTA)
	case role == "":
		v.status = Review
		v.have = state.and(say("the inventory declares no role for this host", "인벤토리에 역할(role)이 선언되지 않음"))
		if !in.Active && len(in.Listen) == 0 {
			v.status, v.have = Pass, state
		}
	case role == "none":
		v.status, v.have = Pass, state
		if in.Active || len(in.Listen) > 0 {
			v.status, v.have = Fail, state.and(say("role is none", "역할이 none임"))
		}
	case role == "local-only":
		v.status, v.have = Pass, state
		if outward >= 0 {
			v.status = Fail
			v.have = state.and(say("role is local-only, %s can be reached from outside", "역할이 local-only이나 %s는 외부에서 접근 가능", in.Listen[outward]))
		}
	case !in.Active && len(in.Listen) == 0:
		v.status, v.have = Review, state.and(say("role is %s", "역할: %s", role))
	default:
		v.status, v.have = Pass, state.and(say("role is %s", "역할: %s", role))
	}
	return v
}

// loopback says whether a listener, "ADDR:PORT", takes connections from this machine alone.
func loopback(listener string) bool {
	at, ok := parseListener(listener)
	return ok && at.Addr().Unmap().IsLoopback()
}

// parseListener reads "ADDR:PORT"; "*" and an empty address stand for every address.
func parseListener(l string) (netip.AddrPort, bool) {
	i := strings.LastIndexByte(l, ':')
	if i < 0 {
		return netip.AddrPort{}, false
	}
	host, port := l[:i], l[i+1:]
	host = strings.Trim(host, "[]")
	if host == "" || host == "*" {
		host = "::"
	}
	at, err := netip.ParseAddrPort("[" + host + "]:" + port)
	if err != nil {
		at, err = netip.ParseAddrPort(host + ":" + port)
	}
	return at, err == nil
}

// serves says whether what is bound to listener a takes the connections to b: the same place, or the same port on every address.
func serves(a, b string) bool {
	if a == b {
		return true
	}
	x, ok := parseListener(a)
	y, fine := parseListener(b)
	if !ok || !fine || x.Port() != y.Port() {
		return false
	}
	p, q := x.Addr().Unmap(), y.Addr().Unmap()
	return p == q || p.IsUnspecified() && (p.Is6() || q.Is4()) && q != p && !q.IsUnspecified()
}
