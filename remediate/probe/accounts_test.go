package probe

import (
	"testing"

	"mtaharden/remediate/judge"
)

// TestCompareAccounts: replies in the same words tell nothing of accounts, also where an account's name is one of the words.
func TestCompareAccounts(t *testing.T) {
	const no = "Cannot VRFY user, but will accept message"
	for _, c := range []struct {
		user   string
		texts  [4]string
		wanted judge.Outcome
	}{
		{"user", [4]string{no, no, no, no}, judge.Refused},
		{"a", [4]string{no, no, no, no}, judge.Refused},
		{"user", [4]string{"user", "x1", "root", "x2"}, judge.Refused},
		{"user", [4]string{"Cannot VRFY user here", no, no, no}, judge.Disclosed},
		{"alice", [4]string{"Alice Liddell <alice>", "x1", "root", "x2"}, judge.Disclosed},
	} {
		asked := []string{c.user, "x1", "root", "x2"}
		var log []Exchange
		for i, text := range c.texts {
			log = append(log, Exchange{Sent: "VRFY " + asked[i], Reply: Reply{Code: 252, Lines: []string{text}}})
		}
		if got, why := compare(log, asked); got != c.wanted {
			t.Errorf("%s, %q: %s (%s), want %s", c.user, c.texts, got, why, c.wanted)
		}
	}
}
