package sendmail

import (
	"regexp"
	"strconv"
	"strings"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
)

// said is what sendmail's test mode printed: its options, classes and macros, and the block of each question.
type said struct {
	options map[string][]string // by long name, in order
	classes map[string][]string
	macros  map[string]string
	blocks  map[int][]string
	parsed  map[int]string // what rulesets 3 and 0 made of a question's recipient
	serving bool           // it read its configuration and took questions
	ended   bool           // the last marker was seen
	faults  []string       // "FILE: line N: …", what it found wrong before
	refuses bool           // it ended with 70 (EX_CONFIG): the daemon does not start with this configuration
	named   bool           // false: it could not qualify its own host name
	timeout bool
}

var (
	optionLine = regexp.MustCompile(`^setoption ([A-Za-z0-9_]+) \([^)]*\)(\.[A-Za-z.]+)?=(.*)$`)
	markerLine = regexp.MustCompile(`^(?:> )*Undefined ruleset MHQ(.*)$`)
	faultLine  = regexp.MustCompile(`^\S+: line \d+: |^554 5\.[03]\.\d |^(?:No|Warning: no) local mailer|: (?:readcf|Mailer) .*`)
)

// parseSaid reads the output of sm_ask. Text that it does not know is passed over.
func parseSaid(o *facts.Output) *said {
	t := &said{options: map[string][]string{}, classes: map[string][]string{}, macros: map[string]string{}, blocks: map[int][]string{}, parsed: map[int]string{}, named: true}
	t.timeout = o.State == facts.Timeout
	marker := ""
	for _, line := range strings.Split(string(o.Stdout)+"\n"+string(o.Stderr), "\n") {
		line = strings.TrimRight(line, "\r")
		if strings.Contains(line, "unqualified host name") || strings.Contains(line, "unable to qualify my own domain name") {
			t.named = false
		}
		if line == "MHQ exit 70" || line == "> MHQ exit 70" {
			t.refuses = len(t.faults) > 0
			continue
		}
		if strings.HasPrefix(line, "ADDRESS TEST MODE") {
			t.serving = true
			continue
		}
		if m := markerLine.FindStringSubmatch(line); m != nil {
			marker = m[1]
			t.ended = t.ended || marker == "end"
			continue
		}
		if !t.serving {
			t.before(line)
		} else {
			t.inside(marker, line)
		}
	}
	return t
}

// before reads a line printed while the configuration was read.
func (t *said) before(line string) {
	if m := optionLine.FindStringSubmatch(line); m != nil {
		if strings.HasSuffix(m[3], " (ignored)") {
			return
		}
		name, _ := longOption(m[1] + m[2])
		t.options[name] = append(t.options[name], m[3])
		return
	}
	if faultLine.MatchString(line) {
		t.faults = append(t.faults, line)
	}
}

// inside reads a line that follows marker.
func (t *said) inside(marker, line string) {
	bare := line
	for strings.HasPrefix(bare, "> ") {
		bare = bare[2:]
	}
	if bare == ">" || bare == "" {
		return
	}
	switch {
	case strings.HasPrefix(marker, "class-"):
		name := strings.Trim(strings.TrimPrefix(marker, "class-"), "{}")
		t.classes[name] = append(t.classes[name], bare)
	case strings.HasPrefix(marker, "parse-"):
		if m := returnsLine.FindStringSubmatch(bare); m != nil && (m[1] == "parse" || m[1] == "0") {
			if n, err := strconv.Atoi(strings.TrimPrefix(marker, "parse-")); err == nil {
				t.parsed[n] = strings.TrimSpace(m[2])
			}
		}
	case strings.HasPrefix(marker, "macro-"):
		t.macros[strings.TrimPrefix(marker, "macro-")] = bare
	default:
		if n, err := strconv.Atoi(marker); err == nil {
			t.blocks[n] = append(t.blocks[n], bare)
		}
	}
}

var returnsLine = regexp.MustCompile(`^(?:rewrite: ruleset )?(\S+) +returns: *(.*)$`)

// returned is what ruleset gave back last in block n. undefined is true where there is no such ruleset.
func (t *said) returned(n int, ruleset string) (value string, undefined, ok bool) {
	for _, line := range t.blocks[n] {
		if strings.TrimSpace(line) == "Undefined ruleset "+ruleset {
			undefined = true
		}
		if m := returnsLine.FindStringSubmatch(line); m != nil && m[1] == ruleset {
			value, ok = strings.TrimSpace(m[2]), true
		}
	}
	return value, undefined, ok
}

// why says why sendmail gave no answers, "" where it did.
func (t *said) why() string {
	switch {
	case t.timeout:
		return "sendmail -bt did not end in time"
	case t.refuses, !t.serving && len(t.faults) > 0:
		return "sendmail refuses this configuration: " + t.faults[0]
	case !t.serving:
		return "sendmail -bt gave no prompt"
	case !t.ended:
		return "sendmail -bt ended before the last question"
	}
	return ""
}

var faultAt = regexp.MustCompile(`^(\S+): line (\d+): (.*)$`)

// faultPlace is where the first fault stands.
func (t *said) faultPlace() []judge.Line {
	for _, fault := range t.faults {
		if m := faultAt.FindStringSubmatch(fault); m != nil {
			n, err := strconv.Atoi(m[2])
			if err == nil {
				return []judge.Line{{File: m[1], Line: n, Text: m[3]}}
			}
		}
	}
	return nil
}
