package exim

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// A shadow is a real Exim in namespaces of its own, over a directory that holds an installed system: it is given one configuration
// after the other and asked with -bh. MTAHARDEN_EXIM_ROOTS lists such systems, parted by blanks; each is one directory, or several
// layers parted by colons; nothing in them is changed (they are the lower layers of an overlay). Without it, the recorded cases alone are judged. The test's own program runs in there: build it
// with CGO_ENABLED=0. A name server in there knows the domains of examples, so that a foreign recipient is one that exists.

// order is what the test sends into the namespaces, one JSON value a configuration.
type order struct {
	Files    map[string]string
	Generate bool   // run Debian's generator over them
	Config   string // for -C; "" is what the program finds by itself
	Collect  string // the collector, whose output is the answer
	Talks    []talk
}

// talk is one process of -bh.
type talk struct {
	Args []string
	Say  []string
	TLS  bool
}

// replies is the answer to an order.
type replies struct {
	Version   string
	Addrs     []string
	Err       string
	Broken    string // why Exim does not take the configuration
	Generated string
	Options   string // -bP config
	Main      string // -bP
	Heard     [][2]string
	Snapshot  []byte
}

type shadow struct {
	version string
	addrs   []string
	in      *json.Encoder
	out     *json.Decoder
}

// shadowRoots are the systems named; a test that has none compares nothing and says so, rather than pass.
func shadowRoots(t *testing.T) []string {
	t.Helper()
	roots := strings.Fields(os.Getenv("MTAHARDEN_EXIM_ROOTS"))
	if len(roots) == 0 {
		t.Skip("compares nothing: MTAHARDEN_EXIM_ROOTS names no installed Exim")
	}
	return roots
}

const enterShadow = `set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$2"
mkdir "$2/u" "$2/w" "$2/m"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/u,workdir=$2/w" "$2/m"
mount -t proc proc "$2/m/proc"
mount --bind /dev "$2/m/dev"
ip link set lo up
ip addr add 10.9.9.1/24 dev lo
hostname mx.example.edu
rm -f "$2/m/etc/resolv.conf"
echo nameserver 127.0.0.1 >"$2/m/etc/resolv.conf"
printf '127.0.0.1 localhost\n10.9.9.1 mx.example.edu mx\n' >"$2/m/etc/hosts"
cp "$3" "$2/m/shadow-helper"
exec chroot "$2/m" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin MTAHARDEN_SHADOW=1 /shadow-helper -test.run '^TestShadowHelper$'`

func startShadow(t *testing.T, root string) *shadow {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "-m", "-n", "-u", "-p", "-f", "--kill-child", "sh", "-c", enterShadow, "sh", root, t.TempDir(), exe)
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
		t.Fatalf("the shadow Exim over %s did not start: %v %s", root, err, hello.Err)
	}
	s.version, s.addrs = hello.Version, hello.Addrs
	return s
}

// number is the version alone.
func (s *shadow) number() string {
	v, _ := versionOf(s.version)
	return v
}

func (s *shadow) ask(o order) (replies, error) {
	if err := s.in.Encode(o); err != nil {
		return replies{}, err
	}
	var r replies
	err := s.out.Decode(&r)
	if err == nil && r.Err != "" {
		err = errors.New(r.Err)
	}
	return r, err
}

// TestShadowHelper is the part that runs inside the namespaces; on its own it does nothing.
func TestShadowHelper(t *testing.T) {
	if os.Getenv("MTAHARDEN_SHADOW") == "" {
		return
	}
	out := json.NewEncoder(os.Stdout)
	var hello replies
	v, err := exec.Command("exim4", "-bV").Output()
	if hello.Version = strings.TrimSpace(firstLine(string(v))); err != nil {
		hello.Err = err.Error()
	}
	if addrs, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addrs {
			hello.Addrs = append(hello.Addrs, a.String())
		}
	}
	if err := moreAccounts(); err != nil {
		hello.Err = err.Error()
	}
	if err := serveNames(); err != nil {
		hello.Err = err.Error()
	}
	out.Encode(hello)
	in := json.NewDecoder(bufio.NewReader(os.Stdin))
	w := &wardrobe{before: map[string][]byte{}}
	for {
		var o order
		if err := in.Decode(&o); err != nil {
			os.Exit(0) // the namespaces end with this process
		}
		out.Encode(w.carryOut(o))
	}
}

// moreAccounts adds those that published configurations name, so that more of them are taken.
func moreAccounts() error {
	for file, line := range map[string]string{"/etc/passwd": "%s:x:%d:%d::/nonexistent:/bin/false\n", "/etc/group": "%s:x:%d:\n"} {
		f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		for i, name := range []string{"exim", "dovecot", "vmail", "mailnull", "spamd"} {
			if strings.Count(line, "%d") == 2 {
				fmt.Fprintf(f, line, name, 9000+i, 9000+i)
			} else {
				fmt.Fprintf(f, line, name, 9000+i)
			}
		}
		f.Close()
	}
	return nil
}

