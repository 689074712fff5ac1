package exim

import (
	"slices"
	"strings"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
	"mtaharden/remediate/remote"
)

// generatedFrom says whether paths hold a source of Debian's generated configuration.
func generatedFrom(in mta.Install, paths []string) bool {
	return in.Config == debOutput && slices.ContainsFunc(paths, func(p string) bool {
		return p == debConf || p == debTemplate || p == debLocal || p == "/etc/mailname" || strings.HasPrefix(p, debSplit+"/")
	})
}

// regenerate makes the tables of changed texts, and the live file of Debian's sources, anew. Debian's generator itself refuses what
// `exim -bV` does.
func regenerate(in mta.Install, paths []string) []remote.Cmd {
	var cmds []remote.Cmd
	for _, b := range builtOf(in, paths) {
		cmds = append(cmds, remote.Cmd{Argv: []string{"/bin/sh", "-c", makeDBM, "sh", b.source, b.file}, Say: "exim_dbmbuild of " + b.source + ": " + b.file})
	}
	if generatedFrom(in, paths) {
		cmds = append(cmds, remote.Cmd{Argv: []string{debTool}})
	}
	return cmds
}

// validate checks the configuration. `-bV` does not notice the name of a missing ACL: the questions that are asked anew in the
// stage, with -bh, do.
func validate(in mta.Install) []remote.Cmd {
	argv := []string{in.Program}
	if in.Config != "" && in.Config != debOutput && in.Config != debWinner {
		argv = append(argv, "-C", in.Config)
	}
	if in.Instance != "" {
		argv = append(argv, strings.Fields(in.Instance)...)
	}
	return []remote.Cmd{{Argv: append(argv, "-bV")}}
}

// reload tells the daemon to read its configuration again. It does so by running itself anew: a configuration that it does not take
// ends it, so validate first.
func reload(s *facts.Snapshot, in mta.Install) []remote.Cmd {
	if !in.Active {
		return nil
	}
	service := "exim"
	if in.Program == "/usr/sbin/exim4" {
		service = "exim4"
	}
	switch {
	case in.Instance != "" || in.Config == "" || s.Init == "":
		return hangup(s, in)
	case s.Init == "systemd" && service == "exim":
		return []remote.Cmd{{Argv: []string{"systemctl", "reload", "exim.service"}}}
	case s.Init == "systemd":
		return []remote.Cmd{{Argv: []string{"systemctl", "reload", "exim4.service"}}}
	case s.Init == "sysv" && service == "exim4":
		return []remote.Cmd{{Argv: []string{"/etc/init.d/exim4", "reload"}}}
	case s.Init == "openrc":
		return []remote.Cmd{{Argv: []string{"rc-service", service, "reload"}}}
	}
	return hangup(s, in)
}

// hangup sends HUP to the daemon by the pid that the collector found listening or running as daemon.
func hangup(s *facts.Snapshot, in mta.Install) []remote.Cmd {
	key := keyOf(s, in)
	pid := s.Fact(key + ":pid")
	if key == "" || pid == "" || strings.Trim(pid, "0123456789") != "" {
		return nil
	}
	return []remote.Cmd{{Argv: []string{"kill", "-HUP", pid}}}
}
