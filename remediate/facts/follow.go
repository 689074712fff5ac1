package facts

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"mtaharden/remediate/remote"
)

// followSh begins the frame of a second command and makes what a driver's part may read.
const followSh = `mh__setup
printf '\n%s follow %s %s %s\n' "$mh_nonce" "$mh_first" "$mh_digest" "$(awk 'BEGIN { srand(); srand(); print srand() }')"
mh_system=$(uname -s)
mh_init=$(mh__init)
mh__table
`

const followHead = `#!/bin/sh
# The second command of mtaharden on a host: what reading the first one's output raised. It changes nothing there.
mh_collect() {
`

// maxFailed bounds what failed adds, in bytes.
const maxFailed = 4096

// FollowScript is the second command's script for a host of which s was collected: the collector's functions and part, no more.
func FollowScript(s *Snapshot, part string) string {
	var b strings.Builder
	writeFunctions(&b)
	b.WriteString("mh_first=" + remote.Quote(s.nonce) + "\nmh_listeners=" + remote.Quote(s.listenLines()) + "\n")
	writeParts(&b, []string{followSh, part})
	return followHead + "mh_digest=" + digestBody(b.String()) + "\n" + b.String() + "mh_collect </dev/null\n"
}

// listenLines are the listeners as mh_listeners holds them.
func (s *Snapshot) listenLines() string {
	var lines []string
	for _, l := range s.Listeners {
		lines = append(lines, l.Addr+" "+strconv.Itoa(l.PID))
	}
	return strings.Join(lines, "\n")
}

// Follow runs part on a host of which s was collected, raw being the bytes that s was made of, and returns the Snapshot of both and its
// bytes, which Parse reads alike. Where the second command fails, the first one's Snapshot stays as it was, with a problem that says so:
// what a question of it would have answered is then not known.
//
// What the first command sent stays, and the second's is laid beside it. A section that both sent is the first's, unless that has no
// content (unreadable, timed out, damaged, truncated, only stat) and the second's is whole; a secret stays one.
func Follow(ctx context.Context, h remote.Host, s *Snapshot, raw []byte, part string) (*Snapshot, []byte) {
	nonce := Nonce()
	res, err := h.Run(ctx, command(nonce, FollowScript(s, part)), max(maxFrame-len(raw)-maxFailed, 0))
	second := string(res.Stdout)
	switch {
	case strings.Contains(second, nonce+" follow ") && strings.Contains(second, nonce+" done"):
	case err != nil:
		second += failed(nonce, s, err.Error())
	default:
		second += failed(nonce, s, fmt.Sprintf("it ended too early (exit status %d)%s", res.Exit, said(res.Stderr)))
	}
	all := append(raw[:len(raw):len(raw)], "\n"+second...)
	both, err := parse(strings.NewReader(string(all)), s.nonce)
	if err != nil { // the first frame is there: it was parsed before
		return s, raw
	}
	both.Host, both.Transport = s.Host, s.Transport
	return both, all
}

// failed closes a frame that was cut off, or stands for one that never came, with a problem that says why.
func failed(nonce string, s *Snapshot, why string) string {
	head := nonce + " follow " + s.nonce + " - 0\n"
	why = Printable(strings.Join(strings.Fields(why), " "))
	return "\n" + head + nonce + " problem the second command on this login failed: " + why[:min(len(why), maxFailed/2)] + "\n" + nonce + " done\n"
}

// lay lays what a second command brought beside what the first one did.
func (s *Snapshot) lay(t *Snapshot) {
	if !t.Complete {
		s.Problems = append(s.Problems, "the second command's output ends too early")
	}
	for _, name := range t.order {
		kind, key, _ := strings.Cut(name, "\x00")
		held := false
		if kind == "file" {
			old, had := s.files[key]
			if held = had; !had || better(old.State, t.files[key].State) {
				s.files[key] = t.files[key]
			}
		} else {
			old, had := s.outputs[key]
			if held = had; !had || better(old.State, t.outputs[key].State) {
				s.outputs[key] = t.outputs[key]
			}
		}
		if !held {
			s.order = append(s.order, name)
		}
	}
	for key, value := range t.facts {
		if s.facts[key] == "" {
			s.facts[key] = value
		}
	}
	for name, lines := range t.seen {
		if _, had := s.seen[name]; !had {
			s.seen[name] = lines
		}
	}
	for _, p := range t.Processes {
		s.addProcess(p)
	}
	s.Problems = append(s.Problems, t.Problems...)
}

// better says whether a section of the second command takes the place of the first one's.
func better(old, new State) bool {
	switch old {
	case Unreadable, Timeout, Damaged, Cut, StatOnly:
		return new == Whole
	}
	return false
}
