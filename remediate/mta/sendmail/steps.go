package sendmail

import (
	"slices"
	"strconv"
	"strings"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
	"mtaharden/remediate/remote"
)

func shell(say, script string, args ...string) remote.Cmd {
	return remote.Cmd{Argv: append([]string{"/bin/sh", "-c", script, "sh"}, args...), Say: say}
}

// makeCF builds a .cf of its macro source by the site's own way, which adds comments and keeps owners: the Makefile beside it (Debian's, which
// appends the source, and Red Hat's), the script "make" of later Red Hats, else m4 with the tree's cf.m4 before the source where that does not
// include it itself. Debian's Makefile goes on when m4 fails, and leaves what m4 said in a file. Without make the .cf is built beside the live
// one and renamed only when m4 succeeded: m4 into the live file would empty it first. $1 is the macro source, $2 the .cf.
const makeCF = `set -e
umask 022
dir=$(dirname "$2")
cf=$(basename "$2")
cd "$dir"
bad() { grep -e '^\*\*\* ERROR' -e '^[^ ]*m4:.*ERROR' -e '^[^ ]*m4:.*cannot' -e '^[^ ]*m4:.*end of file' -e '^[^ ]*m4:.*No such' "$1" >&2; }
same=
if [ "$1" = "$dir/${cf%.cf}.mc" ] && command -v make >/dev/null 2>&1; then same=yes; fi
if [ -n "$same" ] && [ -f Makefile ] && grep "^$2 *:" Makefile >/dev/null; then
	rm -f "$2" "$2.errors"
	make -sf "$dir/Makefile" "$2"
	if [ -f "$2.errors" ] && bad "$2.errors"; then exit 1; fi
	[ -s "$2" ]
	exit
fi
if [ -n "$same" ] && [ -f Makefile ] && grep -e '^%\.cf *:' -e "^$cf *:" Makefile >/dev/null; then
	touch "$1"
	make -s -C "$dir" "$cf"
	exit
fi
if [ -n "$same" ] && [ -x make ] && grep makecf make >/dev/null 2>&1; then
	touch "$1"
	./make "$cf"
	exit
fi
new=$2.mtaharden
trap 'rm -f "$new" "$new.2" "$new.err"' 0
cd "$(dirname "$1")"
if grep 'include(.*cf\.m4' "$1" >/dev/null; then m4 "$1" >"$new" 2>"$new.err"
else
	for tree in /usr/share/sendmail-cf /usr/share/sendmail/cf /usr/lib/mail /usr/lib/sendmail-cf /etc/mail/cf; do
		[ ! -f "$tree/m4/cf.m4" ] || break
	done
	m4 -D_CF_DIR_="$tree/" "$tree/m4/cf.m4" "$1" >"$new" 2>"$new.err"
fi
cat "$new.err" >&2
if bad "$new.err"; then exit 1; fi
if [ -f "$2" ]; then cat "$new" >"$new.2" && cp -p "$2" "$new" && cat "$new.2" >"$new" && rm -f "$new.2"; fi
mv -f "$new" "$2"
`

// makeMap builds the compiled form of a map beside the live one and renames it: makemap leaves a partial map when a line is wrong.
// $1 is the text, $2 the type of the K line, $3 the map's name there without its ending.
const makeMap = `set -e
ext=.db
case $2 in cdb) ext=.cdb ;; lmdb) ext=.lmdb ;; dbm) ext= ;; esac
if [ -z "$ext" ]; then makemap "$2" "$3" <"$1"; exit; fi
new=$3.mtaharden
trap 'rm -f "$new$ext" "$new.live"' 0
makemap "$2" "$new" <"$1"
if [ -f "$3$ext" ]; then cp -p "$3$ext" "$new.live" && cat "$new$ext" >"$new.live" && mv -f "$new.live" "$new$ext"; fi
mv -f "$new$ext" "$3$ext"
`

