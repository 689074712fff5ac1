package probe

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// SweepSchema names the shape of a sweep's state file: a line of JSON that says what was asked for, then one for each host that was asked.
const SweepSchema = "mtaharden-sweep/1"

// Request is what makes a sweep this sweep and no other: only the same request can be taken up again.
type Request struct {
	Targets []string  `json:"targets"` // as written on the command line
	From    string    `json:"from"`    // the host dialled through, "" for this machine
	Hosts   uint64    `json:"hosts"`   // how many addresses there are to ask
	Asked   []Setting `json:"asked"`   // everything else that changes what is asked, by the name that the user knows it by
	Begun   time.Time `json:"begun"`
}

// Setting is one named value of a Request.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// file is the state file's name: the same targets from the same place have the same.
func (r *Request) file() string {
	sum := sha256.Sum256([]byte(strings.Join(r.Targets, "\x00") + "\x00\x00" + r.From))
	return hex.EncodeToString(sum[:8]) + ".jsonl"
}

// differs names the first thing that was asked for otherwise.
func (r *Request) differs(now *Request) error {
	was := map[string]string{}
	for _, s := range r.Asked {
		was[s.Name] = s.Value
	}
	for _, s := range now.Asked {
		if old, ok := was[s.Name]; !ok || old != s.Value {
			return fmt.Errorf("%s is %s now, and was %s when the sweep was begun at %s", s.Name, orNothing(s.Value), orNothing(old), stamp(r.Begun))
		}
	}
	if r.Hosts != now.Hosts {
		return fmt.Errorf("there are %d addresses to ask now, and were %d when the sweep was begun at %s", now.Hosts, r.Hosts, stamp(r.Begun))
	}
	return nil
}

func orNothing(s string) string {
	if s == "" {
		return "not given"
	}
	return fmt.Sprintf("%q", s)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// stateLine is one line of the state file: the head, a host's result, or the end.
type stateLine struct {
	Schema  string      `json:"schema,omitempty"`
	Request *Request    `json:"request,omitempty"`
	Host    *HostResult `json:"host,omitempty"`
	Ended   *time.Time  `json:"ended,omitempty"`
}

// What a state file may hold.
const (
	maxStateLine  = 4 << 20
	maxStateLines = 1 << 21
)

// Saved is what a state file holds.
type Saved struct {
	Request Request
	Hosts   map[netip.Addr]HostResult
	Ended   bool  // every host was asked
	size    int64 // of the lines that are whole: a program that is killed leaves the last one torn
}

// ReadSweep reads a state file. A last line without an end is no mistake: its host was not asked to the end.
func ReadSweep(name string, r io.Reader) (*Saved, error) {
	s := &Saved{Hosts: map[netip.Addr]HostResult{}}
	in := bufio.NewReaderSize(r, 64<<10)
	for n := 1; n <= maxStateLines; n++ {
		data, err := boundedLine(in)
		if errors.Is(err, io.EOF) {
			if n == 1 {
				return nil, fmt.Errorf("%s: it is empty", name)
			}
			return s, nil
		}
		if err == nil {
			err = s.take(n, data)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		s.size += int64(len(data))
	}
	return nil, fmt.Errorf("%s has more than %d lines", name, maxStateLines)
}

// boundedLine reads a line with its end; io.EOF for one that has none.
func boundedLine(in *bufio.Reader) ([]byte, error) {
	var out []byte
	for {
		part, err := in.ReadSlice('\n')
		out = append(out, part...)
		switch {
		case err == nil:
			return out, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(out) > maxStateLine:
			return nil, errLongLine
		}
	}
}

func (s *Saved) take(n int, data []byte) error {
	var l stateLine
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&l); err != nil {
		return fmt.Errorf("it is no line of a sweep: %v", err)
	}
	switch {
	case n == 1 && l.Schema != SweepSchema:
		return fmt.Errorf("it is of schema %q, not %q", l.Schema, SweepSchema)
	case n == 1 && l.Request == nil:
		return errors.New("it does not say what was asked for")
	case n == 1:
		s.Request = *l.Request
	case l.Host != nil && !l.Host.Addr.IsValid():
		return errors.New("the host has no address")
	case l.Host != nil:
		s.Hosts[l.Host.Addr] = *l.Host
	case l.Ended != nil:
		s.Ended = true
	default:
		return errors.New("it is neither a host nor the end")
	}
	return nil
}

// SweepFile is the state of a sweep under way. One process holds it at a time.
type SweepFile struct {
	f, lock *os.File
	Name    string
	Before  *Saved // what was there; nil for a sweep begun anew over nothing
}

// OpenSweep opens the state of a sweep in dir: taken up where resume, else begun anew; what an earlier sweep of the same targets left then stays beside it
// as NAME.old. The directory is made where it is not there, 0700; files are 0600.
func OpenSweep(dir string, r Request, resume bool) (_ *SweepFile, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot keep the sweep's state: %w", err)
	}
	s := &SweepFile{Name: filepath.Join(dir, r.file())}
	if s.lock, err = locked(s.Name + ".lock"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	s.Before, err = readSweepFile(s.Name)
	switch {
	case resume && errors.Is(err, fs.ErrNotExist):
		return s, fmt.Errorf("no sweep of %s was begun%s", r, unfinished(dir))
	case resume && err != nil:
		return s, fmt.Errorf("cannot take up the sweep: %w", err)
	case resume:
		if err = s.Before.Request.differs(&r); err != nil {
			return s, fmt.Errorf("cannot take up the sweep: %w", err)
		}
		return s, s.append()
	}
	return s, s.begin(r)
}

func locked(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot keep the sweep's state: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.New("another mtaharden is sweeping these targets now")
		}
		return nil, fmt.Errorf("cannot lock %s: %w", name, err)
	}
	return f, nil
}

