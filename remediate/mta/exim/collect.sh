# Exim: finds every Exim of the host, prints its effective configuration and sources, and puts SMTP dialogues to `exim -bh`
# where the configuration holds nothing that acts. Facts are named exim:N:KEY, N counting the instances from 1.

# What every run of Exim stands in. Exim writes where one does not expect it: a configuration error goes to the panic log, and
# without keep_environment a warning to the main log. So it runs with an empty environment (ex_guard), where the system can do it in a
# mount namespace of its own in which logs and spool are read-only (ex_shield), and it may make no file grow.
ex_guard='ulimit -f 0 2>/dev/null; exec env -i "$@"'
ex_shield='mount -n --make-rprivate / || exit 125
for d in /var/log /var/log/exim /var/log/exim4 /var/spool /var/spool/exim /var/spool/exim4; do
	if [ -d "$d" ]; then
		mount -n --rbind "$d" "$d" && mount -n -o remount,bind,ro "$d" || exit 125
	fi
done
'
ex_same='exim_fresh() { :; }
'

# What keeps its notes in the hints database alone (ratelimit, seen) is asked with an empty spool over the live one: EX_SPOOL stands
# for its directory. The database must grow there, to 8 MiB at most, so no limit of 0 holds; instead every other file system is read-only.
# Each dialogue has an empty spool of its own (ex_renew): what one leaves there, the next would be judged by.
ex_roomy='ulimit -f 16384 2>/dev/null; exec env -i "$@"'
ex_cell='mount -n --make-rprivate / || exit 125
for d in /var/log /var/log/exim /var/log/exim4 /var/spool /var/spool/exim /var/spool/exim4 EX_SPOOL; do
	if [ -d "$d" ]; then
		mount -n --rbind "$d" "$d" && mount -n -o remount,bind,ro "$d" || exit 125
	fi