// regenerate makes the generated files after an edit of paths: maps first, then the .cf.
func regenerate(in mta.Install, paths []string) []remote.Cmd {
	var cmds []remote.Cmd
	for _, b := range mapsOf(in, paths) {
		cmds = append(cmds, shell("makemap "+b.kind+" "+b.name+" of "+b.source, makeMap, b.source, b.kind, b.name))
	}
	if source := sourceOf(in, paths); source != "" {
		cmds = append(cmds, shell("make, else m4, of "+source+": "+in.Config, makeCF, source, in.Config))
	}
	return cmds
}

// sourceOf is the macro source, where one of paths belongs to it; "" where none does.
func sourceOf(in mta.Install, paths []string) string {
	if !slices.ContainsFunc(paths, ofSource) {
		return ""
	}
	for _, f := range in.Features {
		if mc, ok := strings.CutPrefix(f, "sendmail:mc="); ok {
			return mc
		}
	}
	return strings.TrimSuffix(in.Config, ".cf") + ".mc"
}

// ofSource says whether a file is one that m4 reads.
func ofSource(p string) bool { return strings.HasSuffix(p, ".mc") || strings.HasSuffix(p, ".m4") }

// built is a map that makemap makes of a text.
type built struct{ kind, name, source string }

// builtMaps are the features that name the maps of a .cf which makemap builds: "sendmail:map=TYPE NAME SOURCE", the name without its ending,
// the source with links resolved.
func builtMaps(s *facts.Snapshot, c *cf) []string {
	var list []string
	for _, k := range c.maps {
		if index(fileMaps, k.kind) < 0 || !strings.HasPrefix(k.path, "/") || strings.ContainsAny(k.path, " \t") {
			continue
		}
		name := strings.TrimSuffix(k.path, ".db")
		source := name
		if f, ok := s.File(name); ok && f.Target != "" {
			source = f.Target
		}
		list = append(list, "sendmail:map="+k.kind+" "+name+" "+source)
	}
	return list
}

// mapsOf are the maps that are made of paths.
func mapsOf(in mta.Install, paths []string) []built {
	var out []built
	for _, f := range in.Features {
		words := strings.Fields(strings.TrimPrefix(f, "sendmail:map="))
		if !strings.HasPrefix(f, "sendmail:map=") || len(words) != 3 || !slices.Contains(paths, words[2]) {
			continue
		}
		out = append(out, built{words[0], words[1], words[2]})
	}
	return out
}

// validate reads the configuration with the program itself: exit status 70 is a configuration that it refuses.
func validate(in mta.Install) []remote.Cmd {
	return []remote.Cmd{{Argv: []string{in.Program, "-C", in.Config, "-bt"}, Stdin: []byte{}}}
}

// reload makes the daemon read its configuration. Debian's unit has no reload, and a HUP with a configuration that does
// not load ends the daemon: it is validated before.
func reload(s *facts.Snapshot, in mta.Install) []remote.Cmd {
	if !in.Active {
		return nil
	}
	debian := slices.Contains(strings.Fields(s.OS.ID+" "+s.OS.Like), "debian")
	switch s.Init {
	case "systemd":
		if debian {
			return []remote.Cmd{{Argv: []string{"systemctl", "restart", "sendmail"}}}
		}
		return []remote.Cmd{{Argv: []string{"systemctl", "reload-or-restart", "sendmail"}}}
	case "openrc":
		return []remote.Cmd{{Argv: []string{"rc-service", "sendmail", "restart"}}}
	case "smf":
		return []remote.Cmd{{Argv: []string{"svcadm", "refresh", "svc:/network/smtp:sendmail"}}}
	case "src":
		return []remote.Cmd{{Argv: []string{"refresh", "-s", "sendmail"}}}
	case "hpux":
		return []remote.Cmd{{Argv: []string{"/sbin/init.d/sendmail", "stop"}}, {Argv: []string{"/sbin/init.d/sendmail", "start"}}}
	case "sysv":
		if f, ok := s.File("/etc/init.d/sendmail"); ok && f.State != facts.Absent {
			return []remote.Cmd{{Argv: []string{"/etc/init.d/sendmail", "restart"}}}
		}
	}
	return hangup(s, in)
}

