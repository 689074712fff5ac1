package remotetest

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"mtaharden/remediate/remote"
)

var _ remote.Host = (*Dir)(nil)

func sh(script string) remote.Cmd { return remote.Cmd{Argv: []string{"/bin/sh", "-c", script}} }

func TestDir(t *testing.T) {
	d := NewDir(t, "", map[string]string{"uname": "AIX", "id": "#!/bin/sh\necho stub id \"$@\"\n"})
	if err := os.WriteFile(d.Root+"/file", []byte("text\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := sh("uname -s; id -u; cat file -; exit 4")
	c.Stdin = []byte("input\n")
	r, err := d.Run(t.Context(), c, 1000)
	if err != nil || r.Exit != 4 || string(r.Stdout) != "AIX\nstub id -u\ntext\ninput\n" {
		t.Errorf("%d %q %q, %v", r.Exit, r.Stdout, r.Stderr, err)
	}
	if len(d.Commands()) != 1 {
		t.Errorf("%d commands", len(d.Commands()))
	}
}

func TestDirOnly(t *testing.T) {
	d := NewDir(t, "", map[string]string{"uname": "HP-UX"})
	d.Only, d.Needs = true, []string{"cat"}
	r, err := d.Run(t.Context(), sh("uname; echo x | cat; perl -v"), 1000)
	if err != nil || r.Exit != 127 || string(r.Stdout) != "HP-UX\nx\n" {
		t.Errorf("%d %q, %v", r.Exit, r.Stdout, err)
	}
}

func TestDirFaults(t *testing.T) {
	d := NewDir(t, "", nil)
	d.Time = time.Second
	d.Fault = func(n int) *Fault {
		return map[int]*Fault{1: {Err: errors.New("gone")}, 2: {CutAfter: 4}, 3: {CutAfter: 4, Kill: true}}[n]
	}
	if _, err := d.Run(t.Context(), sh("echo ran > one"), 1000); !errors.Is(err, remote.ErrCut) || !strings.Contains(err.Error(), "gone") {
		t.Errorf("err: %v", err)
	}
	if _, err := os.Stat(d.Root + "/one"); err == nil {
		t.Error("the command ran")
	}
	for _, want := range []bool{true, false} {
		os.Remove(d.Root + "/after")
		r, err := d.Run(t.Context(), sh("echo 0123456789; sleep 0.2; echo ran > after"), 1000)
		_, statErr := os.Stat(d.Root + "/after")
		if !errors.Is(err, remote.ErrCut) || string(r.Stdout) != "0123" || (statErr == nil) != want {
			t.Errorf("cut: %q, %v; ran to its end: %v, want %v", r.Stdout, err, statErr == nil, want)
		}
	}
	for _, script := range []string{"yes", "sleep 30"} {
		if _, err := d.Run(t.Context(), sh(script), 1000); !errors.Is(err, remote.ErrCut) {
			t.Errorf("%s: %v", script, err)
		}
	}
}