func readSweepFile(name string) (*Saved, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadSweep(name, f)
}

// append goes on behind the last whole line.
func (s *SweepFile) append() (err error) {
	if s.f, err = os.OpenFile(s.Name, os.O_WRONLY, 0o600); err == nil {
		err = s.f.Truncate(s.Before.size)
	}
	if err == nil {
		_, err = s.f.Seek(0, io.SeekEnd)
	}
	if err != nil {
		return fmt.Errorf("cannot take up the sweep: %w", err)
	}
	return nil
}

// begin writes a state file that holds the head alone, and gives it its name.
func (s *SweepFile) begin(r Request) (err error) {
	fail := func(err error) error { return fmt.Errorf("cannot keep the sweep's state: %w", err) }
	if s.f, err = os.CreateTemp(filepath.Dir(s.Name), ".sweep-*"); err != nil { // CreateTemp makes it 0600
		return fail(err)
	}
	if err := s.put(stateLine{Schema: SweepSchema, Request: &r}); err != nil {
		os.Remove(s.f.Name())
		return fail(err)
	}
	if err := os.Rename(s.Name, s.Name+".old"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		os.Remove(s.f.Name())
		return fail(err)
	}
	if err := os.Rename(s.f.Name(), s.Name); err != nil {
		return fail(err)
	}
	return nil
}

// Put keeps a host's result: once it returns, neither a kill nor a power cut loses it. What a server that talks without end has said is left out.
func (s *SweepFile) Put(h HostResult) error {
	err := s.put(stateLine{Host: &h})
	if errors.Is(err, errLongLine) {
		h = h.brief()
		err = s.put(stateLine{Host: &h})
	}
	if err != nil && !errors.Is(err, errLongLine) { // a host that is not kept is asked again
		return fmt.Errorf("cannot keep the sweep's state: %w", err)
	}
	return nil
}

// brief is the result without the dialogues.
func (h HostResult) brief() HostResult {
	h.Listeners = slices.Clone(h.Listeners)
	for i, l := range h.Listeners {
		if l.Report == nil {
			continue
		}
		r := *l.Report
		r.Cases, r.Services = slices.Clone(r.Cases), slices.Clone(r.Services)
		for j := range r.Cases {
			r.Cases[j].Dialogue = nil
		}
		for j := range r.Services {
			r.Services[j].Dialogue = nil
		}
		r.Notes = append(slices.Clone(r.Notes), "the dialogues were too long to be kept")
		h.Listeners[i].Report = &r
	}
	return h
}

// errLongLine is a line that could not be read back.
var errLongLine = fmt.Errorf("the line is longer than %d bytes", maxStateLine)

// End says that every host was asked.
func (s *SweepFile) End(now time.Time) error { return s.put(stateLine{Ended: &now}) }

func (s *SweepFile) put(l stateLine) error {
	data, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if data = append(data, '\n'); len(data) > maxStateLine {
		return errLongLine
	}
	if _, err := s.f.Write(data); err != nil {
		return err
	}
	return s.f.Sync()
}

// Close lets another process have it.
func (s *SweepFile) Close() error {
	var err error
	if s.f != nil {
		err = s.f.Close()
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

// String is a sweep as a person would name it.
func (r Request) String() string {
	out := strings.Join(r.Targets, " ")
	if r.From != "" {
		out += " from " + r.From
	}
	return out
}

// unfinished lists the sweeps in dir that were begun and not ended.
func unfinished(dir string) string {
	files, _ := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	var out []string
	for _, name := range files[:min(len(files), 50)] {
		if s, err := readSweepFile(name); err == nil && !s.Ended && len(out) < 5 {
			out = append(out, fmt.Sprintf("%s (%s, %d of %d asked)", s.Request, stamp(s.Request.Begun), len(s.Hosts), s.Request.Hosts))
		}
	}
	if out == nil {
		return ""
	}
	return "; there is " + strings.Join(out, "; ")
}
