package facts

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// finish fills what the host part said into the Snapshot's own fields.
func (s *Snapshot) finish() {
	s.Root = s.Fact("root") == "1"
	s.Hostname = s.Fact("hostname")
	s.OS = s.os()
	s.Init = s.Fact("init")
	s.Container = s.Fact("container")
	s.Login = strings.TrimSpace(s.Fact("login"))
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

// process keeps a process; one that was sent before is not kept twice.
func (p *parser) process(c *section) {
	v := Process{
		PID: atoi(c.attr["pid"]), PPID: atoi(c.attr["ppid"]), UID: atoi(c.attr["uid"]), Exe: c.attr["exe"], Container: c.attr["container"],
	}
	if v.PID <= 0 {
		return
	}
	text := strings.TrimSuffix(string(c.data), "\n")
	if c.attr["joined"] == "1" {
		v.Argv = strings.Fields(text)
	} else {
		v.Argv = strings.Split(text, "\n")
	}
	if n := atoi64(c.attr["start"]); n > 0 {
		v.Start = time.Unix(n, 0).UTC()
	} else if age, ok := parseAge(c.attr["age"]); ok && !p.s.Taken.IsZero() {
		v.Start = p.s.Taken.Add(-age)
	}
	p.s.addProcess(v)
}

// addProcess keeps a process that is not there yet.
func (s *Snapshot) addProcess(v Process) {
	if !slices.ContainsFunc(s.Processes, func(o Process) bool { return o.PID == v.PID }) {
		s.Processes = append(s.Processes, v)
	}
}

// parseAge reads ps's etime: [[DD-]HH:]MM:SS (POSIX ps).
func parseAge(text string) (time.Duration, bool) {
	days, clock, ok := strings.Cut(text, "-")
	if !ok {
		days, clock = "0", text
	}
	d, err := strconv.Atoi(days)
	if err != nil || d < 0 || d > 100000 {
		return 0, false
	}
	var n int
	for _, w := range strings.Split(clock, ":") {
		v, err := strconv.Atoi(w)
		if err != nil || v < 0 || v > 60*60 || n > 60*60*60 {
			return 0, false
		}
		n = n*60 + v
	}
	return time.Duration(d)*24*time.Hour + time.Duration(n)*time.Second, strings.Contains(clock, ":")
}
