package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"mtaharden/remediate/remote"
)

const opRun = "run a command on"

// linger is how long the output of a command that has ended may stay open without a word: a daemon it started may hold it for ever.
const linger = 3 * time.Second

// host is one logged-in connection.
type host struct {
	t         Target
	conn      *watched
	client    *ssh.Client
	transport remote.Transport
	close     sync.Once
	done      chan struct{}
	tty       atomic.Bool            // becoming root takes a terminal here
	noSFTP    atomic.Bool            // it has no sftp that works
	lost      atomic.Pointer[string] // why the connection was ended by this side
}

func (h *host) Transport() remote.Transport { return h.transport }

func (h *host) Close() error {
	h.end("it was closed")
	return nil
}

// end closes the connection; the first reason given stays.
func (h *host) end(why string) {
	h.close.Do(func() {
		h.lost.Store(&why)
		close(h.done)
		h.conn.Close() // the connection itself, since the client's own farewell could wait for ever on a host that reads nothing
		h.client.Close()
	})
}

// keepAlive asks an idle connection whether it lives, and ends it after KeepAliveMax intervals of silence.
func (h *host) keepAlive() {
	tick := time.NewTicker(h.t.KeepAlive)
	defer tick.Stop()
	asking := atomic.Bool{}
	for {
		select {
		case <-h.done:
			return
		case <-tick.C:
		}
		if silence := h.conn.silence(); silence >= time.Duration(h.t.KeepAliveMax)*h.t.KeepAlive {
			h.end(fmt.Sprintf("the host was silent for %s", silence.Round(time.Second/10)))
			return
		} else if silence < h.t.KeepAlive || !asking.CompareAndSwap(false, true) {
			continue
		}
		go func() {
			defer asking.Store(false)
			h.client.SendRequest("keepalive@openssh.com", true, nil)
		}()
	}
}

// Run opens one channel, sends the command and its input without waiting for a reply, and takes the output. When its time or ctx ends, the connection is closed
// with it: what the host still does is then unknown, and a host that hangs holds nothing of ours. Too much output closes the channel alone.
func (h *host) Run(ctx context.Context, c remote.Cmd, limit int) (remote.Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, h.t.Timeouts.Run, fmt.Errorf("it did not end within %s", h.t.Timeouts.Run))
	defer cancel()
	return h.Keep(ctx, c, limit, nil)
}

// Keep is Run without a time of its own. A way to root that wants a terminal is given one, from then on.
func (h *host) Keep(ctx context.Context, c remote.Cmd, limit int, heard func([]byte)) (remote.Result, error) {
	tty := h.tty.Load()
	result, err := h.once(ctx, c, limit, heard, tty)
	if !tty && remote.WantsTerminal(err) {
		h.t.tracef("once more, on a terminal: %s", err)
		h.tty.Store(true)
		return h.once(ctx, c, limit, heard, true)
	}
	return result, err
}

// once runs the command. On a terminal it does so only where root is still to be reached.
func (h *host) once(ctx context.Context, c remote.Cmd, limit int, heard func([]byte), tty bool) (remote.Result, error) {
	op := opRun
	e, argv, err := h.prepare(c, limit, tty)
	if err != nil {
		return remote.Result{}, remote.Wrap("become root on", h.t.Name, remote.ErrPrivilege, err)
	}
	e.Hear(heard)
	line, err := remote.CommandLine(argv)
	if err != nil {
		return remote.Result{}, fmt.Errorf("cannot %s %s: %w", opRun, h.t.Name, err)
	}
	ch, reqs, err := h.open(ctx)
	if err != nil {
		return remote.Result{}, remote.Wrap(op, h.t.Name, remote.ErrUnreachable, err)
	}
	h.t.tracef("running a command of %d bytes with %d bytes of input: %s", len(line), len(c.Stdin), line)
	r := &running{h: h, ch: ch, e: e, ended: make(chan struct{})}
	r.output.Store(time.Now().UnixNano())
	if c.Tells {
		go r.watchIdle(h.t.Timeouts.Idle)
	}
	result, err := r.carry(ctx, line, reqs, h.t.becomes())
	h.t.tracef("exit status %d, %d bytes of output, %d of standard error", result.Exit, len(result.Stdout), len(result.Stderr))
	if errors.Is(err, remote.ErrPrivilege) {
		op = "become root on"
	}
	return result, remote.Wrap(op, h.t.Name, remote.ErrCut, err)
}

