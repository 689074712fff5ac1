package apply

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"strings"
	"testing"

	"mtaharden/remediate/backup"
	"mtaharden/remediate/journal"
	"mtaharden/remediate/plan"
)

// FuzzItem holds that whatever a path or a word of a command is made of reaches the host's shell as it is, and nothing of it is run.
func FuzzItem(f *testing.F) {
	for _, name := range oddNames() {
		f.Add(name, name)
	}
	f.Add("'$(touch gone)'\\''", "a\\")
	f.Add("x\r\ny", "")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, name, word string) {
		p := "/" + name
		m := backup.Manifest{
			Run:    "r1",
			Items:  []backup.Item{{Kind: plan.CreateFile, Path: p, Before: backup.State{Absent: true}, After: backup.State{Hash: hashOf(""), Mode: "644"}}},
			Reload: []plan.Command{{Argv: []string{"printf", "%s", word}}},
		}
		err := checkItems(m)
		if strings.ContainsRune(name, 0) || path.Clean(p) != p || p == "/" {
			if err == nil {
				t.Fatalf("%q was taken", p)
			}
			return
		}
		if err != nil {
			t.Fatalf("%q: %v", p, err)
		}
		if strings.ContainsRune(word, 0) {
			if err := checkReload(m.Reload); err == nil {
				t.Fatalf("%q was taken", word)
			}
			return
		}
		shell := []string{"dash", "mksh"}[len(p)%2]
		script := "mh_limit() { \"$@\"; }\n" + data(m, usualPace) +
			"mh_item 1\nprintf '%s\\000' \"$item_path\"\nmh_reload\nprintf '\\000%s\\000' \"$item_show\"\nprintf %s \"$item_kind$was_kind$new_kind$new_mode\"\n"
		c := exec.Command(shell, "-s")
		c.Dir, c.Stdin, c.Env = dir, strings.NewReader(script), []string{"PATH=/usr/bin:/bin", "mh_dir=" + dir}
		out, err := c.CombinedOutput()
		got := strings.Split(string(out), "\x00")
		if err != nil || len(got) != 4 || got[3] != "createabsentfile0644" {
			t.Fatalf("%s, %q: %v %q", shell, p, err, out)
		}
		if got[0] != p || got[1] != word {
			t.Fatalf("%s: %q became %q, %q became %q", shell, p, got[0], word, got[1])
		}
		if _, err := readLine("1 restored " + got[2]); err != nil {
			t.Fatalf("%q: %v", p, err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Fatalf("%q, %q was run: %v", p, word, left)
		}
	})
}

// FuzzReadLines holds that what is read of a script's output is what it would say.
func FuzzReadLines(f *testing.F) {
	for _, s := range []string{"1 restored /etc/x\n", "0 reloaded \n", "12 conflict /a b\n0 failed x; y\n3 res", "", "\n", "1 restored\n", "01 ours x\n", "-1 ours x\n", "1 other x\n", "1 ours \x1b[31m\n", "99999999999999999999 ours x\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		lines, err := ReadLines([]byte(s))
		if err != nil {
			return
		}
		var b strings.Builder
		for _, l := range lines {
			if l.N < 0 || l.State == "" {
				t.Fatalf("%+v", l)
			}
			fmt.Fprintf(&b, "%d %s %s\n", l.N, l.State, l.Text)
		}
		if whole := s[:strings.LastIndex(s, "\n")+1]; b.String() != whole {
			t.Fatalf("%q was read as %q", whole, b.String())
		}
	})
}

