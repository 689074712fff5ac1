// Package playbooks holds the rules as data: TOML that says what a mail server's configuration should be, why, and how to mend it.
package playbooks

import (
	"fmt"
	"slices"
	"strings"
)

// Any is the name under which a Rule keeps the wants and steps that hold for every MTA.
const Any = "any"

// BuiltIn is the rule whose findings the program makes by itself, from answers that contradict each other; the playbook gives its words.
const BuiltIn = "judges-disagree"

// Rule is one thing that a mail server should satisfy. A finding is a Rule judged at an installation.
type Rule struct {
	ID       string   `toml:"-" json:"id"`
	Title    string   `toml:"title,omitempty" json:"title"`
	TitleKo  string   `toml:"title_ko,omitempty" json:"title_ko"`
	Why      string   `toml:"why,omitempty" json:"why"`
	WhyKo    string   `toml:"why_ko,omitempty" json:"why_ko"`
	Severity Severity `toml:"severity,omitempty" json:"severity"`
	// Controls are the official items it answers, each with the guide's year where numbers were used again: "SRV-009", "U-31(2021)". One that is empty, and
	// not left out, says that no official item asks for it.
	Controls []string `toml:"controls" json:"controls"`
	// GuideText is the criterion of the official text, which Guide checks to the letter.
	GuideText   string `toml:"guide_text,omitempty" json:"guide_text,omitempty"`
	GuideTextKo string `toml:"guide_text_ko,omitempty" json:"guide_text_ko,omitempty"`
	// Manual holds what a person has to do where no edit can be planned, by MTA.
	Manual map[string]Steps `toml:"manual,omitempty" json:"manual,omitempty"`
	// Absent says of an MTA why the rule cannot concern it.
	Absent map[string]Steps `toml:"absent,omitempty" json:"absent,omitempty"`
	Wants  []Want           `toml:"-" json:"wants,omitempty"`
	Guide  []Want           `toml:"-" json:"guide,omitempty"`
	Source string           `toml:"-" json:"source"` // the files it was made of, "baseline.toml, own.toml"
}

// Steps is a text for people.
type Steps struct {
	En string `toml:"en,omitempty" json:"en"`
	Ko string `toml:"ko,omitempty" json:"ko"`
}

// Want is one checkable wish of a rule. Kind decides which of the fields below it are read; `lint` refuses the others.
type Want struct {
	MTA  string `toml:"-" json:"mta"`  // the MTA it holds for, or Any
	Name string `toml:"-" json:"name"` // unique among the rule's wants for that MTA: the key by which another file overrides it
	Kind Kind   `toml:"kind,omitempty" json:"kind"`
	// Since and Until bound the upstream versions it holds for: from Since on, below Until. "" is no bound.
	Since string `toml:"since,omitempty" json:"since,omitempty"`
	Until string `toml:"until,omitempty" json:"until,omitempty"`
	// Feature limits it to installations that were probed to have the feature; one with an exclamation mark in front, to the others.
	Feature string `toml:"feature,omitempty" json:"feature,omitempty"`
	// Result is the status where the wish is not met: "fail", which "" means, or "review".
	Result   string `toml:"result,omitempty" json:"result,omitempty"`
	Expect   string `toml:"expect,omitempty" json:"expect,omitempty"` // the wish in words, for people
	ExpectKo string `toml:"expect_ko,omitempty" json:"expect_ko,omitempty"`
	Fix      []Fix  `toml:"fix,omitempty" json:"fix,omitempty"`
	// Remedy asks the driver first what would mend the answer or take the entry away.
	Remedy bool `toml:"remedy,omitempty" json:"remedy,omitempty"`

	// answer: no Question of Verb and Class (and Form, where given) may have one of the Bad outcomes.
	Verb  string   `toml:"verb,omitempty" json:"verb,omitempty"`
	Class []string `toml:"class,omitempty" json:"class,omitempty"`
	Form  []string `toml:"form,omitempty" json:"form,omitempty"`
	Bad   []string `toml:"bad,omitempty" json:"bad,omitempty"`

	// setting: the value of Setting, at each listener.
	Setting string   `toml:"setting,omitempty" json:"setting,omitempty"`
	Is      []string `toml:"is,omitempty" json:"is,omitempty"`           // is one of these (letter case aside)
	Not     []string `toml:"not,omitempty" json:"not,omitempty"`         // is none of these
	Has     []string `toml:"has,omitempty" json:"has,omitempty"`         // its list holds all of these
	Lacks   []string `toml:"lacks,omitempty" json:"lacks,omitempty"`     // its list holds none of these
	Min     *int64   `toml:"min,omitempty" json:"min,omitempty"`         // as a number it is at least this
	Max     *int64   `toml:"max,omitempty" json:"max,omitempty"`         // as a number it is at most this
	Matches string   `toml:"matches,omitempty" json:"matches,omitempty"` // a regular expression (RE2) that matches somewhere in it
	Avoids  string   `toml:"avoids,omitempty" json:"avoids,omitempty"`   // one that matches nowhere in it
	Raw     bool     `toml:"raw,omitempty" json:"raw,omitempty"`         // judge the value as written, with no reference expanded
	Missing string   `toml:"missing,omitempty" json:"missing,omitempty"` // the status where there is no such setting: "pass", "fail", or "unknown", which "" means

	// trust: entries by which the configuration lets somebody relay, of the kinds in Entry, judged by Allow.
	Entry []string `toml:"entry,omitempty" json:"entry,omitempty"`
	Allow string   `toml:"allow,omitempty" json:"allow,omitempty"` // networks: no wider than declared or usual; domains: no whole tree of names; never: none at all

	// mode: no file of Path has a permission bit of Deny (octal, "0001"); a file that does not exist is well.
	Path []string `toml:"path,omitempty" json:"path,omitempty"`
	Deny string   `toml:"deny,omitempty" json:"deny,omitempty"`

	// note: reading the configuration noticed nothing of Code.
	Code []string `toml:"code,omitempty" json:"code,omitempty"`

	// version: a fault with the identifiers ID (other names behind a "|") is mended. Fixed lists the first good version of each branch, the lowest first;
	// Affected is the first version that has the fault; Probe is a feature that only mended programs have.
	ID       []string `toml:"id,omitempty" json:"id,omitempty"`
	Fixed    []string `toml:"fixed,omitempty" json:"fixed,omitempty"`
	Affected string   `toml:"affected,omitempty" json:"affected,omitempty"`
	Probe    string   `toml:"probe,omitempty" json:"probe,omitempty"`
	Note     string   `toml:"note,omitempty" json:"note,omitempty"` // what the fault is
}

