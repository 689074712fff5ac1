package mtatest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Trusting names the functions by which a driver's collector decides what a running process may be believed.
type Trusting struct {
	Collect string            // the driver's part of the collector
	Main    string            // the function that its last line calls
	Sound   string            // "is this file root's?": its argument is a path
	Trusted string            // "is this process root's?": its argument is a pid
	Set     string            // sh that sets what the functions use beyond the collector's own words
	Prints  map[string]string // further sh, and what it must print; DIR is a directory of root's with files that others may change or not
}

// Processes holds a collector to this: what a process says of itself is run with root's rights only where root alone could have written
// it, for anybody may start one of any name. Files of other owners can be made by root alone.
func Processes(t *testing.T, c Trusting) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("compares nothing: files of other owners need root")
	}
	dir := soundTree(t)
	known := "mh_listeners='0.0.0.0:25 7\n[::]:2525 9\n0.0.0.0:587 12'\n" +
		"mh_processes='5\t1\t0\tx\n7\t1\t101\tx\n9\t1\t1000\tx\n12\t1\t1000\tx'\n"
	root := "id() { echo 'uid=0(root) gid=0(root) groups=0(root)'; }\n"
	for _, one := range []struct {
		given, check string
		want         bool
	}{
		{"", c.Sound + " " + dir + "/kept/prog", true},
		{"", c.Sound + " " + dir + "/open/prog", false},
		{"", c.Sound + " " + dir + "/group/prog", false},
		{"", c.Sound + " " + dir + "/sticky/prog", true},
		{"", c.Sound + " " + dir + "/loose", false},
		{"", c.Sound + " " + dir + "/shared", false},
		{"", c.Sound + " " + dir + "/roots", true},
		{"", c.Sound + " " + dir + "/theirs", false},
		{"", c.Sound + " " + dir + "/link", false},
		{"", c.Sound + " " + dir + "/none", false},
		{"", c.Sound + " prog", false},
		{"id() { echo 'uid=0(root) gid=4242(other) groups=4242(other)'; }\n", c.Sound + " " + dir + "/group/prog", false}, // root's own group may be everybody's
		{root, c.Trusted + " 5", true},
		{root, c.Trusted + " 7", true},
		{root, c.Trusted + " 9", false},
		{root, c.Trusted + " 11", false},
		{root + "cat() { echo 0; }\n", c.Trusted + " 7", false}, // where everybody may open every port, a port says nothing
		{root + "cat() { echo 80; }\n", c.Trusted + " 7", true},
		{root + "cat() { echo 80; }\n", c.Trusted + " 12", false},
	} {
		c.prints(t, known+one.given, one.check+" && echo yes || echo no", map[bool]string{true: "yes", false: "no"}[one.want])
	}
	for check, want := range c.Prints {
		c.prints(t, known+root, strings.ReplaceAll(check, "DIR", dir), strings.ReplaceAll(want, "DIR", dir))
	}
}

// prints runs sh over the collector's functions.
func (c Trusting) prints(t *testing.T, given, check, want string) {
	t.Helper()
	body, cut := strings.CutSuffix(strings.TrimSpace(c.Collect), "\n"+c.Main)
	if !cut {
		t.Fatalf("the collector does not end in %s", c.Main)
	}
	out, err := exec.Command("sh", "-c", body+"\n"+given+c.Set+"\n"+check+"\n").CombinedOutput()
	if got := strings.TrimSpace(string(out)); err != nil || got != want {
		t.Errorf("%s%s: %q, want %q (%v)", given, check, got, want, err)
	}
}

// soundTree makes files that one may trust, and others that somebody else may change.
func soundTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Chmod(filepath.Dir(dir), 0o755))
	foreign := func(path string) { must(os.Chown(path, 0, 4242)) }
	for name, mode := range map[string]os.FileMode{"kept": 0o755, "open": 0o777, "group": 0o775, "sticky": 0o777 | os.ModeSticky} {
		d := filepath.Join(dir, name)
		must(os.Mkdir(d, 0o755))
		must(os.WriteFile(filepath.Join(d, "prog"), []byte("#!/bin/sh\n"), 0o755))
		if name == "group" {
			foreign(d)
		}
		must(os.Chmod(d, mode))
	}
	for name, mode := range map[string]os.FileMode{"loose": 0o777, "shared": 0o775, "roots": 0o775, "theirs": 0o755} {
		path := filepath.Join(dir, name)
		must(os.WriteFile(path, nil, 0o644))
		must(os.Chmod(path, mode))
		if name == "shared" {
			foreign(path)
		}
	}
	must(os.Chown(filepath.Join(dir, "theirs"), 4242, 4242))
	must(os.Symlink(filepath.Join(dir, "open", "prog"), filepath.Join(dir, "link")))
	return dir
}
