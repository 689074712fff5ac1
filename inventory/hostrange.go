package inventory

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// maxHosts bounds what the ranges of one inventory may make.
const maxHosts = 100_000

// names are what hosts and groups may be called: such a name is safe as a file's name, as a word of a command and on a terminal.
var names = regexp.MustCompile(`^[A-Za-z0-9_:][A-Za-z0-9._:%-]*$`)

func validName(s string) bool {
	if strings.ContainsAny(s, ":%") { // then it is an IPv6 address or nothing: a colon parts the terms of a choice
		_, err := netip.ParseAddr(s)
		return err == nil && names.MatchString(s)
	}
	if ascii, ok := dnsForm(s); ok {
		s = ascii
	}
	return len(s) <= 253 && names.MatchString(s)
}

// dnsForm is a name beyond ASCII as DNS has it (UTS #46). The rules for such names let through letters and digits alone, and no two directions of
// writing in one part: it is safe where the others are.
func dnsForm(s string) (string, bool) {
	if !strings.ContainsFunc(s, func(c rune) bool { return c > '~' }) {
		return s, false
	}
	ascii, err := idna.Lookup.ToASCII(s)
	return ascii, err == nil
}

// expand gives the names of a pattern with ranges, in order: mx[01:04], [1:9:2], [a:d]; several ranges count like an odometer.
// At most limit names are made.
func expand(pattern string, limit int) ([]string, error) {
	out := []string{""}
	for rest := pattern; rest != ""; {
		open := strings.IndexByte(rest, '[')
		if open < 0 {
			open = len(rest)
		}
		words := []string{""}
		literal := rest[:open]
		if strings.Contains(literal, "]") {
			return nil, fmt.Errorf("%q has a ] without a [", pattern)
		}
		if rest = rest[open:]; rest != "" {
			end := strings.IndexByte(rest, ']')
			if end < 0 {
				return nil, fmt.Errorf("%q has a [ without a ]", pattern)
			}
			var err error
			if words, err = span(rest[1:end], limit); err != nil {
				return nil, fmt.Errorf("%q: %v", pattern, err)
			}
			rest = rest[end+1:]
		}
		if len(out)*len(words) > limit {
			return nil, fmt.Errorf("%q makes more than %d names", pattern, limit)
		}
		out = cross(out, literal, words)
	}
	for _, name := range out {
		if !validName(name) {
			return nil, fmt.Errorf("%q is not a host's name (letters, digits and . - _ alone, at most 253)", name)
		}
	}
	return out, nil
}

func cross(heads []string, literal string, tails []string) []string {
	out := make([]string, 0, len(heads)*len(tails))
	for _, h := range heads {
		for _, t := range tails {
			out = append(out, h+literal+t)
		}
	}
	return out
}

var (
	numberSpan = regexp.MustCompile(`^(\d{1,9}):(\d{1,9})(?::(\d{1,9}))?$`)
	letterSpan = regexp.MustCompile(`^([a-z]):([a-z])(?::(\d{1,9}))?$|^([A-Z]):([A-Z])(?::(\d{1,9}))?$`)
)

// span gives the words of one range without its brackets.
func span(s string, limit int) ([]string, error) {
	if m := numberSpan.FindStringSubmatch(s); m != nil {
		width := 0
		if m[1][0] == '0' && len(m[1]) > 1 || m[2][0] == '0' && len(m[2]) > 1 {
			width = len(m[1])
			if len(m[2]) != width {
				return nil, fmt.Errorf("range [%s]: both ends must have as many digits where zeros lead", s)
			}
		}
		return count(s, number(m[1]), number(m[2]), m[3], limit, func(n int) string { return fmt.Sprintf("%0*d", width, n) })
	}
	if m := letterSpan.FindStringSubmatch(s); m != nil {
		from, to, step := m[1]+m[4], m[2]+m[5], m[3]+m[6]
		return count(s, int(from[0]), int(to[0]), step, limit, func(n int) string { return string(rune(n)) })
	}
	return nil, fmt.Errorf("[%s] is not a range (write it as [01:04], [1:9:2] or [a:d])", s)
}

func count(s string, from, to int, stepText string, limit int, word func(int) string) ([]string, error) {
	step := 1
	if stepText != "" {
		step = number(stepText)
	}
	if step == 0 || from > to {
		return nil, fmt.Errorf("range [%s] holds nothing", s)
	}
	if (to-from)/step+1 > limit {
		return nil, fmt.Errorf("range [%s] makes more than %d names", s, limit)
	}
	var out []string
	for n := from; n <= to; n += step {
		out = append(out, word(n))
	}
	return out, nil
}

// number reads what the forms above have found to be at most nine digits.
func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}
