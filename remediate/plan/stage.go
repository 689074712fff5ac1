package plan

import (
	"slices"

	"mtaharden/remediate/mta"
)

// Stage is what it takes to try a candidate of one installation apart from everything live: mta.Stage in finished commands.
type Stage struct {
	Copies    []string    `json:"copies,omitempty"`
	Fresh     []mta.Fresh `json:"fresh,omitempty"`
	Generated []Made      `json:"generated,omitempty"`
	Before    []Command   `json:"before,omitempty"`
	Start     []Command   `json:"start,omitempty"`
	After     []Command   `json:"after,omitempty"`
	Listens   bool        `json:"listens,omitempty"`
}

// Made is a generated file and the words of a command that prints it as lines; without words it is a text itself.
type Made struct {
	Path string   `json:"path"`
	Show []string `json:"show,omitempty"`
}

// stageOf asks the driver what a stage of the changes takes, and returns the changes with the generated files among them, which have the
// rules of their sources.
func stageOf(in Input, i int, paths []string, changes []Change) (*Stage, []Change) {
	j := in.Installs[i]
	if j.Driver.Stage == nil || j.Config == nil {
		return nil, changes
	}
	s := j.Driver.Stage(in.Snapshot, j.Config, paths)
	out := &Stage{Copies: s.Copies, Fresh: s.Fresh, Before: commands(s.Before), Start: commands(s.Start), After: commands(s.After), Listens: s.Listens}
	var made []Change
	sources := map[string][]string{}
	for _, g := range s.Generated {
		if slices.ContainsFunc(out.Generated, func(o Made) bool { return o.Path == g.Path }) {
			continue
		}
		out.Generated = append(out.Generated, Made{g.Path, g.Show})
		ch := Change{Path: g.Path, Kind: Generated, Install: i, Rules: []string{}}
		if f, ok := in.Snapshot.File(g.Path); ok {
			ch.PreHash = f.SHA256
		}
		for _, c := range changes {
			if slices.Contains(g.Sources, c.Path) {
				ch.Rules = union(ch.Rules, c.Rules)
			}
		}
		made = append(made, ch)
		sources[g.Path] = g.Sources
	}
	return out, inOrder(changes, made, sources)
}

func union(a, b []string) []string {
	for _, s := range b {
		if !slices.Contains(a, s) {
			a = append(a, s)
		}
	}
	return a
}

// inOrder puts each generated file right behind the last of its sources: a compiled map is then never older than its text, and what is made
// of the top file is last.
func inOrder(changes, made []Change, sources map[string][]string) []Change {
	for _, m := range made {
		at := len(changes)
		for k, c := range changes {
			if c.Kind != Generated && slices.Contains(sources[m.Path], c.Path) {
				at = k + 1
			}
		}
		changes = slices.Insert(changes, at, m)
	}
	return changes
}

// commands are all of a stage's commands.
func (s *Stage) commands() []Command {
	if s == nil {
		return nil
	}
	all := slices.Concat(s.Before, s.Start, s.After)
	for _, g := range s.Generated {
		if g.Show != nil {
			all = append(all, Command{Argv: g.Show})
		}
	}
	return all
}

// paths are all that a stage names.
func (s *Stage) paths() []string {
	if s == nil {
		return nil
	}
	all := slices.Clone(s.Copies)
	for _, f := range s.Fresh {
		all = append(append(all, f.Path), f.Sockets...)
	}
	for _, g := range s.Generated {
		all = append(all, g.Path)
	}
	return all
}
