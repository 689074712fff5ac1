# Makes the stage: copies and empty directories below $stage, and the namespaces in which they lie over the live paths.
# $1 is the stage's directory, $2 its longest life in seconds; then words: copy DIR · fresh DIR · keep NAME (of the last fresh one) ·
# socket PATH. Printed at the end: "up PID START", the namespaces' first process as the host counts it.
stage=$1
life=$2
shift 2
nl='
'

# fail TEXT: the stage goes first, since whoever was to read the text may not be there any more.
fail() {
	[ ! -d "$stage" ] || rm -rf "$stage"
	printf '%s\n' "$*" | head -c 2000 >&2
	exit "${code:-5}"
}

# wanted: a run that was given up while this goes on has taken its stage away, and nobody takes it away again.
wanted() { [ ! -d "${stage%/*}/token" ] || fail "the run is over"; }

# resolved DIR: sets real to the directory that DIR leads to, or fails for what is none.
resolved() {
	real=$(readlink -f "$1" 2>/dev/null) && [ -n "$real" ] && [ -d "$real" ] || return 1
	case $real in *"$nl"*) fail "the name of $1 holds a line end" ;; esac
	case $real in / | /bin | /dev | /dev/* | /lib | /lib64 | /proc | /proc/* | /root | /sbin | /sys | /sys/* | /usr | /usr/bin | /usr/lib | /usr/sbin | /var | /var/lib) fail "$real is no directory of a mail server: it is not staged" ;; esac
}

# like A B: B gets the owner, the mode and the label of A.
like() {
	chown "$(stat -c %u:%g "$1")" "$2" && chmod "$(stat -c %a "$1")" "$2" || return 1
	[ ! -e /sys/fs/selinux/enforce ] || chcon --reference="$1" "$2" 2>/dev/null || :
}

# put KIND: the next directory of the stage, in place of $real.
put() {
	wanted
	n=$((n + 1))
	printf '%s\t%s\t%s\n' "$real" "$1" "$n" >>"$stage/list" || fail "the stage cannot be written"
	at=$stage/$n
}

copy() {
	case $nl$copied in *"$nl$real$nl"*) return 0 ;; esac
	# what lies below a copy is in it
	for c in $copied; do
		case $real in "$c"/*) return 0 ;; esac
	done
	copied=$copied$real$nl
	size=$(du -skx "$real" 2>/dev/null | sed 's/[^0-9].*//')
	total=$((total + ${size:-0}))
	[ "$total" -le 262144 ] || fail "$real and the directories before it hold more than 256 MiB: they are not copied"
	put copy
	cp -a "$real" "$at" || fail "cannot copy $real"
	# a name that leads elsewhere lies below: its directory gets a copy of its own where a change needs one
}