// open opens a channel within its time.
func (h *host) open(ctx context.Context) (ssh.Channel, <-chan *ssh.Request, error) {
	if why := h.lost.Load(); why != nil {
		return nil, nil, fmt.Errorf("the connection is closed: %s", *why)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, h.t.Timeouts.Channel, fmt.Errorf("the host opened no channel within %s", h.t.Timeouts.Channel))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { h.end(context.Cause(ctx).Error()) })
	ch, reqs, err := h.client.OpenChannel("session", nil)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if why := h.lost.Load(); err != nil && why != nil {
		err = errors.New(*why)
	} else if err != nil && h.conn.over() {
		err = errors.New(h.cutOff())
	} else if err != nil {
		err = fmt.Errorf("the host opens no channel: %s", reason(err))
	}
	return ch, reqs, err
}

// running is one command on its channel.
type running struct {
	h        *host
	ch       ssh.Channel
	e        *remote.Exchange
	output   atomic.Int64 // when something last came, in ns
	ended    chan struct{}
	status   *int // set before ended is closed, where the host told it
	released atomic.Bool
	begun    atomic.Bool
	stuck    atomic.Bool // sudo did not get to the command in its time
	came     func()      // called when the command has begun; nil: nobody waits for it
}

func (r *running) carry(ctx context.Context, line string, reqs <-chan *ssh.Request, become bool) (remote.Result, error) {
	stop := context.AfterFunc(ctx, func() { r.late(ctx, context.Cause(ctx)) })
	defer stop()
	if become {
		wait := r.h.t.Timeouts.Login
		timer := time.AfterFunc(wait, func() {
			if waiting, _ := r.e.Waiting(); waiting {
				r.stuck.Store(true)
				r.abort(fmt.Sprintf("%s did not begin the command within %s", r.h.t.way(), wait))
			}
		})
		defer timer.Stop()
	}
	go r.requests(reqs)
	if err := r.terminal(); err != nil {
		r.release()
		<-r.ended
		return remote.Result{Exit: -1}, err
	}
	// No reply is asked for: waiting for it costs a round trip, and the exit status tells the same.
	if _, err := r.ch.SendRequest("exec", false, ssh.Marshal(struct{ Command string }{line})); err != nil {
		r.abort(r.h.cutOff())
	}
	var both sync.WaitGroup
	both.Go(func() { r.take(r.e.Stdout(), r.ch) })
	both.Go(func() { r.take(r.e.Stderr(), r.ch.Stderr()) })
	go r.e.Feed(input{r.ch, r.e.Terminal()})
	both.Wait()
	<-r.ended
	r.e.End()
	r.ch.Close()
	return r.outcome()
}

// outcome says how the command ended. A cut-off output outweighs an exit status, and an exit status what happened to the connection after it.
func (r *running) outcome() (remote.Result, error) {
	if r.status != nil {
		return r.e.Result(*r.status)
	}
	result, err := r.e.Result(-1)
	if errors.Is(err, remote.ErrCut) {
		return result, err
	}
	why := r.h.cutOff()
	if lost := r.h.lost.Load(); lost != nil {
		why = *lost
	} else if !r.h.conn.over() {
		why = "the host closed the channel without an exit status"
	}
	if r.stuck.Load() {
		_, said := r.e.Waiting()
		return result, remote.Stuck(why, said)
	}
	return result, errors.New(why)
}

