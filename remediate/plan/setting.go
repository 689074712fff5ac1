package plan

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"mtaharden/playbooks"
	"mtaharden/remediate/mta"
)

// setting judges one effective value at a listener.
func (s *subject) setting(w playbooks.Want, listener string) verdict {
	v := verdict{want: wantedValue(w)}
	got, ok := s.judged.Config.Setting(w.Setting, listener)
	if !ok {
		v.status = Unknown
		v.have = say("%s: no such setting was read", "%s: 해당 설정을 읽지 못함", w.Setting)
		if w.Missing != "" && w.Missing != string(Unknown) {
			v.status = Status(w.Missing)
			v.have = say("%s is not set", "%s 설정 없음", w.Setting)
		}
		if v.status == Pass && len(s.judged.Config.Unread) > 0 {
			v.status = Unknown
			v.have = v.have.and(s.unread())
		}
		return v
	}
	v.file, v.line = got.File, got.Line
	v.have = have(got, w.Raw)
	v.status = Pass
	if !meets(value(got, w.Raw), w) {
		v.status = Fail
	}
	return v
}

func value(s mta.Setting, raw bool) string {
	if raw {
		return s.Raw
	}
	return s.Value
}

func have(s mta.Setting, raw bool) text {
	shown := fmt.Sprintf("%s = %s", s.Name, value(s, raw))
	how, ko := "", ""
	if s.How == "default" {
		how, ko = " (default)", " (기본값)"
	}
	return text{shown + how, shown + ko}
}

// meets says whether a value has everything that the want asks of it.
func meets(v string, w playbooks.Want) bool {
	same := func(word string) bool { return strings.EqualFold(strings.TrimSpace(v), word) }
	list := members(v)
	holds := func(word string) bool { return slices.Contains(list, strings.ToLower(word)) }
	switch {
	case w.Is != nil && !slices.ContainsFunc(w.Is, same), slices.ContainsFunc(w.Not, same):
		return false
	case slices.ContainsFunc(w.Has, func(x string) bool { return !holds(x) }), slices.ContainsFunc(w.Lacks, holds):
		return false
	case w.Matches != "" && !matches(w.Matches, v), w.Avoids != "" && matches(w.Avoids, v):
		return false
	}
	if w.Min == nil && w.Max == nil {
		return true
	}
	n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
	return err == nil && (w.Min == nil || n >= *w.Min) && (w.Max == nil || n <= *w.Max)
}

func matches(expr, v string) bool {
	re, err := regexp.Compile(expr)
	return err == nil && re.MatchString(v)
}

// members splits a list as the MTAs write them: commas, white space, or a colon that stands alone.
func members(v string) []string {
	var out []string
	for _, m := range strings.FieldsFunc(strings.ToLower(v), func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' }) {
		if m != ":" {
			out = append(out, m)
		}
	}
	return out
}

func wantedValue(w playbooks.Want) text {
	var parts []string
	add := func(sign string, words ...string) {
		if len(words) > 0 {
			parts = append(parts, w.Setting+" "+sign+" "+strings.Join(words, " | "))
		}
	}
	add("=", w.Is...)
	add("!=", w.Not...)
	add("has", w.Has...)
	add("lacks", w.Lacks...)
	if w.Min != nil {
		add(">=", strconv.FormatInt(*w.Min, 10))
	}
	if w.Max != nil {
		add("<=", strconv.FormatInt(*w.Max, 10))
	}
	if w.Matches != "" {
		add("matches", w.Matches)
	}
	if w.Avoids != "" {
		add("avoids", w.Avoids)
	}
	all := strings.Join(parts, ", ")
	return text{all, all}
}

// unread says what the reading lacked.
func (s *subject) unread() text {
	var t text
	for i, u := range s.judged.Config.Unread {
		if i == 3 {
			t = t.and(say("and %d more", "외 %d건", len(s.judged.Config.Unread)-i))
			break
		}
		t = t.and(say("not read: %s (%s)", "읽지 못함: %s (%s)", u.What, u.Why))
	}
	return t
}
