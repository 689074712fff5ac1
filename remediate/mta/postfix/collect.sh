# Postfix: every instance of this host, its files, what postconf makes of them, and who sent mail through it.
# Only postconf and postmulti -l are run: they read. "postfix check" repairs directories, so it is never run here.

postfix_collect() {
	pf_postconf=
	if mh_has postconf; then pf_postconf=$mh_path; fi
	pf_running=$(pf_masters)
	pf_newline
	for pf_line in $pf_running; do mh_fact "postfix:running:${pf_line#* }" "${pf_line%% *}"; done
	pf_blank
	if [ -z "$pf_postconf" ]; then
		if mh_has postfix; then mh_problem "postfix is here ($mh_path) and postconf is not"; fi
		return 0
	fi
	mh_fact postfix:postconf "$pf_postconf"
	mh_package "$pf_postconf"
	pf_default=$("$pf_postconf" -h config_directory 2>/dev/null </dev/null)
	[ -n "$pf_default" ] || pf_default=/etc/postfix
	mh_fact postfix:default "$pf_default"
	pf_n=0
	pf_done=
	pf_all=$(pf_dirs)
	pf_newline
	for pf_dir in $pf_all; do
		case " $pf_done " in *" $pf_dir "*) continue ;; esac
		pf_done="$pf_done $pf_dir"
		pf_n=$((pf_n + 1))
		if [ "$pf_n" -gt 16 ]; then
			mh_problem "more than 16 postfix instances: $pf_dir and later ones were not read"
			break
		fi
		pf_blank
		pf_instance "$pf_dir"
		pf_newline
	done
	pf_blank
	if mh_has postmulti; then mh_cmd postfix:postmulti 10 "$mh_path" -l; fi
	mh_changelog postfix
	mh_service postfix
	mh_maillog | pf_sum | mh_seen postfix
}

# Words are split at line ends only, and nothing is globbed: a host's own file names pass through here.
pf_newline() {
	set -f
	IFS='
'
}

pf_blank() {
	set +f
	IFS=' 	
'
}

# Every running master of Postfix as "PID CONFIGDIR". Other programs are named master too (Cyrus): ours has smtpd beside it.
pf_masters() {
	mh_running master | while read -r pf_pid pf_argv; do
		case $pf_pid in '' | *[!0-9]*) continue ;; esac
		pf_exe=$(ls -l "/proc/$pf_pid/exe" 2>/dev/null | sed 's/.* -> //')
		[ -n "$pf_exe" ] || pf_exe=${pf_argv%% *}
		pf_bin=${pf_exe%/*}
		[ -x "$pf_bin/smtpd" ] || continue
		pf_dir=
		set -f
		# The words of the argument list: -c names the configuration directory.
		# shellcheck disable=SC2086
		set -- $pf_argv
		set +f
		while [ $# -gt 1 ]; do
			if [ "$1" = -c ]; then pf_dir=$2; fi
			shift
		done
		if [ -z "$pf_dir" ] && [ -r "/proc/$pf_pid/environ" ]; then
			pf_dir=$(tr '\000' '\n' <"/proc/$pf_pid/environ" 2>/dev/null | sed -n 's/^MAIL_CONFIG=//p' | sed -n 1p)
		fi
		if [ -z "$pf_dir" ] && [ -n "$pf_postconf" ]; then
			pf_dir=$("$pf_postconf" -d -h config_directory 2>/dev/null </dev/null)
		fi
		[ -n "$pf_dir" ] || pf_dir=/etc/postfix
		# One in a container of this machine has another root: it is not this host's.
		if [ -d "/proc/$pf_pid/root/" ] && [ "$(ls -di "/proc/$pf_pid/root/" / 2>/dev/null | sed 's/^ *\([0-9]*\) .*/\1/' | sort -u | wc -l)" -gt 1 ]; then
			continue
		fi
		printf '%s %s\n' "$pf_pid" "$pf_dir"
	done
}

# The configuration directories: of what runs, of postconf, and the instances that the first main.cf names.
pf_dirs() {
	printf '%s\n' "$pf_running" | sed -n 's/^[0-9]* \(.*\)/\1/p'
	printf '%s\n' "$pf_default"
	"$pf_postconf" -c "$pf_default" -h multi_instance_directories 2>/dev/null </dev/null | tr ', \t' '\n\n\n' | sed '/^$/d'
}

