package postfix

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"mtaharden/remediate/facts"
)

// rule is a line of a cidr, regexp or pcre table.
type rule struct {
	line   int
	negate bool
	opens  bool // if
	shuts  bool // endif
	net    netip.Prefix
	re     *regexp.Regexp
	opaque string // why the pattern is not understood: it may match or not
	value  string
}

// openRules reads a table of patterns, from its file or (Postfix 3.7) from braces in its name.
func (t *table) openRules(s *facts.Snapshot) {
	if strings.HasPrefix(t.path, "{") {
		if !strings.HasSuffix(t.path, "}") {
			t.missing = "bad syntax: " + t.spec
			return
		}
		for _, w := range splitList(t.path[1:len(t.path)-1], true) {
			text := strings.TrimSuffix(strings.TrimPrefix(w.text, "{"), "}")
			text, _ = trimSpace(text)
			t.addRule(text, 0)
		}
		return
	}
	f, ok := s.File(t.path)
	if t.checkFile(f, ok); t.missing != "" || t.unread != "" {
		return
	}
	lines, _ := logicalLines(f.Data)
	for _, l := range lines {
		t.addRule(l.text, l.line)
	}
}

func (t *table) addRule(text string, line int) {
	text, _ = trimSpace(text)
	r := rule{line: line}
	if word, _ := splitKey(text); strings.EqualFold(word, "endif") {
		r.shuts = true
		t.rules = append(t.rules, r)
		return
	}
	if word, rest := splitKey(text); strings.EqualFold(word, "if") {
		r.opens, text = true, rest
	}
	for strings.HasPrefix(text, "!") {
		r.negate = !r.negate
		text, _ = trimSpace(text[1:])
	}
	ok := false
	if t.kind == "cidr" {
		ok = r.readNet(text)
	} else {
		ok = r.readPattern(text, t.kind)
	}
	if ok && (r.opens || r.value != "") {
		t.rules = append(t.rules, r)
	}
}

// readNet reads "network value". A line with a bad network is left out with a warning (cidr_table(5)).
func (r *rule) readNet(text string) bool {
	pattern, value := splitKey(text)
	net, err := parseNet(pattern)
	r.net, r.value = net, value
	return err == nil
}

// readPattern reads "/pattern/flags value". The flags switch what is on or off by default (regexp_table(5), pcre_table(5)).
func (r *rule) readPattern(text, kind string) bool {
	if text == "" || text[0] == '_' || text[0]|0x20 >= 'a' && text[0]|0x20 <= 'z' || text[0] >= '0' && text[0] <= '9' {
		return false
	}
	end := 1
	for end < len(text) && text[end] != text[0] {
		if text[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(text) {
		return false
	}
	body, rest := text[1:end], text[end+1:]
	flags, value := splitKey(rest)
	if rest != "" && isSpace(rest[0]) {
		flags = ""
		value, _ = trimSpace(rest)
	}
	r.value = value
	r.re, r.opaque = compile(body, flags, kind)
	return true
}

// compile translates a pattern; what Go's engine has not (look-around, back-references, GNU escapes) is opaque.
func compile(body, flags, kind string) (*regexp.Regexp, string) {
	on := map[rune]bool{'i': true, 's': kind == "pcre"}
	for _, f := range flags {
		switch f {
		case 'i', 's', 'm', 'U':
			on[f] = !on[f]
		default:
			return nil, "pattern flag " + strconv.QuoteRune(f)
		}
	}
	prefix := ""
	for _, f := range "ismU" {
		if on[f] {
			prefix += string(f)
		}
	}
	if kind == "regexp" && hasLetterEscape(body) {
		return nil, "the escape in pattern " + strconv.Quote(body)
	}
	if prefix != "" {
		prefix = "(?" + prefix + ")"
	}
	re, err := regexp.Compile(prefix + body)
	if err != nil {
		return nil, "pattern " + strconv.Quote(body)
	}
	return re, ""
}

// hasLetterEscape reports an escaped letter or digit: regex(7) gives those another meaning, or none.
func hasLetterEscape(body string) bool {
	for i := 0; i+1 < len(body); i++ {
		if body[i] != '\\' {
			continue
		}
		i++
		if c := body[i] | 0x20; c >= 'a' && c <= 'z' || body[i] >= '0' && body[i] <= '9' || strings.IndexByte("<>`'", body[i]) >= 0 {
			return true
		}
	}
	return false
}

// lookRules finds the first rule that matches key, passing over if … endif blocks whose condition does not hold.
func lookRules(rules []rule, key string) found {
	addr, _ := netip.ParseAddr(key)
	skip := 0 // depth of blocks that are passed over
	for _, r := range rules {
		switch {
		case r.shuts:
			skip = max(skip-1, 0)
			continue
		case skip > 0:
			if r.opens {
				skip++
			}
			continue
		case r.opaque != "":
			return found{unread: r.opaque + " is not understood"}
		}
		match := r.matches(key, addr) != r.negate
		if r.re == nil && !r.shuts && (!addr.IsValid() || addr.Unmap().Is4() != r.net.Addr().Is4()) {
			match = false // what is no address, or one of the other protocol, is in no network, and outside of none (cidr_table(5))
		}
		switch {
		case r.opens && !match:
			skip = 1
		case !r.opens && match:
			return found{ok: true, value: r.result(key), line: r.line}
		}
	}
	return found{}
}

func (r *rule) matches(key string, addr netip.Addr) bool {
	if r.re != nil {
		return r.re.MatchString(key)
	}
	return addr.IsValid() && r.net.Contains(addr.Unmap())
}

// result is the value with $1, ${1} and $(1) replaced by what the pattern's groups matched.
func (r *rule) result(key string) string {
	if r.re == nil || r.negate || !strings.Contains(r.value, "$") {
		return r.value
	}
	groups := r.re.FindStringSubmatch(key)
	out, err := expander{get: func(name string) (string, bool) {
		if n, err := strconv.Atoi(name); err == nil && n > 0 && n < len(groups) {
			return strings.ReplaceAll(groups[n], "$", "$$"), true
		}
		return "", false
	}}.expand(r.value)
	if err != nil {
		return r.value
	}
	return out
}
