package plan

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"mtaharden/remediate/facts"
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
		return s.retired(v, state)
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

// retired judges the service of a host that needs none: it neither runs nor starts at boot.
func (s *subject) retired(v verdict, state text) verdict {
	v.status, v.have = Pass, state
	runs := s.judged.Install.Active || len(s.judged.Install.Listen) > 0
	boots := false
	for _, sv := range s.services() {
		boots = boots || sv.Enabled
		if ch, ok := retire(s.in.Snapshot.Init, sv, runs); ok {
			v.modes = append(v.modes, ch)
		}
	}
	switch {
	case boots && !runs:
		v.have = state.and(say("it starts at boot", "부팅 시 자동 시작됨"))
		fallthrough
	case runs:
		v.status, v.have = Fail, v.have.and(say("role is none", "역할이 none임"))
	default:
		v.modes = nil
	}
	return v
}

// services are those of the installation that the host's init system knows.
func (s *subject) services() []facts.Service {
	var out []facts.Service
	if s.judged.Driver == nil {
		return nil
	}
	for _, name := range s.judged.Driver.Services {
		if sv, ok := s.in.Snapshot.Service(name); ok {
			out = append(out, sv)
		}
	}
	return out
}

// retire is the change that stops a service and has it start no more; false where there is nothing to do, or it is not known how.
func retire(manager string, sv facts.Service, runs bool) (Change, bool) {
	before := Running{Enabled: sv.Enabled, Active: sv.Active == "active" || sv.Active == "" && runs, Masked: sv.Masked, Links: sv.Links}
	known := manager == "systemd" || manager == "sysv" || manager == "openrc"
	if !known || !path.IsAbs(sv.Path) || path.Clean(sv.Path) != sv.Path || !before.Enabled && !before.Active {
		return Change{}, false
	}
	if before.Enabled && len(sv.Links) == 0 {
		return Change{}, false // started by something else than a link: a person looks
	}
	diff := fmt.Sprintf("service %s (%s): %s -> %s\n", sv.Name, manager, before, Running{})
	for _, l := range sv.Links {
		diff += fmt.Sprintf("boot link %s taken away\n", l)
	}
	return Change{
		Path: sv.Path, Kind: Unit, Diff: diff,
		Service: &Service{Manager: manager, Name: sv.Name, Before: before},
	}, true
}

func (r Running) String() string {
	words := []string{"disabled", "stopped"}
	if r.Enabled {
		words[0] = "enabled"
	}
	if r.Masked {
		words[0] = "masked"
	}
	if r.Active {
		words[1] = "running"
	}
	return strings.Join(words, ", ")
}

// stops says whether one of the changes stops the installation's service.
func stops(changes []Change) bool {
	return slices.ContainsFunc(changes, func(c Change) bool { return c.Kind == Unit && c.Service != nil && !c.Service.After.Active })
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
