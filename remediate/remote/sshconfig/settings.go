package sshconfig

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"mtaharden/remediate/remote"
)

// settings are what was said, in the form that others use.
func (r *reading) settings() (*Settings, error) { return decode(r.said, r.q, r.me) }

func decode(said map[string]value, q Query, me local) (*Settings, error) {
	s := &Settings{From: map[string]string{}}
	for _, key := range slices.Sorted(maps.Keys(said)) {
		v := said[key]
		s.From[key] = v.from
		if err := s.set(key, v.words[0], v); err != nil {
			return nil, fmt.Errorf("%s: %s: %v", v.from, key, err)
		}
	}
	name, err := expand(s.HostName, map[byte]string{'h': q.Host})
	if err != nil {
		return nil, fmt.Errorf("%s: hostname: %v", s.From["hostname"], err)
	}
	s.HostName = strings.ToLower(name)
	if err := s.expand(said, q, me); err != nil {
		return nil, err
	}
	for _, u := range unable {
		if v, ok := said[u.key]; ok && !asksNothing(v.words[0], u.off) {
			s.NotFollowed = append(s.NotFollowed, u.name+" ("+v.from+")")
		}
	}
	if v, ok := said["serveraliveinterval"]; ok && s.KeepAlive == 0 { // an idle connection is asked all the same whether it lives: nothing here may wait for a dead one
		s.NotFollowed = append(s.NotFollowed, "ServerAliveInterval ("+v.from+")")
	}
	return s, nil
}

// set takes a value that holds no token.
func (s *Settings) set(key, word string, v value) (err error) {
	switch key {
	case "hostname":
		s.HostName = word
	case "user":
		s.User = word
	case "port":
		s.Port = int(number(word))
	case "addressfamily":
		s.AddressFamily = strings.Replace(word, "any", "", 1)
	case "identitiesonly":
		s.IdentitiesOnly = word == "yes" || word == "true"
	case "hostkeyalias":
		s.HostKeyAlias = strings.ToLower(word)
	case "stricthostkeychecking":
		s.StrictHostKey = map[string]string{"true": "yes", "false": "no", "off": "no"}[word]
		if s.StrictHostKey == "" {
			s.StrictHostKey = word
		}
	case "globalknownhostsfile":
		s.SystemKnown = v.words
	case "proxyjump":
		s.Jump, err = hops(word)
	case "requiredrsasize":
		s.MinRSABits = int(number(word))
	case "connecttimeout":
		s.ConnectTimeout, err = span(word)
	case "serveraliveinterval":
		s.KeepAlive, err = span(word)
	case "serveralivecountmax":
		s.KeepAliveMax = int(number(word))
	default:
		if l := s.list(key); l != nil {
			l.Spec, l.Kept = word, strings.ContainsAny(word[:1], "+-")
		}
	}
	return err
}

// list is the setting of a keyword that chooses algorithms; nil for others.
func (s *Settings) list(key string) *List {
	return map[string]*List{"kexalgorithms": &s.KexAlgorithms, "ciphers": &s.Ciphers, "macs": &s.MACs, "hostkeyalgorithms": &s.HostKeys, "pubkeyacceptedalgorithms": &s.PublicKeys, "casignaturealgorithms": &s.CASignatures}[key]
}

// number reads what was checked to be one.
func number(s string) int64 {
	if s == "ssh" {
		return 22
	}
	n := int64(0)
	for _, c := range s {
		n = n*10 + int64(c-'0')
	}
	return n
}

// expand sets what has tokens.
func (s *Settings) expand(said map[string]value, q Query, me local) error {
	tokens := s.tokens(q, me)
	paths := func(key string, into *[]string) error {
		for _, w := range said[key].words {
			if w == "none" {
				*into = append(*into, w)
				continue
			}
			p, err := path(w, me.home, tokens)
			if err != nil {
				return fmt.Errorf("%s: %s: %v", said[key].from, key, err)
			}
			*into = append(*into, p)
		}
		return nil
	}
	var agent, control, revoked []string
	for _, one := range []struct {
		key  string
		into *[]string
	}{
		{"identityfile", &s.Identities}, {"certificatefile", &s.Certificates}, {"userknownhostsfile", &s.KnownHosts},
		{"identityagent", &agent}, {"controlpath", &control}, {"revokedhostkeys", &revoked},
	} {
		if err := paths(one.key, one.into); err != nil {
			return err
		}
	}
	s.IdentityAgent, s.ControlPath = fromEnvironment(strings.Join(agent, "")), strings.Join(control, "")
	if s.RevokedKeys = strings.Join(revoked, ""); strings.EqualFold(s.RevokedKeys, "none") {
		s.RevokedKeys = ""
		delete(s.From, "revokedhostkeys")
	}
	if v, ok := said["proxycommand"]; ok && !strings.EqualFold(v.words[0], "none") {
		line, err := command(v.words[0], tokens)
		if err != nil {
			return fmt.Errorf("%s: proxycommand: %v", v.from, err)
		}
		s.ProxyCommand = line
	}
	if len(s.Jump) == 0 {
		delete(s.From, "proxyjump") // "none" is what ssh has by default
	}
	if s.ProxyCommand == "" {
		delete(s.From, "proxycommand")
	}
	return nil
}

// fromEnvironment follows "$NAME", which IdentityAgent may be.
func fromEnvironment(s string) string {
	if name, ok := strings.CutPrefix(s, "$"); ok {
		return os.Getenv(name)
	}
	return s
}

// List is what a keyword says of algorithms.
type List struct {
	Spec string // as ssh_config(5) has it: names and patterns between commas, after +, - or ^ changes to the default list; "" is unsaid
	Kept bool   // the default list's order is kept: known_hosts may say which host key comes first
}

// Apply is what l makes of a program's own list. What a pattern may stand for is taken from all.
func (l List) Apply(own, all []string) []string {
	if l.Spec == "" {
		return own
	}
	spec, mark := l.Spec, l.Spec[0]
	if strings.IndexByte("+-^", mark) >= 0 {
		spec = spec[1:]
	} else {
		mark = 0
	}
	patterns := strings.Split(spec, ",")
	if mark == '-' {
		return slices.DeleteFunc(slices.Clone(own), func(name string) bool { return matchHost(name, patterns) })
	}
	var named []string
	for _, p := range patterns {
		if !strings.ContainsAny(p, "*?") {
			named = append(named, p)
			continue
		}
		for _, name := range all {
			if remote.Like(p, name) {
				named = append(named, name)
			}
		}
	}
	switch mark {
	case '+':
		named = append(slices.Clone(own), named...)
	case '^':
		named = append(named, own...)
	}
	return unique(named)
}

func unique(list []string) []string {
	out := make([]string, 0, len(list))
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
