package plan

import (
	"fmt"
	"slices"
	"strings"

	"mtaharden/playbooks"
	"mtaharden/remediate/facts"
)

// stranger is a program that listens where mail comes in and that no driver knows.
type stranger struct {
	install Install
	text    text
}

// mailPorts are those of RFC 5321, RFC 8314 and RFC 6409, and the unofficial one that hosting companies open beside them.
func mailPorts() []uint16 { return []uint16{25, 465, 587, 2525} }

// strangers groups the mail listeners that no known installation owns, one a process.
func strangers(in Input) []stranger {
	var out []stranger
	seen := map[int]int{}
	for _, l := range in.Snapshot.Listeners {
		at, ok := parseListener(l.Addr)
		if !ok || !slices.Contains(mailPorts(), at.Port()) || owned(in, l.Addr) {
			continue
		}
		if i, again := seen[l.PID]; again {
			out[i].install.Listen = append(out[i].install.Listen, l.Addr)
			continue
		}
		seen[l.PID] = len(out)
		out = append(out, newStranger(in.Snapshot, l))
	}
	for i := range out {
		where := strings.Join(out[i].install.Listen, " ")
		out[i].text = out[i].text.and(say("listens on %s", "수신 주소 %s", where))
	}
	return out
}

func owned(in Input, listener string) bool {
	return slices.ContainsFunc(in.Installs, func(j Judged) bool {
		return slices.ContainsFunc(j.Install.Listen, func(l string) bool { return sameListener(l, listener) })
	})
}

func sameListener(a, b string) bool {
	x, ok := parseListener(a)
	y, fine := parseListener(b)
	return a == b || ok && fine && x == y
}

func newStranger(s *facts.Snapshot, l facts.Listener) stranger {
	st := stranger{install: Install{MTA: "unknown", Active: true, Listen: []string{l.Addr}}}
	for _, p := range s.Processes {
		if l.PID == 0 || p.PID != l.PID {
			continue
		}
		st.install.Program = p.Exe
		if p.Exe == "" && len(p.Argv) > 0 {
			st.install.Program = p.Argv[0]
		}
		if p.Exe != "" {
			st.install.Package = s.Fact("package:" + p.Exe)
		}
		who := fmt.Sprintf("%s (pid %d)", st.install.Program, p.PID)
		if p.Container != "" {
			who += ", container " + p.Container
		}
		st.text = say("a mail server that this program does not know: %s", "알 수 없는 메일 서버: %s", who)
		return st
	}
	st.text = say("a mail server whose process could not be seen", "프로세스를 확인할 수 없는 메일 서버")
	if !s.Root {
		st.text = st.text.with(say("the collector did not run as root", "수집기가 root 권한으로 실행되지 않음"))
	}
	return st
}

// unseen says whether a mail listener's process could not be seen: it may be any installation's.
func unseen(in Input) bool {
	return slices.ContainsFunc(in.Snapshot.Listeners, func(l facts.Listener) bool {
		at, ok := parseListener(l.Addr)
		return ok && l.PID == 0 && slices.Contains(mailPorts(), at.Port()) && !owned(in, l.Addr)
	})
}

// findings gives every rule's finding: the network's verdict where it shows something wrong, else unknown, for nothing can be said of what
// such a program's configuration holds. What the network saw it refuse, it saw refused to one client.
func (st stranger) findings(in Input, index int) []Finding {
	s := &subject{in: in, index: index}
	s.judged.Install.MTA = st.install.MTA
	s.judged.Install.Active, s.judged.Install.Listen = true, st.install.Listen
	for _, a := range in.Network {
		if slices.ContainsFunc(st.install.Listen, func(l string) bool { return takes(in.Snapshot, l, a.Question.Listener) }) {
			s.admit(a)
		}
	}
	var out []Finding
	for _, r := range in.Rules {
		v := verdict{status: Unknown, have: st.text, want: text{r.Title, r.TitleKo}}
		switch asked := askable(r); {
		case serviceOnly(r):
			v = s.service()
			v.have = st.text.and(v.have)
		case len(asked) > 0 && len(s.answers) > 0:
			v = s.met(asked, st.text)
		}
		out = append(out, s.finding(r, "", v))
	}
	return out
}

// met is a stranger's verdict by the network alone.
func (s *subject) met(wants []playbooks.Want, who text) verdict {
	v := s.judge(wants, "")
	v.fixes, v.modes = nil, nil
	v.have = who.and(v.have)
	if behind := s.behind(); v.status == Fail && !behind.empty() {
		v.have = v.have.and(behind)
	}
	return v
}

// behind names an installation that listens on loopback where the stranger listens for everyone: what passes connections on to it makes
// every client one of its own machine.
func (s *subject) behind() text {
	for _, j := range s.in.Installs {
		for _, l := range j.Install.Listen {
			at, ok := parseListener(l)
			if ok && loopback(l) && slices.ContainsFunc(s.judged.Install.Listen, func(m string) bool { b, fine := parseListener(m); return fine && b.Port() == at.Port() }) {
				return say("it may pass connections on to %s at %s, which then sees its own machine for every client", "%s(%s)로 연결을 중계할 수 있으며, 그 경우 모든 클라이언트가 자기 장비로 보임", j.Install.MTA, l)
			}
		}
	}
	return text{}
}

// askable returns the wants of a rule that the network can judge whatever the program is: those about answers, each once.
func askable(r playbooks.Rule) []playbooks.Want {
	var out []playbooks.Want
	for _, w := range r.Wants {
		again := slices.ContainsFunc(out, func(o playbooks.Want) bool {
			return o.Verb == w.Verb && slices.Equal(o.Class, w.Class) && slices.Equal(o.Form, w.Form) && slices.Equal(o.Bad, w.Bad)
		})
		if w.Kind != playbooks.Answer || again {
			continue
		}
		w.Fix, w.Remedy = nil, false
		out = append(out, w)
	}
	return out
}

// serviceOnly says whether a rule asks for nothing but the host's role, which can be judged without knowing the program.
func serviceOnly(r playbooks.Rule) bool {
	return len(r.Wants) > 0 && !slices.ContainsFunc(r.Wants, func(w playbooks.Want) bool { return w.Kind != playbooks.Service })
}

// nobody gives the findings of a host with no mail server. Not-applicable takes the positive fact that nothing is installed and nothing
// listens, so it takes a snapshot that was read to its end and that could list the host's listeners.
func nobody(in Input) []Finding {
	s := &subject{in: in, index: -1}
	v := verdict{status: NotApplicable, have: say("no mail server is installed and nothing listens on ports 25, 465, 587 and 2525", "메일 서버가 설치되어 있지 않고 25, 465, 587, 2525 포트 수신 없음")}
	switch {
	case !in.Snapshot.Complete:
		v = verdict{status: Unknown, have: say("the host was not read to the end", "호스트 수집이 끝까지 완료되지 않음")}
	case !listed(in.Snapshot):
		v = verdict{status: Unknown, have: say("no mail server was found, and the host's listeners could not be listed", "메일 서버를 찾지 못했으나 수신 포트 목록을 확인할 수 없음")}
	}
	var out []Finding
	for _, r := range in.Rules {
		w := v
		w.want = text{r.Title, r.TitleKo}
		out = append(out, s.finding(r, "", w))
	}
	return out
}

// listed says whether the collector could list listeners at all: a host reached over SSH has at least that one, and Linux tells them
// without any tool (/proc/net/tcp).
func listed(s *facts.Snapshot) bool {
	return len(s.Listeners) > 0 || strings.HasPrefix(s.OS.Kernel, "Linux ")
}
