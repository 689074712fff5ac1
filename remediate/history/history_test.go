package history

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mtaharden/remediate/apply"
	"mtaharden/remediate/backup"
	"mtaharden/remediate/journal"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func open(t *testing.T) (*History, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	st, err := backup.OpenStateDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return Open(st), dir
}

func run(id string, names ...string) Run {
	return Run{ID: id, Command: "apply", User: "kim", Controller: "jump1", Program: "0.1.0", Started: noon, Names: names, Ticket: "OPS-1", Plan: "0123456789ab"}
}

func TestHistory(t *testing.T) {
	h, dir := open(t)
	r := run("r1", "mx2", "mx1", "../mx3", "mx4", "mx5")
	if err := h.Begin(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := h.Begin(t.Context(), r); err == nil {
		t.Error("a run of the same name was begun")
	}
	outcomes := []apply.Outcome{
		{Host: "mx1", Run: "r1", Ending: apply.RolledBack, Reason: "port 25 was lost \x1b[31m"}, {Host: "mx2", Run: "r1", Ending: apply.Changed},
		{Host: "../mx3", Ending: apply.Unchanged, Nothing: true}, {Host: "mx4", Ending: apply.NotBegun},
	}
	for _, o := range outcomes {
		if err := h.Done("r1", HostOf(o)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := h.Load("r1")
	if err != nil || !got.Finished.IsZero() {
		t.Fatalf("%+v, %v", got, err)
	}
	var sentences []string
	for _, o := range got.Hosts {
		sentences = append(sentences, o.Name+": "+o.Sentence)
	}
	if diff := cmp.Diff([]string{"mx2: changed and confirmed", "mx1: rolled back: port 25 was lost  [31m", "../mx3: nothing was changed: there was nothing to do", "mx4: not begun"}, sentences); diff != "" {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
	for set, want := range map[string][]string{Failed: {"mx1"}, Unfinished: {"mx4", "mx5"}} {
		if names, err := got.Rerun(set); err != nil || !cmp.Equal(names, want) {
			t.Errorf("%s: %v, %v", set, names, err)
		}
	}
	if _, err := got.Rerun("all"); err == nil {
		t.Error("there is no such set")
	}
	if err := h.Finish("r1", noon.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	runs, bad := h.List()
	if len(runs) != 1 || len(bad) > 0 || !runs[0].Finished.Equal(noon.Add(time.Minute)) || len(runs[0].Hosts) != 4 {
		t.Errorf("%+v, %v", runs, bad)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(dir), "mx3.host")); err == nil {
		t.Error("a host's name left the directory")
	}
	if err := os.WriteFile(filepath.Join(dir, "runs/r1/run.json"), []byte(`{"id":"r2"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if runs, bad := h.List(); len(runs) != 0 || len(bad) != 1 {
		t.Errorf("a damaged run: %v, %v", runs, bad)
	}
}

// record is a run as its host has it, of a journal's lines.
func record(run, entries string, set func(*journal.Record)) journal.Record {
	r := journal.Record{Run: run, Folder: true, Now: noon, About: journal.About{Run: run, Command: "apply", Started: noon, User: "kim", Controller: "jump1"}}
	for _, e := range strings.Split(entries, ", ") {
		if w := strings.Fields(e); len(w) >= 2 {
			r.Entries = append(r.Entries, journal.Entry{Seq: 1, Time: noon, Step: w[0], State: w[1], Text: strings.Join(w[2:], " ")})
		}
	}
	if set != nil {
		set(&r)
	}
	return r
}

// TestTold holds the sentence of every way in which a run can stand on its host.
func TestTold(t *testing.T) {
	const left = "save doing, save done, backup doing, backup done, stage doing"
	const right = "save done, backup done, stage done, guard done, swap doing, swap done, reload done"
	token := func(who string) func(*journal.Record) { return func(r *journal.Record) { r.Token = who } }
	lock := func(alive bool) func(*journal.Record) {
		return func(r *journal.Record) {
			r.Lock = &journal.Lock{Run: r.Run, Holder: "kim@jump1", Alive: alive}
		}
	}
	guard := func(r *journal.Record) {
		lock(false)(r)
		r.Guard = journal.Guard{Set: true, Alive: true, Deadline: noon.Add(90 * time.Second)}
		r.Owed = []string{"systemctl reload x"}
	}
	clock := noon.Add(90 * time.Second).Local().Format(time.TimeOnly)
	for name, c := range map[string]struct {
		r      journal.Record
		ending apply.Ending
		over   bool
		says   string
	}{
		"confirmed":        {record("r1", right+", confirm doing, confirm done", token("confirm")), apply.Changed, true, "changed and confirmed"},
		"rolled back":      {record("r1", right+", restore doing, restore done", token("restore")), apply.RolledBack, true, "rolled back: it was not confirmed"},
		"before the bar":   {record("r1", left+", restore doing, restore done", token("restore")), apply.Unchanged, true, "nothing was changed"},
		"restore failed":   {record("r1", right+", restore doing, restore failed", func(r *journal.Record) { token("restore")(r); lock(false)(r) }), apply.Failed, true, "rollback failed (it was not confirmed), type this on the host: sh /lib/r1/restore.sh"},
		"by hand":          {record("r1", right+", confirm done, restore doing, restore done by hand", token("confirm")), apply.RolledBack, true, "rolled back: by hand"},
		"stands again":     {record("r1", right+", confirm done, restore doing, restore done by run r2, restore undone by run r2", token("confirm")), apply.Changed, true, "changed and confirmed"},
		"of a copy":        {record("r1", "swap doing by the copy", nil), apply.NotKnown, false, "not known: the host says nothing of it after swap, and it is not under way: rollback r1 looks at every file"},
		"under way":        {record("r1", left, lock(true)), apply.NotKnown, false, "under way: stage, by kim@jump1"},
		"guard":            {record("r1", right, guard), apply.NotKnown, false, "not known: broken off at reload, the host restores itself by " + clock + "; owed: systemctl reload x"},
		"broken off left":  {record("r1", left, lock(false)), apply.Unchanged, false, "nothing was changed: broken off at stage; the host is locked until the next apply or rollback, or until one types there: sh /lib/r1/restore.sh"},
		"broken off right": {record("r1", right, lock(false)), apply.NeedsPerson, false, "a person is needed: broken off at reload, and no guard is armed: the next apply or rollback puts the host back, or type there: sh /lib/r1/restore.sh"},
		"confirm cut":      {record("r1", right+", confirm doing", func(r *journal.Record) { token("confirm")(r); lock(false)(r) }), apply.NeedsPerson, false, "confirmed, and broken off before it had cleared up: the next apply or rollback does, or type there: sh /lib/r1/confirm.sh"},
		"nothing yet":      {record("r1", "", nil), apply.Unchanged, false, "nothing was changed: broken off at -"},
	} {
		got := Read([]journal.Record{c.r}, "/lib", noon, "en")
		if len(got) != 1 || got[0].Ending != c.ending || got[0].Over != c.over || got[0].Sentence != c.says || got[0].User != "kim@jump1" {
			t.Errorf("%s: %+v, want %q", name, got, c.says)
		}
	}
}

// TestUndone holds that a run that a later rollback put back is told so.
func TestUndone(t *testing.T) {
	const all = "save done, swap doing, swap done, reload done, confirm done"
	confirmed := func(r *journal.Record) { r.Token = "confirm" }
	records := []journal.Record{record("r1", all+", restore doing, restore done by run r3", confirmed), record("r2", all, confirmed), record("r3", all, func(r *journal.Record) {
		confirmed(r)
		r.About.Command, r.About.Of = "rollback", "r1"
	}), {Run: "r4"}}
	var got []string
	for _, o := range Read(records, "/lib", noon, "en") {
		got = append(got, o.Run+" "+o.Sentence)
	}
	if diff := cmp.Diff([]string{"r1 rolled back by run r3", "r2 changed and confirmed", "r3 rolled back run r1"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