done
n=0
while read -r x d t o x; do
	case $o:$d in ro,* | *:/proc | *:/proc/* | *:/sys | *:/sys/* | *:/dev | *:/dev/* | *:/var/lib/docker/* | *:/var/lib/containers/*) continue ;; esac
	n=$((n + 1))
	[ "$n" -gt 40 ] || mount -n -o remount,bind,ro "$d" 2>/dev/null
done </proc/self/mounts
for d in / /etc /tmp /var/tmp /var/lib EX_SPOOL; do
	[ ! -w "$d" ] || exit 125
done
exim_spool() {
	mount -n -t tmpfs -o size=64m,mode=1777,nosuid,noexec,nodev none EX_SPOOL && mkdir -m 1777 EX_SPOOL/db EX_SPOOL/input EX_SPOOL/msglog
}
exim_spool || exit 125
'
ex_renew='exim_fresh() {
	[ -n "$ex_used" ] || { ex_used=yes; return 0; }
	umount -n EX_SPOOL 2>/dev/null
	exim_spool
}
ex_used=
'

# exim_shield: chooses ex_sh, ex_room and ex_limit, the shell and the texts that stand before the program; ex_wrap is both texts.
exim_shield() {
	ex_sh=sh
	ex_room=
	if mh_has unshare && unshare -m sh -c "$ex_shield$ex_guard" sh true </dev/null >/dev/null 2>&1; then
		ex_sh='unshare -m sh'
		ex_room=$ex_shield
	fi
	ex_again=$ex_same
	ex_limit=$ex_guard
	ex_wrap=$ex_room$ex_limit
}

# exim_x ARG...: runs the instance's program as the daemon would start, with its -C and -D, for 15 seconds at most: it may wait for a
# name server, a file that is a pipe, or for ever.
exim_x() {
	mh_within 15 $ex_sh -c "$ex_wrap" sh "$ex_prog" ${ex_cf:+-C "$ex_cf"} $ex_macros "$@"
}

# exim_out ARG...: what it prints on stdout, through a pipe: ksh93 catches a substitution in a file, which would not grow.
exim_out() {
	exim_x "$@" 2>/dev/null | cat
}

# exim_cmd NAME ARG...: the same as a recorded command.
exim_cmd() {
	ex_name=$1
	shift
	mh_cmd "exim:$ex_n:$ex_name" 10 $ex_sh -c "$ex_wrap" sh "$ex_prog" ${ex_cf:+-C "$ex_cf"} $ex_macros "$@"
}

# exim_words WORD...: sets ex_cf, ex_macros and ex_role from a daemon's command line. Behind "--" are addresses.
exim_words() {
	ex_cf=
	ex_macros=
	ex_role=other
	while [ $# -gt 0 ]; do
		case $1 in
		--) return 0 ;;
		-C) ex_cf=${2-} ;;
		-C?*) ex_cf=${1#-C} ;;
		-D?*) ex_macros="$ex_macros $1" ;;
		-bd | -bdf | -bw*) ex_role=daemon ;;
		esac
		shift
	done
}

# exim_same_root PID: true where the process sees the same files as we do.
exim_same_root() {
	[ -d "/proc/$1/root" ] || return 0
	ex_a=$(ls -di "/proc/$1/root/etc/." 2>/dev/null | awk '{print $1}')
	ex_b=$(ls -di /etc/. 2>/dev/null | awk '{print $1}')
	[ -z "$ex_a" ] || [ "$ex_a" = "$ex_b" ]
}

# exim_sound PROGRAM: true where nobody but root, or who we are, may change the file or put another in its place. Anybody may start a
# process of any name: what it says of itself is not run with our rights. Of groups, root's and those of the system's own files on
# older Unixes (2 bin, 3 sys) may write, and our own where we are not root.
exim_sound() {
	ex_a=$(readlink -f "$1" 2>/dev/null)
	[ -n "$ex_a" ] || ex_a=$1
	case $ex_a in /*) ;; *) return 1 ;; esac
	ex_groups="0 2 3 $(id 2>/dev/null | sed -n -e '/^uid=0[( ]/d' -e 's/.* gid=\([0-9]*\).*/\1/p')"
	while :; do
		ls -ldn "$ex_a" 2>/dev/null | "$ex_awk" -v me="$ex_me" -v groups=" $ex_groups " 'NR == 1 {
			ok = ($3 == 0 || $3 == me) && ($1 ~ /^[ld].*[tT]/ || $1 ~ /^l/ || substr($1, 9, 1) != "w" && (substr($1, 6, 1) != "w" || index(groups, " " $4 " ")))
		} END { exit !ok }' || return 1
		[ "$ex_a" != / ] || return 0
		ex_a=${ex_a%/*}
		[ -n "$ex_a" ] || ex_a=/
	done
}

# exim_trusted PID: true where a process is root's, our own, or listens on a port that only root may open: what stands on its command
# line may be given to a program that we run. From what port on everybody may listen, Linux says.
exim_trusted() {
	[ "$ex_me" = 0 ] || return 0
	ex_ports=$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start 2>/dev/null)
	printf '%s\n-\n%s\n' "$mh_listeners" "$mh_processes" | "$ex_awk" -v pid="$1" -v ports="${ex_ports:-1024}" '
		$0 == "-" { FS = "\t"; table = 1; next }
		!table { p = $1; sub(/.*:/, "", p); if ($2 == pid && p + 0 > 0 && p + 0 < 1024 && p + 0 < ports + 0) ok = 1; next }
		$1 + 0 == pid && ($3 == 0 || $3 == "root") { ok = 1 }
		END { exit !ok }'
}

# exim_daemon PID: one running process that was started as a daemon.
exim_daemon() {
	ex_prog=$(readlink "/proc/$1/exe" 2>/dev/null)
	ex_prog=${ex_prog% (deleted)}
	[ -n "$ex_prog" ] && [ -x "$ex_prog" ] || ex_prog=$2
	exim_words "$@"
	[ "$ex_role" = daemon ] || return 0
	case $ex_done in *"|$ex_prog;$ex_cf;$ex_macros|"*) return 0 ;; esac
	exim_sound "$ex_prog" || {
		mh_problem "exim process $1 runs a program that others than root may replace: it is not asked for its configuration"
		return 0
	}
	[ -z "$ex_cf$ex_macros" ] || exim_trusted "$1" || {
		mh_problem "exim process $1 names a configuration of its own, and is not root's: it is not collected"
		return 0
	}
	exim_same_root "$1" || {
		mh_problem "exim process $1 runs in a file system of its own: its configuration is not collected"
		return 0
	}
	exim_instance "$1"
}

# exim_instance PID: collects ex_prog with ex_cf and ex_macros, once; PID is empty for one that does not run.
exim_instance() {
	case $ex_done in *"|$ex_prog;$ex_cf;$ex_macros|"*) return 0 ;; esac
	ex_i=$(exim_out -bV)
	case $ex_i in
	"Exim version"*) ;;
	*)
		exim_x -bV >/dev/null 2>&1
		[ $? -ne 124 ] || mh_problem "$ex_prog did not say its version in 15 seconds: it is not asked"
		return 0
		;;
	esac
	ex_done="$ex_done|$ex_prog;$ex_cf;$ex_macros|"
	ex_progs="$ex_progs|$ex_prog|"
	ex_n=$((ex_n + 1))
	mh_fact "exim:$ex_n:program" "$ex_prog"
	mh_fact "exim:$ex_n:config" "$ex_cf"
	mh_fact "exim:$ex_n:macros" "$ex_macros"
	mh_fact "exim:$ex_n:pid" "$1"
	mh_package "$ex_prog"
	exim_config
	exim_sources
	exim_reread "$1"
	exim_questions
	exim_seen
}

# exim_options: `exim -bP config` on stdout. It is the whole configuration with macros, conditions and includes carried out.
exim_options() {
	exim_out -bP config
}

# exim_mask: takes from an option listing what may be a secret: hidden options, values of authenticators and transports,
# servers of data bases, macros, passwords in look-ups. $1 = names of hidden options, separated by |.
exim_mask() {
	"$ex_awk" -v hidden="$1" '
	function without(s, secret,    i, out) {
		out = ""
		while ((i = index(s, secret)) > 0) { out = out substr(s, 1, i - 1) "<hidden>"; s = substr(s, i + length(secret)) }
		return out s
	}
	/^begin / { sec = $2 }
	/^[A-Z][A-Za-z0-9_]*[ \t]*=/ && tolower($1) ~ /pass|pw|secret|key|cred|token/ {
		value = $0; sub(/^[^=]*=[ \t]*/, "", value)
		if (length(value) >= 4 && value !~ /^\//) secrets[++ns] = value
		next
	}
	{ for (i = 1; i <= ns; i++) $0 = without($0, secrets[i]) }
	/^[ \t]*hide[ \t]/ { print $1, $2, $3 ~ /^=/ ? "=" : $3, "<hidden>"; next }
	/^_?[A-Z][A-Za-z0-9_]*[ \t]*=/ { next }
	{
		name = $1; sub(/=.*/, "", name)
		value = index($0, "=")
		if (value && (index("|" hidden "|", "|" name "|") || name ~ /_servers$/ || name ~ /secret|passw|private_?key/)) {
			print substr($0, 1, value), "<hidden>"; next
		}
		if (value && (sec == "authenticators" || sec == "transports") && name !~ /^(driver|public_name|server_advertise_condition)$/) next
		gsub(/pass(wd|word)?[ \t]*=[ \t]*[^ \t}"]+/, "pass=<hidden>")
		print
	}'
}

