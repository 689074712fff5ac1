# sendmail: which programs are there, which run, their configuration, and what they answer when asked.
# A program is taken for sendmail only when its file holds sendmail's own test-mode greeting:
# postfix and exim bring a program of the same name, and it must not be run with sendmail's flags.

# sm_resolve PATH: PATH with symbolic links resolved, in sm_real; readlink -f where there is one.
sm_resolve() {
	sm_real=$(readlink -f "$1" 2>/dev/null)
	[ -n "$sm_real" ] && return 0
	sm_real=$1
	sm_hops=0
	while [ "$sm_hops" -lt 20 ]; do
		sm_link=$(ls -ld "$sm_real" 2>/dev/null | sed -n 's/^l.* -> //p')
		[ -n "$sm_link" ] || break
		case $sm_link in
		/*) sm_real=$sm_link ;;
		*) sm_real=${sm_real%/*}/$sm_link ;;
		esac
		sm_hops=$((sm_hops + 1))
	done
	return 0
}

# sm_program PATH: adds PATH to sm_programs when it is sendmail.
sm_program() {
	[ -f "$1" ] || [ -h "$1" ] || return 0
	case $1 in *' '*) return 0 ;; esac
	sm_resolve "$1"
	case " $sm_programs $sm_others " in *" $sm_real "*) return 0 ;; esac
	if grep 'ADDRESS TEST MODE' "$sm_real" >/dev/null 2>&1; then
		sm_programs="$sm_programs $sm_real"
		mh_stat "$sm_real"
		mh_package "$sm_real"
		# the correction of SMTP smuggling (8.18.1, and Debian's of 8.17.1.9 and 8.15.2) brought this reply
		if grep 'Bare linefeed (LF) not allowed' "$sm_real" >/dev/null 2>&1; then mh_fact sendmail:feature:bare-linefeed-refused yes; fi
	else
		sm_others="$sm_others $sm_real"
	fi
}

# sm_sound PATH [conf]: true where nobody but root, who we are, or (with conf) the owner of /etc/mail may change the file or put another
# in its place. Anybody may start a process of any name: what it says of itself is not run with our rights. Of groups, root's and
# those of the system's own files on older Unixes (2 bin, 3 sys) may write, and our own where we are not root.
sm_sound() {
	sm_resolve "$1"
	sm_at=$sm_real
	sm_owners="0 $(id 2>/dev/null | sed -n 's/^uid=\([0-9]*\).*/\1/p') ${2:+$(ls -ldn /etc/mail 2>/dev/null | awk '{ print $3 }')}"
	sm_groups="0 2 3 $(id 2>/dev/null | sed -n -e '/^uid=0[( ]/d' -e 's/.* gid=\([0-9]*\).*/\1/p')"
	case $sm_at in /*) ;; *) return 1 ;; esac
	while :; do
		ls -ldn "$sm_at" 2>/dev/null | awk -v owners=" $sm_owners " -v groups=" $sm_groups " 'NR == 1 {
			ok = index(owners, " " $3 " ") && ($1 ~ /^[ld].*[tT]/ || $1 ~ /^l/ || substr($1, 9, 1) != "w" && (substr($1, 6, 1) != "w" || index(groups, " " $4 " ")))
		} END { exit !ok }' || return 1
		[ "$sm_at" != / ] || return 0
		sm_at=${sm_at%/*}
		[ -n "$sm_at" ] || sm_at=/
	done
}

# sm_trusted PID: true where a process is root's or listens on a port that only root may open, or where we are not root ourselves: what
# stands on its command line may be given to a program that we run. From what port on everybody may listen, Linux says.
sm_trusted() {
	case $(id 2>/dev/null) in 'uid=0('* | 'uid=0 '*) ;; *) return 0 ;; esac
	sm_ports=$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start 2>/dev/null)
	printf '%s\n-\n%s\n' "$mh_listeners" "$mh_processes" | awk -v pid="$1" -v ports="${sm_ports:-1024}" '
		$0 == "-" { FS = "\t"; table = 1; next }
		!table { p = $1; sub(/.*:/, "", p); if ($2 == pid && p + 0 > 0 && p + 0 < 1024 && p + 0 < ports + 0) ok = 1; next }
		$1 + 0 == pid && ($3 == 0 || $3 == "root") { ok = 1 }
		END { exit !ok }'
}

# sm_find: the programs, running ones first, and the daemons' own words.
sm_find() {
	sm_programs=
	sm_others=
	sm_running=$(mh_running sendmail sendmail-mta sendmail-msp sendmail.sendmail sm-mta)
	sm_pids=$(printf '%s\n' "$sm_running" | sed -n 's/^\([0-9][0-9]*\).*/\1/p' | head -n 50)
	for sm_pid in $sm_pids; do
		sm_argv=$(printf '%s\n' "$sm_running" | sed -n "s/^$sm_pid	//p" | head -n 1)
		sm_exe=$(readlink "/proc/$sm_pid/exe" 2>/dev/null || ls -l "/proc/$sm_pid/path/a.out" 2>/dev/null | sed 's/.* -> //')
		sm_exe=${sm_exe% (deleted)}
		if [ -n "$sm_exe" ] && sm_sound "$sm_exe"; then sm_program "$sm_exe"; fi
		mh_fact "sendmail:process:$sm_pid" "$sm_exe $sm_argv"
		sm_trusted "$sm_pid" && sm_started_with "$sm_argv"
	done
	for sm_path in /usr/sbin/sendmail /usr/lib/sendmail /usr/libexec/sendmail/sendmail /usr/sbin/sendmail.sendmail \
		/usr/sbin/sendmail-mta /usr/local/sbin/sendmail /usr/local/lib/sendmail /opt/sendmail/sbin/sendmail; do
		sm_program "$sm_path"
	done
	mh_has sendmail && sm_program "$mh_path"
	sm_programs=${sm_programs# }
	mh_fact sendmail:programs "$sm_programs"
	# sendmail overwrites its argv with a title; the second line of its pid file is the command it was started with
	for sm_path in /var/run/sendmail/mta/sendmail.pid /var/run/sendmail.pid /run/sendmail.pid /etc/mail/sendmail.pid \
		/etc/sendmail.pid /var/spool/mqueue/sendmail.pid; do
		sm_pidfile "$sm_path"
	done
}

# sm_pidfile PATH: the command line that the daemon was started with, as its pid file has it, where only root or the mail system's
# own user writes it.
sm_pidfile() {
	[ -r "$1" ] && sm_sound "$1" conf || return 0
	sm_pid=$(sed -n 1p "$1" 2>/dev/null)
	sm_argv=$(sed -n 2p "$1" 2>/dev/null)
	case $sm_pid in '' | *[!0-9]*) return 0 ;; esac
	[ -n "$sm_argv" ] || return 0
	kill -0 "$sm_pid" 2>/dev/null || [ -d "/proc/$sm_pid" ] || return 0
	case " $sm_started " in *" $sm_pid "*) return 0 ;; esac
	sm_started="$sm_started $sm_pid"
	mh_fact "sendmail:started:$sm_pid" "$sm_argv"
	sm_started_with "$sm_argv"
}

