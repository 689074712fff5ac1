package ssh

import (
	"strings"
	"testing"
	"time"
)

// TestPasswordIsForAPassword: which of a host's questions the password answers, and which a person. A wrong answer is a failed try.
func TestPasswordIsForAPassword(t *testing.T) {
	for _, c := range []struct {
		question       string
		echo, attended bool
		want           string // "" is no answer at all
	}{
		{"Password: ", false, true, "s3cret"}, {"Password: ", false, false, "s3cret"}, {"root's password for mx01: ", false, true, "s3cret"}, {"암호: ", false, false, "s3cret"},
		{"Verification code: ", false, true, "typed"}, {"Verification code: ", false, false, ""}, {"One-time password (OATH) for `root': ", false, true, "typed"},
		{"One-time password (OATH) for `root': ", false, false, ""}, {"Enter PASSCODE: ", false, false, ""}, {"(root) OTP: ", false, true, "typed"}, {"Password: ", true, true, "typed"},
	} {
		l := &login{ctx: t.Context(), t: Target{Password: func() (string, error) { return "s3cret", nil }}, clock: time.NewTimer(time.Hour)}
		l.t.Trace = func(string) {}
		if c.attended {
			l.partial = []string{"publickey"}
			l.t.Answer = func(string, bool) (string, error) { return "typed", nil }
		}
		got, err := l.answer("", "", []string{c.question}, []bool{c.echo})
		if given := strings.Join(got, ","); (err == nil) != (c.want != "") || given != c.want || l.pwSent != (c.want == "s3cret") {
			t.Errorf("%q, somebody there %v: %q, %v", c.question, c.attended, got, err)
		}
	}
}