// TestRefused holds which manifests get no scripts.
func TestRefused(t *testing.T) {
	good := backup.State{Hash: hashOf(""), Mode: "644"}
	service := func(s plan.Service) backup.Item {
		return backup.Item{Kind: plan.Unit, Path: "/lib/x.service", Service: &s}
	}
	for want, it := range map[string]backup.Item{
		"no clean absolute path": {Kind: plan.EditFile, Path: "etc/x", Before: good, After: good},
		`"/etc/../x"`:            {Kind: plan.EditFile, Path: "/etc/../x", Before: good, After: good},
		"unknown kind":           {Kind: "other", Path: "/x", Before: good, After: good},
		"no octal mode":          {Kind: plan.EditFile, Path: "/x", Before: good, After: backup.State{Hash: good.Hash, Mode: "0999"}},
		"no hash":                {Kind: plan.EditFile, Path: "/x", Before: good, After: backup.State{Hash: "sha256:12'", Mode: "644"}},
		"owner -1:0":             {Kind: plan.EditFile, Path: "/x", Before: good, After: backup.State{Hash: good.Hash, UID: -1, Mode: "644"}},
		"not there":              {Kind: plan.ModeChange, Path: "/x", Before: backup.State{Absent: true}, After: good},
		"not named":              {Kind: plan.Unit, Path: "/x"},
		`services of "upstart"`:  service(plan.Service{Manager: "upstart", Name: "x"}),
		`"-x" is no service`:     service(plan.Service{Manager: "systemd", Name: "-x"}),
		"masks no service":       service(plan.Service{Manager: "sysv", Name: "x", After: plan.Running{Masked: true}}),
		"has no boot links":      service(plan.Service{Manager: "smf", Name: "x", Before: plan.Running{Links: []string{"/etc/rc2.d/x"}}}),
		"path of a link":         service(plan.Service{Manager: "sysv", Name: "x", Before: plan.Running{Links: []string{"rc2.d/x"}}}),
	} {
		if _, err := Write(backup.Manifest{Run: "r", Items: []backup.Item{it}}, journal.Layout{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
	twice := backup.Item{Kind: plan.EditFile, Path: "/x", Before: good, After: good}
	for want, m := range map[string]backup.Manifest{
		"changed twice":    {Run: "r", Items: []backup.Item{twice, twice}},
		"no name of a run": {Run: "a/b"},
		"no word":          {Run: "r", Reload: []plan.Command{{}}},
		"NUL":              {Run: "r", Reload: []plan.Command{{Argv: []string{"x\x00"}}}},
	} {
		if _, err := Write(m, journal.Layout{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

// TestServices holds what each init system is told.
func TestServices(t *testing.T) {
	for manager, want := range map[string][2]string{
		"systemd": {"systemctl daemon-reload\nsystemctl stop mta\n", "systemctl daemon-reload\nsystemctl start mta\n"},
		"sysv":    {"/etc/init.d/mta stop\n", "/etc/init.d/mta start\n"},
		"openrc":  {"rc-service mta stop\n", "rc-service mta start\n"},
		"smf":     {"svcadm disable -s mta\n", "svcadm enable -s mta\n"},
		"src":     {"stopsrc -s mta\n", "startsrc -s mta\n"},
		"hpux":    {"/etc/init.d/mta stop\n", "/etc/init.d/mta start\n"},
		"bsd":     {"service mta onestop\n", "service mta onestart\n"},
		"none":    {"/etc/init.d/mta stop\n", "/etc/init.d/mta start\n"},
	} {
		dir := t.TempDir()
		it := backup.Item{Kind: plan.Unit, Path: "/etc/init.d/mta", Service: &plan.Service{Manager: manager, Name: "mta", Before: plan.Running{Active: true}}}
		if managers()[manager].links {
			it.Service.Before.Links = []string{dir + "/S20mta"}
			if err := os.Symlink("../init.d/mta", dir+"/S20mta"); err != nil {
				t.Fatal(err)
			}
		}
		m := backup.Manifest{Run: "r1", Items: []backup.Item{it}}
		if err := checkItems(m); err != nil {
			t.Fatal(err)
		}
		script := journal.Script() + itemSh + serviceSh + data(m, usualPace) + "mh_setup; mh_dir=" + dir + "; mh_limit() { echo \"$@\"; }; mh_may() { :; }\n" +
			"mkdir $mh_dir/swapped; item=1; mh_item 1; mh_what=test\n"
		for i, do := range []string{"mh_swap_service", "mh_back_service"} {
			out, err := exec.Command("dash", "-c", script+do).CombinedOutput()
			if i == 0 {
				os.Remove(dir + "/swapped")
				script = strings.Replace(script, "mkdir $mh_dir/swapped; ", "", 1)
			}
			if err != nil || string(out) != want[i] {
				t.Errorf("%s, %s: %v, said %q, want %q", manager, do, err, out, want[i])
			}
			_, err = os.Lstat(dir + "/S20mta")
			if linked := err == nil; managers()[manager].links && linked != (i == 1) {
				t.Errorf("%s, %s: the boot link is there: %v", manager, do, linked)
			}
		}
	}
}

// TestServicesAtBoot holds what a restore tells the service manager while the machine boots: it has read its links already, and waiting for it would
// be waiting for this.
func TestServicesAtBoot(t *testing.T) {
	running := plan.Running{Active: true}
	for _, c := range []struct {
		manager       string
		before, after plan.Running
		want          string
	}{
		{"systemd", running, plan.Running{}, "systemctl --no-block start mta\n"},
		{"systemd", plan.Running{}, running, "systemctl --no-block stop mta\n"},
		{"smf", running, plan.Running{}, "svcadm enable mta\n"},
		{"smf", plan.Running{}, running, "svcadm disable mta\n"},
		{"sysv", running, plan.Running{}, ""},
		{"sysv", plan.Running{}, running, ""},
	} {
		dir := t.TempDir()
		m := backup.Manifest{Run: "r1", Items: []backup.Item{{Kind: plan.Unit, Path: "/etc/init.d/mta", Service: &plan.Service{
			Manager: c.manager, Name: "mta", Before: c.before, After: c.after,
		}}}}
		if err := checkItems(m); err != nil {
			t.Fatal(err)
		}
		script := journal.Script() + itemSh + serviceSh + data(m, usualPace) + "mh_setup; mh_dir=" + dir + "; mh_limit() { echo \"$@\"; }; mh_may() { :; }\n" +
			"mkdir $mh_dir/swapped; item=1; mh_item 1; mh_what=test; mh_swap_service >/dev/null || exit; mh_boot=1; mh_back_service\n"
		if out, err := exec.Command("dash", "-c", script).CombinedOutput(); err != nil || string(out) != c.want {
			t.Errorf("%s, %+v: %v, said %q, want %q", c.manager, c.before, err, out, c.want)
		}
	}
}
