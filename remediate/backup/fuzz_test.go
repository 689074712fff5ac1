package backup

import (
	"strconv"
	"testing"

	"mtaharden/remediate/journal"
	"mtaharden/remediate/plan"
)

// FuzzAnswers has a host answer what it likes: what Save and Inspect make of it is what was asked for, or an error.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(sound), "copy.1", "x", []byte(""), "/etc/b")
	f.Add([]byte(sound), "refused", "1 \x1b[31m", []byte("x"), "/etc/b")
	f.Add([]byte(`{"run":"r1","items":[{"kind":"edit","path":"/etc/b","before":{"absent":true,"uid":0,"gid":0},"after":{"uid":0,"gid":0},"kept":false}],"reload":null}`), "sum", "copy/1 x", []byte{}, "/etc/b")
	f.Fuzz(func(t *testing.T, manifest []byte, key, text string, data []byte, path string) {
		whole := func(key string, data []byte) journal.Part {
			return journal.Part{Key: key, File: true, Data: data, Size: int64(len(data))}
		}
		wants := []Want{{Kind: plan.EditFile, Path: path}}
		for _, part := range []journal.Part{whole(key, data), {Key: key, Text: text}} {
			m, contents, err := saved([]journal.Part{whole("manifest", manifest), part}, "r1", wants)
			if err == nil {
				if len(m.Items) != 1 || m.Items[0].Kind != plan.EditFile || m.Items[0].Path != path && m.Items[0].Named != path || m.Run != "r1" {
					t.Fatalf("%+v", m)
				}
				if !m.Items[0].Before.Absent && !m.Items[0].Before.Holds(contents[0]) {
					t.Fatalf("%+v, %v", m.Items[0], contents)
				}
			}
			runs, err := inspected([]journal.Part{{Key: "run", Text: "r1"}, whole("manifest", manifest), part, {Key: "run", Text: text}})
			if err == nil && (len(runs) != 2 || journal.CheckRun(runs[1].Run) != nil) {
				t.Fatalf("%+v", runs)
			}
		}
	})
}

// FuzzCopy reads what may stand in the file of a backup.
func FuzzCopy(f *testing.F) {
	f.Add([]byte(`{"schema":"mtaharden-backup/1","host":"mx1","made":"2026-11-22T12:00:00Z","manifest":` + sound + `,"contents":{"0":"` + sum + `"}}`))
	f.Add([]byte(`{"schema":"mtaharden-backup/1","host":"mx1","contents":{"9":""}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		st, err := OpenStateDir(t.TempDir() + "/state")
		if err != nil {
			t.Fatal(err)
		}
		s := &Store{StateDir: st}
		if err := s.Write(copyName("r1", "mx1"), data); err != nil {
			t.Fatal(err)
		}
		c, err := s.Load("r1", "mx1")
		if err != nil {
			return
		}
		for i, hash := range c.Contents {
			if i >= len(c.Manifest.Items) || !isHash(hash) {
				t.Fatal("content " + strconv.Itoa(i))
			}
		}
		_ = c.Bytes()
	})
}