// hup tells a daemon that no service manager has. At a HUP it runs itself anew: one that is in the background has another number then, and one
// that was not started by its full path ends (sendmail's main.c, restart_daemon: "could not restart: need full path"). Its pid file has its
// number and, in the second line, its command line. $1 is the number that it had, $2 that line, then the pid files that it may have, and behind
// "--" what starts it anew where it does not run in the end.
const hup = `old=$1 line=$2
shift 2
files=
while [ $# -gt 0 ] && [ "$1" != -- ]; do
	files="$files $1"
	shift
done
shift
anew=$*
lives() {
	case $1 in '' | 0* | *[!0-9]*) return 1 ;; esac # -1 and 0 are many processes to kill(1)
	kill -0 "$1" 2>/dev/null || return 1
	case $(cat "/proc/$1/comm" 2>/dev/null || ps -o comm= -p "$1") in *sendmail* | sm-*) ;; *) return 1 ;; esac
}
daemon() {
	for f in $files; do
		{ { read -r pid && read -r said; } <"$f"; } 2>/dev/null || continue
		case $said in "$line" | "$anew") ! lives "$pid" || return 0 ;; esac
	done
	pid=$old said=$line
	lives "$pid"
}
stays() {
	n=0 in=0
	while [ $n -lt 12 ] && [ $in -lt 3 ]; do
		n=$((n + 1))
		sleep 1
		if daemon; then in=$((in + 1)); else in=0; fi
	done
	[ $in -eq 3 ]
}
if daemon; then
	case $said in
	/*) kill -HUP "$pid" ;;
	*)
		kill "$pid"
		n=0
		while lives "$pid" && [ $n -lt 10 ]; do
			n=$((n + 1))
			sleep 1
		done
		;;
	esac
	if stays; then exit 0; fi
fi
umask 022
"$@" </dev/null || exit
stays`

// hangup tells the daemon that serves this configuration by its number.
func hangup(s *facts.Snapshot, in mta.Install) []remote.Cmd {
	all := running(s, []string{in.Program})
	i := slices.IndexFunc(all, func(d daemon) bool { return d.serves && (d.config == "" || d.config == in.Config) })
	if i < 0 {
		return nil
	}
	pid := strconv.Itoa(all[i].pid)
	line := s.Fact("sendmail:started:" + pid)
	words := strings.Fields(line)
	if len(words) == 0 {
		return []remote.Cmd{{Argv: []string{"kill", "-HUP", pid}}}
	}
	args := append([]string{pid, line}, pidFiles(s, in)...)
	args = append(args, "--")
	again := "false" // what stays in the foreground is its supervisor's
	if slices.Contains(words, "-bd") {
		again = in.Program
	}
	return []remote.Cmd{shell("kill -HUP of "+line+", or where it does not run then that command", hup, append(append(args, again), words[1:]...)...)}
}

// pidFiles are the places of the daemon's pid file: the configuration's, and those where the collector looks.
func pidFiles(s *facts.Snapshot, in mta.Install) []string {
	out := []string{"/var/run/sendmail/mta/sendmail.pid", "/var/run/sendmail.pid", "/run/sendmail.pid", "/etc/mail/sendmail.pid", "/etc/sendmail.pid", "/var/spool/mqueue/sendmail.pid"}
	f, ok := s.File(in.Config)
	if !ok {
		return out
	}
	for _, o := range parseCF(in.Config, f.Data).options {
		if o.name == "PidFile" && strings.HasPrefix(o.value, "/") && !strings.ContainsAny(o.value, " \t*?[\\") {
			out = append([]string{o.value}, out...)
		}
	}
	return out
}
