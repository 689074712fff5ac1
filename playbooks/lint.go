package playbooks

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The words a want may use; the same as the judges' (package judge).
var (
	verbs    = []string{"RCPT", "VRFY", "EXPN", "BANNER", "HELP", "AUTH"}
	classes  = []string{"outside", "localhost", "own", "inside", "beside"}
	outcomes = []string{"relayed", "delivered", "refused", "deferred", "dead", "disclosed"}
	entries  = []string{"client-net", "client-name", "sender", "recipient", "helo", "any", "table"}
	allows   = []string{"networks", "domains", "never"}
	results  = []string{"fail", "review"}
	missings = []string{"pass", "fail", "unknown"}
	ops      = []string{"set", "unset", "add", "remove"}
)

// fieldsOf names the keys that a want of each kind reads, beside those that every want has.
func fieldsOf(k Kind) []string {
	switch k {
	case Answer:
		return []string{"verb", "class", "form", "bad"}
	case Setting:
		return []string{"setting", "is", "not", "has", "lacks", "min", "max", "matches", "avoids", "raw", "missing"}
	case Trust:
		return []string{"entry", "allow"}
	case Mode:
		return []string{"path", "deny"}
	case Note:
		return []string{"code"}
	case Version:
		return []string{"id", "fixed", "affected", "probe", "note"}
	}
	return nil
}

var common = []string{"kind", "since", "until", "feature", "result", "expect", "expect_ko", "fix", "remedy"}

// problem is a mistake in a rule, at a key.
type problem struct {
	key  []string
	text string
}

// Lint returns what is unwise in rules that load: texts that are missing in a language, a rule that says nothing of what to do,
// controls whose numbers were used again and that lack the guide's year. An empty result is what a published playbook should have.
func Lint(rules []Rule) []string {
	var out []string
	for _, r := range rules {
		for _, text := range unwise(r) {
			out = append(out, fmt.Sprintf("rule %s: %s", r.ID, text))
		}
	}
	return out
}

// Strangers returns what rules say of MTAs that are none of the known ones: a want under a misspelt name is a wish that nobody checks.
func Strangers(rules []Rule, known []string) []string {
	known = append(slices.Clone(known), Any)
	var out []string
	for _, r := range rules {
		named := map[string]string{}
		for _, w := range slices.Concat(r.Wants, r.Guide) {
			named[w.MTA] = "wants"
		}
		for m := range r.Manual {
			named[m] = "manual"
		}
		for m := range r.Absent {
			named[m] = "absent"
		}
		for m, where := range named {
			if !slices.Contains(known, m) {
				out = append(out, fmt.Sprintf("rule %s: %s.%s: no MTA %q is known%s", r.ID, where, m, m, suggest(m, known)))
			}
		}
	}
	slices.Sort(out)
	return out
}

// reused matches items of the guide for critical infrastructure, whose numbers mean other things in its edition of 2026.
var reused = regexp.MustCompile(`^U-\d+$`)

func unwise(r Rule) []string {
	var out []string
	texts := []struct{ key, text string }{{"title", r.Title}, {"title_ko", r.TitleKo}, {"why", r.Why}, {"why_ko", r.WhyKo}}
	if len(r.Guide) > 0 {
		texts = append(texts, []struct{ key, text string }{{"guide_text", r.GuideText}, {"guide_text_ko", r.GuideTextKo}}...)
	}
	for _, t := range texts {
		if strings.TrimSpace(t.text) == "" {
			out = append(out, "has no "+t.key)
		}
	}
	for mta, s := range r.Manual {
		if s.En == "" || s.Ko == "" {
			out = append(out, fmt.Sprintf("manual.%s is not in both languages", mta))
		}
	}
	for _, c := range r.Controls {
		if reused.MatchString(c) {
			out = append(out, fmt.Sprintf("control %q needs the guide's year: the numbers of 2021 were used again in 2026, write %s(2021) or %s(2026)", c, c, c))
		}
	}
	if r.Controls == nil {
		out = append(out, "names no control")
	}
	for _, w := range r.Wants {
		if (w.Expect == "") != (w.ExpectKo == "") {
			out = append(out, fmt.Sprintf("wants.%s.%s: expect is not in both languages", w.MTA, w.Name))
		}
		if w.Fix == nil && !w.Remedy && r.ManualFor(w.MTA) == (Steps{}) {
			out = append(out, fmt.Sprintf("wants.%s.%s has neither fix nor manual steps", w.MTA, w.Name))
		}
	}
	slices.Sort(out)
	return out
}