// Fix is one change of a setting, in the MTA's own words.
type Fix struct {
	Name     string `toml:"name,omitempty" json:"name"`
	Listener string `toml:"listener,omitempty" json:"listener,omitempty"`
	Op       string `toml:"op,omitempty" json:"op"` // set, unset, add, remove
	Value    string `toml:"value,omitempty" json:"value,omitempty"`
}

// Kind is a way of checking. The set is closed: a new rule is TOML, a new Kind is code.
type Kind string

const (
	Answer  Kind = "answer"  // what the judges answered
	Setting Kind = "setting" // an effective value
	Trust   Kind = "trust"   // who is let relay
	Mode    Kind = "mode"    // permission bits of a file
	Note    Kind = "note"    // what reading noticed
	Version Kind = "version" // a fault that a version has or has not
	Service Kind = "service" // whether the host's role needs a mail server here

	Transport Kind = "transport" // the way to the host: algorithms that protect the connection
)

var kinds = []string{string(Answer), string(Setting), string(Trust), string(Mode), string(Note), string(Version), string(Service), string(Transport)}

// UnmarshalText accepts the kinds above.
func (k *Kind) UnmarshalText(text []byte) error {
	if err := oneOf("kind", string(text), kinds); err != nil {
		return err
	}
	*k = Kind(text)
	return nil
}

// Severity is how bad it is when a rule fails.
type Severity string

const (
	Critical Severity = "critical"
	High     Severity = "high"
	Medium   Severity = "medium"
	Low      Severity = "low"
)

var severities = []string{string(Critical), string(High), string(Medium), string(Low)}

// UnmarshalText accepts the severities above.
func (s *Severity) UnmarshalText(text []byte) error {
	if err := oneOf("severity", string(text), severities); err != nil {
		return err
	}
	*s = Severity(text)
	return nil
}

// Rank orders severities: 0 is the worst.
func (s Severity) Rank() int { return slices.Index(severities, string(s)) }

// For returns the wants of the rule that hold for an MTA, those for every MTA first.
func (r Rule) For(mta string) []Want { return pick(r.Wants, mta) }

// GuideFor returns the wants of the official text's criterion for an MTA.
func (r Rule) GuideFor(mta string) []Want { return pick(r.Guide, mta) }

// OfTransport reports whether the rule judges the way to the host, and no mail server there. It has one finding a host at most.
func (r Rule) OfTransport() bool {
	return slices.ContainsFunc(r.Wants, func(w Want) bool { return w.Kind == Transport })
}

// ManualFor returns the steps for an MTA, in both languages; both are "" where the rule has none.
func (r Rule) ManualFor(mta string) Steps {
	if s, ok := r.Manual[mta]; ok {
		return s
	}
	return r.Manual[Any]
}

func pick(wants []Want, mta string) []Want {
	var out []Want
	for _, w := range wants {
		if w.MTA == Any || w.MTA == mta {
			out = append(out, w)
		}
	}
	return out
}

func oneOf(what, got string, allowed []string) error {
	if slices.Contains(allowed, got) {
		return nil
	}
	return fmt.Errorf("%s %q is not one of %s%s", what, got, strings.Join(allowed, ", "), suggest(got, allowed))
}