# exim_config: version, effective main options, named lists and the whole effective configuration.
exim_config() {
	exim_cmd version -bV
	ex_broken=
	exim_x -bV >/dev/null 2>&1 || ex_broken=yes
	exim_file
	mh_fact "exim:$ex_n:file" "$ex_file"
	ex_text=
	ex_main=
	ex_listed=
	[ -z "$ex_broken" ] || return 0
	ex_text=$(exim_options)
	case $ex_text in "# Exim Configuration"*) ;; *) ex_text= ;; esac
	ex_hidden=$(printf '%s\n' "$ex_text" | sed -n 's/^[ ]*hide[ ][ ]*\([a-z0-9_]*\).*/\1/p' | tr '\n' '|')
	ex_clean=$(printf '%s\n' "$ex_text" | exim_mask "$ex_hidden")
	ex_main=$(exim_out -bP)
	printf '%s\n' "$ex_main" | exim_mask "$ex_hidden" | mh_ask "exim:$ex_n:main" 10 cat
	[ -z "$ex_clean" ] || printf '%s\n' "$ex_clean" | mh_ask "exim:$ex_n:config" 10 cat
	ex_lists=$(printf '%s\n' "$ex_text" | sed -n 's/^\(domainlist\|hostlist\)_*[ ][ ]*\([A-Za-z0-9_]*\).*/+\2/p' | sed -n 1,40p)
	[ -n "$ex_lists" ] || ex_lists=$(printf '%s\n' "$ex_text" | "$ex_awk" '$1=="domainlist"||$1=="hostlist"{print "+" $2}' | sed -n 1,40p)
	[ -z "$ex_lists" ] || ex_listed=$(exim_out -bP $ex_lists | exim_mask "$ex_hidden")
	[ -z "$ex_listed" ] || printf '%s\n' "$ex_listed" | mh_ask "exim:$ex_n:lists" 10 cat
	exim_out -bP macros | sed -n 's/^\(_[A-Z][A-Za-z0-9_]*\)=.*/\1/p' | mh_ask "exim:$ex_n:builtin" 10 cat
	set -- hosts_proxy hosts_xclient tls_eccurve limits_advertise_hosts dkim_verify_hashes smtp_backlog_monitor allow_insecure_tainted_data
	ex_v=$mh_nl$(exim_x -bP "$@" 2>&1 | cat)
	for ex_o; do
		case $ex_v in *"$mh_nl$ex_o is not a known option"*) ;; *"$mh_nl$ex_o"* | *"${mh_nl}no_$ex_o"*) mh_fact "exim:$ex_n:has:$ex_o" yes ;; esac
	done
}

