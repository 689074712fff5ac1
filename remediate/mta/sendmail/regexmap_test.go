package sendmail

import (
	"strings"
	"testing"
)

// What a map of type regex answers, and what is left to sendmail.
func TestRegexMap(t *testing.T) {
	for _, test := range []struct{ k, key, want string }{
		{`regex -a@OWN ^ANTISPAM@(mx[.]lab|[[:digit:]]+)[.]test$$`, "antispam@mx.lab.test", "@OWN"},
		{`regex -a@OWN ^ANTISPAM@(mx[.]lab|[[:digit:]]+)[.]test$`, "antispam@12.test", "@OWN"},
		{`regex -a@OWN ^ANTISPAM@(mx[.]lab|[[:digit:]]+)[.]test$$`, "antispam@mx.lab.tests", ""},
		{`regex -f -aX ^ANTISPAM`, "antispam", ""},
		{`regex -n -aX ^(probe|client)[.-]`, "client.example", ""},
		{`regex -n -aX ^(probe|client)[.-]`, "other", "X"},
		{`regex -m -a! a{2,3}$$`, "baaa", "baaa!"},
		{`regex -q -a. [\.]x`, `\x`, "."}, // a backslash in brackets is a character
		{`regex []a]{2}`, "]a", "(empty)"},
		{`regex a b`, "a b", "(empty)"},
		{`regex -s1 (a+)b`, "b", ""},
		{`regex -s1 (a+)b`, "aab", "? for parts of what it matches"},
		{`regex -b a\(b\)`, "ab", "? basic"},
		{`regex (a)\1`, "aa", "? escape"},
		{`regex a\>`, "a", "? escape"},
		{`regex a\w`, "ab", "? escape"},
		{`regex a{,3}`, "a", "? brace"},
		{`regex [[=a=]]`, "a", "? bracket"},
		{`regex [a`, "a", "? bracket"},
		{`regex (a`, "a", "? expression"},
		{`regex *a`, "a", "? expression"},
		{`regex -a. ^[A-z]+$$`, "_", "? upper and lower"}, // glibc makes the expression all upper case: [A-Z] does not hold it
		{`regex -a. ^[ -z]$$`, "_", "? upper and lower"},
		{`regex -a. [z-~]`, "_", "? upper and lower"},
		{`regex -f -a. ^[A-z]+$$`, "_", "."},
		{`regex -a. ^[a-z0-9+--]+$$`, "A-9", "."},
		{`regex -a. ^[!-~]+$$`, "_", "."},
		{`regex ^*a`, "a", "? anchor"}, // glibc refuses it
		{`regex (a$${2})b`, "a", "? anchor"},
		{`regex (a$$)*b`, "b", "(empty)"},
		{`regex \^*a`, "a", "(empty)"},
		{`regex [$$]*a`, "a", "(empty)"},
		{`regex a$*`, "a", "? metasymbol"},
		{`regex a`, "\u00e4", "! ASCII"},
	} {
		p := ruleProgram(t, "V10/Berkeley\nKm "+test.k+"\nS0\n")
		r := &run{program: p, macros: map[string]string{}, unset: map[string]bool{}, memo: map[string]bool{}, chosen: []choice{{yes: true}}}
		f := p.maps["m"](r, test.key, nil)
		got := f.value
		switch {
		case f.opaque:
			got = "? " + r.hidden
		case f.unknown != "":
			got = "! " + f.unknown
		case f.ok && got == "":
			got = "(empty)"
		}
		if got != test.want && !(len(test.want) > 2 && strings.IndexByte("?!", test.want[0]) >= 0 && got != "" && got[0] == test.want[0] && strings.Contains(got, test.want[2:])) {
			t.Errorf("%s of %q: %q, want %q", test.k, test.key, got, test.want)
		}
	}
}

// An answer that nobody here knows is carried on until a rule looks at it.
func TestOpaque(t *testing.T) {
	const rules = `V10/Berkeley
O OperatorChars=.:%@!^/[]+
Cwmx.example.edu localhost
Kld ldap -h x
Kmx bestmx -z: -T<TEMP>
Sdropped
R$*	$: $1 $| $(ld $1 $: none $)
R$*	$@ refused
Sasked
R$*	$: $(ld $1 $: none $)
Rnone	$@ refused
Sbranch
R$*	$: $(ld $1 $: none $)
Rnone	$@ refused
R$*	$@ refused
Snested
R$*	$: $(ld $1 $: z $)
R$*	$: $(ld y $@ $1 $)
Smxed
R$* @ $+	$: <MX> < : $(mx $2 $) : > $1
R<MX> < : $* <TEMP> : > $*	$@ later
R<MX> < $* : $=w. : $* > $*	$@ relayed
R$*	$@ refused
`
	p := ruleProgram(t, rules)
	for set, want := range map[string]string{
		"dropped": "refused refused", "asked": "refused ! of type ldap", "branch": "refused ! of type ldap", "nested": "y ! of type ldap", "mxed": "refused refused relayed",
	} {
		in := "y"
		if set == "mxed" {
			in = "a@example.org"
		}
		var got []string
		for _, end := range p.apply(p.cut.cut(plain(in), true), map[string]string{}, set) {
			if end.err != nil {
				got = append(got, "!", end.err.Error())
				continue
			}
			got = append(got, show(end.value))
		}
		have := strings.Join(got, " ")
		if set, failing, ok := strings.Cut(want, " ! "); have != want && !(ok && strings.HasPrefix(have, set+" ! ") && strings.Contains(have, failing)) {
			t.Errorf("%s: %s, want %s", set, have, want)
		}
	}
}

// FuzzPosix: whatever the expression, it is read or refused, and what is read can be asked.
func FuzzPosix(f *testing.F) {
	f.Add("-a@X -f ^[]^\\a-z[:alpha:]]{2,}(a|b)*$", "a")
	f.Add("-n -s1,2 \\.[^]", "x")
	f.Fuzz(func(t *testing.T, args, key string) {
		if len(args) > 200 || len(key) > 200 {
			return
		}
		l := parseRegex(args)
		re, err := posix(l)
		if (re == nil) == (err == nil) {
			t.Errorf("%v and %v", re, err)
		}
		if re != nil {
			re.MatchString(key)
		}
	})
}
