package sendmail

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mtaharden/remediate/judge"
)

// TestCut: how an address falls into tokens, with the operators of Berkeley's configurations.
func TestCut(t *testing.T) {
	c := cutter{".:%@!^/[]+"}
	for text, want := range map[string]string{
		`user@host.example.org`:         `user|@|host|.|example|.|org`,
		`<"a b@c"@d>`:                   `<|"a b@c"|@|d|>`,
		`a (a comment) b`:               `a|b`,
		`a\@b`:                          `a\@b`,
		`a\!b`:                          `a|!|b`,
		`"unbalanced`:                   `"unbalanced"`,
		`@one,@two:user@three`:          `@|one|,|@|two|:|user|@|three`,
		`IPv6:2001:db8::1`:              `IPv6|:|2001|:|db8|:|:|1`,
		`x"y"z`:                         `x|"y"|z`,
		"  two  words\t":                `two|words`,
		`550 "quoted \" text" (gone) .`: `550|"quoted \" text"|.`,
	} {
		if got := strings.Join(c.cut(plain(text), true), "|"); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

const rulesCF = `V10/Berkeley
O OperatorChars=.:%@!^/[]+
DXvalue.of.x
Cw own.example.org short
CO @ % !
Kfound hash /found
Kunread ldap -h x
Karith arith
Kmacro macro
Kdequote dequote
Scopy
R$*	$@ < $1 >
Sclass
R$* $=w $*	$@ left $1 word $2 right $3
Snot
R$~w	$@ other
R$*	$@ own
Sshortest
R$* . $+	$@ $1 / $2
Sloop
R a $*	$1
Smacro
R$*	$: $(macro {y} $@ $1 $) $&{y} same
R$*	$: $1 $&{y} $X
Slookup
R$*	$: $(found $1 $: none $)
Sarguments
R$* $| $*	$@ $(found args $@ $1 $@ $2 $)
Scall
R$*	$: first $>copy $1
Sempty
Scallempty
R$*	$@ $>empty $1
Sname=42
R$*	$@ by number
Sbynumber
R$*	$@ $>42 $1
Sarith
R$*	$@ $(arith l $@ 1 $@ 2 $)
Sdequote
R$*	$@ $(dequote $1 $)
Shost
R$*	$@ $[ $1 $]
Sends
R$*	$# error $@ 5.7.1 $: "550 no"
Safter
R$*	$: $>ends $1
R$# $*	never
Sgrow
R$*	$: $1 $1 $1 $1 $1 $1 $1 $1 $1 $1
R$*	$: $1 $1 $1 $1 $1 $1 $1 $1 $1 $1
R$*	$: $1 $1 $1 $1 $1 $1 $1 $1 $1 $1
R$*	$: $1 $1 $1 $1 $1 $1 $1 $1 $1 $1
Sself
R$*	$: $>self $1
Sround
R$*	$1 x
Sunread
R$*	$: $(unread $1 $)
Smissing
R$*	$: $>nowhere $1
Scond
R$*	$@ $?X set $| unset $. $?Y set $| unset $.
Scomment
R a # $*	$@ yes
R $*	$@ no
`

func ruleProgram(t testing.TB, text string) *program {
	t.Helper()
	return compile(parseCF("x.cf", []byte(text)), surroundings{
		file: func(string) ([]byte, bool, bool) { return nil, false, false },
		lookup: func(k cfMap) lookup {
			return lookupFor(k, func(cfMap) ([]entry, string, string) {
				return []entry{{key: "Key", value: "its value"}, {key: "args", value: "%2 then %1"}, {key: "a.b", value: "dotted"}}, "/found", ""
			})
		},
	})
}

// TestRewrite: one property of the rewriting language a line (op.me 5.2).
func TestRewrite(t *testing.T) {
	p := ruleProgram(t, rulesCF)
	for _, test := range []struct{ set, in, want string }{
		{"copy", "a@b", "< a @ b >"},
		{"class", "x@own.example.org.y", "left x @ word own . example . org right . y"},
		{"class", "nothing", "nothing"},
		{"not", "short", "own"},
		{"not", "long", "other"},
		{"shortest", "a.b.c", "a / b . c"},
		{"loop", "a a a b", "b"},
		{"macro", "new", "same new value . of . x"},
		{"lookup", "KEY", "its value"},
		{"lookup", "a.b", "dotted"},
		{"lookup", "other", "none"},
		{"call", "x", "first < x >"},
		{"callempty", "x", "x"},
		{"bynumber", "x", "by number"},
		{"arith", "x", "TRUE"},
		{"dequote", `"a@b"`, "a @ b"},
		{"dequote", `"a b"`, `"a b"`},
		{"after", "x", `$# error $@ 5 . 7 . 1 $: "550 no"`},
		{"cond", "x", "set unset"},
	} {
		ends := p.apply(p.cut.cut(plain(test.in), true), nil, test.set)
		if len(ends) != 1 || ends[0].err != nil {
			t.Errorf("%s %s: %+v", test.set, test.in, ends)
			continue
		}
		if got := show(ends[0].value); got != test.want {
			t.Errorf("%s %s: %s, want %s", test.set, test.in, got, test.want)
		}
	}
	for set, want := range map[string]string{
		"grow": "expansion too long", "self": "without end", "round": "infinite loop", "unread": "of type ldap", "missing": "nowhere", "none": "no ruleset none",
	} {
		if ends := p.apply([]token{"x"}, nil, set); ends[len(ends)-1].err == nil || !strings.Contains(ends[len(ends)-1].err.Error(), want) {
			t.Errorf("%s: %+v, want %q", set, ends, want)
		}
	}
	if ends := p.apply(p.cut.cut(plain("a.example.org"), true), nil, "host"); len(ends) != 2 || show(ends[0].value) != "a . example . org" || show(ends[1].value) != "a . example . org ." {
		t.Errorf("a name that the DNS may know: %+v", ends)
	}
}

// TestUnreadClass: membership that is not known is answered both ways, and an outcome that hangs on it cannot be told.
func TestUnreadClass(t *testing.T) {
	text := "V10/Berkeley\nFR/not/read\nMlocal, P=x, F=l, A=x\nScheck_rcpt\nR$* @ $=R $*\t$@ RELAY\nR$*\t$#error $@ 5.7.1 $: \"550 no\"\n"
	m := &model{cf: parseCF("x.cf", []byte(text)), rule: "check_rcpt"}
	m.prog = ruleProgram(t, text)
	a := m.evaluated(asked{Question: judge.Question{Class: judge.Outside, Form: "plain", Verb: judge.Rcpt, Recipient: "a@b"}})
	if a.Outcome != judge.CannotTell || !strings.Contains(a.Text, "/not/read") {
		t.Errorf("%+v", a)
	}
	same := strings.Replace(text, "$@ RELAY", "$#error $@ 5.7.1 $: \"550 no\"", 1)
	m = &model{cf: parseCF("x.cf", []byte(same)), rule: "check_rcpt"}
	m.prog = ruleProgram(t, same)
	if a := m.evaluated(asked{Question: judge.Question{Class: judge.Outside, Form: "plain", Verb: judge.Rcpt, Recipient: "a@b"}}); a.Outcome != judge.Refused {
		t.Errorf("%+v", a)
	}
}

// TestMembers: the words of a class file by its format.
func TestMembers(t *testing.T) {
	data := []byte("# comment\none two # three\n\n #x\nfour\n")
	words := func(format string) (w []string) {
		for _, e := range parseMembers(data, format) {
			w = append(w, e.key)
		}
		return w
	}
	if diff := cmp.Diff([]string{"one", "two", "four"}, words(`%[^\#]`)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"#", "one", "#x", "four"}, words("")); diff != "" {
		t.Error(diff)
	}
}

// FuzzRewrite: whatever rules there are, a run ends, and its end says either a value or why there is none.
func FuzzRewrite(f *testing.F) {
	f.Add([]byte(rulesCF), "a@b.example.org", "class")
	f.Add([]byte("Da$b$b$b$b$b$b$b$b$b$b\nDb$a$a$a$a$a$a$a$a$a$a\nSx\nR$a\t$&a\n"), "x", "x")
	f.Add([]byte("Sx\nR$*$*$*$*$*$*$*$*$*$*z\t$1\n"), "a a a a a a a a a a a a a a a a a a a a a a a a", "x")
	f.Add([]byte("Sx\nR$*\t$>x $>x $>x $1\n"), "a", "x")
	f.Add([]byte("V10\nSx\nR$*\t$( $) $[ $( a $@ $: $@\nR$-\t$9\nR\t\n"), "\"\\", "x")
	f.Fuzz(func(t *testing.T, cf []byte, in, set string) {
		if len(cf) > 1<<14 || len(in) > 1<<10 {
			return
		}
		p := ruleProgram(t, string(cf))
		for _, end := range p.apply(p.cut.cut(plain(in), true), map[string]string{"client_name": in}, set) {
			if end.err == nil && len(end.value) > 100*maxTokens {
				t.Errorf("%d tokens", len(end.value))
			}
			_ = show(end.value)
		}
	})
}

// TestListeners: what a modifier of a listener changes. That a password is offered is never said: the SASL library has a word in it.
func TestListeners(t *testing.T) {
	const both = "O DaemonPortOptions=Name=MTA\nO DaemonPortOptions=Port=587, M=Ea\n"
	for _, test := range []struct{ cf, auth, relayed string }{
		{"", "cannot-tell", ":relayed"},
		{both, "cannot-tell cannot-tell", "0.0.0.0:25:relayed"},
		{"O DaemonPortOptions=Port=587, M=Ea\n", "cannot-tell", ":refused"},
		{"O AuthMechanisms=PLAIN\n" + both, "cannot-tell cannot-tell", "0.0.0.0:25:relayed"},
		{"O AuthMechanisms=PLAIN LOGIN\nO AuthOptions=A p y\n", "cannot-tell", ":relayed"},
		{"O AuthMechanisms=CRAM-MD5\n", "cannot-tell", ":relayed"},
		{"O AuthMechanisms=PLAIN\nO DaemonPortOptions=M=A\nO DaemonPortOptions=Port=465, M=s\n", "refused refused", ":relayed"},
	} {
		m := &model{cf: parseCF("x.cf", []byte(test.cf))}
		var auth, relayed []string
		for _, a := range m.authOffers() {
			auth = append(auth, string(a.Outcome))
		}
		for _, a := range m.shut().spread(judge.Answer{Question: judge.Question{Verb: judge.Rcpt}, Outcome: judge.Relayed}) {
			relayed = append(relayed, a.Question.Listener+":"+string(a.Outcome))
		}
		if got := strings.Join(auth, " "); got != test.auth {
			t.Errorf("%q: AUTH %s, want %s", test.cf, got, test.auth)
		}
		if got := strings.Join(relayed, " "); got != test.relayed {
			t.Errorf("%q: %s, want %s", test.cf, got, test.relayed)
		}
	}
}

// A value that doubles with every rule ends at a bound instead of filling the memory, in a macro and in a map's answer.
func TestRewriteBounded(t *testing.T) {
	macro := "Kset macro\nSm\nR$*\t\t$: $1 $(set {x} $@ " + strings.Repeat("a", 100) + " $)\n" + strings.Repeat("R$*\t\t$: $1 $(set {x} $@ $&{x}$&{x} $)\n", 40)
	tokens := "St\nR$*\t\t$: " + strings.Repeat("$1.", 5000) + "\n"
	for set, text := range map[string]string{"m": macro, "t": strings.Repeat("R$*\t\t$: $1.$1\n", 9) + tokens} {
		p := ruleProgram(t, "V10/Berkeley\nS0\n"+text)
		ends := p.apply([]token{"x", ".", "y"}, map[string]string{}, set)
		if err := ends[0].err; err == nil || !strings.Contains(err.Error(), "bytes") && !strings.Contains(err.Error(), "too long") {
			t.Errorf("%s: %v, a value of %d tokens", set, err, len(ends[0].value))
		}
	}
	if got := fill(strings.Repeat("%0", 1000), strings.Repeat("k", 1000), nil); len(got) > 2*maxValue {
		t.Errorf("%d bytes", len(got))
	}
}

// What macros came to in one question is not counted against the next.
func TestMacrosSpent(t *testing.T) {
	p := ruleProgram(t, "V10/Berkeley\nDx"+strings.Repeat("a", 1000)+"\nSm\nR$*\t\t$: $1 $| $&x\n")
	for range 2 * maxExpanded / 1000 {
		if ends := p.apply([]token{"y"}, map[string]string{}, "m"); ends[0].err != nil {
			t.Fatal(ends[0].err)
		}
	}
}
