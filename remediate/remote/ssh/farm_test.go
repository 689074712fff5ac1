package ssh_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"mtaharden/remediate"
	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
	"mtaharden/remediate/remote/ssh"
)

const (
	farmHosts = 1000
	farmBad   = 50 // of them
	farmForks = 40
	farmPeak  = 128 << 20 // bytes of heap, the servers' among them
)

// blights are the ways in which a host of the farm is bad, and how it must be reported.
var blights = []struct {
	name   string
	server func() *remotetest.Server
	change func(testing.TB, *remotetest.Server, *ssh.Target)
	kind   error
	says   string
}{
	{"dead", healthy, func(_ testing.TB, _ *remotetest.Server, x *ssh.Target) { x.Port = 1 }, remote.ErrUnreachable, "refused"},
	{"silent", func() *remotetest.Server { return &remotetest.Server{SilentAccept: true} }, nil, remote.ErrUnreachable, "no SSH greeting came within"},
	{"dripping", func() *remotetest.Server { return &remotetest.Server{Stall: remotetest.DripLines} }, nil, remote.ErrUnreachable, "no SSH greeting came (but"},
	{"no key exchange", func() *remotetest.Server { return &remotetest.Server{Stall: remotetest.NoKeyExchange} }, nil, remote.ErrUnreachable, "the key exchange was not finished"},
	{"no answer to the login", func() *remotetest.Server { return &remotetest.Server{HangAfterKex: true} }, nil, remote.ErrUnreachable, "the authentication was not finished"},
	{"no channel", func() *remotetest.Server { return &remotetest.Server{HangAfterAuth: true} }, nil, remote.ErrUnreachable, "opened no channel within"},
	{"hung command", func() *remotetest.Server { return &remotetest.Server{HangExec: true} }, nil, remote.ErrCut, "it said nothing for"},
	{"deaf command", func() *remotetest.Server { return &remotetest.Server{DeafExec: true} }, nil, remote.ErrCut, "it said nothing for"},
	{"wrong key", healthy, func(t testing.TB, _ *remotetest.Server, x *ssh.Target) {
		file, _ := remotetest.NewKeyFile(t, "")
		x.Identities = []string{file}
	}, remote.ErrAuth, "accepts none of the keys"},
	{"changed host key", healthy, changeKey, remote.ErrHostKey, "has changed"},
}

var beginMark = regexp.MustCompile(`mh-[0-9a-f]+-begin`)

func healthy() *remotetest.Server { return &remotetest.Server{Answer: answerFrame} }

// answerFrame does what a host does with the collector, in one breath: it reads the script and sends a frame. What it says of itself is the
// command's own nonce, so that an answer that came to another host's question is seen.
func answerFrame(line string, stdin io.Reader, stdout, _ io.Writer) int {
	in := bufio.NewReader(stdin)
	nonce, err := in.ReadString('\n')
	if err != nil {
		return 1
	}
	nonce = strings.TrimSpace(nonce)
	fmt.Fprintf(stdout, "noise of a login\n%s\n%s begin 1 x 1\n%s fact node %s\n%s done\n", beginMark.FindString(line), nonce, nonce, nonce, nonce)
	io.Copy(io.Discard, in)
	return 0
}

// TestFarm: a thousand hosts, one in twenty bad in one of ten ways, scattered. Every one is reported rightly; and when all is over nothing is left of
// it: no goroutine, no descriptor, no memory.
func TestFarm(t *testing.T) {
	goroutines, files, heap := runtime.NumGoroutine(), descriptors(t), heapNow()
	var peak atomic.Uint64
	t.Run("run", func(t *testing.T) { runFarm(t, &peak) })
	t.Logf("at most %d MiB of heap", peak.Load()>>20)
	if peak.Load() > farmPeak {
		t.Errorf("the heap grew to %d MiB", peak.Load()>>20)
	}
	var left string
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		g, f, h := runtime.NumGoroutine(), descriptors(t), heapNow()
		if left = fmt.Sprintf("%d goroutines (%d before), %d descriptors (%d before), %d MiB of heap (%d before)", g, goroutines, f, files, h>>20, heap>>20); g <= goroutines && f <= files && h < heap+(16<<20) {
			t.Log(left)
			return
		}
	}
	buf := make([]byte, 1<<20)
	t.Errorf("what is left: %s\n%s", left, buf[:runtime.Stack(buf, true)])
}

func runFarm(t *testing.T, peak *atomic.Uint64) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	bad := rand.New(rand.NewPCG(seed, 0)).Perm(farmHosts)[:farmBad]
	blight := map[int]int{}
	for i, host := range bad {
		blight[host] = i % len(blights)
	}
	file, pub := remotetest.NewKeyFile(t, "")
	targets := make([]remediate.Target, farmHosts)
	for i := range targets {
		server, change := healthy(), func(testing.TB, *remotetest.Server, *ssh.Target) {}
		if b, is := blight[i]; is {
			server = blights[b].server()
			if blights[b].change != nil {
				change = blights[b].change
			}
		}
		server.User, server.Keys = "admin", []xssh.PublicKey{pub}
		x := ssh.Target{
			Name: fmt.Sprintf("mx%04d", i), Address: "127.0.0.1", Port: server.Start(t), User: "admin", Identities: []string{file}, KnownHosts: []string{server.KnownHosts(t)},
			Timeouts: remote.Timeouts{Dial: 20 * time.Second, Login: 20 * time.Second, Idle: 20 * time.Second, Run: time.Hour},
		}
		change(t, server, &x)
		targets[i] = remediate.Target{Name: x.Name, Dial: func(ctx context.Context) (remote.Host, error) { return ssh.Dial(ctx, x) }}
	}
	reported := map[string]bool{}
	remediate.CollectAll(t.Context(), remediate.Config{Targets: targets, Forks: farmForks}, func(o remediate.Outcome) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak.Store(max(peak.Load(), m.HeapAlloc))
		if reported[o.Target.Name] {
			t.Errorf("%s is reported twice", o.Target.Name)
		}
		reported[o.Target.Name] = true
		var n int
		fmt.Sscanf(o.Target.Name, "mx%d", &n)
		b, is := blight[n]
		switch {
		case !is && (o.Err != nil || !o.Snapshot.Complete || !strings.HasPrefix(string(o.Raw), o.Snapshot.Fact("node")+" begin")):
			t.Errorf("%s is good: %v", o.Target.Name, o.Err)
		case is:
			wants(t, o.Err, blights[b].kind, []string{o.Target.Name, blights[b].says})
		}
	})
	if len(reported) != farmHosts {
		t.Errorf("%d hosts were reported", len(reported))
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if errors.Is(err, os.ErrNotExist) {
		return 0 // nothing here counts them
	}
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

func heapNow() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
