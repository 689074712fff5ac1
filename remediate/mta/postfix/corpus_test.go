package postfix

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// corpusHost is a published configuration as a snapshot; ok is false for a folder without a main.cf.
func corpusHost(t *testing.T, dir string) (*facts.Snapshot, bool) {
	t.Helper()
	s := &facts.Snapshot{Addrs: labAddrs, Hostname: "host.example.edu"}
	main := ""
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, name)
		path := "/etc/postfix/" + rel
		switch {
		case strings.HasPrefix(rel, "main.cf") && (main == "" || rel == "main.cf"):
			main, path = rel, "/etc/postfix/main.cf"
		case strings.HasPrefix(rel, "master.cf"):
			path = "/etc/postfix/master.cf"
		}
		s = s.With(&facts.File{Path: path, Data: data})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, main != ""
}

func corpusHosts(t *testing.T, class string) []string {
	t.Helper()
	dirs, _ := filepath.Glob(filepath.Join(corpusDir(), class, "*"))
	t.Logf("%d published hosts of class %s", len(dirs), class)
	return dirs
}

// TestCorpus reads, judges and edits (nothing, then one value) every published configuration.
func TestCorpus(t *testing.T) {
	for _, dir := range corpusHosts(t, "postfix") {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			s, ok := corpusHost(t, dir)
			if !ok {
				return
			}
			cfg, err := read(s, mta.Install{MTA: "postfix", Version: "3.5.25", Config: "/etc/postfix", Active: true})
			if err != nil {
				t.Fatal(err)
			}
			corpusLines(t, cfg)
			if files, err := edit(cfg, nil); err != nil || len(files) != 0 {
				t.Errorf("an edit of nothing changed %d files: %v", len(files), err)
			}
			outcomes := map[judge.Outcome]int{}
			for _, a := range answers(s, cfg) {
				outcomes[a.Outcome]++
				if a.Text == "" {
					t.Errorf("an answer without text: %+v", a)
				}
				for _, f := range remedy(cfg, a) {
					if _, err := edit(cfg, []mta.Fix{f}); err != nil {
						t.Errorf("remedy %+v: %v", f, err)
					}
				}
			}
			files, err := edit(cfg, []mta.Fix{{Name: "disable_vrfy_command", Op: mta.Set, Value: "yes"}})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				sameElsewhere(t, f, "disable_vrfy_command")
			}
			t.Log(outcomes)
		})
	}
}

// corpusLines checks that no line of a file is lost: each is blank, a comment, or part of an entry or a service.
func corpusLines(t *testing.T, cfg *mta.Config) {
	t.Helper()
	for _, f := range cfg.Files {
		lines, stray := logicalLines(f.Data)
		covered := map[int]bool{}
		for _, l := range lines {
			for _, at := range l.pos {
				covered[lineAt(f.Data, at)] = true
			}
		}
		number := 0
		for text := range strings.Lines(string(f.Data)) {
			number++
			if i := firstText([]byte(text)); i >= 0 && text[i] != '#' && !covered[number] && !slices.Contains(stray, number) {
				t.Errorf("%s:%d is lost: %q", f.Path, number, text)
			}
		}
	}
}

// TestCorpusMalformed: templates, fragments and pasted output give an error or cannot-tell, never a verdict on relaying.
func TestCorpusMalformed(t *testing.T) {
	for _, dir := range corpusHosts(t, "malformed") {
		s, ok := corpusHost(t, dir)
		if !ok {
			continue
		}
		t.Run(filepath.Base(dir), func(t *testing.T) {
			cfg, err := read(s, mta.Install{MTA: "postfix", Version: "3.5.25", Config: "/etc/postfix", Active: true})
			if err != nil {
				t.Log(err)
				return
			}
			for _, a := range answers(s, cfg) {
				if a.Outcome != judge.CannotTell && a.Outcome != judge.Dead {
					t.Errorf("a verdict on a malformed file: %+v", a)
				}
			}
		})
	}
}
