package sendmail

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
	"mtaharden/remediate/remote"
)

func shell(script string, args ...string) remote.Cmd {
	return remote.Cmd{Argv: append([]string{"/bin/sh", "-c", script, "sh"}, args...)}
}

// makeCF builds a .cf beside the live one and renames it only when m4 succeeded and said nothing of an error: m4 into the live
// file would empty it first. $1 is the macro source, $2 the .cf.
const makeCF = `set -e
new=$2.mtaharden
trap 'rm -f "$new" "$new.err"' 0
umask 022
cd "$(dirname "$1")"
if grep -q 'include(.*cf\.m4' "$1"; then m4 "$1" >"$new" 2>"$new.err"
else
	for dir in /usr/share/sendmail-cf /usr/share/sendmail/cf /usr/lib/mail /usr/lib/sendmail-cf; do
		[ -f "$dir/m4/cf.m4" ] && break
	done
	m4 -D_CF_DIR_="$dir/" "$dir/m4/cf.m4" "$1" >"$new" 2>"$new.err"
fi
cat "$new.err" >&2
if grep -q '^\*\*\* ERROR' "$new.err"; then exit 1; fi
if [ -f "$2" ]; then cat "$new" >"$new.2" && cp -p "$2" "$new" && cat "$new.2" >"$new" && rm -f "$new.2"; fi
mv -f "$new" "$2"
`

// makeMap builds the compiled form of a map beside the live one and renames it: makemap leaves a partial map when a line is wrong.
// $1 is the text, $2 the type of the K line.
const makeMap = `set -e
ext=.db
case $2 in cdb) ext=.cdb ;; lmdb) ext=.mdb ;; dbm) ext= ;; esac
if [ -z "$ext" ]; then makemap "$2" "$1" <"$1"; exit; fi
new=$1.mtaharden
trap 'rm -f "$new$ext" "$new.live"' 0
makemap "$2" "$new" <"$1"
if [ -f "$1$ext" ]; then cp -p "$1$ext" "$new.live" && cat "$new$ext" >"$new.live" && mv -f "$new.live" "$new$ext"; fi
mv -f "$new$ext" "$1$ext"
`

// regenerate makes the generated files after an edit of paths: maps first, then the .cf.
func regenerate(in mta.Install, paths []string) []remote.Cmd {
	var cmds []remote.Cmd
	source := ""
	for _, p := range paths {
		switch base := path.Base(p); {
		case base == "access" || base == "mailertable" || base == "virtusertable" || base == "domaintable" || base == "genericstable":
			cmds = append(cmds, shell(makeMap, p, mapType(in)))
		case strings.HasSuffix(base, ".mc") || strings.HasSuffix(base, ".m4"):
			source = sourceOf(in)
		}
	}
	if source != "" {
		cmds = append(cmds, shell(makeCF, source, in.Config))
	}
	return cmds
}

// sourceOf is the macro source, as the collector found it.
func sourceOf(in mta.Install) string {
	for _, f := range in.Features {
		if mc, ok := strings.CutPrefix(f, "sendmail:mc="); ok {
			return mc
		}
	}
	return strings.TrimSuffix(in.Config, ".cf") + ".mc"
}

// mapType is the type of the access database's K line.
func mapType(in mta.Install) string {
	for _, f := range in.Features {
		if kind, ok := strings.CutPrefix(f, "sendmail:access="); ok {
			return kind
		}
	}
	return "hash"
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
	if pid := daemonPID(s, in); pid != "" {
		return []remote.Cmd{{Argv: []string{"kill", "-HUP", pid}}}
	}
	return nil
}

// daemonPID is the process that serves this configuration.
func daemonPID(s *facts.Snapshot, in mta.Install) string {
	for _, d := range running(s, []string{in.Program}) {
		if d.serves && (d.config == "" || d.config == in.Config) {
			return strconv.Itoa(d.pid)
		}
	}
	return ""
}
