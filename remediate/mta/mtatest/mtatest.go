// Package mtatest is the suite that every driver passes on every snapshot: what a driver promises, whatever its MTA.
package mtatest

import (
	"bytes"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// Run holds d to its promises on the snapshot s and returns how many installations it found there.
func Run(t *testing.T, d *mta.Driver, s *facts.Snapshot) int {
	t.Helper()
	installs := d.Detect(s)
	if again := d.Detect(s); !reflect.DeepEqual(installs, again) {
		t.Errorf("Detect said %v, then %v", installs, again)
	}
	for i, in := range installs {
		if in.MTA != d.Name {
			t.Errorf("Detect of %s found %q", d.Name, in.MTA)
		}
		if in.Active && i > 0 && !installs[i-1].Active {
			t.Errorf("the running %s stands behind one that does not run", in.Program)
		}
		config, err := d.Read(s, in)
		if err != nil {
			t.Errorf("cannot read %s: %v", in.Config, err)
			continue
		}
		origins(t, config)
		answers(t, d.Answers(s, config))
		editNothing(t, d, config)
		editTrust(t, d, s, config)
		remedies(t, d, s, config)
		stages(t, d, s, config)
	}
	return len(installs)
}

// origins: a value that stands in a file names a line that the file has.
func origins(t *testing.T, c *mta.Config) {
	t.Helper()
	lines := map[string]int{}
	for _, f := range c.Files {
		lines[f.Path] = bytes.Count(f.Data, []byte("\n")) + 1
		if !path.IsAbs(f.Path) {
			t.Errorf("the source %q has no absolute path", f.Path)
		}
	}
	check := func(what string, o mta.Origin) {
		if n, ok := lines[o.File]; ok && o.Line > n {
			t.Errorf("%s is at %s:%d, which has %d lines", what, o.File, o.Line, n)
		}
	}
	for _, v := range c.Settings {
		check(v.Name, v.Origin)
	}
	ids := map[string]bool{}
	for _, e := range c.Trusted {
		check(e.Name, e.Origin)
		if ids[e.ID] {
			t.Errorf("two trusted entries have the ID %q", e.ID)
		}
		ids[e.ID] = true
	}
	for _, n := range c.Notes {
		check(n.Code, n.Origin)
	}
}

var outcomes = []judge.Outcome{judge.Relayed, judge.Delivered, judge.Refused, judge.Deferred, judge.Dead, judge.Disclosed, judge.CannotTell}

// answers: each says who answered, what, and in which words; a doubt gives its reason.
func answers(t *testing.T, all []judge.Answer) {
	t.Helper()
	if len(all) == 0 {
		t.Error("nothing was answered")
	}
	for _, a := range all {
		switch {
		case !slices.Contains(outcomes, a.Outcome):
			t.Errorf("%+v: %q is no outcome", a.Question, a.Outcome)
		case a.Judge != judge.Config && a.Judge != judge.MTA:
			t.Errorf("%+v: a driver cannot speak for %q", a.Question, a.Judge)
		case a.Outcome == judge.CannotTell && a.Text == "":
			t.Errorf("%+v: cannot tell, and no reason", a.Question)
		case a.Question.Class == "" || a.Question.Verb == "":
			t.Errorf("a question without class or verb: %+v", a.Question)
		}
	}
}

// editNothing: no fix, no other byte.
func editNothing(t *testing.T, d *mta.Driver, c *mta.Config) {
	t.Helper()
	files, err := d.Edit(c, nil)
	if err != nil {
		t.Errorf("cannot edit nothing: %v", err)
	}
	for _, f := range files {
		if f.Created || f.Origin == nil || !bytes.Equal(f.Data, f.Origin.Data) {
			t.Errorf("editing nothing changed %s", f.Path)
		}
	}
}

// editTrust: the fix of a trusted entry takes that entry away and none that stands elsewhere; made again it has nothing to do.
func editTrust(t *testing.T, d *mta.Driver, s *facts.Snapshot, c *mta.Config) {
	t.Helper()
	for _, e := range c.Trusted {
		if len(e.Fix) == 0 {
			continue
		}
		after, ok := reread(t, d, s, c, e.Fix)
		if !ok {
			continue
		}
		for _, left := range after.Trusted {
			if left.Name == e.Name && left.Kind == e.Kind && left.Value == e.Value && left.File == e.File && left.Line == e.Line && left.Listener == e.Listener {
				t.Errorf("%s %q at %s:%d is still there after its fix %+v", e.Name, e.Value, e.File, e.Line, e.Fix)
			}
		}
	}
}

// remedies: what a driver proposes against an answer, it can edit; a line break in a value it never takes.
func remedies(t *testing.T, d *mta.Driver, s *facts.Snapshot, c *mta.Config) {
	t.Helper()
	seen := map[string]bool{}
	for _, a := range d.Answers(s, c) {
		if a.Outcome != judge.Relayed && a.Outcome != judge.Disclosed || d.Remedy == nil {
			continue
		}
		fixes := d.Remedy(c, a)
		key := ""
		for _, f := range fixes {
			key += f.Name + "\x00" + string(f.Op) + "\x00" + f.Value + "\x00"
		}
		if len(fixes) == 0 || seen[key] {
			continue
		}
		seen[key] = true
		if files, err := d.Edit(c, fixes); err != nil {
			t.Errorf("the remedy %v cannot be made: %v", fixes, err)
		} else if len(files) == 0 {
			t.Errorf("the remedy %v changes nothing", fixes)
		}
		bad := slices.Clone(fixes)
		bad[0].Op, bad[0].Value = mta.Set, "a\nb"
		if files, err := d.Edit(c, bad); err == nil && len(files) > 0 {
			t.Errorf("a value with a line break was taken for %s", bad[0].Name)
		}
	}
}

// reread makes fixes and reads what the configuration has become; ok is false where only generated files would show it.
func reread(t *testing.T, d *mta.Driver, s *facts.Snapshot, c *mta.Config, fixes []mta.Fix) (*mta.Config, bool) {
	t.Helper()
	files, err := d.Edit(c, fixes)
	if err != nil {
		t.Errorf("the fix %v cannot be made: %v", fixes, err)
		return nil, false
	}
	if len(files) == 0 {
		t.Errorf("the fix %v changes nothing", fixes)
		return nil, false
	}
	after, err := d.Read(s.With(edited(files)...), c.Install)
	if err != nil {
		t.Errorf("after the fix %v: %v", fixes, err)
		return nil, false
	}
	return after, true
}

// edited are the files as a collector would find them afterwards.
func edited(files []mta.File) []*facts.File {
	var out []*facts.File
	for _, f := range files {
		g := facts.File{Path: f.Path, Mode: 0o644}
		if f.Origin != nil {
			g = *f.Origin
		}
		g.Data, g.Size, g.SHA256 = f.Data, int64(len(f.Data)), ""
		out = append(out, &g)
	}
	return out
}

// readable: a plan shows each command in one line that a person reads.
func readable(t *testing.T, d *mta.Driver, s *facts.Snapshot, c *mta.Config, paths []string) {
	t.Helper()
	for _, cmd := range slices.Concat(d.Regenerate(c.Install, paths), d.Validate(c.Install), d.Reload(s, c.Install)) {
		if line := cmd.Line(); line == "" || len(line) > 300 || strings.ContainsAny(line, "\n$|") {
			t.Errorf("a plan would show the command %q", line)
		}
	}
}

// stages: what a stage takes is named by clean absolute paths; what is generated has its sources among the changed files, and commands that
// make it; what runs is started, and what does not is not.
func stages(t *testing.T, d *mta.Driver, s *facts.Snapshot, c *mta.Config) {
	t.Helper()
	var paths []string
	for _, f := range c.Files {
		paths = append(paths, f.Path)
	}
	st := d.Stage(s, c, paths)
	names := slices.Clone(st.Copies)
	for _, f := range st.Fresh {
		names = append(append(names, f.Path), f.Sockets...)
		if slices.Contains(st.Copies, f.Path) {
			t.Errorf("%s is to be a copy and to be empty", f.Path)
		}
	}
	for _, g := range st.Generated {
		names = append(names, g.Path)
		if len(g.Sources) == 0 || slices.ContainsFunc(g.Sources, func(p string) bool { return !slices.Contains(paths, p) }) {
			t.Errorf("%s is made of %q", g.Path, g.Sources)
		}
	}
	for _, name := range names {
		if !path.IsAbs(name) || path.Clean(name) != name || name == "/" {
			t.Errorf("a stage of %s takes %q", c.Install.Config, name)
		}
	}
	readable(t, d, s, c, paths)
	if len(st.Generated) > 0 && len(d.Regenerate(c.Install, paths)) == 0 {
		t.Errorf("%v are generated, and no command makes them", st.Generated)
	}
	if (len(st.Start) > 0) != c.Install.Active {
		t.Errorf("it runs: %v; it is started by %v", c.Install.Active, st.Start)
	}
	if none := d.Stage(s, c, nil); len(none.Generated) > 0 {
		t.Errorf("of nothing is generated %v", none.Generated)
	}
}
