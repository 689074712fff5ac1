package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"mtaharden/remediate/remote/remotetest"
)

// reportJSON is what a test reads of a report.
type reportJSON struct {
	Schema string
	Hosts  []struct {
		Name, State, Error string
		Findings           []struct{ Rule, Status, Have string }
	}
	Summary map[string]int
}

// mtaharden runs the program as a shell would.
func mtaharden(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(args, strings.NewReader(""), &out, &err)
	return code, out.String(), err.String()
}

// fleet writes an inventory of servers on loopback, each with what it says of itself in TOML.
type fleet struct {
	t    *testing.T
	key  string
	pub  xssh.PublicKey
	toml strings.Builder
}

func newFleet(t *testing.T) *fleet {
	f := &fleet{t: t}
	f.key, f.pub = remotetest.NewKeyFile(t, "")
	return f
}

func (f *fleet) add(name string, s *remotetest.Server, extra string) {
	f.t.Helper()
	if s.User == "" {
		s.User = "root"
	}
	if s.Keys == nil {
		s.Keys = []xssh.PublicKey{f.pub}
	}
	port := s.Start(f.t)
	known := s.KnownHosts(f.t)
	if strings.Contains(extra, "known_hosts") {
		known = ""
	}
	fmt.Fprintf(&f.toml, "[hosts.%q]\naddress = \"127.0.0.1\"\nport = %d\nidentity = %q\n", name, port, f.key)
	if known != "" {
		fmt.Fprintf(&f.toml, "known_hosts = %q\n", known)
	}
	if !strings.Contains(extra, "user =") {
		fmt.Fprintf(&f.toml, "user = %q\n", s.User)
	}
	f.toml.WriteString(extra + "\n")
}

func (f *fleet) inventory() string {
	f.t.Helper()
	name := filepath.Join(f.t.TempDir(), "hosts.toml")
	if err := os.WriteFile(name, []byte(f.toml.String()), 0o600); err != nil {
		f.t.Fatal(err)
	}
	return name
}

