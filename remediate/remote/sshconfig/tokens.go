package sshconfig

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// expand puts values in the place of tokens (ssh_config(5), TOKENS); a token that has none is an error, as for ssh.
func expand(s string, tokens map[byte]string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '%':
			b.WriteByte(s[i])
			continue
		case i+1 == len(s):
			return "", fmt.Errorf("%q ends in a %%", s)
		}
		i++
		v, ok := tokens[s[i]]
		switch {
		case s[i] == '%':
			b.WriteByte('%')
		case !ok:
			return "", fmt.Errorf("%q has the unknown token %%%c", s, s[i])
		default:
			b.WriteString(v)
		}
	}
	return b.String(), nil
}

var environment = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// path expands ~, tokens and ${NAME} of a file's name.
func path(s string, home string, tokens map[byte]string) (string, error) {
	if rest, ok := strings.CutPrefix(s, "~/"); ok {
		s = filepath.Join(home, rest)
	} else if strings.HasPrefix(s, "~") {
		return "", fmt.Errorf("cannot expand %q: only ~/ is known", s)
	}
	s, err := expand(s, tokens)
	if err != nil {
		return "", err
	}
	s = environment.ReplaceAllStringFunc(s, func(ref string) string {
		v, ok := os.LookupEnv(ref[2 : len(ref)-1])
		if !ok && err == nil {
			err = fmt.Errorf("%s in %q is not in the environment", ref, s)
		}
		return v
	})
	return s, err
}

// tokens are what the values so far stand for.
func (s *Settings) tokens(q Query, me local) map[byte]string {
	host, port, account, alias := strings.ToLower(q.Host), "22", me.user, q.Host
	if s.HostName != "" {
		host = s.HostName
	}
	if s.Port != 0 {
		port = portWord(s.Port)
	}
	if s.User != "" {
		account = s.User
	}
	if s.HostKeyAlias != "" {
		alias = s.HostKeyAlias
	}
	short, _, _ := strings.Cut(me.host, ".")
	jump := ""
	if n := len(s.Jump); n > 0 {
		jump = s.Jump[n-1].Host
	}
	sum := sha1.Sum([]byte(me.host + host + port + account))
	return map[byte]string{
		'h': host, 'n': q.Host, 'p': port, 'r': account, 'u': me.user, 'd': me.home, 'i': me.uid, 'k': alias, 'L': short, 'l': me.host,
		'j': jump, 'C': hex.EncodeToString(sum[:]),
	}
}

// shellMarks are what no host name or user may hold that goes to a shell: ssh refuses them since 9.6.
const shellMarks = "'`\"$\\;&<>|(){}"

// command expands ProxyCommand. Its words are the shell's to cut; so nothing that is put into it may mean anything to a shell.
func command(s string, tokens map[byte]string) (string, error) {
	given := map[byte]string{}
	for _, name := range []byte("hnpr") {
		given[name] = tokens[name]
		if strings.ContainsAny(tokens[name], shellMarks+blanks) || strings.HasPrefix(tokens[name], "-") {
			return "", fmt.Errorf("%q may not go to a shell", tokens[name])
		}
	}
	return expand(s, given)
}