# held PATH: true for what a copy or an empty directory holds.
held() {
	cut -f 1 "$stage/list" 2>/dev/null | while IFS= read -r c; do
		case $1/ in "$c"/*) echo yes ;; esac
	done | grep . >/dev/null
}

# mode PATH: what only gets another mode or owner: a copy of the one file.
mode() {
	real=$(readlink -f "$1") && [ -e "$real" ] || fail "there is no $1"
	case $real in *"$nl"*) fail "the name of $1 holds a line end" ;; esac
	if held "$real"; then return 0; fi
	if [ -d "$real" ]; then
		fresh
	else
		put file
		cp -a "$real" "$at" || fail "cannot copy $real"
	fi
}

# fresh: an empty directory in place of $real, with the directories below it to a depth of 3. Those that are alike are made, given and dressed
# together: a /run has a hundred, and five programs for each would be half of what a stage takes.
fresh() {
	put fresh
	mkdir "$at" && like "$real" "$at" || fail "cannot make an empty $real"
	[ -z "$(find "$real" -xdev -maxdepth 3 -type d -path "*$nl*" 2>/dev/null | head -n 1)" ] || fail "the name of a directory below $real holds a line end"
	(cd "$real" && find . -xdev -maxdepth 3 -type d -exec stat -c '%u:%g/%a/%n' {} + 2>/dev/null) | sed -e '/\/\.$/d' -e 3000q | sort | {
		owner=
		mode=
		set --
		while IFS=/ read -r o m d; do
			if [ "$o/$m" != "$owner/$mode" ] || [ $# -gt 300 ]; then
				alike "$@" || exit 1
				owner=$o
				mode=$m
				set --
			fi
			set -- "$@" "$at/$d"
		done
		alike "$@"
	} || fail "cannot make the directories of an empty $real"
}

# alike DIR...: directories of the stage with one owner and mode, and the label of those that they stand for.
alike() {
	[ $# -gt 0 ] || return 0
	mkdir -p "$@" && chown "$owner" "$@" && chmod "$mode" "$@" || return 1
	[ -e /sys/fs/selinux/enforce ] || return 0
	for d; do chcon --reference="$real${d#"$at"}" "$d" 2>/dev/null || :; done
}

keep() {
	if [ -e "$real/$1" ] || [ -h "$real/$1" ]; then
		rm -rf "${at:?}/$1"
		cp -a "$real/$1" "$at/$1" || fail "cannot copy $real/$1"
	fi
}

code=4
for tool in unshare nsenter mount readlink stat find cp du setsid; do
	command -v "$tool" >/dev/null 2>&1 || fail "namespaces: there is no $tool"
done
unshare -m -n -p -f true 2>/dev/null || fail "namespaces: $(unshare -m -n -p -f true 2>&1)"
kill=
if unshare -m -n -p -f --kill-child true 2>/dev/null; then kill=--kill-child; fi
code=5
[ ! -e "$stage" ] && [ ! -h "$stage" ] || { real=$stage; stage=; fail "$real is there already"; }
mkdir -m 0700 "$stage" || fail "cannot make $stage"
n=0
total=0
copied=
copies=
for word; do
	if [ "$before" = copy ] && resolved "$word"; then copies=$copies$real$nl; fi
	before=$word
done
IFS=$nl
set -f
for real in $(printf '%s' "$copies" | sort -u); do copy; done
set +f
IFS=' 	
'
real=
while [ $# -gt 1 ]; do
	case $1 in
	copy) ;;
	fresh) if resolved "$2"; then fresh; else real=; fi ;;
	mode) mode "$2" ;;
	keep) if [ -n "$real" ]; then keep "$2"; fi ;;
	socket) if [ -S "$2" ]; then printf '%s\n' "$2" >>"$stage/sockets"; fi ;;
	*) fail "the word $1 is not known" ;;
	esac
	shift 2
done
for real in /run /var/run /var/log /var/spool/cron /tmp /var/tmp; do
	[ -d "$real" ] && [ ! -h "$real" ] || continue
	case $nl$copied in *"$nl$real"[/"$nl"]*) continue ;; esac
	case $real in
	/tmp | /var/tmp) put fresh && mkdir "$at" && like "$real" "$at" || fail "cannot make an empty $real" ;;
	*) fresh ;;
	esac
done
sort "$stage/list" >"$stage/list.sorted" && mv "$stage/list.sorted" "$stage/list" || fail "cannot sort the stage's list"
{ ip -o addr show 2>/dev/null || :; } | sed -n 's/^[0-9]*: *[^ ]* *\(inet6*\) \([0-9a-fA-F.:/]*\) .*/\1 \2/p' | sed -n '1,200p' >"$stage/addrs"
printf '%s' "$mh_inside" >"$stage/inside.sh" || fail "cannot write $stage/inside.sh"
setsid sh -c 'unshare -m -n -p -f $3 -- /bin/sh "$1/inside.sh" "$1" "$2"; rm -rf "$1"' sh "$stage" "$life" "$kill" </dev/null >/dev/null 2>"$stage/log" &
i=0
while [ ! -e "$stage/ready" ]; do
	i=$((i + 1))
	if [ "$i" -gt 300 ] || [ ! -d "$stage" ] || [ -e "$stage/failed" ]; then
		why=$(head -c 2000 "$stage/failed" "$stage/log" 2>/dev/null)
		[ ! -s "$stage/pid" ] || kill -KILL "$(sed 's/ .*//' "$stage/pid")" 2>/dev/null
		code=4
		fail "namespaces: ${why:-they did not come up}"
	fi
	sleep 0.1 2>/dev/null || sleep 1
done
if [ -d "${stage%/*}/token" ]; then kill -KILL "$(sed 's/ .*//' "$stage/pid")" 2>/dev/null; fi
wanted
printf 'up %s\n' "$(cat "$stage/pid")"
