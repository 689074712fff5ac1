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

// Service is what the host's init system knows of a service.
type Service struct {
	Name    string   // the unit, the start script's name, or what else the manager calls it
	Path    string   // its unit file or start script, "" where it is not known
	Enabled bool     // it starts at boot
	Masked  bool     // systemd: it cannot be started
	Active  string   // "active", "inactive", or "" where the manager does not say
	Links   []string // what has it started at boot, where that is links
}

// Service returns what mh_service sent of name; false where it was not asked for or the host has no such service.
func (s *Snapshot) Service(name string) (Service, bool) {
	w := strings.Fields(s.facts["service:"+name])
	if len(w) < 4 {
		return Service{}, false
	}
	out := Service{Name: w[2], Path: w[3], Enabled: w[0] == "enabled", Masked: w[0] == "masked", Active: w[1], Links: w[4:]}
	if out.Path == "-" {
		out.Path = ""
	}
	if out.Active == "-" {
		out.Active = ""
	}
	return out, true
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
