package exim

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What a process says of itself is run with root's rights only where root alone could have written it: anybody may start one named exim.
func TestSoundProcesses(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(dir, "open")
	for _, d := range []string{filepath.Join(dir, "kept"), open} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d, "prog"), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "loose"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "loose"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(open, "prog"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	tab := "\t"
	head := "mh_listeners='0.0.0.0:25 7\n[::]:2525 9'\nmh_processes='5" + tab + "1" + tab + "0" + tab + "x\n7" + tab + "1" + tab + "101" + tab + "x\n9" + tab + "1" + tab + "1000" + tab + "x'\n"
	for check, want := range map[string]string{
		"exim_sound " + dir + "/kept/prog": "yes",
		"exim_sound " + open + "/prog":     "no",
		"exim_sound " + dir + "/loose":     "no",
		"exim_sound " + dir + "/link":      "no",
		"exim_sound " + dir + "/none":      "no",
		"exim_sound prog":                  "no",
		"exim_trusted 5":                   "yes",
		"exim_trusted 7":                   "yes",
		"exim_trusted 9":                   "no",
		"exim_trusted 11":                  "no",
	} {
		script := strings.TrimSuffix(strings.TrimSpace(Driver.Collect), "exim_collect")
		script += "\n" + head + "id() { echo 'uid=0(root)'; }\nex_awk=awk\nex_me=$(id | sed -n 's/^uid=\\([0-9]*\\).*/\\1/p')\n" + check + " && echo yes || echo no\n"
		if strings.Contains(check, "sound") { // who we are decides there
			script = strings.Replace(script, "id() { echo 'uid=0(root)'; }\n", "", 1)
		}
		out, err := exec.Command("sh", "-c", script).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%s: %q, want %q (%v)", check, got, want, err)
		}
	}
}
