package sshconfig

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// printed is the output of ssh -G: the values of each keyword, in order.
type printed map[string][]string

const maxPrinted = 1 << 20 // bytes

// ask runs ssh -G.
func (c *Config) ask(ctx context.Context, args ...string) (printed, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	select {
	case c.calls <- struct{}{}:
		defer func() { <-c.calls }()
	case <-ctx.Done():
		return nil, fmt.Errorf("ssh -G was not begun within %s", callTime)
	}
	if c.hung.Load() >= maxHung {
		return nil, fmt.Errorf("ssh -G did not end within %s for others, and is run no more (a Match exec of ssh_config may hang; -F names another file)", callTime)
	}
	out, said := &capped{}, &capped{}
	cmd := exec.CommandContext(ctx, c.ssh, append([]string{"-G"}, args...)...)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = out, said, time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // with whatever a Match exec started
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err := cmd.Run()
	if ctx.Err() == nil {
		c.hung.Store(0)
	}
	p := parsePrinted(out.b.String())
	switch {
	case ctx.Err() != nil:
		c.hung.Add(1)
		return nil, fmt.Errorf("ssh -G did not end within %s", callTime)
	case err != nil:
		return nil, fmt.Errorf("ssh -G ended with %v: %s", err, complaint(said.b.String()))
	case len(p["hostname"]) != 1 || out.over:
		return nil, fmt.Errorf("ssh -G printed no configuration: %s", complaint(said.b.String()))
	}
	return p, nil
}

// complaint is the first line of ssh's messages that says something.
func complaint(text string) string {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "Pseudo-terminal") {
			return line
		}
	}
	return "it said nothing"
}

// capped keeps the first maxPrinted bytes written to it.
type capped struct {
	b    bytes.Buffer
	over bool
}

func (c *capped) Write(p []byte) (int, error) {
	room := maxPrinted - c.b.Len()
	c.over = c.over || len(p) > room
	c.b.Write(p[:min(len(p), room)])
	return len(p), nil
}

func parsePrinted(text string) printed {
	p := printed{}
	for line := range strings.Lines(text) {
		key, v, ok := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		if ok && key != "" {
			key = named(strings.ToLower(key))
			p[key] = append(p[key], v)
		}
	}
	return p
}

// said keeps of what ssh printed what it does not print without a configuration, and finds the place of each value where our own reader agrees.
func (c *Config) said(p, base printed, q Query, own *Settings) (*Settings, error) {
	said := map[string]value{}
	for key, k := range keywords {
		got := p[key]
		plain := slices.Equal(got, base[key])
		if key == "hostname" && len(got) > 0 {
			plain = got[0] == strings.ToLower(q.Host)
		}
		if _, written := own.from(key); len(got) == 0 || plain && !written {
			continue
		}
		v := value{got, "ssh -G"}
		if k.shape == many {
			v.words = strings.Fields(got[0])
		}
		if key == "hostname" {
			v.words = []string{strings.ReplaceAll(got[0], "%", "%%")} // ssh has expanded it
		}
		for _, w := range v.words {
			if k.check != nil && k.check(w) != nil {
				return nil, fmt.Errorf("ssh -G printed %s %q, which is not understood", key, w)
			}
		}
		if len(v.words) > 0 && v.words[0] != "" {
			said[key] = v
		}
	}
	s, err := decode(said, q, c.me)
	if err != nil {
		return nil, err
	}
	if own != nil {
		s.place(own, p, base)
	}
	for key := range q.given() {
		delete(s.From, key)
	}
	return s, nil
}

func (s *Settings) from(key string) (string, bool) {
	if s == nil {
		return "", false
	}
	from, ok := s.From[key]
	return from, ok
}

// place takes over from our own reader where each value is written, where it read the same.
func (s *Settings) place(own *Settings, p, base printed) {
	for key := range s.From {
		from, ok := own.From[key]
		if !ok {
			continue
		}
		if l := s.list(key); l != nil {
			if mine := *own.list(key); len(p[key]) > 0 && len(base[key]) > 0 && sameList(mine, base[key][0], p[key][0]) {
				*l, s.From[key] = mine, from
			} else {
				l.Kept = len(base[key]) > 0 && inOrder(strings.Split(p[key][0], ","), strings.Split(base[key][0], ","))
			}
			continue
		}
		switch key {
		case "userknownhostsfile":
			s.KnownHosts = agreed(s.KnownHosts, own.KnownHosts)
		case "globalknownhostsfile":
			s.SystemKnown = agreed(s.SystemKnown, own.SystemKnown)
		}
		if s.Text(key) == own.Text(key) {
			s.From[key] = from
		}
	}
	for i, u := range s.NotFollowed {
		name, _, _ := strings.Cut(u, " ")
		if from, ok := own.From[strings.ToLower(name)]; ok {
			s.NotFollowed[i] = name + " (" + from + ")"
		}
	}
}

// agreed keeps names with blanks in them whole, which ssh prints as if they were several.
func agreed(printed, own []string) []string {
	if strings.Join(printed, " ") == strings.Join(strings.Fields(strings.Join(own, " ")), " ") {
		return own
	}
	return printed
}

func sameList(l List, base, got string) bool {
	names := strings.Split(base, ",")
	want := strings.Split(got, ",")
	return slices.Equal(l.Apply(names, unique(append(slices.Clone(want), names...))), want)
}

// inOrder says whether list has the order of base: what base does not have stands after it.
func inOrder(list, base []string) bool {
	at := 0
	for _, name := range list {
		i := slices.Index(base, name)
		if i < 0 {
			i = len(base)
		}
		if i < at {
			return false
		}
		at = i
	}
	return true
}

// Text is the value of a keyword, in lower case, as people read it; "" where it is not said.
func (s *Settings) Text(key string) string {
	if _, ok := s.From[key]; !ok {
		return ""
	}
	if l := s.list(key); l != nil {
		return l.Spec
	}
	var jumps []string
	for _, h := range s.Jump {
		jumps = append(jumps, h.String())
	}
	texts := map[string]any{
		"hostname": s.HostName, "user": s.User, "port": s.Port, "addressfamily": s.AddressFamily, "identityfile": strings.Join(s.Identities, " "),
		"certificatefile": strings.Join(s.Certificates, " "), "identitiesonly": s.IdentitiesOnly, "identityagent": s.IdentityAgent,
		"proxyjump": strings.Join(jumps, ","), "proxycommand": s.ProxyCommand, "userknownhostsfile": strings.Join(s.KnownHosts, " "),
		"globalknownhostsfile": strings.Join(s.SystemKnown, " "), "revokedhostkeys": s.RevokedKeys, "requiredrsasize": s.MinRSABits, "hostkeyalias": s.HostKeyAlias, "stricthostkeychecking": s.StrictHostKey,
		"controlpath": s.ControlPath, "connecttimeout": s.ConnectTimeout, "serveraliveinterval": s.KeepAlive, "serveralivecountmax": s.KeepAliveMax,
	}
	if v, ok := texts[key]; ok {
		return fmt.Sprint(v)
	}
	return ""
}