// take copies the command's output, and closes the channel when there is too much of it.
func (r *running) take(w io.Writer, from io.Reader) {
	_, err := io.Copy(writerFunc(func(p []byte) (int, error) {
		r.output.Store(time.Now().UnixNano())
		n, err := w.Write(p)
		if !r.begun.Load() && r.e.Begun() && !r.begun.Swap(true) {
			r.h.t.tracef("the command has begun")
			if r.came != nil {
				r.came()
			}
		}
		return n, err
	}), from)
	if errors.Is(err, remote.ErrCut) {
		r.release()
		io.Copy(io.Discard, from)
	}
}

// requests takes what the host says about the command until the channel is closed.
func (r *running) requests(reqs <-chan *ssh.Request) {
	defer close(r.ended)
	for req := range reqs {
		switch req.Type {
		case "exit-status":
			var msg struct{ Status uint32 }
			if ssh.Unmarshal(req.Payload, &msg) == nil {
				status := int(msg.Status)
				r.status = &status
				go r.watchEnd()
			}
		case "exit-signal":
			var msg struct {
				Signal     string
				Core       bool
				Text, Lang string
			}
			if ssh.Unmarshal(req.Payload, &msg) == nil {
				status := 128 + signalNumber(msg.Signal)
				r.status = &status
				io.WriteString(r.e.Stderr(), "killed by signal "+clean(msg.Signal)+"\n")
			}
		}
		if req.WantReply {
			req.Reply(req.Type == "exit-status" || req.Type == "exit-signal", nil)
		}
	}
}

// watchIdle ends a command that says nothing for so long.
func (r *running) watchIdle(limit time.Duration) {
	tick := time.NewTicker(max(limit/10, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-r.ended:
			return
		case <-tick.C:
		}
		if time.Since(time.Unix(0, r.output.Load())) > limit {
			r.late(context.Background(), fmt.Errorf("it said nothing for %s", limit))
			return
		}
	}
}

// watchEnd releases the channel of a command that has ended while something it started still holds its output open.
func (r *running) watchEnd() {
	tick := time.NewTicker(linger / 6)
	defer tick.Stop()
	for {
		select {
		case <-r.ended:
			return
		case <-tick.C:
			if time.Since(time.Unix(0, r.output.Load())) > linger {
				r.release()
				return
			}
		}
	}
}

// release closes the channel, and the connection too when the host does not follow.
func (r *running) release() {
	if r.released.Swap(true) {
		return
	}
	timer := time.AfterFunc(linger, func() { r.h.end("the host did not close a channel") })
	r.ch.Close()
	go func() {
		<-r.ended
		timer.Stop()
	}()
}

// late gives the command up when its time, or ctx, has ended.
func (r *running) late(ctx context.Context, why error) {
	text := why.Error()
	if !errors.Is(ctx.Err(), context.Canceled) && !r.e.Begun() {
		text += "; the login shell never came to the command: its start-up files may wait for something"
	}
	r.abort(text)
}

// abort gives the command up: it is told to end, and the connection is closed.
func (r *running) abort(why string) {
	timer := time.AfterFunc(linger/10, func() { r.h.end(why) })
	r.ch.SendRequest("signal", false, ssh.Marshal(struct{ Signal string }{"TERM"})) // best effort: OpenSSH before 7.9 does not know it
	timer.Stop()
	r.h.end(why)
}

// signalNumber is the number of a signal of RFC 4254, 6.10, as shells add it to 128.
func signalNumber(name string) int {
	return map[string]int{"HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "ABRT": 6, "FPE": 8, "KILL": 9, "USR1": 10, "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15}[name]
}

// input is the channel's standard input; closing it ends the input alone. That of a terminal has no end.
type input struct {
	ssh.Channel
	tty bool
}

func (i input) Close() error {
	if i.tty {
		return nil
	}
	return i.CloseWrite()
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
