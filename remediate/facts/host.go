package facts

import (
	"strings"
)

// finish fills what the host part said into the Snapshot's own fields.
func (s *Snapshot) finish() {
	s.Root = s.Fact("root") == "1"
	s.Hostname = s.Fact("hostname")
	s.OS = s.os()
	s.Init = s.Fact("init")
	s.Container = s.Fact("container")
	s.Addrs = strings.Fields(s.Fact("addrs"))
	for _, k := range s.Facts("tool:") {
		s.Tools[strings.TrimPrefix(k, "tool:")] = s.Fact(k)
	}
}

// os reads os-release (os-release(5)); where there is none, what uname said.
func (s *Snapshot) os() OS {
	o := OS{Kernel: strings.TrimSpace(s.Fact("uname.s") + " " + s.Fact("uname.r")), Arch: s.Fact("uname.m")}
	o.ID, o.Like, o.Version, o.Name = s.Fact("os.id"), "", s.Fact("os.version"), s.Fact("os.name")
	for _, path := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		f, ok := s.File(path)
		if !ok || f.State != Whole {
			continue
		}
		for line := range strings.Lines(string(f.Data)) {
			k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
			v = strings.Trim(v, `"'`)
			switch k {
			case "ID":
				o.ID = v
			case "ID_LIKE":
				o.Like = v
			case "VERSION_ID":
				o.Version = v
			case "PRETTY_NAME":
				o.Name = v
			}
		}
		break
	}
	return o
}
