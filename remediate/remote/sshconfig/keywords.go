package sshconfig

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// shape is how often a keyword counts, and what follows it.
type shape int

const (
	single shape = iota // one word; the first said wins
	many                // a list of words; the first said wins
	added               // one word; each further one counts too
	raw                 // the rest of the line as it stands; the first said wins
)

// followed is a keyword that is followed here.
type followed struct {
	shape shape
	check func(string) error // of each word
}

var keywords = map[string]followed{
	"hostname": {single, nil}, "user": {single, nil}, "port": {single, checkPort}, "addressfamily": {single, nil},
	"identityfile": {added, nil}, "certificatefile": {added, nil}, "identitiesonly": {single, checkFlag}, "identityagent": {single, nil},
	"proxyjump": {raw, checkJump}, "proxycommand": {raw, nil},
	"userknownhostsfile": {many, nil}, "globalknownhostsfile": {many, nil}, "hostkeyalias": {single, nil}, "stricthostkeychecking": {single, nil},
	"revokedhostkeys": {single, nil}, "requiredrsasize": {single, checkCount}, "casignaturealgorithms": {single, nil},
	"controlpath": {single, nil}, "connecttimeout": {single, checkTime}, "serveraliveinterval": {single, checkTime}, "serveralivecountmax": {single, checkCount},
	"kexalgorithms": {single, nil}, "ciphers": {single, nil}, "macs": {single, nil}, "hostkeyalgorithms": {single, nil}, "pubkeyacceptedalgorithms": {single, nil},

	"gssapiauthentication": {single, checkFlag}, "hostbasedauthentication": {single, checkFlag}, "proxyusefdpass": {single, checkFlag}, "verifyhostkeydns": {single, nil},
	"pkcs11provider": {single, nil}, "knownhostscommand": {raw, nil}, "bindaddress": {single, nil}, "bindinterface": {single, nil},
	"preferredauthentications": {single, nil}, "pubkeyauthentication": {single, nil}, "passwordauthentication": {single, checkFlag}, "kbdinteractiveauthentication": {single, checkFlag},
}

// unable are keywords that are read and cannot be done here, with the value that asks for nothing that is not done.
var unable = []struct{ key, name, off string }{
	{"gssapiauthentication", "GSSAPIAuthentication", "no"}, {"hostbasedauthentication", "HostbasedAuthentication", "no"},
	{"proxyusefdpass", "ProxyUseFdpass", "no"}, {"verifyhostkeydns", "VerifyHostKeyDNS", "no"}, {"pkcs11provider", "PKCS11Provider", "none"},
	{"knownhostscommand", "KnownHostsCommand", "none"}, {"bindaddress", "BindAddress", ""}, {"bindinterface", "BindInterface", ""},
	{"preferredauthentications", "PreferredAuthentications", ""}, {"pubkeyauthentication", "PubkeyAuthentication", "yes"},
	{"passwordauthentication", "PasswordAuthentication", "yes"}, {"kbdinteractiveauthentication", "KbdInteractiveAuthentication", "yes"},
}

// asksNothing says whether a word of such a keyword is the value that asks for nothing.
func asksNothing(word, off string) bool {
	switch off {
	case "yes":
		return word == "yes" || word == "true"
	case "no":
		return word == "no" || word == "false" || word == "none"
	}
	return word == off || word == "none" && off != ""
}

// other names of keywords (readconf.c of OpenSSH).
var renamed = map[string]string{"pubkeyacceptedkeytypes": "pubkeyacceptedalgorithms", "identityfile2": "identityfile", "smartcarddevice": "pkcs11provider", "challengeresponseauthentication": "kbdinteractiveauthentication"}

// speaks says whether any directive is one that is followed here, or may lead to one.
func speaks(lines []line) bool {
	for _, l := range lines {
		_, known := keywords[named(l.key)]
		harmless := l.key == "gssapiauthentication" || l.key == "host" // Debian's own file has it; whether a host takes it is seen at login
		if known && !harmless || speaks(l.included) || l.key == "match" || l.key == "canonicalizehostname" || l.err != nil {
			return true
		}
	}
	return false
}

func named(key string) string {
	if now, ok := renamed[key]; ok {
		return now
	}
	return key
}

