package ssh

import (
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// delayedAcks is how many acknowledgements this thread's network namespace has sent late (TcpExt in proc_pid_net(5)).
func delayedAcks(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile("/proc/thread-self/net/netstat")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(data), "\n")
	names, values := strings.Fields(lines[0]), strings.Fields(lines[1])
	for i, n := range names {
		if n == "DelayedACKs" {
			count, err := strconv.Atoi(values[i])
			if err != nil {
				t.Fatal(err)
			}
			return count
		}
	}
	t.Fatal("the kernel does not count delayed acknowledgements")
	return 0
}

// talk has a server say two small things at a time with Nagle's algorithm on, as sshd does at the opening of a channel, and a client answer each pair.
// It returns how many acknowledgements were sent late.
func talk(t *testing.T, dress func(net.Conn) net.Conn) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	server.(*net.TCPConn).SetNoDelay(false)
	before, ended := delayedAcks(t), make(chan error, 1)
	go func() {
		in := dress(client)
		buf := make([]byte, 2)
		for range 40 {
			if _, err := io.ReadFull(in, buf); err != nil {
				ended <- err
				return
			}
			if _, err := in.Write(buf[:1]); err != nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	answer := make([]byte, 1)
	for range 40 {
		for range 2 {
			if _, err := server.Write([]byte{1}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.ReadFull(server, answer); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return delayedAcks(t) - before
}

// TestPromptly: of a connection as it is the kernel's own count shows acknowledgements sent late, for each of which the other side waited 40 ms; of
// one that is prompt it shows none. A busy machine can make some late, so that the least of several tries counts.
func TestPromptly(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("it makes a network namespace, where nobody else is counted: only root may")
	}
	runtime.LockOSThread() // and never unlocked: the thread ends with the test, and its namespace with it
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("ip: %v: %s", err, out)
	}
	late := talk(t, func(c net.Conn) net.Conn { return c })
	prompt := late
	for range 20 {
		if prompt = min(prompt, talk(t, promptly)); prompt == 0 {
			break
		}
	}
	t.Logf("%d late acknowledgements, and %d where they are sent at once", late, prompt)
	if late < 10 || prompt != 0 {
		t.Errorf("%d late acknowledgements without, %d with: want 10 or more, and none", late, prompt)
	}
}
