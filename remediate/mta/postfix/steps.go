package postfix

import (
	"path"
	"strings"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
	"mtaharden/remediate/remote"
)

// remap builds the maps of one table source: with the type that the configuration names it by, and as an alias file where it is one.
// $1 is the configuration directory, $2 the file.
const remap = `d=$1; f=$2
words() { { postconf -c "$d" -n -x 2>/dev/null || postconf -c "$d" -n; cat "$d/main.cf" "$d/master.cf"; } | sed 's/^[ 	]*#.*//' | tr ' ,=	{}' '\n\n\n\n\n\n' | sed "s,\$config_directory,$d,g"; }
named() { words | sed -n "s,^proxy:,,; s,^\($1:/.*\),\1,p" | sort -u; }
aliases=$(postconf -c "$d" -h alias_database alias_maps | tr ' ,	' '\n\n\n')
rc=0
for t in hash btree lmdb cdb dbm sdbm; do
	if printf '%s\n' "$aliases" | grep -Fx -e "$t:$f" -e "proxy:$t:$f" >/dev/null; then postalias -c "$d" "$t:$f" || rc=1
	else
		named "$t" | { while IFS= read -r spec; do
			if [ "$spec" = "$t:$f" ] || [ "$(readlink -f "${spec#*:}" 2>/dev/null)" = "$f" ]; then postmap -c "$d" "$spec" </dev/null || exit 1; fi
		done; } || rc=1
	fi
done
exit $rc`

// regenerate returns the commands that rebuild the maps of the changed table sources; main.cf and master.cf need none.
func regenerate(in mta.Install, paths []string) []remote.Cmd {
	var out []remote.Cmd
	for _, p := range paths {
		if base := path.Base(p); (base == "main.cf" || base == "master.cf") && path.Dir(p) == path.Clean(in.Config) {
			continue
		}
		out = append(out, remote.Cmd{Argv: []string{"/bin/sh", "-c", remap, "sh", in.Config, p}, Say: "postmap or postalias of " + p + ", with each type that a table of it has"})
	}
	return out
}

// validate returns commands that fail for files Postfix cannot read. That a service starts is told by the evaluator and by starting it:
// "postfix check" says yes to configurations that kill smtpd.
func validate(in mta.Install) []remote.Cmd {
	out := []remote.Cmd{{Argv: []string{"postconf", "-c", in.Config, "-n"}}}
	if atLeast(parseVersion(in.Version), "2.9") {
		out = append(out, remote.Cmd{Argv: []string{"postconf", "-c", in.Config, "-M"}})
	}
	return out
}

// apply makes the files live: a reload, or a restart where the addresses to listen on changed (postconf(5), inet_interfaces).
// $1 is the configuration directory, $2 what inet_interfaces and inet_protocols were, $3 the init system, $4 the unit. The restore of a run
// finds them as they were, and a daemon that the run restarted with others: that is remembered in the run's folder. One that was made of the
// controller's copy (its file "sent") does not remember: then it is a restart.
const applyNew = `now=$(postconf -c "$1" -h inet_interfaces inet_protocols | tr '\n' ';')
moved=${MTAHARDEN_RUN:+$MTAHARDEN_RUN/restarted.${4##*/}}
if [ "$now" = "$2" ] && { [ -z "$moved" ] || [ ! -e "$moved" ] && [ ! -e "$MTAHARDEN_RUN/sent" ]; }; then exec postfix -c "$1" reload; fi
[ -z "$moved" ] || true >"$moved" || exit 1
case $3 in
systemd)
	for unit in "postfix@$4.service" postfix.service; do
		if systemctl show -p MainPID "$unit" 2>/dev/null | grep -v '=0$' >/dev/null; then exec systemctl restart "$unit"; fi
	done ;;
sysv | openrc)
	if [ "$4" = - ] && command -v service >/dev/null; then exec service postfix restart; fi ;;
esac
postfix -c "$1" stop && exec postfix -c "$1" start`

// reload returns the commands after which the running instance uses the files; none for one that does not run.
func reload(s *facts.Snapshot, in mta.Install) []remote.Cmd {
	if !in.Active {
		return nil
	}
	now := parameters(s, "postfix:"+in.Config+":now")
	known := parameters(s, "postfix:"+in.Config+":d")
	set := parameters(s, "postfix:"+in.Config+":n")
	var was strings.Builder
	for _, name := range []string{"inet_interfaces", "inet_protocols"} {
		value, ok := set[name]
		if !ok {
			value = known[name]
		}
		if v, ok := now[name]; ok {
			value = v
		}
		was.WriteString(value + ";")
	}
	unit := in.Instance
	if unit == "" {
		unit = "-"
	}
	say := "postfix -c " + remote.Quote(in.Config) + " reload; a restart where inet_interfaces or inet_protocols is another than " + strings.TrimRight(was.String(), ";")
	return []remote.Cmd{{Argv: []string{"/bin/sh", "-c", applyNew, "sh", in.Config, was.String(), s.Init, unit}, Say: say}}
}