// check returns what makes a rule unusable.
func check(r Rule) []problem {
	var out []problem
	here := []string{"rule", r.ID}
	if r.Title == "" {
		out = append(out, problem{here, "title is missing"})
	}
	if r.Severity == "" {
		out = append(out, problem{here, "severity is missing"})
	}
	if r.ID == BuiltIn {
		if len(r.Wants) > 0 {
			out = append(out, problem{append(here, "wants"), "the program makes this rule's findings by itself; it takes no wants"})
		}
		return out
	}
	if len(r.Wants) == 0 {
		out = append(out, problem{here, "it has no wants"})
	}
	if alone := func(w Want) bool { return w.Kind == Transport && w.MTA == Any }; r.OfTransport() && slices.ContainsFunc(slices.Concat(r.Wants, r.Guide), func(w Want) bool { return !alone(w) }) {
		out = append(out, problem{here, "a want of kind transport is one of any, in a rule with no wants of another kind: it judges no mail server"})
	}
	for _, w := range r.Wants {
		out = append(out, checkWant(w, append(slices.Clone(here), "wants", w.MTA, w.Name))...)
	}
	for _, w := range r.Guide {
		out = append(out, checkWant(w, append(slices.Clone(here), "guide", w.MTA, w.Name))...)
	}
	return out
}

func checkWant(w Want, here []string) []problem {
	c := checker{here: here}
	if w.Kind == "" {
		c.add("", "kind is missing: one of "+strings.Join(kinds, ", "))
		return c.problems
	}
	c.foreign(w)
	c.words("result", results, w.Result)
	c.version("since", w.Since)
	c.version("until", w.Until)
	for _, f := range w.Fix {
		c.fix(f)
	}
	switch w.Kind {
	case Answer:
		c.answer(w)
	case Setting:
		c.setting(w)
	case Trust:
		c.needs("entry", len(w.Entry) > 0)
		c.needs("allow", w.Allow != "")
		c.words("entry", entries, w.Entry...)
		c.words("allow", allows, w.Allow)
	case Mode:
		c.mode(w)
	case Note:
		c.needs("code", len(w.Code) > 0)
	case Version:
		c.needs("id", len(w.ID) > 0)
		c.needs("fixed", len(w.Fixed) > 0)
		c.version("affected", w.Affected)
		for _, v := range w.Fixed {
			c.version("fixed", v)
		}
	}
	return c.problems
}

type checker struct {
	here     []string
	problems []problem
}

func (c *checker) add(key, text string) {
	at := slices.Clone(c.here)
	if key != "" {
		at = append(at, key)
	}
	c.problems = append(c.problems, problem{at, text})
}

func (c *checker) needs(key string, ok bool) {
	if !ok {
		c.add("", fmt.Sprintf("%s: %s is missing", strings.Join(c.here[2:], "."), key))
	}
}

func (c *checker) words(key string, allowed []string, got ...string) {
	for _, g := range got {
		if g != "" || key == "class" || key == "bad" || key == "entry" {
			if err := oneOf(key, g, allowed); err != nil {
				c.add(key, err.Error())
			}
		}
	}
}

// foreign refuses keys that the want's kind does not read: they would be a wish that nobody checks.
func (c *checker) foreign(w Want) {
	read := append(slices.Clone(common), fieldsOf(w.Kind)...)
	v := reflect.ValueOf(w)
	for i := range v.NumField() {
		name := keyOf(v.Type().Field(i))
		if name != "-" && !v.Field(i).IsZero() && !slices.Contains(read, name) {
			c.add(name, fmt.Sprintf("a want of kind %q does not read %q", w.Kind, name))
		}
	}
}

func (c *checker) answer(w Want) {
	c.needs("verb", w.Verb != "")
	c.needs("class", len(w.Class) > 0)
	c.needs("bad", len(w.Bad) > 0)
	c.words("verb", verbs, w.Verb)
	c.words("class", classes, w.Class...)
	c.words("bad", outcomes, w.Bad...)
}

func (c *checker) setting(w Want) {
	c.needs("setting", w.Setting != "")
	tests := w.Is != nil || w.Not != nil || w.Has != nil || w.Lacks != nil || w.Min != nil || w.Max != nil || w.Matches != "" || w.Avoids != ""
	c.needs("one of is, not, has, lacks, min, max, matches, avoids", tests)
	c.words("missing", missings, w.Missing)
	for key, expr := range map[string]string{"matches": w.Matches, "avoids": w.Avoids} {
		if _, err := regexp.Compile(expr); err != nil {
			c.add(key, err.Error())
		}
	}
}

func (c *checker) mode(w Want) {
	c.needs("path", len(w.Path) > 0)
	for _, p := range w.Path {
		if !strings.HasPrefix(p, "/") {
			c.add("path", fmt.Sprintf("path %q is not absolute", p))
		}
	}
	if bits, err := strconv.ParseUint(w.Deny, 8, 12); err != nil || bits == 0 {
		c.add("deny", fmt.Sprintf("deny %q is no set of permission bits in octal, such as \"0001\"", w.Deny))
	}
}

var versionForm = regexp.MustCompile(`^\d+(\.\d+)*$`)

func (c *checker) version(key, v string) {
	if v != "" && !versionForm.MatchString(v) {
		c.add(key, fmt.Sprintf("%s %q is no version: numbers with points between them", key, v))
	}
}

func (c *checker) fix(f Fix) {
	if f.Name == "" {
		c.add("fix", "a fix needs a name")
	}
	if err := oneOf("op", f.Op, ops); err != nil {
		c.add("fix", err.Error())
	}
	if strings.ContainsAny(f.Value, "\r\n\x00") {
		c.add("fix", "a fix's value may hold no line break")
	}
}
