package postfix

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What of the shadow runs inside the namespaces.

// patience bounds every wait for the real Postfix: what takes longer is an error of the test, never an answer.
const patience = 60 * time.Second

// TestShadowHelper is the part that runs inside the namespaces; on its own it does nothing.
func TestShadowHelper(t *testing.T) {
	if os.Getenv("MTAHARDEN_SHADOW") == "" {
		return
	}
	out := json.NewEncoder(os.Stdout)
	h := &helper{written: map[string]string{}}
	first, err := h.start()
	if err != nil {
		out.Encode(replies{Err: err.Error()})
		os.Exit(1)
	}
	out.Encode(replies{Hello: first})
	in := json.NewDecoder(bufio.NewReader(os.Stdin))
	for {
		var o order
		if err := in.Decode(&o); err != nil {
			os.Exit(0) // the namespaces end with this process
		}
		out.Encode(h.carryOut(o))
	}
}

// helper holds the real Postfix.
type helper struct {
	log     *shadowLog
	tls     *shadowTLS
	written map[string]string // the files of the order before, with their text
	maps    []string
	daemons string // the directory of the programs
	state   string // the directory of their own databases
	named   string // whether XCLIENT is announced to the client of the dialogue at hand
}

func (h *helper) start() (*hello, error) {
	say := func(args ...string) string {
		out, _ := exec.Command("postconf", args...).Output()
		return strings.TrimSpace(string(out))
	}
	first := &hello{Version: say("-d", "-h", "mail_version"), Defaults: say("-d"), Types: say("-m")}
	if first.Version == "" {
		return nil, fmt.Errorf("postconf does not run here")
	}
	h.daemons, h.state = say("-h", "daemon_directory"), say("-d", "-h", "data_directory")
	os.WriteFile("/etc/resolv.conf", []byte("nameserver 127.0.0.1\noptions timeout:2 attempts:2\n"), 0o644)
	os.WriteFile("/etc/hosts", []byte("127.0.0.1 localhost\n::1 localhost\n10.9.9.1 lab.example.edu\n"), 0o644)
	os.WriteFile("/etc/mailname", []byte("lab.example.edu\n"), 0o644)
	var err error
	if h.log, err = listenLog("/dev/log"); err != nil {
		return nil, err
	}
	if h.tls, err = makeTLS("/etc/shadow-cert.pem"); err != nil {
		return nil, err
	}
	for _, serve := range []func() error{serveDNS, serveLogins, servePolicy, serveMilter, serveProxyFilter} {
		if err := serve(); err != nil {
			return nil, err
		}
	}
	if err := writeAged("/etc/postfix/main.cf", "compatibility_level = 2\nmyhostname = lab.example.edu\n"); err != nil {
		return nil, err
	}
	if out, err := exec.Command("postfix", "check").CombinedOutput(); err != nil { // it makes the queue's directories
		return nil, fmt.Errorf("postfix check: %s", out)
	}
	return first, nil
}

func (h *helper) carryOut(o order) replies {
	if err := h.write(o); err != nil {
		return replies{Err: err.Error()}
	}
	dead, err := h.serve()
	if err != nil {
		return replies{Err: err.Error()}
	}
	var r replies
	gone := map[string]string{} // by listener: one that is dead is not asked again, but where its smtpd ended at a command, others may not
	for _, q := range o.Asks {
		reply := dead + gone[q.Q.Listener]
		if reply == "" {
			mark := h.log.mark()
			if reply = h.dialogues(q); reply != "" && !strings.ContainsAny(reply[:1], "23") {
				reply += h.log.complaints(mark)
			}
		}
		r.Replies, r.Named = append(r.Replies, reply), append(r.Named, h.named)
		h.named = ""
		if strings.HasPrefix(reply, "dead") && !(strings.Contains(reply, "/smtpd[") && strings.Contains(reply, atCommand)) {
			gone[q.Q.Listener] = reply
		}
	}
	for _, a := range o.Addrs {
		if dead != "" || len(gone) > 0 {
			break
		}
		x, err := resolveBy(a)
		if err != nil {
			return replies{Err: fmt.Sprintf("rewrite service: %s: %v", a, err)}
		}
		r.Resolved = append(r.Resolved, x)
	}
	return r
}

// write makes the files of an order, and takes those of the order before away.
func (h *helper) write(o order) error {
	for _, m := range h.maps {
		_, name, _ := strings.Cut(m, ":")
		for _, suffix := range []string{".db", ".lmdb", ".cdb"} {
			os.Remove(name + suffix)
		}
	}
	for name := range h.written {
		if _, ok := o.Files[name]; !ok {
			os.Remove(name)
		}
	}
	h.written, h.maps = o.Files, o.Maps
	for name, text := range o.Files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := writeAged(name, text); err != nil {
			return err
		}
	}
	for _, m := range o.Maps {
		if out, err := exec.Command("postmap", m).CombinedOutput(); err != nil {
			return fmt.Errorf("postmap %s: %s", m, out)
		}
	}
	return nil
}

// writeAged writes a file of an hour ago: Postfix waits while a main.cf is only just written.
func writeAged(name, text string) error {
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		return err
	}
	then := time.Now().Add(-time.Hour)
	return os.Chtimes(name, then, then)
}

// serve starts the master anew over the files that were written; no daemon that read others is left. dead is why it does not run.
func (h *helper) serve() (dead string, err error) {
	syscall.Kill(-1, syscall.SIGKILL) // every other process of this pid namespace
	for reaped := 0; reaped >= 0; {
		reaped, _ = syscall.Wait4(-1, nil, 0, nil)
	}
	os.Remove("/var/spool/postfix/pid/master.pid")
	if screens, _ := filepath.Glob(filepath.Join(h.state, "screen*")); len(screens) > 0 { // whom postscreen has seen before
		os.Remove(screens[0])
	}
	mark := h.log.mark()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer null.Close()
	master := filepath.Join(h.daemons, "master")
	p, err := os.StartProcess(master, []string{master, "-c", "/etc/postfix", "-d"}, &os.ProcAttr{Env: os.Environ(), Files: []*os.File{null, null, null}})
	if err != nil {
		return "", err
	}
	defer p.Release()
	ended := func() bool {
		got, _ := syscall.Wait4(p.Pid, nil, syscall.WNOHANG, nil)
		return got == p.Pid
	}
	line := h.log.wait(mark, func(line string) bool {
		return strings.Contains(line, "/master[") && (strings.Contains(line, "daemon started") || strings.Contains(line, "fatal:"))
	}, ended)
	switch {
	case strings.Contains(line, "daemon started"):
		return "", nil
	case line == "":
		return "", fmt.Errorf("the master does not start and says nothing: %q", h.log.since(mark))
	}
	return "dead: " + line, nil
}
