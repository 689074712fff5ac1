package probe

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func sweepOf(targets ...string) Request {
	return Request{Targets: targets, Hosts: 254, Asked: []Setting{{"--port", "25"}, {"--all-forms", ""}}, Begun: time.Date(2026, 11, 22, 1, 2, 3, 0, time.UTC)}
}

func resultOf(addr string) HostResult {
	return HostResult{Target: "192.0.2.0/24", Addr: netip.MustParseAddr(addr), Listeners: []ListenerResult{{
		Addr: netip.MustParseAddrPort(addr + ":25"), State: Open,
		Report: &Report{Banner: "220 mx\x1b[31m\xff ESMTP", Cases: []Case{{Form: "plain", Verdict: Relays, Dialogue: []Exchange{{Sent: "EHLO x", Reply: Reply{Code: 250, Lines: []string{"hi"}}}}}}},
	}}}
}

// TestSweepFile: what was put is there again after the process is gone, however it went; only the same request is taken up.
func TestSweepFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sweeps")
	if _, err := OpenSweep(dir, sweepOf("192.0.2.0/24"), true); err == nil || !strings.Contains(err.Error(), "no sweep of 192.0.2.0/24 was begun") {
		t.Fatalf("%v", err)
	}
	s, err := OpenSweep(dir, sweepOf("192.0.2.0/24"), false)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{"192.0.2.1", "192.0.2.2"} {
		if err := s.Put(resultOf(a)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenSweep(dir, sweepOf("192.0.2.0/24"), true); err == nil || !strings.Contains(err.Error(), "another mtaharden is sweeping") {
		t.Errorf("two hold one state: %v", err)
	}
	if info, err := os.Stat(s.Name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	s.f.WriteString(`{"host":{"target":"192.0.2.0/24","address":"192.0.2.3","lis`) // killed in the middle of a line
	s.Close()

	s, err = OpenSweep(dir, sweepOf("192.0.2.0/24"), true)
	if err != nil {
		t.Fatal(err)
	}
	want := map[netip.Addr]HostResult{}
	for _, a := range []string{"192.0.2.1", "192.0.2.2"} {
		var h HostResult
		data, _ := json.Marshal(resultOf(a))
		json.Unmarshal(data, &h)
		want[h.Addr] = h
	}
	opts := cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}), cmpopts.IgnoreUnexported(Case{})}
	if d := cmp.Diff(want, s.Before.Hosts, opts); d != "" || s.Before.Ended {
		t.Errorf("ended %t (-want +got):\n%s", s.Before.Ended, d)
	}
	if err := errors.Join(s.Put(resultOf("192.0.2.3")), s.End(time.Now()), s.Close()); err != nil {
		t.Fatal(err)
	}
	if got, err := readSweepFile(s.Name); err != nil || len(got.Hosts) != 3 || !got.Ended {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestSweepFileHuge: a server that talks without end costs its own evidence, not the sweep's state.
func TestSweepFileHuge(t *testing.T) {
	talk := Exchange{Sent: "EHLO x", Reply: Reply{Code: 250, Lines: []string{strings.Repeat("\xff", maxReplyBytes)}}}
	dir := t.TempDir()
	s, err := OpenSweep(dir, sweepOf("192.0.2.0/24"), false)
	if err != nil {
		t.Fatal(err)
	}
	h := resultOf("192.0.2.1")
	r := h.Listeners[0].Report
	r.Cases[0].Dialogue = slices.Repeat([]Exchange{talk}, 20)
	r.Services = []Service{{Verb: "HELP", Outcome: "refused", Dialogue: slices.Repeat([]Exchange{talk}, 20)}}
	if err := errors.Join(s.Put(h), s.Put(resultOf("192.0.2.2")), s.Close()); err != nil {
		t.Fatal(err)
	}
	if len(r.Cases[0].Dialogue) != 20 || len(r.Services[0].Dialogue) != 20 || len(r.Notes) != 0 {
		t.Error("the report was changed")
	}
	if s, err = OpenSweep(dir, sweepOf("192.0.2.0/24"), true); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := s.Before.Hosts[h.Addr]; len(s.Before.Hosts) != 2 || got.Verdict() != h.Verdict() || len(got.Listeners[0].Report.Notes) != 1 {
		t.Errorf("%d hosts, %+v", len(s.Before.Hosts), got)
	}
}

func TestSweepFileRefuses(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenSweep(dir, sweepOf("192.0.2.0/24"), false)
	if err != nil {
		t.Fatal(err)
	}
	s.Put(resultOf("192.0.2.1"))
	s.Close()
	forms, more, other, from := sweepOf("192.0.2.0/24"), sweepOf("192.0.2.0/24"), sweepOf("192.0.2.0/25"), sweepOf("192.0.2.0/24")
	forms.Asked[1].Value = "true"
	more.Hosts = 300
	from.From = "outside"
	for _, c := range []struct {
		r    Request
		says string
	}{
		{forms, `cannot take up the sweep: --all-forms is "true" now, and was not given when the sweep was begun at 2026-11-22 01:02:03 UTC`},
		{more, "there are 300 addresses to ask now, and were 254"},
		{other, "no sweep of 192.0.2.0/25 was begun; there is 192.0.2.0/24 (2026-11-22 01:02:03 UTC, 1 of 254 asked)"},
		{from, "no sweep of 192.0.2.0/24 from outside was begun; there is 192.0.2.0/24 (2026"},
	} {
		if _, err := OpenSweep(dir, c.r, true); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want %q", err, c.says)
		}
	}
	// A sweep begun anew leaves the earlier one beside it, and its state is whole after a damage was refused.
	os.WriteFile(s.Name, []byte("{\"schema\":\"mtaharden-sweep/1\",\"request\":{}}\nnonsense\n"), 0o600)
	if _, err := OpenSweep(dir, sweepOf("192.0.2.0/24"), true); err == nil || !strings.Contains(err.Error(), ".jsonl:2: it is no line of a sweep") {
		t.Errorf("%v", err)
	}
	again, err := OpenSweep(dir, sweepOf("192.0.2.0/24"), false)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if got, err := readSweepFile(s.Name); err != nil || len(got.Hosts) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	if old, err := os.ReadFile(s.Name + ".old"); err != nil || !bytes.Contains(old, []byte("nonsense")) {
		t.Errorf("%q, %v", old, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".sweep-*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := OpenSweep(filepath.Join(s.Name, "below"), sweepOf("x"), false); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// FuzzReadSweep: whatever a state file holds, reading it ends, and what it gives can be read again alike.
func FuzzReadSweep(f *testing.F) {
	head := `{"schema":"mtaharden-sweep/1","request":{"targets":["192.0.2.0/24"],"from":"","hosts":254,"asked":[{"name":"--port","value":"25"}],"begun":"2026-11-22T01:02:03Z"}}` + "\n"
	line, _ := json.Marshal(stateLine{Host: ptr(resultOf("192.0.2.1"))})
	for _, seed := range []string{"", head, head + string(line) + "\n", head + string(line), head + `{"ended":"2026-11-22T01:02:03Z"}` + "\n", head + "{}\n", head + `{"host":{}}` + "\n", "{}\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ReadSweep("state", bytes.NewReader(data))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "state") {
				t.Fatalf("%v", err)
			}
			return
		}
		if s.size > int64(len(data)) || s.size > 0 && data[s.size-1] != '\n' {
			t.Fatalf("%d of %d bytes", s.size, len(data))
		}
		again, err := ReadSweep("state", bytes.NewReader(data[:s.size]))
		if err != nil || len(again.Hosts) != len(s.Hosts) || again.Ended != s.Ended {
			t.Fatalf("%v: %+v, %+v", err, again, s)
		}
		for _, h := range s.Hosts {
			h.Verdict()
			if _, err := json.Marshal(h); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func ptr[T any](v T) *T { return &v }
