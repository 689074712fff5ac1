package playbooks

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// TOML returns rules as a playbook file that loads to the same rules.
func TOML(rules []Rule) ([]byte, error) {
	type table struct {
		Rule
		Wants map[string]map[string]Want `toml:"wants,omitempty"`
		Guide map[string]map[string]Want `toml:"guide,omitempty"`
	}
	var b bytes.Buffer
	for _, r := range rules {
		doc := map[string]map[string]table{"rule": {r.ID: {r, byMTA(r.Wants), byMTA(r.Guide)}}}
		var one bytes.Buffer
		e := toml.NewEncoder(&one)
		e.Indent = ""
		if err := e.Encode(doc); err != nil {
			return nil, fmt.Errorf("cannot write rule %s: %w", r.ID, err)
		}
		b.Write(bytes.TrimPrefix(one.Bytes(), []byte("[rule]\n"))) // a table may be opened once in a file
		b.WriteByte('\n')
	}
	return b.Bytes(), nil
}

func byMTA(wants []Want) map[string]map[string]Want {
	out := map[string]map[string]Want{}
	for _, w := range wants {
		if out[w.MTA] == nil {
			out[w.MTA] = map[string]Want{}
		}
		out[w.MTA][w.Name] = w
	}
	return out
}

// Find returns the rule of an id; the error names the nearest id there is.
func Find(rules []Rule, id string) (Rule, error) {
	var ids []string
	for _, r := range rules {
		if r.ID == id {
			return r, nil
		}
		ids = append(ids, r.ID)
	}
	return Rule{}, fmt.Errorf("no rule %q%s", id, suggest(id, ids))
}

// labels are the headings of an explanation.
type labels struct{ why, severity, controls, guide, wants, fix, manual, absent, source, remedy, review string }

func labelsOf(lang string) labels {
	if lang == "ko" {
		return labels{"사유", "위험도", "통제 항목", "가이드 문구", "점검 내용", "조치", "수동 조치", "해당없음", "출처", "해당 설정에 맞춰 산출", "미충족 시 확인필요"}
	}
	return labels{"why", "severity", "controls", "guide", "wants", "fix", "by hand", "not applicable", "source", "worked out from the configuration", "review where it is not met"}
}

// Explain tells a rule in words, in the language "en" or "ko".
func Explain(r Rule, lang string) string {
	l := labelsOf(lang)
	title, why, guide := r.Title, r.Why, r.GuideText
	if lang == "ko" {
		title, why, guide = r.TitleKo, r.WhyKo, r.GuideTextKo
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\n", r.ID, title)
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	field(l.severity, string(r.Severity))
	field(l.controls, strings.Join(r.Controls, " "))
	field(l.why, why)
	field(l.guide, guide)
	if len(r.Wants) > 0 {
		fmt.Fprintf(&b, "%s:\n", l.wants)
	}
	for _, w := range r.Wants {
		fmt.Fprintf(&b, "  %s.%s  %s", w.MTA, w.Name, describe(w, lang))
		if w.Result == "review" {
			fmt.Fprintf(&b, " (%s)", l.review)
		}
		b.WriteByte('\n')
		for _, f := range w.Fix {
			fmt.Fprintf(&b, "    %s: %s\n", l.fix, strings.TrimRight(f.Op+" "+f.Name+" "+f.Value, " "))
		}
		if w.Remedy {
			fmt.Fprintf(&b, "    %s: %s\n", l.fix, l.remedy)
		}
	}
	steps(&b, l.manual, r.Manual, lang)
	steps(&b, l.absent, r.Absent, lang)
	field(l.source, r.Source)
	return b.String()
}

func steps(b *strings.Builder, name string, m map[string]Steps, lang string) {
	var mtas []string
	for mta := range m {
		mtas = append(mtas, mta)
	}
	slices.Sort(mtas)
	for _, mta := range mtas {
		said := m[mta].En
		if lang == "ko" {
			said = m[mta].Ko
		}
		fmt.Fprintf(b, "%s (%s): %s\n", name, mta, said)
	}
}

// describe tells a want in one line.
func describe(w Want, lang string) string {
	said := w.Expect
	if lang == "ko" {
		said = w.ExpectKo
	}
	var parts []string
	add := func(sign string, words ...string) {
		if len(words) > 0 && strings.Join(words, "") != "" || len(words) == 1 && w.Kind == Setting && (sign == "=" || sign == "!=") {
			parts = append(parts, sign+" "+strings.Join(words, "|"))
		}
	}
	switch w.Kind {
	case Answer:
		add(w.Verb, w.Class...)
		add("!=", w.Bad...)
	case Setting:
		parts = append(parts, w.Setting)
		add("=", w.Is...)
		add("!=", w.Not...)
		add("has", w.Has...)
		add("lacks", w.Lacks...)
		add("matches", nonEmpty(w.Matches)...)
		add("avoids", nonEmpty(w.Avoids)...)
		if w.Min != nil {
			parts = append(parts, fmt.Sprintf(">= %d", *w.Min))
		}
		if w.Max != nil {
			parts = append(parts, fmt.Sprintf("<= %d", *w.Max))
		}
	case Trust:
		parts = append(parts, strings.Join(w.Entry, "|")+": "+w.Allow)
	case Mode:
		parts = append(parts, strings.Join(w.Path, " ")+" -"+w.Deny)
	case Note:
		parts = append(parts, strings.Join(w.Code, "|"))
	case Version:
		parts = append(parts, strings.Join(w.ID, ", ")+": "+strings.Join(w.Fixed, " "))
		said = w.Note
	}
	text := strings.TrimSpace(string(w.Kind) + " " + strings.Join(parts, " "))
	if said != "" {
		text += " — " + said
	}
	return text
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}
