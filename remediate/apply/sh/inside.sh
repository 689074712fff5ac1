# The first process of the stage's namespaces. $1 is the stage's directory, $2 how many seconds they may live.
stage=$1
life=$2
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
umask 077
fail() {
	printf '%s\n' "$*" >"$stage/failed"
	exit 1
}
# Its number as the host counts, while the host's /proc is still the one in view, and when it began.
read -r line </proc/self/stat
pid=${line%% *}
rest=${line##*) }
set -f
# shellcheck disable=SC2086
set -- $rest
set +f
shift 19
start=$1

mount -n --make-rprivate / || fail "cannot keep mounts apart"
mount -n --bind "$stage" "$stage" || fail "cannot bind $stage" # it stays writable
# The live sockets that stay in reach, before what hides them.
k=0
if [ -f "$stage/sockets" ]; then
	while IFS= read -r socket; do
		k=$((k + 1))
		true >"$stage/socket.$k" && mount -n --bind "$socket" "$stage/socket.$k" || fail "cannot bind $socket"
	done <"$stage/sockets"
fi
tab='	'
bound='
'
while IFS=$tab read -r real kind n; do
	[ "$kind" = file ] || [ -d "$real" ] || mkdir -p "$real" || fail "there is no $real to lie over"
	mount -n --bind "$stage/$n" "$real" || fail "cannot bind over $real"
	bound="$bound$real
"
done <"$stage/list"
k=0
if [ -f "$stage/sockets" ]; then
	while IFS= read -r socket; do
		k=$((k + 1))
		mkdir -p "${socket%/*}" && true >"$socket" && mount -n --bind "$stage/socket.$k" "$socket" || fail "cannot bind $socket"
	done <"$stage/sockets"
fi
# below PATH: true for what a bound directory is or hides.
below() {
	while IFS= read -r b; do
		[ -n "$b" ] || continue
		case $1/ in "$b"/*) return 0 ;; esac
	done <<END
$bound
END
	return 1
}

mount -n -t proc proc /proc || fail "cannot mount /proc"
if [ -S /dev/log ]; then mount -n --bind /dev/null "$(readlink -f /dev/log)" || fail "cannot hide the log's socket"; fi
cat /proc/self/mountinfo >"$stage/mounts" || fail "cannot read the list of mounts"
# All that is neither a copy nor empty can only be read.
while read -r a b c d point options rest; do
	type=${rest#*- }
	type=${type%% *}
	case $type in proc | sysfs | devpts | devtmpfs | cgroup | cgroup2 | mqueue | securityfs | debugfs | tracefs | pstore | bpf | configfs | fusectl | autofs | binfmt_misc | hugetlbfs | rpc_pipefs | nsfs | efivarfs) continue ;; esac
	point=$(printf '%b' "$(printf '%s' "$point" | sed 's/\\\([0-7][0-7][0-7]\)/\\0\1/g')")
	if below "$point"; then continue; fi
	case $point in "$stage" | "$stage"/* | /dev/log | /proc/*) continue ;; esac
	[ -e "$point" ] || continue
	case ,$options, in *,ro,*) continue ;; esac
	[ ! -S "$point" ] && [ ! -c "$point" ] || continue
	mount -n -o "remount,bind,ro${options#rw}" "$point" || fail "cannot protect $point"
done <"$stage/mounts"
if command -v ip >/dev/null 2>&1; then
	ip link set lo up || fail "cannot start lo"
	at=lo
	if ip link add mh0 type dummy 2>/dev/null && ip link set mh0 up; then at=mh0; fi
	while read -r family addr; do
		case $addr in 127.* | ::1/* | fe80:*) continue ;; esac
		case $family in
		inet6) ip -6 addr add "$addr" dev "$at" nodad 2>/dev/null || : ;;
		*) ip addr add "$addr" dev "$at" 2>/dev/null || : ;;
		esac
		# Nothing is to be waited for: the network that the address lies in is not there.
		ip route del local "$addr" dev lo table local 2>/dev/null || :
	done <"$stage/addrs"
	ip route flush table main 2>/dev/null || :
	ip -6 route flush table main 2>/dev/null || :
else
	ifconfig lo 127.0.0.1 up || fail "cannot start lo"
fi
printf '%s %s\n' "$pid" "$start" >"$stage/pid" && true >"$stage/ready" || fail "cannot say that the stage is up"
# Whoever removes the stage ends it.
while [ "$life" -gt 0 ] && [ -e "$stage/ready" ]; do
	sleep 2
	life=$((life - 2))
done