# exim_file: sets ex_file, the configuration file that this instance reads. A broken one is named by the search path alone.
exim_file() {
	ex_file=$ex_cf
	[ -n "$ex_file" ] || ex_file=$(exim_out -bV | sed -n 's/^Configuration file is //p' | sed -n 1p)
	[ -z "$ex_file" ] || return 0
	ex_list=$(exim_out -bV | sed -n 's/^Configuration file search path is //p' | tr ':' ' ')
	for ex_f in ${ex_list:-/etc/exim4/exim4.conf /var/lib/exim4/config.autogenerated /etc/exim/exim.conf /etc/exim.conf /usr/exim/configure}; do
		if [ -f "$ex_f" ]; then
			ex_file=$ex_f
			return 0
		fi
	done
}

# exim_opt NAME: the value of a main option.
exim_opt() {
	printf '%s\n' "$ex_main" | sed -n "/^$1 = /{s///p;q;}"
}

# exim_reread PID: the main log's last line of the daemon's that it has read its configuration. A HUP leaves process and pid file as they were.
exim_reread() {
	ex_f=$(exim_opt log_file_path | sed -n 's|^\(/[^:]*\)%s\([^:%]*\)$|\1main\2|p')
	[ -n "$1" ] && [ -f "$ex_f" ] || return 0
	ex_i=$({ tail -c 8000000 "$ex_f.1"; tail -c 8000000 "$ex_f"; } 2>/dev/null | LC_ALL=C grep "^[-0-9+:. ]*\(\[[0-9]*\] \)\{0,1\}exim [0-9.]* daemon started: pid=$1," | sed -n '$p')
	[ -z "$ex_i" ] || mh_fact "exim:$ex_n:reread" "$ex_i"
}