// changedKey is a known_hosts file that names another key for the server than it has.
func changedKey(t *testing.T, s *remotetest.Server) string {
	t.Helper()
	s.HostKeys = []xssh.Signer{remotetest.NewSigner(t)}
	other := remotetest.NewSigner(t).PublicKey()
	file := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(file, []byte("* "+string(xssh.MarshalAuthorizedKey(other))), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestTenHosts is a run in which seven hosts fail, each in its own way: each is named rightly, the others are read to the end, and no
// failure costs the run more than its own time limit.
func TestTenHosts(t *testing.T) {
	f := newFleet(t)
	good := []*remotetest.Server{{}, {}, {}}
	for i, s := range good {
		f.add(fmt.Sprintf("good%d", i+1), s, "")
	}
	changed := &remotetest.Server{}
	f.add("changed-key", changed, fmt.Sprintf("known_hosts = %q", changedKey(t, changed)))
	f.add("unknown-key", &remotetest.Server{}, `known_hosts = "/dev/null"`)
	f.add("wrong-key", &remotetest.Server{Keys: []xssh.PublicKey{remotetest.NewSigner(t).PublicKey()}}, "")
	f.add("no-sudo", &remotetest.Server{User: "admin", Answer: lacksSudo}, `become = "sudo"`)
	f.add("floods", &remotetest.Server{Flood: true}, "")
	f.add("hangs", &remotetest.Server{HangExec: true}, "")
	fmt.Fprintf(&f.toml, "[hosts.\"closed\"]\naddress = \"127.0.0.1\"\nport = 1\nuser = \"root\"\n")

	begun := time.Now()
	code, out, stderr := mtaharden("audit", "-i", f.inventory(), "--format", "json", "--batch", "--state", t.TempDir(),
		"--connect-timeout", "5s", "--host-timeout", "60s")
	if code != exitUnreachable {
		t.Errorf("the exit status is %d, not %d\n%s", code, exitUnreachable, stderr)
	}
	if took := time.Since(begun); took > 5*time.Minute {
		t.Errorf("it took %s: a host held up the run", took)
	}
	for _, hint := range []string{"compare the key", "see user and identity", "set become"} {
		if strings.Count(stderr, "mtaharden: hint: "+hint) != 1 {
			t.Errorf("no hint, or more than one: %q\n%s", hint, stderr)
		}
	}
	var r reportJSON
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("the report is no JSON: %v\n%s", err, out)
	}
	want := map[string]struct{ state, says string }{
		"good1": {"ok", ""}, "good2": {"ok", ""}, "good3": {"ok", ""},
		"changed-key": {"host-key", "changed"},
		"unknown-key": {"host-key", "not known"},
		"wrong-key":   {"auth-failed", "none of the keys"},
		"no-sudo":     {"no-privilege", "sudo"},
		"floods":      {"incomplete", ""},
		"hangs":       {"incomplete", ""},
		"closed":      {"unreachable", "refused"},
	}
	if len(r.Hosts) != len(want) {
		t.Fatalf("%d hosts are reported, not %d", len(r.Hosts), len(want))
	}
	for _, h := range r.Hosts {
		w := want[h.Name]
		if h.State != w.state || !strings.Contains(h.Error, w.says) {
			t.Errorf("%s: state %q, error %q; want state %q, error with %q", h.Name, h.State, h.Error, w.state, w.says)
		}
		if (len(h.Findings) > 0) != (w.state == "ok") {
			t.Errorf("%s is %s and has %d findings", h.Name, h.State, len(h.Findings))
		}
	}
	for _, s := range good {
		if l, e := s.Logins.Load(), s.Execs.Load(); l != 1 || e != 1 {
			t.Errorf("an audit is one login and one exec; this one was %d and %d", l, e)
		}
	}
}

// TestInstalledCollector: the copy that is installed on a host is run in place of sending the script, by the words of the inventory alone; what one of
// another version says is not judged.
func TestInstalledCollector(t *testing.T) {
	_, script, _ := mtaharden("collect")
	dir := t.TempDir()
	for name, text := range map[string]string{"own": script, "other": strings.Replace(script, "mh_digest=", "mh_digest=0", 1), "none": "echo nothing\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := newFleet(t)
	own := &remotetest.Server{User: "audit"}
	f.add("own", own, fmt.Sprintf("become = \"sudo\"\ncollect_command = \"/bin/sh %s/own\"", dir))
	f.add("other", &remotetest.Server{}, fmt.Sprintf("collect_command = [\"/bin/sh\", \"%s/other\"]", dir))
	f.add("none", &remotetest.Server{}, fmt.Sprintf("collect_command = \"/bin/sh %s/none\"", dir))
	f.add("refused", &remotetest.Server{User: "audit", Env: []string{"PATH=" + noSudo(t)}}, fmt.Sprintf("collect_command = \"sudo -n %s/own\"", dir))
	code, out, stderr := mtaharden("audit", "-i", f.inventory(), "--format", "json", "--batch", "--state", t.TempDir())
	var r reportJSON
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitUnreachable {
		t.Fatalf("exit %d, %v\n%s", code, err, stderr)
	}
	says := map[string]string{"own": "", "other": "another one", "none": "no frame", "refused": "sudo is not installed"}
	for _, h := range r.Hosts {
		if (h.State == "ok") != (h.Name == "own") || (h.State == "no-privilege") != (h.Name == "refused") || !strings.Contains(h.Error, says[h.Name]) || (len(h.Findings) > 0) != (h.Name == "own") {
			t.Errorf("%s: state %s, %d findings, %s", h.Name, h.State, len(h.Findings), h.Error)
		}
	}
	if got := own.Commands(); len(got) != 1 || got[0] != "/bin/sh "+dir+"/own" {
		t.Errorf("the commands run were %q", got)
	}
}

// lacksSudo is a host on which no path leads to a sudo: the program looks beyond the login's own.
func lacksSudo(_ string, _ io.Reader, _, stderr io.Writer) int {
	fmt.Fprintln(stderr, "/usr/bin/env: sudo: No such file or directory")
	return 127
}

// noSudo is a PATH with what a login needs and no sudo.
func noSudo(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, tool := range []string{"sh", "cat", "sed"} {
		if err := os.Symlink("/bin/"+tool, filepath.Join(dir, tool)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
