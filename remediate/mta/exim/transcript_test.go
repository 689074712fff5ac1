package exim

import (
	"strings"
	"testing"
)

// What a trace of -bh says of the ACL that ran, as 4.94 to 4.98 write it.
func TestDecide(t *testing.T) {
	for _, test := range []struct{ name, trace, want string }{
		{"accepted", `processing "accept" (/c 5)|check hosts = *|accept: condition test succeeded in ACL "v"|end of ACL "v": ACCEPT`, "accept 5 passed"},
		// The last verb was "accept", and did not: the end is an implicit deny.
		{"not accepted", `processing "accept" (/c 5)|check hosts = 10.0.0.0/8|accept: condition test failed in ACL "v"|end of ACL "v": implicit DENY`, "accept 5"},
		{"thrown away by a called ACL", `using ACL "r"|processing "accept" (/c 8)|check acl = s| using ACL "s"| processing "discard" (/c 5)| end of ACL "s": DISCARD|accept: condition test yielded "discard" in ACL "r"|end of ACL "r": ACCEPT`, "discard 8 passed"},
		// 4.98 tells how the router looks DNS up: the last condition is still the verification.
		{"a router's own check", `processing "require" (/c 5)|check verify = recipient|calling dnslookup router| check dnssec require list|check dnssec request|require: condition test deferred in ACL "r"`, "require 5 recipient"},
		// 4.98 goes on indenting behind a name that DNS does not know.
		{"indented", `using ACL "r"|processing "deny" (/c 5)|check hosts = none.example.edu| deny: condition test failed in ACL "r"|   ╎processing "discard" (/c 8)|   ╎   ╎ end of ACL "r": DISCARD`, "discard 8"},
		{"refused by a router", `processing "require" (/c 5)|check verify = recipient|no router forced address failure`, "require 5 recipient failed"},
	} {
		var trace []string
		for _, line := range strings.Split(test.trace, "|") {
			trace = append(trace, ">>> "+line)
		}
		d := decide(trace)
		words := []string{d.verb, strings.TrimPrefix(d.at.String(), "/c:")}
		if d.verify != "" {
			words = append(words, d.verify)
		}
		if d.failed {
			words = append(words, "failed")
		}
		if d.passed {
			words = append(words, "passed")
		}
		if got := strings.Join(words, " "); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// Every command begins a group, whatever the indentation; what a called ACL says is within it, and one that defers has no end.
func TestGroups(t *testing.T) {
	trace := strings.Join([]string{`>>> using ACL "r"`, `>>>  using ACL "s"`, `>>>  end of ACL "s": implicit DENY`, `>>>  end of ACL "r": ACCEPT`,
		`>>>  using ACL "r"`, `>>>  check verify = recipient`, `>>>  require: condition test deferred in ACL "r"`, `LOG: x`, `>>>  using ACL "r"`, `>>>   end of ACL "r": DENY`}, "\n")
	groups := groupsOf(trace)
	if len(groups) != 3 || len(groups[0]) != 4 || len(groups[1]) != 4 || len(groups[2]) != 2 {
		t.Errorf("%d groups: %q", len(groups), groups)
	}
}
