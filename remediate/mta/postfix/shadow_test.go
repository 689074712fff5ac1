package postfix

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mtaharden/remediate/judge"
)

// A shadow is a real Postfix in namespaces of its own, over a directory that holds an installed system: it is given one configuration
// after the other and asked through XCLIENT. MTAHARDEN_POSTFIX_ROOTS lists such directories, parted by colons; nothing in them is
// changed (they are the lower layer of an overlay). Without it, the recorded cases alone are judged. The test's own program runs in there:
// build it with CGO_ENABLED=0.

// order is what the test sends into the namespaces, one JSON value a configuration.
type order struct {
	Files     map[string]string
	Maps      []string // tables to build with postmap
	Questions []judge.Question
}

// replies are the answers, one a question: the reply to RCPT TO, or "dead".
type replies struct {
	Version string
	Replies []string
	Err     string
}

type shadow struct {
	version string
	in      *json.Encoder
	out     *json.Decoder
}

// shadowRoots are the systems named; a test that has none compares nothing and says so, rather than pass.
func shadowRoots(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, r := range strings.Split(os.Getenv("MTAHARDEN_POSTFIX_ROOTS"), ":") {
		if r != "" {
			out = append(out, r)
		}
	}
	if len(out) == 0 {
		t.Skip("compares nothing: MTAHARDEN_POSTFIX_ROOTS names no installed Postfix")
	}
	return out
}

const enter = `set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$2"
mkdir "$2/u" "$2/w" "$2/m"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/u,workdir=$2/w" "$2/m"
mount -t proc proc "$2/m/proc"
mount --bind /dev "$2/m/dev"
ip link set lo up
ip addr add 10.9.9.1/24 dev lo
cp "$3" "$2/m/shadow-helper"
exec chroot "$2/m" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin MTAHARDEN_SHADOW=1 /shadow-helper -test.run '^TestShadowHelper$'`

func startShadow(t *testing.T, root string) *shadow {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "-m", "-n", "-p", "-f", "--kill-child", "sh", "-c", enter, "sh", root, t.TempDir(), exe)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			cmd.Process.Kill()
			<-done
		}
	})
	s := &shadow{in: json.NewEncoder(stdin), out: json.NewDecoder(stdout)}
	var hello replies
	if err := s.out.Decode(&hello); err != nil || hello.Err != "" {
		t.Fatalf("the shadow Postfix over %s did not start: %v %s", root, err, hello.Err)
	}
	s.version = hello.Version
	return s
}

func (s *shadow) ask(o order) (replies, error) {
	if err := s.in.Encode(o); err != nil {
		return replies{}, err
	}
	var r replies
	err := s.out.Decode(&r)
	if err == nil && r.Err != "" {
		err = fmt.Errorf("%s", r.Err)
	}
	return r, err
}

// TestShadowHelper is the part that runs inside the namespaces; on its own it does nothing.
func TestShadowHelper(t *testing.T) {
	if os.Getenv("MTAHARDEN_SHADOW") == "" {
		return
	}
	out := json.NewEncoder(os.Stdout)
	version, err := startPostfix()
	hello := replies{Version: version}
	if err != nil {
		hello.Err = err.Error()
	}
	out.Encode(hello)
	in := json.NewDecoder(bufio.NewReader(os.Stdin))
	for {
		var o order
		if err := in.Decode(&o); err != nil {
			os.Exit(0) // the namespaces end with this process
		}
		out.Encode(carryOut(o))
	}
}

// The master's own settings: every daemon ends after one use, so that a new main.cf holds for the next connection without a reload.
const shadowTail = `
maximal_backoff_time = 4000s
service_throttle_time = 1s
max_use = 1
smtpd_error_sleep_time = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_connection_count_limit = 0
smtpd_hard_error_limit = 1000
smtpd_soft_error_limit = 1000
maillog_file = /var/log/shadow.log
`

func startPostfix() (string, error) {
	v, err := exec.Command("postconf", "-d", "-h", "mail_version").Output()
	if err != nil {
		return "", err
	}
	os.WriteFile("/etc/postfix/main.cf", []byte("compatibility_level = 2\nmyhostname = lab.example.edu\n"+shadowTail), 0o644)
	return strings.TrimSpace(string(v)), nil
}