// serveNames answers for the domains of examples and for one client that has a name; all else does not exist.
func serveNames() error {
	pc, err := net.ListenPacket("udp", "127.0.0.1:53")
	if err != nil {
		return err
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		name := strings.ToLower(q.Question[0].Name)
		known := false
		for _, d := range []string{"example.com.", "example.net.", "example.org."} {
			known = known || strings.HasSuffix(name, d)
		}
		text := ""
		switch t := q.Question[0].Qtype; {
		case name == "9.113.0.203.in-addr.arpa." && t == dns.TypePTR:
			text = name + " 60 IN PTR good.example.net."
		case !known:
			m.Rcode = dns.RcodeNameError
		case t == dns.TypeMX && !strings.HasPrefix(name, "mail."):
			text = name + " 60 IN MX 10 mail." + name
		case t == dns.TypeA && name == "good.example.net.":
			text = name + " 60 IN A 203.0.113.9"
		case t == dns.TypeA:
			text = name + " 60 IN A 203.0.113.200"
		}
		if text != "" {
			if rr, err := dns.NewRR(text); err == nil {
				m.Answer = append(m.Answer, rr)
			}
		}
		w.WriteMsg(m)
	})
	go (&dns.Server{PacketConn: pc, Handler: handler}).ActivateAndServe()
	return nil
}

// wardrobe puts files of an order in place and takes those of the order before away.
type wardrobe struct{ before map[string][]byte }

func (w *wardrobe) dress(files map[string]string) error {
	for name, old := range w.before {
		if old == nil {
			os.Remove(name)
		} else if err := os.WriteFile(name, old, 0o644); err != nil {
			return err
		}
	}
	w.before = map[string][]byte{}
	for name, text := range files {
		old, err := os.ReadFile(name)
		if err != nil {
			old = nil
		}
		w.before[name] = old
		os.MkdirAll(filepath.Dir(name), 0o755)
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (w *wardrobe) carryOut(o order) replies {
	var r replies
	if err := w.dress(o.Files); err != nil {
		return replies{Err: err.Error()}
	}
	args := []string{}
	if o.Config != "" {
		args = []string{"-C", o.Config}
	}
	if o.Generate {
		out, err := exec.Command("update-exim4.conf").CombinedOutput()
		if err != nil {
			r.Broken = fmt.Sprintf("update-exim4.conf: %v: %s", err, out)
			return r
		}
		data, _ := os.ReadFile(debOutput)
		r.Generated = string(data)
	}
	if out, err := exec.Command("exim4", append(args, "-bV")...).CombinedOutput(); err != nil {
		r.Broken = errorLine(string(out))
		return r
	}
	if o.Collect != "" {
		cmd := exec.Command("sh")
		cmd.Stdin = strings.NewReader(o.Collect)
		out, err := cmd.Output()
		if r.Snapshot = out; err != nil && len(out) == 0 {
			r.Err = err.Error()
		}
		return r
	}
	options, _ := exec.Command("exim4", append(args, "-bP", "config")...).Output()
	main, _ := exec.Command("exim4", append(args, "-bP")...).Output()
	r.Options, r.Main = string(options), string(main)
	for _, t := range o.Talks {
		r.Heard = append(r.Heard, converse(append(args, t.Args...), t))
	}
	return r
}

// converse speaks one dialogue: all at once where it is plain, step by step within TLS.
func converse(args []string, t talk) [2]string {
	cmd := exec.Command("timeout", append([]string{"20", "exim4"}, args...)...)
	var trace bytes.Buffer
	cmd.Stderr = &trace
	if !t.TLS {
		cmd.Stdin = strings.NewReader(strings.Join(t.Say, "\r\n") + "\r\nQUIT\r\n")
		out, _ := cmd.Output()
		return [2]string{string(out), trace.String()}
	}
	stdin, _ := cmd.StdinPipe()
	stdout, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		return [2]string{"", err.Error()}
	}
	var heard bytes.Buffer
	plain := bufio.NewReader(stdout)
	step := func(r *bufio.Reader, w io.Writer, say string) bool {
		if say != "" {
			fmt.Fprintf(w, "%s\r\n", say)
		}
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return false
			}
			if digits := len(line) > 3 && strings.Trim(line[:3], "0123456789") == ""; digits {
				heard.WriteString(line)
				if line[3] != '-' {
					return true
				}
			}
		}
	}
	if step(plain, stdin, "") {
		greeting := heard.String()
		if step(plain, stdin, t.Say[0]) && step(plain, stdin, "STARTTLS") {
			heard.Reset()
			heard.WriteString(greeting)
			c := tls.Client(&pipes{plain, stdin}, &tls.Config{InsecureSkipVerify: true})
			r := bufio.NewReader(c)
			for _, say := range append(t.Say, "QUIT") {
				if !step(r, c, say) {
					break
				}
			}
		}
	}
	stdin.Close()
	io.Copy(io.Discard, plain)
	cmd.Wait()
	text := trace.String()
	if i := strings.Index(text, "tls_try_verify_hosts?"); i >= 0 { // what was said before TLS is not of the dialogue
		text = text[i:]
	}
	return [2]string{heard.String(), text}
}

// pipes is a program's standard input and output as a connection.
type pipes struct {
	io.Reader
	io.Writer
}

func (*pipes) Close() error                     { return nil }
func (*pipes) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (*pipes) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (*pipes) SetDeadline(time.Time) error      { return nil }
func (*pipes) SetReadDeadline(time.Time) error  { return nil }
func (*pipes) SetWriteDeadline(time.Time) error { return nil }
