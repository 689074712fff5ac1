package plan

import (
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
)

// cause says what may explain that two judges differ, the likeliest first; nothing where the snapshot shows nothing of the kind.
func (s *subject) cause(d *dispute) text {
	t := s.stale()
	if d.b.Judge != judge.Network {
		return t
	}
	c, met := s.contact(d.b.Question.Listener)
	open := kind(d.b.Outcome) != "closed"
	if met {
		t = t.and(s.impostor(c)).and(s.detour(c))
		if open {
			t = t.and(s.disguise(c))
		}
	}
	t = t.and(s.proxy(d.b.Question.Listener, open))
	if t.empty() && !open {
		return say("something before the server filters, or the daemon was not reloaded yet", "서버 앞단의 필터링 또는 데몬 재적재 누락")
	}
	if t.empty() {
		return say("not found: the daemon may run an older configuration, a gateway or proxy may show it every client by an address that it trusts, or another machine answers here",
			"확인되지 않음: 데몬이 이전 설정으로 동작 중이거나, 게이트웨이 또는 프록시로 인해 모든 클라이언트가 신뢰 주소로 보이거나, 이 주소에서 다른 장비가 응답할 수 있음")
	}
	return t
}

func (s *subject) contact(listener string) (Contact, bool) {
	i := slices.IndexFunc(s.in.Contacts, func(c Contact) bool { return c.Listener == listener })
	if i < 0 {
		return Contact{}, false
	}
	return s.in.Contacts[i], true
}

// stale says that the daemon that runs is older than a file that it reads: by what reading noticed, else by the processes' starts.
func (s *subject) stale() text {
	if s.judged.Config == nil {
		return text{}
	}
	for _, n := range s.judged.Config.Notes {
		if n.Code == "stale-daemon" {
			return older(text{n.Text, n.Text})
		}
	}
	began := s.began()
	if began.IsZero() {
		return text{}
	}
	var newest *facts.File
	for _, f := range s.judged.Config.Files {
		if o := f.Origin; o != nil && o.ModTime.After(began) && (newest == nil || o.ModTime.After(newest.ModTime)) {
			newest = o
		}
	}
	if newest == nil {
		return text{}
	}
	return older(say("it runs since %s, and %s was changed on %s", "기동 %s, %s 변경 %s", began.UTC().Format(moment), newest.Path, newest.ModTime.UTC().Format(moment)))
}

func older(how text) text {
	return text{"the running daemon is older than the file: " + how.en, "실행 중인 데몬이 설정 파일보다 오래됨: " + how.ko}
}

// moment is how a cause writes a time.
const moment = "2006-01-02 15:04:05 MST"

// began is when the installation's oldest process began: the one that holds the listeners, else one that runs its program.
func (s *subject) began() time.Time {
	var out time.Time
	for _, p := range s.in.Snapshot.Processes {
		mine := p.Exe != "" && p.Exe == s.judged.Install.Program || slices.ContainsFunc(s.in.Snapshot.Listeners, func(l facts.Listener) bool {
			return l.PID == p.PID && slices.ContainsFunc(s.judged.Install.Listen, func(m string) bool { return sameListener(m, l.Addr) })
		})
		if mine && !p.Start.IsZero() && (out.IsZero() || p.Start.Before(out)) {
			out = p.Start
		}
	}
	return out
}

// impostor says that what answers is another product than the installation.
func (s *subject) impostor(c Contact) text {
	if c.Product == "" || strings.Contains(strings.ToLower(c.Product), strings.ToLower(s.mta())) {
		return text{}
	}
	return say("what answers at %s calls itself %s: another server or a gateway stands before it", "%s에서 응답하는 것은 %s임: 다른 서버 또는 게이트웨이가 앞단에 있음", c.Dialled, c.Product)
}

// detour says that the address that was dialled is none of the host's own.
func (s *subject) detour(c Contact) text {
	if len(s.in.Snapshot.Addrs) == 0 || !c.Dialled.IsValid() {
		return text{}
	}
	for _, own := range s.in.Snapshot.Addrs {
		if p, err := netip.ParsePrefix(own); err == nil && p.Addr().Unmap() == c.Dialled.Addr().Unmap() {
			return text{}
		}
	}
	return say("%s is none of the host's own addresses: address translation or a gateway stands between", "%s는 이 호스트의 주소가 아님: 주소 변환(NAT) 또는 게이트웨이가 중간에 있음", c.Dialled.Addr())
}

// disguise says that the host sees the client by another address than the client's own, and which entry trusts that.
func (s *subject) disguise(c Contact) text {
	if !c.Seen.IsValid() || !c.From.IsValid() || c.Seen.Unmap() == c.From.Unmap() {
		return text{}
	}
	t := say("the host sees the client %s as %s: address translation makes strangers look like that", "호스트에는 클라이언트 %s가 %s로 보임: 주소 변환으로 외부 클라이언트가 해당 주소로 보임", c.From, c.Seen)
	if s.trusts(c.Seen) {
		t = t.with(say("which it trusts", "신뢰 대상 주소"))
	}
	return t
}

// proxies are programs that pass connections on, so that a mail server behind them sees their address and not the client's.
func proxies() []string {
	return []string{"docker-proxy", "rootlessport", "slirp4netns", "haproxy", "nginx", "envoy", "traefik", "stunnel", "stunnel4", "socat", "rinetd", "redir", "xinetd", "relayd", "pound", "squid", "danted", "sockd", "3proxy", "tinyproxy", "microsocks", "ssh"}
}

// proxy names a program of the host that passes connections on: at the listener itself, else one that listens anywhere, where mail was let
// through.
func (s *subject) proxy(listener string, open bool) text {
	for _, near := range []bool{true, false} {
		for _, l := range s.in.Snapshot.Listeners {
			if near != serves(l.Addr, listener) || !near && (!open || loopback(l.Addr)) {
				continue
			}
			for _, p := range s.in.Snapshot.Processes {
				if p.PID != l.PID || l.PID == 0 || !slices.Contains(proxies(), processName(p)) {
					continue
				}
				return say("%s (pid %d) listens on %s and may pass connections on: the mail server then sees its address for every client", "%s(pid %d)가 %s에서 수신하며 연결을 중계할 수 있음: 메일 서버에는 모든 클라이언트가 그 주소로 보임", processName(p), p.PID, l.Addr)
			}
		}
	}
	return text{}
}

func processName(p facts.Process) string {
	name := p.Exe
	if name == "" && len(p.Argv) > 0 {
		name, _, _ = strings.Cut(p.Argv[0], ":")
	}
	return path.Base(name)
}
