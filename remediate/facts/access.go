package facts

import (
	"maps"
	"slices"
	"strings"
)

// File returns the file that was asked for as path.
func (s *Snapshot) File(path string) (*File, bool) { f, ok := s.files[path]; return f, ok }

// Output returns what the command that a driver called name printed.
func (s *Snapshot) Output(name string) (*Output, bool) { o, ok := s.outputs[name]; return o, ok }

// Fact returns a one-line fact, "" where there is none.
func (s *Snapshot) Fact(key string) string { return s.facts[key] }

// Facts returns the keys of facts that begin with prefix, sorted.
func (s *Snapshot) Facts(prefix string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(s.facts)), func(k string) bool { return !strings.HasPrefix(k, prefix) })
}

// Files returns the paths that begin with prefix, in the order they came.
func (s *Snapshot) Files(prefix string) []string { return s.names("file", prefix) }

// Outputs returns the names of outputs that begin with prefix, in the order they came.
func (s *Snapshot) Outputs(prefix string) []string { return s.names("output", prefix) }

func (s *Snapshot) names(kind, prefix string) []string {
	var names []string
	for _, o := range s.order {
		if k, name, _ := strings.Cut(o, "\x00"); k == kind && strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	return names
}

// Seen returns what the MTA carried of late, as its driver summed it on the host.
func (s *Snapshot) Seen(mta string) []Seen { return s.seen[mta] }

// WithOutputs returns the snapshot with these outputs of commands beside, or in the place of, its own.
func (s *Snapshot) WithOutputs(outs ...*Output) *Snapshot {
	t := s.With()
	t.outputs = maps.Clone(s.outputs)
	if t.outputs == nil {
		t.outputs = map[string]*Output{}
	}
	for _, o := range outs {
		t.outputs[o.Name] = o
	}
	return t
}

// With returns a Snapshot in which files stand in place of those of the same path, or beside the others. s is not changed.
func (s *Snapshot) With(files ...*File) *Snapshot {
	n := *s
	n.files = maps.Clone(s.files)
	if n.files == nil {
		n.files = map[string]*File{}
	}
	n.order = slices.Clone(s.order)
	for _, f := range files {
		if _, ok := n.files[f.Path]; !ok {
			n.order = append(n.order, "file\x00"+f.Path)
		}
		n.files[f.Path] = f
	}
	return &n
}
