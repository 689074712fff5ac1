package apply

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mtaharden/remediate/backup"
)

// damages are what becomes of a file of a run's folder; nil is no file any more.
var damages = map[string]func(text []byte) []byte{
	"a flipped bit": func(text []byte) []byte { text[len(text)/2] ^= 1; return text },
	"cut":           func(text []byte) []byte { return text[:len(text)/2] },
	"empty":         func([]byte) []byte { return []byte{} },
	"gone":          func([]byte) []byte { return nil },
	"another": func(text []byte) []byte { // it would do the work, and more
		return bytes.Replace(text, []byte("\nmh_file() {\n"), []byte("\nmh_file() {\n: >\"${0%/*}/canary\"\n"), 1)
	},
	"another mode": func(text []byte) []byte { return bytes.ReplaceAll(text, []byte("0644"), []byte("0666")) },
}

// TestGroundScripts: a restore.sh that is not what the run wrote is never run. It is made anew of the manifest where that is whole; where it is
// not, the controller's copy puts the host back, and nothing is touched where there is none. What is damaged is found by an inspection too.
func TestGroundScripts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		damaged map[string]string // file: how
		copied  bool
		want    Ending
	}{
		{"flipped", map[string]string{"restore.sh": "a flipped bit"}, false, RolledBack},
		{"cut", map[string]string{"restore.sh": "cut"}, false, RolledBack},
		{"empty", map[string]string{"restore.sh": "empty"}, false, RolledBack},
		{"gone", map[string]string{"restore.sh": "gone"}, false, RolledBack},
		{"another", map[string]string{"restore.sh": "another"}, false, RolledBack},
		{"another, and a copy", map[string]string{"restore.sh": "another"}, true, RolledBack},
		{"sums", map[string]string{"sums": "a flipped bit"}, false, RolledBack},
		{"sums cut", map[string]string{"sums": "empty"}, false, RolledBack},
		{"manifest", map[string]string{"manifest": "another mode"}, false, Unchanged},
		{"manifest, and a copy", map[string]string{"manifest": "another mode"}, true, RolledBack},
		{"manifest and script", map[string]string{"manifest": "another mode", "restore.sh": "another mode"}, false, Unchanged},
		{"manifest and script, and a copy", map[string]string{"manifest": "another mode", "restore.sh": "another"}, true, RolledBack},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g, kept := changed(t)
			g.damage(c.damaged)
			u := g.undo("r2", "r1")
			if c.copied {
				u.Copy = kept
			}
			o := Rollback(t.Context(), u)
			want := map[Ending]string{RolledBack: "before", Unchanged: "after"}[c.want]
			if o.Ending != c.want || (o.Err == nil) != (c.want == RolledBack) || g.state() != want || len(g.left()) > 0 {
				t.Errorf("it ended %q (%s): %q, left %v", o.Ending, o.Reason, g.state(), g.left())
			}
			if _, err := os.Stat(filepath.Join(g.dir, "lib", "r1", "canary")); err == nil {
				t.Error("the damaged script was run")
			}
			if c.want == RolledBack && !slices.ContainsFunc(o.Warnings, func(w string) bool { return strings.Contains(w, "damaged") }) {
				t.Errorf("nothing is said of the damage: %q", o.Warnings)
			}
			if found := g.inspect(); (found == "") != (c.want == RolledBack) {
				t.Errorf("after it ended %q an inspection finds %q", o.Ending, found)
			}
		})
	}
}

// damage damages files of run r1's folder, which an inspection must have found whole, and finds damaged.
func (g *ground) damage(files map[string]string) {
	g.t.Helper()
	if found := g.inspect(); found != "" {
		g.t.Fatalf("before: %s", found)
	}
	for file, how := range files {
		name := filepath.Join(g.dir, "lib", "r1", file)
		text, err := os.ReadFile(name)
		must(g.t, err)
		now := damages[how](bytes.Clone(text))
		if bytes.Equal(now, text) {
			g.t.Fatalf("%s is as it was", file)
		}
		must(g.t, os.Remove(name))
		if now != nil {
			must(g.t, os.WriteFile(name, now, 0o600))
		}
	}
	if found := g.inspect(); found == "" {
		g.t.Errorf("an inspection does not find the damage of %v", files)
	}
}

// inspect is the damage that an inspection of the ground's runs finds.
func (g *ground) inspect() string {
	g.t.Helper()
	h, err := g.connect(g.t.Context())
	must(g.t, err)
	defer h.Close()
	runs, err := backup.Inspect(g.t.Context(), h, g.layout())
	must(g.t, err)
	var out []string
	for _, r := range runs {
		for _, d := range r.Damage {
			out = append(out, r.Run+": "+d.Error())
		}
	}
	return strings.Join(out, "; ")
}
