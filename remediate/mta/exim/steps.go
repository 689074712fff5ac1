package exim

import (
	"fmt"
	"slices"
	"strconv"
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

// reloadOrStart reloads a service, and starts it anew where no daemon is left: after a HUP Exim runs itself anew, and a configuration that it does
// not take ends it, which an LSB script's reload does not notice, neither then nor when the file is put back. It fails where none runs in the
// end. $1 is the daemon's pid file; the words up to "--" reload, those after it start.
const reloadOrStart = `file=$1
shift
alive() {
	pid=
	{ read -r pid <"$file"; } 2>/dev/null
	case $pid in '' | 0* | *[!0-9]*) return 1 ;; esac # -1 and 0 are many processes to kill(1)
	kill -0 "$pid" 2>/dev/null || return 1
	[ ! -r "/proc/$pid/comm" ] || case $(cat "/proc/$pid/comm") in exim*) ;; *) return 1 ;; esac
}
stays() {
	n=0
	while [ $n -lt "$1" ]; do
		n=$((n + 1))
		sleep 1
		alive || return 1
	done
}
reload=
while [ $# -gt 0 ] && [ "$1" != -- ]; do
	reload="$reload $1"
	shift
done
shift
if alive && $reload && stays 3; then exit 0; fi
"$@" || exit
n=0
until alive || [ $n -ge 10 ]; do
	sleep 1
	n=$((n + 1))
done
stays 2`

// reload tells the daemon to read its configuration again, by starting it anew where a reload would take its listeners away, and has a daemon
// run in the end.
func reload(s *facts.Snapshot, in mta.Install) []remote.Cmd {
	if !in.Active {
		return nil
	}
	words := manager(s, in)
	switch loses := losesRoot(s, in); {
	case loses && ownService(s, in):
		return managed(s, in, words, "restart", "restart")
	case loses || in.Instance != "" || words == nil:
		return hangup(s, in)
	}
	return managed(s, in, words, "reload", "restart")
}

// managed reloads or starts anew by the service manager, and starts anew where that leaves no daemon.
func managed(s *facts.Snapshot, in mta.Install, words []string, verbs ...string) []remote.Cmd {
	argv := []string{"/bin/sh", "-c", reloadOrStart, "sh", pidPath(s, in)}
	for i, verb := range verbs {
		if i > 0 {
			argv = append(argv, "--")
		}
		for _, w := range words {
			argv = append(argv, strings.ReplaceAll(w, "VERB", verb))
		}
	}
	command := strings.Join(words, " ")
	say := strings.ReplaceAll(command, "VERB", verbs[0])
	if verbs[0] != "restart" {
		say += ", or where no daemon runs then " + strings.ReplaceAll(command, "VERB", "restart")
	}
	return []remote.Cmd{{Argv: argv, Say: say}}
}

// manager is how the init system is told of the service, with VERB for what it is to do; nil where there is none that is known.
func manager(s *facts.Snapshot, in mta.Install) []string {
	service := serviceOf(in)
	switch {
	case in.Config == "":
	case s.Init == "systemd":
		return []string{"systemctl", "VERB", service + ".service"}
	case s.Init == "sysv" && service == "exim4":
		return []string{"/etc/init.d/exim4", "VERB"}
	case s.Init == "openrc":
		return []string{"rc-service", service, "VERB"}
	}
	return nil
}

func serviceOf(in mta.Install) string {
	if in.Program == "/usr/sbin/exim4" {
		return "exim4"
	}
	return "exim"
}

// ownService says whether the daemon is the one that the init system's service started: it runs, or is started at boot where no more is known,
// and there is no other daemon that it may have started.
func ownService(s *facts.Snapshot, in mta.Install) bool {
	var running []string
	for _, i := range detect(s) {
		if i.Active && i.Program == in.Program {
			running = append(running, i.Config+i.Instance)
		}
	}
	state := strings.Fields(s.Fact("service:" + serviceOf(in)))
	return manager(s, in) != nil && len(running) <= 1 && len(state) > 1 && (state[1] == "active" || state[0] == "enabled" && state[1] == "-")
}

// losesRoot says whether the daemon was started with a configuration of another name, or with macros. At a HUP it runs itself anew as the Exim
// user, who may choose neither ("exim user lost privilege for using -C option", "… -D option"): it then has no right to bind port 25, goes on
// without a listener, and tries again every 30 seconds (seen of 4.96; spec, -C and -D).
func losesRoot(s *facts.Snapshot, in mta.Install) bool {
	pid := s.Fact(keyOf(s, in) + ":pid")
	return slices.ContainsFunc(s.Processes, func(p facts.Process) bool {
		return pid == strconv.Itoa(p.PID) && len(p.Argv) > 1 && slices.ContainsFunc(p.Argv[1:], func(a string) bool {
			return strings.HasPrefix(a, "-C") || strings.HasPrefix(a, "-D")
		})
	})
}

// reloads fails where nothing is known that has the running daemon read a changed configuration and keep its port.
func reloads(s *facts.Snapshot, in mta.Install) error {
	if in.Active && losesRoot(s, in) && !ownService(s, in) {
		return fmt.Errorf("cannot reload the daemon: a HUP would take the port of one that was started with -C or -D, and no service is known to have started it: change %s by hand, and start it anew as it was started", in.Config)
	}
	return nil
}

// pidPath is where the daemon writes its number: where -oP says, else its configuration.
func pidPath(s *facts.Snapshot, in mta.Install) string {
	pid := s.Fact(keyOf(s, in) + ":pid")
	for _, p := range s.Processes {
		if i := slices.Index(p.Argv, "-oP"); pid == strconv.Itoa(p.PID) && i >= 0 && i+1 < len(p.Argv) && strings.HasPrefix(p.Argv[i+1], "/") {
			return p.Argv[i+1]
		}
	}
	if o, ok := s.Output(keyOf(s, in) + ":main"); ok {
		if p := listing(string(o.Stdout))["pid_file_path"]; p != "" {
			return p
		}
	}
	if in.Program == "/usr/sbin/exim4" {
		return "/run/exim4/exim.pid"
	}
	return "/run/exim.pid"
}

// hup tells a daemon that no service manager has. A rollback may come when the daemon has long had another number, and another process its old
// one: its pid file counts first, and what is told is an Exim. $1 is that file, $2 the number that it had.
const hup = `pid=
{ read -r pid <"$1"; } 2>/dev/null
for pid in $pid "$2"; do
	case $pid in 0* | *[!0-9]*) continue ;; esac # -1 and 0 are many processes to kill(1)
	kill -0 "$pid" 2>/dev/null || continue
	case $(cat "/proc/$pid/comm" 2>/dev/null || ps -o comm= -p "$pid") in *exim*) exec kill -HUP "$pid" ;; esac
done
echo "no daemon runs as $1 has it, nor as process $2" >&2
exit 1`

// hangup sends HUP to the daemon that the collector found listening or running as daemon.
func hangup(s *facts.Snapshot, in mta.Install) []remote.Cmd {
	key := keyOf(s, in)
	pid := s.Fact(key + ":pid")
	if key == "" || pid == "" || strings.Trim(pid, "0123456789") != "" {
		return nil
	}
	file := pidPath(s, in)
	return []remote.Cmd{{Argv: []string{"/bin/sh", "-c", hup, "sh", file, pid}, Say: "kill -HUP of the process in " + file + ", else of " + pid}}
}
