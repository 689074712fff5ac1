package plan

import (
	"fmt"
	"strings"
	"testing"

	"mtaharden/playbooks"
	"mtaharden/remediate/facts"
)

// retiring is the input of a host that needs no mail server and whose init system says fact of the toy's service.
func retiring(t *testing.T, init, fact string, active bool) Input {
	t.Helper()
	frame := "abcdef12 begin 1 none 1795262400\nabcdef12 fact init " + init + "\nabcdef12 fact service:toy " + fact + "\nabcdef12 seen toy\n" +
		"|10.3.2.1\t-\tlocal\t9\t2026-11-20T17:02:00Z\n|10.3.2.1\tauth\tforeign\t4\t2026-11-20T17:03:00Z\nabcdef12 end\nabcdef12 done\n"
	s, err := facts.Parse(strings.NewReader(frame))
	if err != nil || s.Init != init {
		t.Fatalf("%v, init %q", err, s.Init)
	}
	in := toyInput(t, masked())
	in.Snapshot, in.Rules, in.Intent.Role = s.With(masked()), nil, "none"
	for _, r := range baseline(t) {
		if r.ID == "mta-needed" {
			in.Rules = []playbooks.Rule{r}
		}
	}
	in.Installs[0].Driver.Services = []string{"toy"}
	in.Installs[0].Install.Active = active
	in.Snapshot.Root = true
	return in
}

func TestRetire(t *testing.T) {
	const links = " /etc/systemd/system/multi-user.target.wants/toy.service"
	for _, c := range []struct {
		name, init, fact string
		active           bool
		want             string // the finding's status, whether it is fixable, the change and its boot links
	}{
		{"runs and starts at boot", "systemd", "enabled active toy.service /lib/systemd/system/toy.service" + links, true, "fail true enabled, running 1"},
		{"starts at boot", "systemd", "enabled inactive toy.service /lib/systemd/system/toy.service" + links, false, "fail true enabled, stopped 1"},
		{"runs", "systemd", "disabled active toy.service /lib/systemd/system/toy.service", true, "fail true disabled, running 0"},
		{"retired", "systemd", "disabled inactive toy.service /lib/systemd/system/toy.service", false, "pass false"},
		{"masked", "systemd", "masked inactive toy.service -", false, "pass false"},
		{"start script", "sysv", "enabled - toy /etc/init.d/toy /etc/rc2.d/S20toy /etc/rc3.d/S20toy", true, "fail true enabled, running 2"},
		{"started by no link", "systemd", "enabled active toy.service /lib/systemd/system/toy.service", true, "fail false"},
		{"manager without links", "smf", "enabled active svc:/network/smtp:toy -", true, "fail false"},
		{"unit of no path", "systemd", "enabled active toy.service ../toy" + links, true, "fail false"},
		{"no service", "systemd", "none -", true, "fail false"},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := New(retiring(t, c.init, c.fact, c.active))
			f := find(t, res, "mta-needed")
			got := fmt.Sprintf("%s %v", f.Status, f.Fixable)
			for _, ch := range res.Changes {
				got += fmt.Sprintf(" %s %d", ch.Service.Before, len(ch.Service.Before.Links))
				if err := ch.check(1); err != nil {
					t.Errorf("the plan would be refused: %v", err)
				}
			}
			if got != c.want {
				t.Errorf("%s (%s), want %s", got, f.Have, c.want)
			}
			if len(res.Changes) == 0 {
				return
			}
			if len(res.Impact) != 1 || res.Impact[0].Client != "10.3.2.1" || res.Impact[0].Count != 13 {
				t.Errorf("impact %+v", res.Impact)
			}
			for _, k := range res.Commands {
				if len(k.Reload) > 0 {
					t.Errorf("a service that is stopped would be reloaded: %v", k.Reload)
				}
			}
		})
	}
}

// TestServiceRefused: a plan file whose service change names what is no service is refused.
func TestServiceRefused(t *testing.T) {
	good := Service{Manager: "systemd", Name: "toy.service"}
	for _, s := range []*Service{nil, {Manager: "systemd"}, {Manager: "smf", Name: "x"}, {Manager: "systemd", Name: "-x"}, {Manager: "systemd", Name: "a/b"},
		{Manager: "systemd", Name: "x", Before: Running{Links: []string{"/etc/../x"}}}} {
		if err := (Change{Path: "/x", Kind: Unit, Service: s}).check(1); err == nil {
			t.Errorf("%+v was taken", s)
		}
	}
	if err := (Change{Path: "/x", Kind: Unit, Service: &good}).check(1); err != nil {
		t.Error(err)
	}
}
