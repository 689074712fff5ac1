package exim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
)

// maxInstances bounds how many instances of one host are read.
const maxInstances = 32

// detect returns the instances that the collector found: the daemons that run first, then programs that are only installed.
func detect(s *facts.Snapshot) []mta.Install {
	var out []mta.Install
	for i := 1; i <= maxInstances; i++ {
		key := fmt.Sprintf("exim:%d", i)
		program := s.Fact(key + ":program")
		if program == "" {
			break
		}
		out = append(out, install(s, key, program))
	}
	// Two daemons on one configuration are told apart by nothing else.
	slices.SortStableFunc(out, func(a, b mta.Install) int { return active(b) - active(a) })
	return out
}

func active(in mta.Install) int {
	if in.Active {
		return 1
	}
	return 0
}

func install(s *facts.Snapshot, key, program string) mta.Install {
	in := mta.Install{MTA: "exim", Program: program, Config: s.Fact(key + ":file"), Package: s.Fact("package:" + program)}
	if in.Config == "" {
		in.Config = s.Fact(key + ":config")
	}
	if macros := strings.TrimSpace(s.Fact(key + ":macros")); macros != "" {
		in.Instance = macros
	}
	if o, ok := s.Output(key + ":version"); ok {
		in.Version, in.Features = versionOf(string(o.Stdout))
	}
	for _, f := range s.Facts(key + ":has:") {
		in.Features = append(in.Features, "exim:"+strings.TrimPrefix(f, key+":has:"))
	}
	in.Features = append(in.Features, dbmTables(s, key)...)
	pid, _ := strconv.Atoi(s.Fact(key + ":pid"))
	in.Active = pid > 0
	for _, l := range s.Listeners {
		if l.PID != 0 && (l.PID == pid || runs(s, l.PID, program)) {
			in.Listen = append(in.Listen, l.Addr)
			in.Active = true
		}
	}
	for _, f := range s.Facts("fixed:exim") {
		in.Fixed = append(in.Fixed, strings.Fields(s.Fact(f))...)
	}
	slices.Sort(in.Fixed)
	in.Fixed = slices.Compact(in.Fixed)
	in.Basis = basis(s, in.Version)
	in.Panel = panel(s, in.Config)
	return in
}

// runs says whether a listening process is a daemon of the program that the collector gave no instance of its own.
func runs(s *facts.Snapshot, pid int, program string) bool {
	for _, f := range s.Facts("exim:") {
		if strings.HasSuffix(f, ":pid") && s.Fact(f) == strconv.Itoa(pid) {
			return false // another instance's
		}
	}
	for _, p := range s.Processes {
		if p.PID == pid {
			return p.Exe == program
		}
	}
	return false
}

// versionOf reads `exim -bV`: "Exim version 4.96 #2 built …" and the lines of what was compiled in.
func versionOf(out string) (version string, features []string) {
	for _, line := range strings.Split(out, "\n") {
		if rest, ok := strings.CutPrefix(line, "Exim version "); ok {
			version, _ = cutWord(strings.TrimSpace(rest))
		}
		if rest, ok := strings.CutPrefix(line, "Support for:"); ok {
			for _, w := range strings.Fields(rest) {
				features = append(features, "exim:"+w)
			}
		}
	}
	return version, features
}

// basis: these three were run on Debian 11, 12 and 13; others are known from their documents and from published configurations.
func basis(s *facts.Snapshot, version string) mta.Basis {
	if s.OS.ID == "debian" {
		switch version {
		case "4.94.2", "4.96", "4.98.2":
			return mta.Lab
		}
	}
	if strings.HasPrefix(s.OS.Kernel, "Linux") || s.OS.ID != "" && s.OS.ID != "aix" && s.OS.ID != "hpux" && s.OS.ID != "solaris" {
		return mta.Published
	}
	return mta.Manual
}

// panels are words at the start of configurations that a hosting panel generates, with its name.
var panels = [...][2]string{{"cPanel", "cPanel"}, {"cpanel", "cPanel"}, {"DirectAdmin", "DirectAdmin"}, {"SpamBlocker", "DirectAdmin"}, {"ISPmanager", "ISPmanager"}, {"VestaCP", "VestaCP"}, {"hestia", "HestiaCP"}}

func panel(s *facts.Snapshot, path string) string {
	f, ok := s.File(path)
	if !ok {
		return ""
	}
	head := string(f.Data[:min(len(f.Data), 4096)])
	for _, p := range panels {
		if strings.Contains(head, p[0]) {
			return p[1]
		}
	}
	return ""
}