// take notes what a directive says, where its block is for this host. A value that makes no sense is an error for every host, as for ssh.
func (r *reading) take(l line) error {
	key := named(l.key)
	k, ok := keywords[key]
	if !ok {
		return nil
	}
	words := l.words
	switch {
	case k.shape == raw:
		words = []string{l.rest}
	case len(words) == 0 || words[0] == "":
		return l.errorf("no argument after keyword %q", l.key)
	case k.shape != many && len(words) > 1:
		return l.errorf("keyword %s: extra arguments at the end of the line", l.key)
	}
	if key == "proxyjump" {
		words = []string{jumpText(l.rest)}
	}
	for _, w := range words {
		if k.check == nil {
			break
		}
		if err := k.check(w); err != nil {
			return l.errorf("%s: %v", l.key, err)
		}
	}
	if r.active {
		r.put(key, k.shape, value{words, l.where()})
	}
	return nil
}

func (r *reading) put(key string, s shape, v value) {
	old, said := r.said[key]
	_, jumps := r.said["proxyjump"]
	_, commands := r.said["proxycommand"]
	switch {
	case (key == "proxyjump" || key == "proxycommand") && (jumps || commands): // the first of the two wins
	case !said:
		r.said[key] = v
	case s == added && !slices.Contains(old.words, v.words[0]):
		r.said[key] = value{append(slices.Clone(old.words), v.words[0]), old.from}
	}
}

// jumpText is ProxyJump's argument without a comment.
func jumpText(rest string) string {
	word, _, _ := strings.Cut(rest, "#")
	return strings.Trim(word, blanks)
}

func portWord(n int) string { return strconv.Itoa(n) }

func checkPort(s string) error {
	if n, err := strconv.ParseUint(s, 10, 16); (err != nil || n == 0) && s != "ssh" {
		return fmt.Errorf("bad number %q", s)
	}
	return nil
}

func checkCount(s string) error {
	if _, err := strconv.ParseUint(s, 10, 31); err != nil {
		return fmt.Errorf("%q is no number", s)
	}
	return nil
}

func checkFlag(s string) error {
	if !slices.Contains([]string{"yes", "true", "no", "false"}, s) {
		return fmt.Errorf("%q is neither yes nor no", s)
	}
	return nil
}

func checkTime(s string) error {
	_, err := span(s)
	return err
}

// span is a time as sshd_config(5) has it: a row of numbers with s, m, h, d or w, seconds where none of them follows.
func span(s string) (time.Duration, error) {
	if s == "none" {
		return 0, nil
	}
	bad := fmt.Errorf("%q is no time", s)
	total := time.Duration(0)
	for rest := s; rest != "" || s == ""; {
		end := 0
		for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' {
			end++
		}
		n, err := strconv.ParseUint(rest[:end], 10, 31)
		if err != nil {
			return 0, bad
		}
		unit := time.Second
		if rest = rest[end:]; rest != "" {
			units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
			if unit = units[rest[0]|0x20]; unit == 0 {
				return 0, bad
			}
			rest = rest[1:]
		}
		if total += time.Duration(n) * unit; total < 0 || total > (1<<31-1)*time.Second || n > uint64((1<<31-1)*time.Second/unit) {
			return 0, bad
		}
	}
	return total, nil
}

func checkJump(s string) error {
	_, err := hops(s)
	return err
}

// hops takes a ProxyJump apart: [user@]host[:port] or ssh://[user@]host[:port], between commas, the nearest first. "none" is none.
func hops(s string) ([]Hop, error) {
	if strings.EqualFold(s, "none") {
		return nil, nil
	}
	var out []Hop
	for word := range strings.SplitSeq(s, ",") {
		h, ok := hop(word)
		if !ok {
			return nil, fmt.Errorf("%q is not [user@]host[:port]", word)
		}
		out = append(out, h)
	}
	return out, nil
}

func hop(word string) (h Hop, ok bool) {
	bare, uri := strings.CutPrefix(word, "ssh://")
	if uri {
		bare = strings.TrimSuffix(bare, "/")
	}
	if at := strings.LastIndexByte(bare, '@'); at >= 0 {
		h.User, bare = bare[:at], bare[at+1:]
		if h.User == "" {
			return h, false
		}
	}
	port := ""
	if inner, found := strings.CutPrefix(bare, "["); found {
		h.Host, port, ok = strings.Cut(inner, "]")
		if !ok || port != "" && port[0] != ':' {
			return h, false
		}
		port = strings.TrimPrefix(port, ":")
	} else {
		h.Host = bare
		if strings.Count(bare, ":") == 1 {
			h.Host, port, _ = strings.Cut(bare, ":")
		}
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return h, false
		}
		h.Port = int(n)
	}
	return h, h.Host != "" && h.Host[0] != '-' && !strings.ContainsAny(h.Host, blanks+shellMarks)
}
