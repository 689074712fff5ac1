package facts

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mtaharden/remediate/remote"
)

// TestCommandWords holds that every shell that a login may have reads the words of the command alike.
func TestCommandWords(t *testing.T) {
	c := Command("mh-0123456789", "mh_fact a b\n")
	for _, w := range c.Argv {
		if strings.ContainsAny(w, "'\\!\n") {
			t.Errorf("a word holds what some shell changes inside single quotes: %q", w)
		}
	}
	for line := range strings.Lines(string(c.Stdin)) {
		if len(line) > 4000 {
			t.Errorf("a line of %d bytes does not pass a terminal: %.80q…", len(line), line)
		}
	}
}

// TestLoginShells runs the command as sshd does, by the login shell's -c, with a password before the script that nobody asked for.
func TestLoginShells(t *testing.T) {
	nonce := Nonce()
	c := Command(nonce, "mh_cmd reads 5 cat\nmh_fact done yes\n")
	for _, shell := range []string{"sh", "bash", "tcsh", "csh", "fish", "mksh", "ksh93", "yash", "busybox"} {
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Errorf("%s is not installed: the command was not tried under it", shell)
			continue
		}
		argv := []string{"-c", c.String()}
		if shell == "busybox" {
			argv = append([]string{"sh"}, argv...)
		}
		cmd := exec.Command(path, argv...)
		cmd.Stdin = strings.NewReader("s3cret; touch /nonexistent/x\n" + string(c.Stdin))
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		s, perr := parse(bytes.NewReader(out), nonce)
		if err != nil || perr != nil || !s.Complete || s.Fact("done") != "yes" || stderr.Len() > 0 || bytes.Contains(out, []byte("s3cret")) {
			t.Errorf("%s: %v, %v, stderr %q", shell, err, perr, stderr.String())
			continue
		}
		if s.Digest != ScriptDigest("mh_cmd reads 5 cat\nmh_fact done yes\n") {
			t.Errorf("%s: the script says digest %s", shell, s.Digest)
		}
	}
}

// TestCutUpload holds that of a script that did not come whole nothing runs.
func TestCutUpload(t *testing.T) {
	c := Command(Nonce(), "mh_fact a b\n")
	call := bytes.LastIndex(c.Stdin, []byte("mh_collect </dev/null"))
	for _, n := range []int{0, 10, 60, 500, 5000, len(c.Stdin) / 2, call - 200, call - 20, call} {
		cmd := exec.Command(c.Argv[0], c.Argv[1:]...)
		cmd.Stdin = bytes.NewReader(c.Stdin[:n])
		if out, _ := cmd.Output(); len(out) > 0 {
			t.Errorf("cut after %d bytes, the script wrote %.200q", n, out)
		}
	}
}

// TestTerminal runs the command on a terminal, as a host whose sudo wants one does.
func TestTerminal(t *testing.T) {
	for _, part := range []string{"mh_cmd bytes 5 printf 'a\\r\\nb\\tc\\004\\003d\\n'\n"} {
		nonce := Nonce()
		c := Command(nonce, part)
		out := onTerminal(t, c)
		s, err := parse(bytes.NewReader(out), nonce)
		if err != nil || !s.Complete {
			t.Fatalf("%v:\n%.2000q", err, out)
		}
		if o, ok := s.Output("bytes"); !ok || string(o.Stdout) != "a\r\nb\tc\x04\x03d\n" {
			t.Errorf("bytes: %+v", o)
		}
		if f, ok := s.File("/etc/os-release"); ok && f.State != Whole {
			t.Errorf("os-release: %q, problems %q", f.State, s.Problems)
		}
	}
}

// onTerminal runs c with a new terminal as its standard input, output and error.
func onTerminal(t *testing.T, c remote.Cmd) []byte {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	go func() { _, _ = master.Write(c.Stdin) }()
	var out bytes.Buffer
	read := make(chan struct{})
	go func() { _, _ = io.Copy(&out, master); close(read) }()
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v", err)
	}
	<-read
	return out.Bytes()
}

// fakeHost runs commands on this machine, or says what it was told to.
type fakeHost struct {
	result remote.Result
	err    error
}

func (h fakeHost) Run(context.Context, remote.Cmd, int) (remote.Result, error) {
	return h.result, h.err
}
func (h fakeHost) Transport() remote.Transport { return remote.Transport{Name: "fake"} }
func (h fakeHost) Close() error                { return nil }

func TestCollectInstalled(t *testing.T) {
	part := "mh_fact a b\n"
	raw := output(t, part)
	s, _, err := CollectInstalled(t.Context(), fakeHost{result: remote.Result{Stdout: raw}}, []string{"sudo", "-n", "/x"}, part)
	if err != nil || s.Fact("a") != "b" || s.Transport.Name != "fake" {
		t.Errorf("%+v, %v", s, err)
	}
	if _, _, err := CollectInstalled(t.Context(), fakeHost{result: remote.Result{Stdout: raw}}, []string{"x"}, "mh_fact a c\n"); err == nil || !strings.Contains(err.Error(), "another one") {
		t.Errorf("a copy with other parts: %v", err)
	}
	_, _, err = Collect(t.Context(), fakeHost{result: remote.Result{Stdout: raw, Stderr: []byte("\x1b[1mThis account is \x07disabled\n"), Exit: 1}}, part)
	if err == nil || !strings.Contains(err.Error(), `\x1b[1mThis account`) {
		t.Errorf("a frame under another nonce: %v", err)
	}
	if line := Sudoers("audit", "/usr/local/libexec/mtaharden-collect", part); line != "audit ALL=(root) NOPASSWD: sha256:"+Digest(Script(part))+" /usr/local/libexec/mtaharden-collect \"\"\n" {
		t.Errorf("sudoers: %s", line)
	}
}