func carryOut(o order) replies {
	before, _ := os.ReadFile("/etc/postfix/master.cf")
	restart := o.Files["/etc/postfix/master.cf"] != string(before)
	for name, text := range o.Files {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return replies{Err: err.Error()}
		}
	}
	for _, m := range o.Maps {
		if out, err := exec.Command("postmap", m).CombinedOutput(); err != nil {
			return replies{Err: fmt.Sprintf("postmap %s: %s", m, out)}
		}
	}
	if restart || !running() {
		exec.Command("postfix", "stop").Run()
		if out, err := exec.Command("postfix", "start").CombinedOutput(); err != nil {
			return replies{Err: fmt.Sprintf("postfix start: %s", out)}
		}
	}
	endOldDaemons()
	var r replies
	for _, q := range o.Questions {
		reply := patient(q)
		if reply == "dead" {
			reply = "dead: " + lastFatal()
		}
		r.Replies = append(r.Replies, reply)
		if strings.HasPrefix(reply, "dead") {
			break
		}
	}
	return r
}

// endOldDaemons ends the daemons of this pid namespace that still hold the configuration before.
func endOldDaemons() {
	names, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, name := range names {
		comm, _ := os.ReadFile(name)
		switch strings.TrimSpace(string(comm)) {
		case "trivial-rewrite", "smtpd", "proxymap":
			exec.Command("kill", filepath.Base(filepath.Dir(name))).Run()
		}
	}
}

// lastFatal is the last complaint in the shadow's log.
func lastFatal() string {
	data, _ := os.ReadFile("/var/log/shadow.log")
	last := "no complaint in the log"
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, "fatal:") || strings.Contains(line, "panic:") {
			last = strings.TrimSpace(line)
		}
	}
	return last
}

func running() bool { return exec.Command("postfix", "status").Run() == nil }

// patient asks again while a service that failed is throttled.
func patient(q judge.Question) string {
	reply := ""
	for range 2 {
		if reply = dialogue(q); reply != "dead" {
			return reply
		}
		time.Sleep(1200 * time.Millisecond) // the master waits service_throttle_time
	}
	return reply
}

// dialogue is one SMTP session up to RCPT TO; its result is the last reply, or the first refusal.
func dialogue(q judge.Question) string {
	port := "25"
	if _, p, err := net.SplitHostPort(q.Listener); err == nil {
		port = p
	}
	c, err := net.DialTimeout("tcp", "127.0.0.1:"+port, 3*time.Second)
	if err != nil {
		return "dead"
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(3 * time.Second)) // a dead smtpd leaves the connection waiting
	r := bufio.NewReader(c)
	if greeting := readReply(r); !strings.HasPrefix(greeting, "2") {
		if greeting == "" {
			return "dead"
		}
		return greeting
	}
	c.SetDeadline(time.Now().Add(20 * time.Second))
	name := q.ClientName
	if name == "" {
		name = "[UNAVAILABLE]"
	}
	addr := q.ClientAddr
	if strings.Contains(addr, ":") {
		addr = "IPV6:" + addr
	}
	last := ""
	for i, line := range []string{"EHLO probe", "XCLIENT NAME=" + name + " REVERSE_NAME=" + name + " ADDR=" + addr, "EHLO " + q.Helo, "MAIL FROM:<" + q.Sender + ">", "RCPT TO:<" + q.Recipient + ">"} {
		fmt.Fprintf(c, "%s\r\n", line)
		if last = readReply(r); last == "" {
			return fmt.Sprintf("dead at %q", line)
		}
		if i > 0 && !strings.HasPrefix(last, "2") {
			return last
		}
	}
	if after := message(c, r); after != "" {
		last = after
	}
	fmt.Fprintf(c, "QUIT\r\n")
	io.Copy(io.Discard, r)
	return last
}

// message goes on behind an accepted recipient, where main.cf has a list for it; its result is a refusal, "" for none.
func message(c net.Conn, r *bufio.Reader) string {
	main, _ := os.ReadFile("/etc/postfix/main.cf")
	if !strings.Contains(string(main), "smtpd_data_restrictions") && !strings.Contains(string(main), "smtpd_end_of_data_restrictions") {
		return ""
	}
	for _, line := range []string{"DATA", "Subject: a trial\r\n\r\nnothing\r\n."} {
		fmt.Fprintf(c, "%s\r\n", line)
		if reply := readReply(r); !strings.HasPrefix(reply, "2") && !strings.HasPrefix(reply, "3") {
			return reply
		}
	}
	return ""
}

func readReply(r *bufio.Reader) string {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return ""
		}
		if len(line) < 4 || line[3] != '-' {
			return strings.TrimSpace(line)
		}
	}
}

