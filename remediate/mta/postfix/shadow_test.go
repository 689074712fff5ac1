package postfix

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
)

// A shadow is a real Postfix in namespaces of its own, over the directories of an installed system: it is given one configuration after
// the other and asked through XCLIENT. MTAHARDEN_POSTFIX_ROOTS lists such systems, parted by blanks; each is one directory, or several
// as overlayfs wants its lower layers (topmost first, parted by colons). Nothing in them is changed. Without it, the recorded cases
// alone are judged. The test's own program runs in there: build it with CGO_ENABLED=0.

// order is what the test sends into the namespaces, one JSON value a configuration.
type order struct {
	Files map[string]string
	Maps  []string // tables to build with postmap
	Asks  []ask
	Addrs []string // addresses for the rewrite service, class and all
}

// ask is a question with what else the dialogue has: what an evaluator cannot know, or needs not.
type ask struct {
	Q       judge.Question
	Reverse string // the unverified name where there is no verified one
	Helo    bool   // HELO for EHLO
	Cert    bool   // a client certificate, if the server wants one
	Proxy   string // the port at which a proxy's header names the client; "" where XCLIENT does
	Claim   *claim // by Proxy alone: whom the client then says by XCLIENT that it is
	Names   bool   // whether the client may use XCLIENT is asked too
	Again   bool   // postscreen may want to see the client twice
}

// claim is what a client says of itself by XCLIENT.
type claim struct{ Addr, Name, User string }

// replies are the answers to an order. A reply is the decisive one of a dialogue: the first refusal, or the last; or "dead: CAUSE", or
// "unasked: CAUSE" where the shadow could not put the question.
type replies struct {
	Hello    *hello     `json:",omitempty"`
	Replies  []string   `json:",omitempty"`
	Named    []string   `json:",omitempty"` // of each question: whether XCLIENT is announced to its client, "yes", "no", "" for not known
	Resolved []resolved `json:",omitempty"`
	Err      string     `json:",omitempty"`
}

// hello is what the shadow's Postfix says of itself: the sections that a collect has.
type hello struct{ Version, Defaults, Types string }

// resolved is what trivial-rewrite makes of an address.
type resolved struct {
	Addr  string // user@domain after rewriting and resolving
	Class class
	Route bool // RESOLVE_FLAG_ROUTED
	Fail  bool
}

type shadow struct {
	hello
	in  *json.Encoder
	out *json.Decoder
}

// shadowRoots are the systems named; a test that has none compares nothing and says so, rather than pass.
func shadowRoots(t *testing.T) []string {
	t.Helper()
	roots := strings.Fields(os.Getenv("MTAHARDEN_POSTFIX_ROOTS"))
	if len(roots) == 0 {
		t.Skip("compares nothing: MTAHARDEN_POSTFIX_ROOTS names no installed Postfix")
	}
	return roots
}

const enter = `set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$2"
mkdir "$2/u" "$2/w" "$2/m"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/u,workdir=$2/w" "$2/m"
mount -t proc proc "$2/m/proc"
mount -t tmpfs tmpfs "$2/m/dev"
for d in null zero random urandom; do : >"$2/m/dev/$d"; mount --bind "/dev/$d" "$2/m/dev/$d"; done
mount -t tmpfs tmpfs "$2/m/var/spool/postfix"
ulimit -n 1024
echo lab.example.edu >/proc/sys/kernel/hostname
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
	if !strings.Contains(root, ":") { // overlayfs takes one lower layer alone with an upper one, but two of the same name never
		root = strings.TrimRight(root, "/")
	}
	cmd := exec.Command("unshare", "-m", "-n", "-u", "-p", "-f", "--kill-child", "sh", "-c", enter, "sh", root, t.TempDir(), exe)
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
	var first replies
	if err := s.out.Decode(&first); err != nil || first.Err != "" || first.Hello == nil {
		t.Fatalf("the shadow Postfix over %s did not start: %v %s", root, err, first.Err)
	}
	s.hello = *first.Hello
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

// minor is the version as cases name it: 3.7.
func (s *shadow) minor() string {
	v := parseVersion(s.Version)
	return fmt.Sprintf("%d.%d", v[0], v[1])
}

// outputs are the sections that a collect of the shadow's host would hold.
func (s *shadow) outputs() []*facts.Output {
	return []*facts.Output{{Name: "postfix:/etc/postfix:d", Stdout: []byte(s.Defaults)}, {Name: "postfix:/etc/postfix:m", Stdout: []byte(s.Types)}}
}

// orderOf is a case as the shadow takes it.
func (c testCase) orderOf(asks []ask) order {
	o := order{Files: map[string]string{}, Asks: asks}
	for name, text := range c.files {
		switch {
		case name == "main.cf":
			o.Files["/etc/postfix/main.cf"] = text + shadowTail
		case name == "master.cf":
		default:
			o.Files[name] = text
			for _, kind := range []string{"hash", "btree", "lmdb", "cdb"} {
				if strings.Contains(c.files["main.cf"]+c.expanded, kind+":"+name) || strings.Contains(c.files["master.cf"], kind+":"+name) {
					o.Maps = append(o.Maps, kind+":"+name)
				}
			}
		}
	}
	o.Files["/etc/postfix/master.cf"] = c.shadowMaster()
	return o
}

// shadowTail ends every daemon after one use, so that none holds an old main.cf, and lets no limit end a dialogue.
const shadowTail = `
service_throttle_time = 1s
max_use = 1
`
