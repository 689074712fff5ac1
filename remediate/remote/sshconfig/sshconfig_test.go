package sshconfig

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func write(t testing.TB, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// fakeSSH is a program in ssh's place.
func fakeSSH(t testing.TB, script string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ssh")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestWithoutSSH: what our own reader cannot follow is in the notes, with its place, and never taken as holding.
func TestWithoutSSH(t *testing.T) {
	file := write(t, "Match exec \"true\"\n Port 1\nMatch !exec \"false\"\n Port 2\nMatch host foo tagged x\n Port 3\nHost *\n CanonicalizeHostname yes\n Port 4\n")
	c, err := open(file, "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Resolve(t.Context(), Query{Host: "foo"})
	if err != nil || s.Port != 4 || s.From["port"] != file+":9" {
		t.Errorf("port %d from %s, %v", s.Port, s.From["port"], err)
	}
	for i, want := range []string{":1: Match exec is not followed", ":3: Match exec is not followed", ":5: Match tagged is not followed", ":8: CanonicalizeHostname is not followed"} {
		if i >= len(c.Notes) || !strings.Contains(c.Notes[i], want) {
			t.Errorf("note %d of %q is not %q", i, c.Notes, want)
		}
	}
	with, err := open(file, fakeSSH(t, "exit 1"))
	if err != nil || len(with.Notes) != 5 || !strings.Contains(with.Notes[0], "prints no configuration, and ssh_config is read without it: ssh -G ended with exit status 1") {
		t.Errorf("with an ssh program that has no -G the notes are %q, %v", with.Notes, err)
	}
}

// TestSSHDecides: where ssh says otherwise than our reader (a Match exec), ssh is believed, and no line is claimed.
func TestSSHDecides(t *testing.T) {
	file := write(t, "Match exec \"true\"\n Port 1\nHost *\n Port 4\n User joe\n")
	b, err := openBoth(t, file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.with.Resolve(t.Context(), Query{Host: "foo"})
	if err != nil || s.Port != 1 || s.From["port"] != "ssh -G" || s.User != "joe" || s.From["user"] != file+":5" {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestBrokenSSH: an ssh that knows no -G is as none; one that refuses the file, hangs or prints too much is an error that says so.
func TestBrokenSSH(t *testing.T) {
	base := `case "$*" in "-G -F none -- localhost") echo "user x"; echo "hostname localhost"; echo "port 22"; exit 0;; esac` + "\n"
	for name, c := range map[string]struct{ script, says string }{
		"no -G":           {"echo 'unknown option -- G' >&2; exit 255", ""},
		"another program": {"exit 0", ""},
		"bad option":      {base + "echo 'config: line 3: Bad configuration option: foo' >&2; exit 255", "Bad configuration option: foo"},
		"no output":       {base + "exit 0", "printed no configuration"},
		"too much":        {base + "echo hostname x; head -c 2000000 /dev/zero", "printed no configuration"},
		"senseless":       {base + "echo hostname x; echo port many", `printed port "many"`},
	} {
		t.Run(name, func(t *testing.T) {
			conf, err := open(write(t, "Port 7\n"), fakeSSH(t, c.script))
			if err != nil {
				t.Fatal(err)
			}
			s, err := conf.Resolve(t.Context(), Query{Host: "foo"})
			switch {
			case c.says == "" && (err != nil || s.Port != 7):
				t.Errorf("%+v, %v", s, err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}

// TestAskedOnce: a run asks ssh once for each host, and not at all where no file says anything that is followed.
func TestAskedOnce(t *testing.T) {
	count := filepath.Join(t.TempDir(), "count")
	ssh := fakeSSH(t, "echo x >>"+count+"; echo user u; echo hostname h; echo port 22")
	loud, err := open(write(t, "Port 7\n"), ssh)
	if err != nil {
		t.Fatal(err)
	}
	quiet, err := open(write(t, "Host *\n SendEnv LANG LC_*\n HashKnownHosts yes\n GSSAPIAuthentication yes\n"), ssh)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := quiet.Resolve(t.Context(), Query{Host: "one"}); err != nil || len(s.NotFollowed) != 1 || !strings.HasSuffix(s.NotFollowed[0], ":4)") {
		t.Errorf("what is not followed: %+v, %v", s, err)
	}
	for range 3 {
		for _, host := range []string{"one", "two"} {
			for _, c := range []*Config{loud, quiet} {
				if _, err := c.Resolve(t.Context(), Query{Host: host}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	data, err := os.ReadFile(count)
	if err != nil || strings.Count(string(data), "x") != 3 { // the defaults, and the two hosts
		t.Errorf("ssh was run %d times, %v", strings.Count(string(data), "x"), err)
	}
}

func TestOpen(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a file that is named and missing is no error")
	}
	c, err := Open("none")
	if err != nil {
		t.Fatal(err)
	}
	if s, err := c.Resolve(t.Context(), Query{Host: "foo"}); err != nil || len(s.From) != 0 {
		t.Errorf("none says %v, %v", s, err)
	}
	loop := write(t, "")
	if err := os.WriteFile(loop, []byte("Include "+loop+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(loop, ""); err == nil || !strings.Contains(err.Error(), "include each other") {
		t.Errorf("a loop of includes: %v", err)
	}
}

// TestShellMarks: nothing that a shell would read otherwise gets into a ProxyCommand.
func TestShellMarks(t *testing.T) {
	c, err := open(write(t, "ProxyCommand nc %h %p %r\n"), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []Query{{Host: "a;b"}, {Host: "a b"}, {Host: "$(x)"}, {Host: "-x"}, {Host: "h", User: "u`id`"}, {Host: "h", HostName: "a|b"}} {
		if s, err := c.Resolve(t.Context(), q); err == nil || !strings.Contains(err.Error(), "may not go to a shell") {
			t.Errorf("%+v: %v, %v", q, s, err)
		}
	}
	if s, err := c.Resolve(t.Context(), Query{Host: "fe80::1%eth0", User: "joe", Port: 7}); err != nil || s.ProxyCommand != "nc fe80::1%eth0 7 joe" {
		t.Errorf("%v, %v", s, err)
	}
}

func TestListKeepsTheProgramsOwn(t *testing.T) {
	own, all := []string{"a", "b", "c"}, []string{"a", "b", "c", "weak1", "weak2"}
	for spec, want := range map[string]string{"": "a b c", "+weak1": "a b c weak1", "-b,x*": "a c", "^c,weak2": "c weak2 a b", "weak*": "weak1 weak2", "c,unknown": "c unknown", "-*": ""} {
		if got := strings.Join(List{Spec: spec}.Apply(own, all), " "); got != want {
			t.Errorf("%q gives %q, want %q", spec, got, want)
		}
	}
	if !slices.Equal(own, []string{"a", "b", "c"}) {
		t.Error("the program's own list was changed")
	}
}

// TestNotFollowed: what cannot be done here is named with its place, by ssh and by our own reader alike; a value that asks for nothing is not.
func TestNotFollowed(t *testing.T) {
	file := write(t, "Host a\n BindAddress 192.0.2.1\n PasswordAuthentication no\n PubkeyAuthentication no\n ChallengeResponseAuthentication no\n PreferredAuthentications publickey\n ServerAliveInterval 0\n"+
		"Host b\n PasswordAuthentication yes\n PubkeyAuthentication yes\n KbdInteractiveAuthentication yes\n ServerAliveInterval 5\n GSSAPIAuthentication no\n")
	two, err := openBoth(t, file)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"BindAddress (F:2)", "KbdInteractiveAuthentication (F:5)", "PasswordAuthentication (F:3)", "PreferredAuthentications (F:6)", "PubkeyAuthentication (F:4)", "ServerAliveInterval (F:7)"}
	for name, c := range map[string]*Config{"ssh": two.with, "our own": two.without} {
		s, err := c.Resolve(t.Context(), Query{Host: "a"})
		if err != nil {
			t.Fatal(err)
		}
		got := slices.Sorted(slices.Values(s.NotFollowed))
		for i := range got {
			got[i] = strings.Replace(got[i], file, "F", 1)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		if s, err = c.Resolve(t.Context(), Query{Host: "b"}); err != nil || len(s.NotFollowed) > 0 {
			t.Errorf("%s: of what asks for nothing: %q, %v", name, s.NotFollowed, err)
		}
	}
}

func TestSpans(t *testing.T) {
	for s, want := range map[string]time.Duration{"0": 0, "90": 90 * time.Second, "1m30": 90 * time.Second, "2H": 2 * time.Hour, "1w1d": 8 * 24 * time.Hour, "none": 0} {
		if got, err := span(s); err != nil || got != want {
			t.Errorf("%q is %s, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "m", "1x", "-1", "99999999999", "9999999w", "1 m"} {
		if got, err := span(s); err == nil {
			t.Errorf("%q is taken for %s", s, got)
		}
	}
}

// FuzzConfig: no file makes the reader panic or run on, whatever host is asked for.
func FuzzConfig(f *testing.F) {
	for _, d := range directives {
		f.Add(d, "foo", "")
	}
	f.Add("Match host \"", "foo", "h%")
	f.Add("User=\\", "", "%")
	f.Fuzz(func(t *testing.T, text, host, name string) {
		c := &Config{roots: []root{{lines: parse("config", text)}}, me: local{"me", "/home/me", "7", "here.example"}}
		s, err := c.read(Query{Host: host, HostName: name})
		if err == nil && s == nil {
			t.Error("neither settings nor an error")
		}
		if err == nil {
			for key, from := range s.From {
				if !strings.HasPrefix(from, "config:") {
					t.Errorf("%s is from %q", key, from)
				}
			}
		}
	})
}

// FuzzPrinted: nothing that ssh -G prints makes us panic.
func FuzzPrinted(f *testing.F) {
	f.Add("hostname x\nport 7\nproxyjump a,b:1\nidentityfile ~/x\nciphers a,b\n", "foo")
	f.Add("hostname %\nport \nuserknownhostsfile  \nidentityagent $\nproxycommand x %\n", "")
	f.Fuzz(func(t *testing.T, text, host string) {
		c := &Config{me: local{"me", "/home/me", "7", "here.example"}}
		q := Query{Host: host}
		own := &Settings{From: map[string]string{"port": "f:1", "ciphers": "f:2", "userknownhostsfile": "f:3"}}
		for _, base := range []printed{nil, parsePrinted("hostname localhost\nport 22\nciphers a,b\n")} {
			if s, err := c.said(parsePrinted(text), base, q, own); err == nil && s == nil {
				t.Error("neither settings nor an error")
			}
		}
	})
}