pf_instance() {
	pf_c=$1
	mh_file "$pf_c/main.cf" "$pf_c/master.cf" "$pf_c/dynamicmaps.cf"
	if [ ! -r "$pf_c/main.cf" ]; then mh_problem "cannot read $pf_c/main.cf"; fi
	pf_version=$("$pf_postconf" -c "$pf_c" -d -h mail_version 2>/dev/null </dev/null)
	mh_fact "postfix:version:$pf_c" "$pf_version"
	mh_cmd "postfix:$pf_c:now" 20 "$pf_postconf" -c "$pf_c" mail_version myhostname mydomain mynetworks inet_interfaces \
		queue_directory command_directory daemon_directory data_directory setgid_group mail_owner default_database_type
	mh_cmd "postfix:$pf_c:n" 20 "$pf_postconf" -c "$pf_c" -n
	mh_cmd "postfix:$pf_c:d" 20 "$pf_postconf" -c "$pf_c" -d
	mh_cmd "postfix:$pf_c:m" 20 "$pf_postconf" -c "$pf_c" -m
	case $pf_version in
	2.[0-8] | 2.[0-8].* | '') ;;
	2.9 | 2.9.* | 2.10 | 2.10.*) mh_cmd "postfix:$pf_c:M" 20 "$pf_postconf" -c "$pf_c" -M ;;
	*)
		mh_cmd "postfix:$pf_c:M" 20 "$pf_postconf" -c "$pf_c" -M
		mh_cmd "postfix:$pf_c:P" 20 "$pf_postconf" -c "$pf_c" -P
		mh_cmd "postfix:$pf_c:x" 20 "$pf_postconf" -c "$pf_c" -n -x
		;;
	esac
	pf_queue=$("$pf_postconf" -c "$pf_c" -h queue_directory 2>/dev/null </dev/null)
	pf_command=$("$pf_postconf" -c "$pf_c" -h command_directory 2>/dev/null </dev/null)
	pf_daemon=$("$pf_postconf" -c "$pf_c" -h daemon_directory 2>/dev/null </dev/null)
	mh_stat "$pf_command/postsuper" "$pf_command/postdrop" "$pf_command/postqueue" "$pf_daemon/master" "$pf_queue" \
		"$pf_queue/etc/resolv.conf" "$pf_queue/etc/hosts" "$pf_queue/etc/services" "$pf_queue/etc/nsswitch.conf" "$pf_c"
	pf_tables "$pf_c"
}

# The text of both files with the directory's own references resolved, one word a line.
pf_words() {
	{
		"$pf_postconf" -c "$1" -n -x 2>/dev/null </dev/null
		cat "$1/main.cf" "$1/master.cf" 2>/dev/null
	} | sed -e 's/^[ 	]*#.*//' -e "s,\\\$config_directory,$1,g" -e "s,\\\${config_directory},$1,g" -e "s,\\\$(config_directory),$1,g" |
		tr ' ,=\t{}\r' '\n\n\n\n\n\n\n' | sed -e 's/^!*//' -e '/^$/d'
}

# Every table and list file that the configuration names, and those that its lists name in turn.
pf_tables() {
	pf_secret=$(pf_paths "$1" smtp_sasl_password_maps lmtp_sasl_password_maps)
	pf_aliases=$(pf_paths "$1" alias_maps alias_database)
	pf_refs1=$(pf_words "$1" | pf_refs | sort -u | sed -n '1,400p')
	pf_newline
	for pf_t in $pf_secret; do mh_secret "$pf_t"; done
	for pf_t in $pf_aliases; do mh_stat "$pf_t" "$pf_t.db" "$pf_t.lmdb" "$pf_t.cdb"; done
	for pf_line in $pf_refs1; do pf_table "${pf_line%% *}" "${pf_line#* }"; done
	pf_refs2=$(for pf_line in $pf_refs1; do pf_nested "${pf_line%% *}" "${pf_line#* }"; done | sort -u | sed -n '1,200p')
	for pf_line in $pf_refs2; do pf_table "${pf_line%% *}" "${pf_line#* }"; done
	pf_blank
}

# The paths of the tables that the named parameters hold, one a line.
pf_paths() {
	pf_conf=$1
	shift
	"$pf_postconf" -c "$pf_conf" -h "$@" 2>/dev/null </dev/null | tr ' ,\t' '\n\n\n' | sed -n 's/^.*:\(\/.*\)/\1/p'
}

# The tables that a list file or a table's right-hand sides name.
pf_nested() {
	case $1 in file | cidr | pcre | regexp | hash | btree | lmdb | cdb | dbm | texthash) ;; *) return 0 ;; esac
	[ -f "$2" ] && [ -r "$2" ] || return 0
	sed -n -e '20000q' -e 's/^[ 	]*#.*//' -e p "$2" 2>/dev/null | tr ' ,=\t{}\r' '\n\n\n\n\n\n\n' | sed -e 's/^!*//' | pf_refs | sed -e '/^file /d' -e 50q
}