# exim_sources: the files that the configuration is made of.
exim_sources() {
	[ -z "$ex_file" ] || mh_file "$ex_file"
	ex_seenfiles=
	exim_includes "$ex_file" 0
	for ex_i in $(printf '%s\n' "$ex_text" | sed -n 's/^# [0-9]* "\(\/[^" ]*\)"$/\1/p' | sort -u | sed -n 1,60p); do
		mh_file "$ex_i"
		ex_seenfiles="$ex_seenfiles|$ex_i|"
	done
	if [ -x /usr/sbin/update-exim4.conf ]; then
		mh_file /etc/exim4/update-exim4.conf.conf /etc/exim4/exim4.conf /etc/exim4/exim4.conf.template
		mh_file /etc/exim4/exim4.conf.localmacros /etc/mailname
		mh_tree /etc/exim4/conf.d 200
		mh_secret /etc/exim4/passwd /etc/exim4/passwd.client
		mh_stat /usr/sbin/update-exim4.conf
		mh_fact exim:debian:tool "$(sed -n 's/^UPEX4C_version="\(.*\)"/\1/p' /usr/sbin/update-exim4.conf | sed -n 1p)"
		mh_fact exim:debian:fqdn "$(hostname --fqdn 2>/dev/null)"
	fi
	for ex_f in $(exim_listfiles); do
		case $ex_f in *passw* | *secret* | */passwd.client) mh_secret "$ex_f" ;; *) mh_file "$ex_f" ;; esac
	done
	for ex_f in /usr/sbin/exiqgrep "$ex_prog"; do mh_stat "$ex_f"; done
	ex_pidfile=$(exim_opt pid_file_path)
	case $ex_pidfile in /*) mh_stat "$ex_pidfile" ;; esac
	exim_changelog
}

# exim_changelog: the identifiers that the changelogs of the packages that Exim is made of name as fixed; its advisories have a
# form of their own.
exim_changelog() {
	for ex_p in exim4-base exim4-daemon-heavy exim4-daemon-light exim; do
		[ -d "/usr/share/doc/$ex_p" ] && mh_changelog "$ex_p"
	done
	mh_fact fixed:exim-advisories "$({ gzip -dc /usr/share/doc/exim4-base/changelog.Debian.gz || rpm -q --changelog exim; } 2>/dev/null | "$ex_awk" '
	{
		while (match($0, /[Ee][Xx][Ii][Mm]-[Ss][Ee][Cc][Uu][Rr][Ii][Tt][Yy]-[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9](\.[0-9]+)?/)) {
			id = "EXIM-Security" substr($0, RSTART + 13, RLENGTH - 13); $0 = substr($0, RSTART + RLENGTH)
			if (!(id in told) && n++ < 100) { told[id] = 1; printf "%s ", id }
		}
	}')"
}

# exim_includes FILE DEPTH: emits the files that FILE includes by a fixed name, and theirs.
exim_includes() {
	[ "$2" -lt 8 ] && [ -r "$1" ] || return 0
	for ex_i in $(sed -n 's/^[ \t]*\.include\(_if_exists\)*[ \t][ \t]*"*\([^" \t]*\).*/\2/p' "$1" | sed -n 1,50p); do
		case $ex_i in
		/*) ;;
		*[a-z]*) ex_i=$(dirname "$1")/$ex_i ;;
		*) continue ;;
		esac
		case $ex_seenfiles in *"|$ex_i|"*) continue ;; esac
		ex_seenfiles="$ex_seenfiles|$ex_i|"
		mh_file "$ex_i"
		exim_includes "$ex_i" $(($2 + 1))
	done
}

# exim_listfiles: absolute names of the files used as lists of hosts, domains and addresses (plain, lsearch, net-iplsearch ...).
exim_listfiles() {
	printf '%s\n%s\n' "$ex_listed" "$ex_text" | "$ex_awk" '
	/^begin / { sec = $2 }
	sec != "" && sec != "acl" && sec != "routers" { next }
	/^(domainlist|hostlist|addresslist|localpartlist)[ \t]/ || /^[ \t]*(!|[a-z]+[ \t]+!?)?(hosts|domains|senders|sender_domains|recipients|host_lookup|[a-z_]+_hosts)[ \t]*=/ {
		n = split($0, w, /[ \t;:={},"]+/)
		for (i = 1; i <= n; i++) if (w[i] ~ /^\/[A-Za-z0-9_.\/+-]+$/ && w[i] !~ /^\/[0-9]+$/ && !(w[i] in done) && cut < 40) { done[w[i]] = 1; cut++; print w[i] }
	}'
}

# exim_acts: prints, one a line, what of the effective configuration on stdin would act if a dialogue ran it. It errs to the
# safe side. A condition on a file that does not exist ends its block: ${if exists{FILE}{FILE}{}} is then an empty list.
# $1 = those files, each within ":".
exim_acts() {
	"$ex_awk" -v absent="$1" '
	function why(text) { if (!(text in told) && nwhy < 8) { told[text] = 1; nwhy++; print text } }
	function look(l, where) {
		if (l ~ /\$\{[ \t]*run[ \t{,]/) why("${run} in " where)
		if (l ~ /\$\{[ \t]*readsocket/) why("${readsocket} in " where)
		if (l ~ /\$\{[ \t]*perl/) why("${perl} in " where)
		if (l ~ /\$\{[ \t]*dlfunc/) why("${dlfunc} in " where)
		if (l ~ /\$\{[ \t]*expand[ \t]*:/ || l ~ /\$\{[ \t]*eexpand/) why("${expand:} in " where)
		if (l ~ /(lookup[ \t]*|[{;: =])(sqlite|redis)[ \t,{;]/) why("a look-up that may write (sqlite, redis) in " where)
		if (l ~ /(mysql|pgsql|oracle|ibase)[ \t,{;]/ && l ~ /(insert|update|delete|replace|create|drop|alter|truncate|merge|call|execute|grant|set|lock|into)[^a-z_]/) why("a writing query in " where)
	}
	/^begin / { sec = $2; dead = 0; next }
	/^#/ { next }
	{
		l = tolower($0); sub(/^[ \t]+/, "", l)
		if (sec == "transports" || sec == "retry") next
		if (sec == "authenticators" && l !~ /^server_advertise_condition/) next
		if (sec == "") {
			if (l ~ /^perl_startup/) { why("perl_startup"); next }
			look(l, "the main options"); next
		}
		if (sec == "routers") {
			if (l ~ /^[a-z0-9_]+:[ \t]*$/) { flush(); name = l; sub(/:.*/, "", name); next }
			if (l ~ /^driver[ \t]*=[ \t]*(queryprogram|iplookup)/) why("router " name " runs a program or asks a server")
			if (l ~ /^(allow_filter|allow_filter[ \t]*=[ \t]*(true|yes))$/) filter = 1
			if (l ~ /^(no_verify|verify[ \t]*=[ \t]*(false|no))$/) noverify = 1
			look(l, "router " name); next
		}
		if (sec != "acl") { look(l, sec); next }
		if (l ~ /^[a-z0-9_$]+:[ \t]*$/) { name = l; sub(/:.*/, "", name); dead = 0; next }
		if (l ~ /^(accept|deny|defer|discard|drop|require|warn)([ \t]|$)/) { dead = 0; sub(/^[a-z]+[ \t]*/, "", l) }
		if (dead || l == "") next
		where = "acl " name
		if (l ~ /^(hosts|senders|recipients|domains|sender_domains)[ \t]*=[ \t]*"?\$\{if exists[ \t]*\{[^}]*\}[ \t]*\{[^}]*\}[ \t]*\{\}\}"?$/) {
			path = $0; sub(/^[^{]*\{if exists[ \t]*\{/, "", path); sub(/\}.*/, "", path)
			if (index(absent, ":" path ":")) { dead = 1; next }
		}
		if (l ~ /^!?[ \t]*(ratelimit|seen|spam|malware|udpsend)[ \t]*=/) { sub(/[ \t]*=.*/, "", l); sub(/^![ \t]*/, "", l); why(l " in " where); next }
		if (l ~ /^!?[ \t]*verify[ \t]*=.*callout/) why("callout in " where)
		if (l ~ /^!?[ \t]*acl[ \t]*=[ \t]*("?\/|.*\$)/) why("an ACL named by a file or an expansion in " where)
		look(l, where)
	}
	function flush() { if (filter && !noverify) why("filter files of router " name); filter = noverify = 0 }
	END { flush() }'
}

# exim_unreached: takes from the effective configuration on stdin the ACLs that only a message, STARTTLS or AUTH would reach.
exim_unreached() {
	"$ex_awk" '
	{ line[NR] = $0 }
	/^[ \t]*!?acl[ \t]*=.*\$/ || /\$\{acl/ || /[ \t]!?acl[ \t]*=.*[$]/ { dynamic = 1 }
	/^acl_(smtp_(data|data_prdr|mime|dkim|predata|etrn|auth|starttls|mailauth)|not_smtp|not_smtp_mime|not_smtp_start)[ \t]*=/ { late[$3]++ }
	{ n = split($0, w, /[^A-Za-z0-9_]+/); for (i = 1; i <= n; i++) uses[w[i]]++ }
	END {
		for (i = 1; i <= NR; i++) {
			l = line[i]
			if (l ~ /^begin /) sec = l
			if (sec == "begin acl" && l ~ /^[ \t]*[A-Za-z0-9_]+:[ \t]*$/) {
				name = l; gsub(/[ \t:]/, "", name)
				skip = !dynamic && (name in late) && uses[name] == late[name] + 1
			}
			if (sec != "begin acl") skip = 0
			if (!skip) print l
		}
	}'
}

# exim_raw: the configuration's files as one text, for an Exim that has no `-bP config`: conditions are not carried out, so it
# holds more than the effective configuration, never less.
exim_raw() {
	cat "$ex_file" $(printf '%s' "$ex_seenfiles" | tr '|' '\n' | sort -u) 2>/dev/null |
		"$ex_awk" '/^[ \t]*#/ { next } { if (keep) sub(/^[ \t]+/, "") } /\\[ \t]*$/ { sub(/\\[ \t]*$/, ""); printf "%s", $0; keep = 1; next } { keep = 0; print }'
}

exim_questions() {
	if [ -n "$ex_broken" ]; then
		mh_fact "exim:$ex_n:not-asked" "Exim does not take its configuration"
		return 0
	fi
	ex_scan=$ex_text
	[ -n "$ex_scan" ] || ex_scan=$(exim_raw)
	if [ -z "$ex_scan" ]; then
		mh_fact "exim:$ex_n:not-asked" "the configuration could not be read"
		return 0
	fi
	ex_paths=$(printf '%s\n' "$ex_scan" | tr '}' '\n' | sed -n 's/.*exists[ ]*{\(\/[^ ]*\)$/\1/p' | sort -u | sed -n 1,100p)
	ex_absent=:
	for ex_f in $ex_paths; do [ -e "$ex_f" ] || ex_absent="$ex_absent$ex_f:"; done
	ex_why=$(printf '%s\n' "$ex_scan" | exim_unreached | exim_acts "$ex_absent" | tr '\n' ';')
	if [ -n "$ex_why" ] && ! exim_enclose; then
		mh_fact "exim:$ex_n:not-asked" "asking would run ${ex_why%;}"
		return 0
	fi
	exim_names
	exim_dialogues
	[ -z "$ex_why" ] || exim_shield
}

# exim_enclose: where all of ex_why keeps to the hints database and namespaces work, has the dialogues speak to an empty spool.
exim_enclose() {
	case $(printf '%s' "$ex_why" | tr ';' '\n' | sed '/^ratelimit in acl /d; /^seen in acl /d; /^$/d') in ?*) return 1 ;; esac
	[ "$ex_sh" = 'unshare -m sh' ] || return 1
	ex_spool=$(exim_opt spool_directory)
	case $ex_spool in *[!A-Za-z0-9_./-]* | '' | / | *..*) return 1 ;; /*/*) ;; *) return 1 ;; esac
	[ -d "$ex_spool" ] || return 1
	ex_i=$(printf '%s\n' "$ex_cell" | sed "s|EX_SPOOL|$ex_spool|g")$mh_nl
	$ex_sh -c "$ex_i$ex_roomy" sh true </dev/null >/dev/null 2>&1 || return 1
	ex_room=$ex_i
	ex_again=$(printf '%s\n' "$ex_renew" | sed "s|EX_SPOOL|$ex_spool|g")$mh_nl
	ex_limit=$ex_roomy
	ex_wrap=$ex_room$ex_limit
	mh_fact "exim:$ex_n:enclosed" "${ex_why%;}"
}

# exim_collect: the daemons that run first, then the programs that are installed.
exim_collect() {
	ex_n=0
	ex_done=
	ex_progs=
	ex_awk=awk
	[ -x /usr/xpg4/bin/awk ] && ex_awk=/usr/xpg4/bin/awk
	ex_me=$(id 2>/dev/null | sed -n 's/^uid=\([0-9]*\).*/\1/p')
	exim_shield
	ex_tab=$(printf '\t')
	ex_procs=$(mh_running exim exim4)
	for ex_pid in $(printf '%s\n' "$ex_procs" | sed -n 's/^\([0-9][0-9]*\).*/\1/p'); do
		set -f
		exim_daemon "$ex_pid" $(printf '%s\n' "$ex_procs" | sed -n "s/^$ex_pid$ex_tab//p")
		set +f
	done
	ex_pid=
	ex_cf=
	ex_macros=
	for ex_i in exim4 exim exim-4; do
		mh_has "$ex_i" || continue
		ex_prog=$(readlink -f "$mh_path" 2>/dev/null)
		[ -n "$ex_prog" ] || ex_prog=$mh_path
		case $ex_progs in *"|$ex_prog|"*) ;; *) exim_instance "" ;; esac
	done
	mh_fact exim:instances "$ex_n"
	[ "$ex_n" = 0 ] || mh_service exim4 exim
}

exim_collect