// orderOf is a case as the shadow takes it; XCLIENT is allowed for the test's own connections alone.
func (c testCase) orderOf(questions []judge.Question) order {
	o := order{Files: map[string]string{}, Questions: questions}
	for name, text := range c.files {
		switch {
		case name == "main.cf":
			text += shadowTail
			if strings.Contains(text, "smtpd_authorized_xclient_hosts") {
				text += "\n"
			}
			o.Files["/etc/postfix/main.cf"] = text
		case name == "master.cf":
		default:
			o.Files[name] = text
			if strings.Contains(c.files["main.cf"], "hash:"+name) {
				o.Maps = append(o.Maps, "hash:"+name)
			}
		}
	}
	return o
}

// shadowMaster is the case's master.cf with XCLIENT for 127.0.0.1, no chroot, and the daemons that smtpd needs.
func (c testCase) shadowMaster() string {
	var b strings.Builder
	for _, s := range parseMaster("master.cf", []byte(c.master())).services {
		text := strings.TrimRight(s.text, " \n")
		if s.command == "smtpd" {
			text += " -o smtpd_authorized_xclient_hosts=127.0.0.1"
		}
		fmt.Fprintln(&b, text)
	}
	for _, line := range []string{"cleanup unix n - n - 0 cleanup", "qmgr unix n - n 300 1 qmgr", "rewrite unix - - n - - trivial-rewrite", "anvil unix - - n - 1 anvil",
		"proxymap unix - - n - - proxymap", "bounce unix - - n - 0 bounce", "smtp unix - - n - - smtp", "local unix - n n - - local", "error unix - - n - - error",
		"verify unix - - n - 1 verify", "virtual unix - n n - - virtual", "relay unix - - n - - smtp", "tlsmgr unix - - n 1000? 1 tlsmgr", "postlog unix-dgram n - n - 1 postlogd"} {
		fmt.Fprintln(&b, line)
	}
	return b.String()
}

// agree compares an answer with what the real Postfix replied; "" when they do.
func agree(a judge.Answer, reply string) string {
	real := "refused"
	switch {
	case strings.HasPrefix(reply, "dead"):
		real = "dead"
	case strings.HasPrefix(reply, "2"):
		real = "taken"
	}
	said := map[judge.Outcome]string{judge.Relayed: "taken", judge.Delivered: "taken", judge.Refused: "refused", judge.Deferred: "refused", judge.Dead: "dead"}[a.Outcome]
	if a.Outcome == judge.CannotTell || said == real {
		return ""
	}
	return fmt.Sprintf("%s %s from %s (%s) helo %s <%s> to <%s>: the evaluator says %s (%s), Postfix says %q", a.Question.Listener, a.Question.Form,
		a.Question.ClientAddr, a.Question.ClientName, a.Question.Helo, a.Question.Sender, a.Question.Recipient, a.Outcome, a.Text, reply)
}

// TestShadow asks a real Postfix what the cases of testdata/judge say.
func TestShadow(t *testing.T) {
	for _, root := range shadowRoots(t) {
		t.Run(filepath.Base(root), func(t *testing.T) {
			s := startShadow(t, root)
			minor := fmt.Sprintf("%d.%d", parseVersion(s.version)[0], parseVersion(s.version)[1])
			for _, c := range loadCases(t, "testdata/judge/*.txtar") {
				if strings.Contains(" "+strings.Join(c.versions, " ")+" ", " "+minor+" ") && c.name != "lab-xclient.txtar" {
					t.Run(strings.TrimSuffix(c.name, ".txtar"), func(t *testing.T) { c.shadow(t, s) })
				}
			}
		})
	}
}

func (c testCase) shadow(t *testing.T, s *shadow) {
	_, cfg := c.config(t, s.version)
	m := cfg.Model.(*model)
	var qs []judge.Question
	for _, ac := range c.accepts {
		qs = append(qs, c.matrix(m, ac)...)
	}
	for _, k := range c.asks {
		qs = append(qs, k.q)
	}
	if len(qs) == 0 {
		qs = c.matrix(m, acceptance{0, "198.51.100.7", "client7.example.net"})[1:2]
	}
	o := c.orderOf(qs)
	o.Files["/etc/postfix/master.cf"] = c.shadowMaster()
	r, err := s.ask(o)
	if err != nil {
		t.Fatal(err)
	}
	for i, q := range qs[:len(r.Replies)] {
		l, ok := listenerOf(m, q)
		if !ok {
			t.Fatalf("no listener for %q", q.Listener)
		}
		if text := agree(m.reply(unquoted(q), l), r.Replies[i]); text != "" {
			t.Error(text)
		}
		t.Logf("%s <%s>: %s", q.Form, q.Recipient, r.Replies[i])
	}
}