# "TYPE PATH" for each word that is type:/path; "file PATH" for a bare path that could be a list. Nested tables lose their outer type.
pf_refs() {
	sed -n -e 's/^proxy://' \
		-e 's/^\(hash\):\(\/.*\)/\1 \2/p' -e 's/^\(btree\):\(\/.*\)/\1 \2/p' -e 's/^\(lmdb\):\(\/.*\)/\1 \2/p' \
		-e 's/^\(cdb\):\(\/.*\)/\1 \2/p' -e 's/^\(dbm\):\(\/.*\)/\1 \2/p' -e 's/^\(sdbm\):\(\/.*\)/\1 \2/p' \
		-e 's/^\(texthash\):\(\/.*\)/\1 \2/p' -e 's/^\(cidr\):\(\/.*\)/\1 \2/p' -e 's/^\(regexp\):\(\/.*\)/\1 \2/p' \
		-e 's/^\(pcre\):\(\/.*\)/\1 \2/p' -e 's/^\(ldap\):\(\/.*\)/\1 \2/p' -e 's/^\([a-z]*sql\):\(\/.*\)/\1 \2/p' \
		-e 's/^\(sqlite\):\(\/.*\)/\1 \2/p' -e 's/^\(memcache\):\(\/.*\)/\1 \2/p' -e 's/^\/\(.*\)/file \/\1/p'
}

pf_table() {
	case $2 in */../* | *' '* | *_scache | *_cache | */prng_exch) return 0 ;; esac
	for pf_s in $pf_secret $pf_aliases; do
		if [ "$pf_s" = "$2" ]; then return 0; fi
	done
	case $1 in
	file)
		# A bare path is a list only where it names a text file outside the places of programs, keys and queues.
		case $2 in /bin/* | /sbin/* | /usr/bin/* | /usr/sbin/* | /usr/lib* | /dev/* | /proc/* | /var/spool/* | *.pem | *.key | *.crt | *.chain) return 0 ;; esac
		if [ -f "$2" ]; then mh_file "$2"; fi
		;;
	hash | btree | dbm | sdbm | lmdb | cdb)
		mh_file "$2"
		mh_stat "$2.db" "$2.lmdb" "$2.cdb" "$2.dir" "$2.pag"
		;;
	*) mh_file "$2" ;;
	esac
}

# Sums the log: a message's client comes from smtpd's line, its destination from the delivery agent's. Mail that a content filter
# brings back counts for the client it first came from (orig_client). Mail to a declared relay domain goes by "relay/smtp".
pf_sum() {
	awk '
	function inside(text, from, to,   i, rest) {
		i = index(text, from); if (!i) return ""
		rest = substr(text, i + length(from)); i = index(rest, to); if (!i) return ""
		return substr(rest, 1, i - 1)
	}
	/postfix.*\/smtpd\[[0-9]+\]: [0-9A-Za-z]+: client=/ {
		split($0, part, /\]: /); id = part[2]; sub(/:.*/, "", id)
		if (index($0, "orig_client=")) text = substr($0, index($0, "orig_client="))
		else text = substr($0, index($0, " client=") + 1)
		client[id] = inside(text, "[", "]")
		auth[id] = index($0, "sasl_username=") ? "auth" : "-"
		next
	}
	/postfix.*\[[0-9]+\]: [0-9A-Za-z]+: to=</ {
		split($0, part, /\]: /); id = part[2]; sub(/:.*/, "", id)
		if (!(id in client) || client[id] == "") next
		where = "local"
		if ($0 ~ /\/smtp\[/ && $0 !~ /\/relay\/smtp\[/) {
			if (index($0, "relay=127.") || index($0, "relay=localhost[")) next
			where = "foreign"
		}
		key = client[id] "\t" auth[id] "\t" where
		count[key]++
		last[key] = ($1 ~ /^[0-9][0-9][0-9][0-9]-/) ? $1 : $1 " " $2 " " $3
		next
	}
	/postfix.*\/qmgr\[[0-9]+\]: [0-9A-Za-z]+: removed/ {
		split($0, part, /\]: /); id = part[2]; sub(/:.*/, "", id)
		delete client[id]; delete auth[id]
	}
	END { for (key in count) print key "\t" count[key] "\t" last[key] }'
}

postfix_collect