# sm_started_with ARGV: what a daemon's command line says of its configuration and options. Behind "--" are addresses.
sm_started_with() {
	set -- "${1%% -- *}"
	case " $1 " in *' -bd '* | *' -bD '*) ;; *) return 0 ;; esac
	sm_options=$1
	case $1 in
	*' -C'*)
		sm_path=$(printf '%s\n' "$1" | sed 's/.* -C *\([^ ]*\).*/\1/')
		if sm_sound "$sm_path" conf; then
			sm_add_configs "$sm_path"
		else
			mh_problem "$sm_path can be changed by others than root and the owner of /etc/mail: sendmail is not asked about it"
		fi
		;;
	*) sm_plain=1 ;;
	esac
}

# sm_add_configs CF: adds an absolute path to the configurations, once.
sm_add_configs() {
	case $1 in /*) ;; *) return 0 ;; esac
	case " $sm_configs " in *" $1 "*) return 0 ;; esac
	[ -f "$1" ] || return 0
	sm_configs="$sm_configs $1"
}

# sm_default_config: where no daemon names one, the place this build reads; its other usual places are a fallback.
sm_default_config() {
	[ -z "$sm_configs" ] || [ -n "$sm_plain" ] || return 0
	for sm_path in /etc/mail/sendmail.cf /etc/sendmail.cf /usr/lib/sendmail.cf /usr/local/etc/mail/sendmail.cf /usr/sbin/sendmail.cf; do
		if [ -f "$sm_path" ]; then
			sm_add_configs "$sm_path"
			return 0
		fi
	done
	return 0
}

# sm_lines CF: the lines of a cf, each whole: one that begins with white space goes on with the one before it (op.me 5).
sm_lines() {
	awk 'NR > 1 && /^[ \t]/ { printf " %s", $0; next } { printf "%s%s", (NR > 1 ? "\n" : ""), $0 } END { print "" }' "$1" 2>/dev/null
}

# sm_paths CF: the files that a cf names, one "KIND PATH" a line: file, map, secret, alias, pid, and "acts WHAT": what reading or asking
# it would do.
sm_paths() {
	sm_lines "$1" | awk '
	function strip(p) { sub(/^-o[ \t]*/, "", p); sub(/[ \t].*$/, "", p); return p }
	/^F/ {
		l = substr($0, 2)
		if (substr(l, 1, 1) == "{") sub(/^[{][^}]*[}]/, "", l); else l = substr(l, 2)
		sub(/^[ \t]+/, "", l)
		sub(/^-o[^ \t]*[ \t]*/, "", l)
		if (l ~ /^\|/) { print "acts run " substr(l, 2); next }
		l = strip(l)
		if (l ~ /^\//) print "file " l
		next
	}
	/^K/ {
		n = split($0, w, /[ \t]+/); name = w[1]; sub(/^K/, "", name); i = 2
		if (name == "") { name = w[2]; i = 3 }
		type = tolower(w[i]); path = ""
		# -P of an ldap map is the file of its password
		if (type ~ /^ldap/) {
			for (j = i + 1; j <= n; j++) { p = w[j]; if (p == "-P") p = p w[j + 1]; gsub(/"/, "", p); if (p ~ /^-P\//) print "secret " substr(p, 3) }
			next
		}
		for (j = i + 1; j <= n; j++) if (w[j] !~ /^-/) { path = w[j]; break }
		if (type == "program") print "acts run the program of map " name
		if (type == "socket") print "acts talk to the socket of map " name
		if (type == "syslog") print "acts write to the log through map " name
		if (path ~ /^\//) {
			if (name ~ /auth/) print "secret " path
			else if (type == "regex") next
			else if (type ~ /^(hash|btree|dbm|cdb|lmdb|implicit|text)$/) print "map " type " " path
			else print "file " path
		}
		next
	}
	/^O[ \t]*HelpFile=/ { sub(/^[^=]*=/, ""); print "file " strip($0) }
	/^OH\// { print "file " strip(substr($0, 3)) }
	/^O[ \t]*PidFile=/ { sub(/^[^=]*=/, ""); print "pid " strip($0) }
	/^O[ \t]*AliasFile=/ { sub(/^[^=]*=/, ""); n = split($0, w, ","); for (j = 1; j <= n; j++) { p = w[j]; sub(/^[a-z]+:/, "", p); if (p ~ /^\//) print "alias " strip(p) } }
	/^OA\// { print "alias " strip(substr($0, 3)) }
	/^O[ \t]*(ServerKeyFile|ClientKeyFile|DefaultAuthInfo)=/ { sub(/^[^=]*=/, ""); if ($0 ~ /^\//) print "secret " strip($0) }
	tolower($0) ~ /^o[ \t]*autorebuildaliases[ \t]*=[ \t]*[ty1]/ { print "acts run newaliases (AutoRebuildAliases)" }
	/^OD[TtYy]?[ \t]*$/ { print "acts run newaliases (AutoRebuildAliases)" }
	' | sort -u | head -n 200
}

# sm_map TYPE PATH: a map: its text, the state of its compiled form, and what that form holds.
sm_map() {
	sm_text=${2%.db}
	mh_file "$sm_text"
	for sm_ext in .db .pag .dir .cdb .mdb .lmdb; do
		[ -f "$sm_text$sm_ext" ] && mh_stat "$sm_text$sm_ext"
	done
	case $1 in hash | btree | dbm | cdb | lmdb) ;; *) return 0 ;; esac
	[ -r "$sm_text.db" ] || [ -r "$sm_text.pag" ] || [ -r "$sm_text.cdb" ] || [ -r "$sm_text.mdb" ] || return 0
	sm_makemap=makemap
	mh_has makemap && sm_makemap=$mh_path
	mh_cmd "sendmail:map:$1:$sm_text" 20 "$sm_makemap" -u "$1" "$sm_text"
}

# sm_mc CF: the macro source of a cf: the path is next to it, under the usual names.
sm_mc() {
	sm_mcfile=
	sm_dir=${1%/*}
	sm_base=${1##*/}
	sm_base=${sm_base%.cf}
	for sm_path in "$sm_dir/$sm_base.mc" "/etc/mail/$sm_base.mc" "/etc/mail/cf/cf/$sm_base.mc" "/usr/share/sendmail/cf/cf/$sm_base.mc"; do
		if [ -f "$sm_path" ]; then
			sm_mcfile=$sm_path
			break
		fi
	done
	# BSD: a source named after the host
	if [ -z "$sm_mcfile" ] && [ "$sm_base" = sendmail ] && [ -f "$sm_dir/$sm_host.mc" ]; then
		sm_mcfile=$sm_dir/$sm_host.mc
	fi
	[ -n "$sm_mcfile" ] || return 0
	mh_fact "sendmail:mc:$1" "$sm_mcfile"
	mh_file "$sm_mcfile"
	sm_includes=
	sm_acts=
	sm_cfdir=
	sm_include "$sm_mcfile" 0
	if [ -n "$sm_acts" ]; then
		mh_fact "sendmail:m4-refused:$1" "$sm_acts would run commands or write files"
		return 0
	fi
	sm_m4 "$1"
}

# sm_include FILE DEPTH: the files that a macro source includes, followed; the distribution's own cf tree is only named.
sm_include() {
	[ "$2" -lt 5 ] || return 0
	sm_word=$(awk '{ sub(/(^|[^A-Za-z0-9_])dnl([^A-Za-z0-9_].*)?$/, "") } /(^|[^A-Za-z0-9_])(syscmd|esyscmd|maketemp|mkstemp|debugfile|HACK|sysval)[^A-Za-z0-9_]/ { print NR; exit }' "$1" 2>/dev/null)
	[ -z "$sm_word" ] || sm_acts="$1:$sm_word"
	for sm_inc in $(sed -n 's/.*\(s\{0,1\}include\)(`\{0,1\}\([^`'"'"'() ]*\)'"'"'\{0,1\}).*/\2/p' "$1" 2>/dev/null | head -n 40); do
		case $sm_inc in
		*/m4/cf.m4) sm_cfdir=${sm_inc%m4/cf.m4} ;;
		/*)
			case " $sm_includes " in *" $sm_inc "*) continue ;; esac
			sm_includes="$sm_includes $sm_inc"
			mh_file "$sm_inc"
			[ -r "$sm_inc" ] && sm_queue="$sm_queue $sm_inc"
			;;
		*) sm_acts="$1 (it includes $sm_inc by a relative path, which" ;;
		esac
	done
	while [ -n "$sm_queue" ]; do
		sm_queue=${sm_queue# }
		sm_next=${sm_queue%% *}
		case $sm_queue in *' '*) sm_queue=${sm_queue#* } ;; *) sm_queue= ;; esac
		sm_include "$sm_next" $(($2 + 1))
	done
}

# sm_m4 CF: what m4 makes of the source, on standard output alone. _NO_MAKEINFO_ and TEMPFILE keep sendmail's own
# cfhead.m4 from writing a file in /tmp for the "built by" comment.
sm_m4() {
	if ! mh_has m4; then
		mh_fact "sendmail:m4-refused:$1" "m4 is not installed"
		return 0
	fi
	sm_m4bin=$mh_path
	set -- "$1" -D_NO_MAKEINFO_ -DTEMPFILE=/dev/null
	if [ -z "$sm_cfdir" ]; then
		for sm_path in /usr/share/sendmail-cf/ /usr/share/sendmail/cf/ /usr/lib/mail/ /usr/lib/sendmail-cf/ /etc/mail/cf/; do
			[ -f "${sm_path}m4/cf.m4" ] && sm_cfdir=$sm_path && break
		done
		[ -n "$sm_cfdir" ] && set -- "$@" "-D_CF_DIR_=$sm_cfdir" "${sm_cfdir}m4/cf.m4"
	fi
	if [ -z "$sm_cfdir" ] || [ ! -f "${sm_cfdir}m4/cf.m4" ]; then
		mh_fact "sendmail:m4-refused:$1" "sendmail's m4 files are not installed"
		return 0
	fi
	mh_fact "sendmail:cf-dir:$1" "$sm_cfdir"
	sm_cf=$1
	shift
	mh_cmd "sendmail:m4:$sm_cf" 20 "$sm_m4bin" "$@" "$sm_mcfile"
}

# sm_one PROG CF: one configuration with everything it names.
sm_one() {
	mh_file "$2"
	sm_mc "$2"
	sm_list=$(sm_paths "$2")
	for sm_path in $(printf '%s\n' "$sm_list" | sed -n 's/^file //p'); do mh_file "$sm_path"; done
	for sm_path in $(printf '%s\n' "$sm_list" | sed -n 's/^secret //p'); do mh_secret "$sm_path"; done
	for sm_path in $(printf '%s\n' "$sm_list" | sed -n 's/^alias //p'); do mh_stat "$sm_path" "$sm_path.db"; done
	for sm_path in $(printf '%s\n' "$sm_list" | sed -n 's/^pid //p'); do sm_pidfile "$sm_path"; done
	for sm_path in $(printf '%s\n' "$sm_list" | sed -n 's/^map \([a-z]*\) /\1:/p'); do sm_map "${sm_path%%:*}" "${sm_path#*:}"; done
	sm_ask "$1" "$2"
}

# sm_names: the host's own qualified name and address, for the questions.
sm_names() {
	sm_host=$(hostname 2>/dev/null || uname -n)
	sm_fqdn=$sm_host
	case $sm_fqdn in
	*.*) ;;
	*) sm_fqdn=$(awk -v h="$sm_host" '!/^#/ { for (i = 2; i <= NF; i++) if (index($i, h ".") == 1) { print $i; exit } }' /etc/hosts 2>/dev/null) ;;
	esac
	[ -n "$sm_fqdn" ] || sm_fqdn=$sm_host
	mh_fact sendmail:fqdn "$sm_fqdn"
	sm_addr=
	if mh_has ip; then
		sm_addr=$("$mh_path" -o -4 addr show 2>/dev/null | awk '$4 !~ /^127\./ { sub(/\/.*/, "", $4); print $4; exit }')
	elif mh_has ifconfig; then
		sm_addr=$("$mh_path" -a 2>/dev/null | awk '$1 == "inet" { a = $2; sub(/^addr:/, "", a); if (a !~ /^127\./) { print a; exit } }')
	fi
	[ -n "$sm_addr" ] || sm_addr=127.0.0.1
}

# sm_seen: who sent mail through this host: the from= line names the client, the to= lines of the same queue id the mailers.
sm_seen() {
	mh_maillog | awk '
	function addr(s) { if (match(s, /\[(IPv6:)?[0-9a-fA-F.:]+\]/)) { s = substr(s, RSTART + 1, RLENGTH - 2); sub(/^IPv6:/, "", s); return s } return "" }
	!/(sendmail|sm-mta|sm-msp)[^ ]*\[[0-9]+\]: / { next }
	{
		stamp = $1; if (stamp !~ /^[0-9][0-9][0-9][0-9]-/) stamp = $1 " " $2 " " $3
		match($0, /\[[0-9]+\]: /); pid = substr($0, RSTART + 1, RLENGTH - 4); rest = substr($0, RSTART + RLENGTH)
		qid = rest; sub(/:.*/, "", qid)
	}
	rest ~ /AUTH=server, / { authed[pid] = addr(rest); next }
	rest ~ /: from=/ && rest ~ /, relay=/ {
		r = rest; sub(/^.*, relay=/, "", r); a = addr(r); if (a == "" && r ~ /@localhost|localhost/) a = "127.0.0.1"
		if (a != "") { client[qid] = a; auth[qid] = (a == authed[pid]) ? "auth" : "-" }
		next
	}
	rest ~ /: to=/ && rest ~ /, mailer=/ && (qid in client) {
		m = rest; sub(/^.*, mailer=/, "", m); sub(/,.*/, "", m)
		where = (m ~ /^(local|prog|procmail|cyrus|cyrusv2|lmtp|\*file\*|\*include\*|error)$/) ? "local" : "foreign"
		id = qid " " where; key = client[qid] "\t" auth[qid] "\t" where
		if (!(id in done)) { done[id] = 1; count[key]++ }
		last[key] = stamp
	}
	END { for (k in count) print k "\t" count[k] "\t" last[k] }' | sort | mh_seen sendmail
}

sendmail_collect() {
	sm_configs=
	sm_started=
	sm_options=
	sm_plain=
	sm_queue=
	sm_find
	sm_default_config
	if [ -z "$sm_programs" ]; then
		return 0
	fi
	sm_names
	sm_configs=${sm_configs# }
	mh_fact sendmail:configs "$sm_configs"
	mh_file /etc/mail/submit.cf /etc/mail/submit.mc /etc/mail/sendmail.conf /etc/mail/Makefile /etc/mail/databases /etc/sysconfig/sendmail
	mh_stat /etc/mail /etc/init.d/sendmail /lib/systemd/system/sendmail.service /usr/lib/systemd/system/sendmail.service
	for sm_config in $sm_configs; do
		sm_one "${sm_programs%% *}" "$sm_config"
	done
	mh_changelog sendmail-bin
	mh_changelog sendmail
	mh_service sendmail sm-client
	sm_seen
}
sendmail_collect
