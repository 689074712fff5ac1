package ssh_test

import (
	"bytes"
	"testing"

	"mtaharden/remediate/facts"
)

// TestCollectOverOpenSSH: the collector comes through whole, as root, whatever the login shell is and says, and however root is reached.
func TestCollectOverOpenSSH(t *testing.T) {
	o := startOpenSSH(t, anyRelease(t))
	for _, user := range append([]string{"root", "dashy", "bashy", "free", "usepty", "lecture", "noisy"}, o.extra...) {
		t.Run(user, func(t *testing.T) {
			target := o.target(t, user)
			target.Become, target.BecomePassword = "sudo", given(secret)
			if user == "free" {
				target.BecomePassword = nil
			}
			h := dial(t, target)
			s, raw, err := facts.Collect(t.Context(), h)
			if err != nil {
				t.Fatalf("%v\n%.2000s", err, raw)
			}
			if !s.Complete || s.Fact("root") != "1" {
				t.Errorf("complete: %v, root: %q", s.Complete, s.Fact("root"))
			}
			if bytes.Contains(raw, []byte(secret)) {
				t.Error("the password is in the snapshot")
			}
		})
	}
	t.Run("without root", func(t *testing.T) {
		s, raw, err := facts.Collect(t.Context(), dial(t, o.target(t, "nosudo")))
		if err != nil {
			t.Fatalf("%v\n%.2000s", err, raw)
		}
		if !s.Complete || s.Fact("root") != "0" {
			t.Errorf("complete: %v, root: %q", s.Complete, s.Fact("root"))
		}
	})
}
