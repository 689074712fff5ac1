package ssh_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"mtaharden/remediate"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/journal"
	"mtaharden/remediate/mta/all"
	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
	"mtaharden/remediate/remote/ssh"
)

// counted is a host that tells of each piece of output as it comes.
type counted struct {
	remote.Host
	came func()
}

func (c counted) Run(ctx context.Context, cmd remote.Cmd, limit int) (remote.Result, error) {
	return c.Host.(remote.Keeper).Keep(ctx, cmd, limit, func([]byte) { c.came() })
}

// once logs in over a long link and does something there, and returns how many round trips lie before the end of the login, the host's word that the
// command runs and the last byte of its output, from the beginning of the TCP connection on.
func once(t *testing.T, target ssh.Target, link *remotetest.Link, do func(remote.Host) error) (trips [3]float64) {
	t.Helper()
	target.Connect = link.Dial
	target.Trace = func(line string) {
		if line == "the command has begun" && trips[1] == 0 {
			trips[1] = link.Trips()
		}
	}
	h, err := ssh.Dial(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	trips[0] = link.Trips()
	if err := do(counted{h, func() { trips[2] = link.Trips() }}); err != nil {
		t.Fatal(err)
	}
	return trips
}

// roundTrips checks how many round trips a login and a command cost: the least of several tries, as many as it needs.
func roundTrips(t *testing.T, what string, target ssh.Target, do func(remote.Host) error, want [3]float64) {
	t.Helper()
	var least [3]float64
	for n := range 16 {
		trips := once(t, target, &remotetest.Link{Delay: 50 * time.Millisecond}, do)
		for i := range trips {
			if n == 0 || trips[i] < least[i] {
				least[i] = trips[i]
			}
		}
		if least == want {
			break
		}
	}
	t.Logf("%s: logged in after %g round trips, the first byte after %g, the last after %g", what, least[0], least[1], least[2])
	if least != want {
		t.Errorf("%s: login, first and last byte after %v round trips, want %v", what, least, want)
	}
}

// cat runs cat with so much input.
func cat(input int) func(remote.Host) error {
	return func(h remote.Host) error {
		r, err := h.Run(context.Background(), remote.Cmd{Argv: []string{"/bin/sh", "-c", "echo begun; cat"}, Stdin: []byte(strings.Repeat("x", input))}, 1<<20)
		if err == nil && len(r.Stdout) != len("begun\n")+input {
			err = errors.New("not all of the input came back")
		}
		return err
	}
}

// audit collects all that an audit does.
func audit(h remote.Host) error {
	s, _, err := facts.Collect(context.Background(), h, remediate.Parts(all.Drivers())...)
	if err == nil && !s.Complete {
		err = errors.New("the snapshot is not complete")
	}
	return err
}

// TestRoundTrips: a command and 20 kB of input cost two round trips: one opens the channel, one carries command, input and output.
func TestRoundTrips(t *testing.T) {
	roundTrips(t, "in-process server", newTarget(t, &remotetest.Server{}), cat(20000), [3]float64{7, 9, 9})
}

// TestRoundTripsOpenSSH: sshd opens a session with a window of 0 bytes and widens it when the command has begun, so input costs one round trip more there,
// whoever the client is; a password one more still.
func TestRoundTripsOpenSSH(t *testing.T) {
	o := startOpenSSH(t, anyRelease(t))
	free := o.target(t, "free")
	free.Become = "sudo"
	asked := o.target(t, "dashy")
	asked.Become, asked.BecomePassword = "sudo", given(secret)
	for _, c := range []struct {
		what   string
		target ssh.Target
		do     func(remote.Host) error
		want   [3]float64
	}{
		{"no input", o.target(t, "root"), cat(0), [3]float64{7, 9, 9}},
		{"input", o.target(t, "root"), cat(20000), [3]float64{7, 9, 10}},
		{"audit", o.target(t, "root"), audit, [3]float64{7, 9, 10}},
		{"audit, sudo that does not ask", free, audit, [3]float64{7, 9, 10}},
		{"audit, sudo that asks", asked, audit, [3]float64{7, 11, 11}},
	} {
		roundTrips(t, c.what, c.target, c.do, c.want)
	}
}

// TestRoundTripsMaster: over a running ssh of the user's there is no login to be made; what is left is the channel, the command and its input.
func TestRoundTripsMaster(t *testing.T) {
	o := startOpenSSH(t, anyRelease(t))
	link := &remotetest.Link{Delay: 50 * time.Millisecond}
	far := o.target(t, "root")
	far.Port = link.Listen(t, fmt.Sprintf("127.0.0.1:%d", o.port))
	far.KnownHosts = []string{o.knownAs(t, far.Port, o.hostKeys[xssh.KeyAlgoED25519])}
	far.ControlPath, _ = startMaster(t, far)
	least := [2]float64{100, 100}
	for range 16 {
		var first, last float64
		target := far
		link.Reset()
		target.Trace = func(line string) {
			if line == "the command has begun" && first == 0 {
				first = link.Trips()
			}
		}
		h, err := ssh.Dial(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		err = audit(counted{h, func() { last = link.Trips() }})
		if h.Transport().Master == "" || err != nil {
			t.Fatalf("over %+v: %v", h.Transport(), err)
		}
		h.Close()
		if least = [2]float64{min(least[0], first), min(least[1], last)}; least == [2]float64{2, 3} {
			break
		}
		time.Sleep(4 * link.Delay) // the channel's end is on its way
	}
	t.Logf("the first byte after %g round trips, the last after %g", least[0], least[1])
	if least != [2]float64{2, 3} {
		t.Errorf("first and last byte after %v round trips, want 2 and 3", least)
	}
}

// TestRoundTripsUpload: what a long content costs by SFTP, and as a command's input. Both take one more for each 2 MiB, sshd's window.
func TestRoundTripsUpload(t *testing.T) {
	o := startOpenSSH(t, anyRelease(t), "Subsystem sftp /usr/lib/openssh/sftp-server")
	free := o.target(t, "free")
	free.Become = "sudo"
	for name, target := range map[string]ssh.Target{"subsystem": o.other(t, 0, o.hostKeys[xssh.KeyAlgoED25519]), "sudo": free} {
		link := &remotetest.Link{Delay: 50 * time.Millisecond}
		target.Connect = link.Dial
		h := dial(t, target)
		dir := "/var/lib/up." + name
		if r, err := h.Run(t.Context(), remote.Script("mkdir "+dir), 100); err != nil || r.Exit != 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		least := [2]float64{100, 100}
		for n := range 16 {
			for i, by := range []remote.Host{h, struct{ remote.Host }{h}} { // the other one has no SFTP
				time.Sleep(4 * link.Delay) // the last channel's end is on its way
				link.Reset()
				if err := journal.Upload(t.Context(), by, fmt.Sprintf("%s/%d.%d", dir, n, i), long); err != nil {
					t.Fatal(err)
				}
				least[i] = min(least[i], link.Trips())
			}
			if least == [2]float64{6, 3} {
				break
			}
		}
		t.Logf("%s: %g round trips by SFTP, %g as a command's input", name, least[0], least[1])
		if least != [2]float64{6, 3} {
			t.Errorf("%s: %v round trips, want 6 and 3", name, least)
		}
	}
}
