# Prints generated files as lines, secrets masked, into $work/N.$phase; the words are N PATH K WORD…, K being how many words of a command
# follow that prints the file (0: it is a text). A file that is not there gives an empty one and "absent" beside it.
stage=$1 phase=$2
shift 2
work=$stage/work
mkdir -p "$work" || exit 5
while [ $# -gt 2 ]; do
	n=$1 file=$2 k=$3
	shift 3
	out=$work/$n.$phase
	if [ ! -e "$file" ]; then
		true >"$out" || exit 5
	elif [ "$k" = 0 ]; then
		sed -e '/^[ 	]*#/d' -e '/^[ 	]*$/d' "$file" | mh_masked >"$out" || exit 5
	else
		words=
		i=0
		for word; do
			i=$((i + 1))
			[ "$i" -gt "$k" ] || words="$words \"\${$i}\""
		done
		eval "$words" >"$out.raw" 2>"$out.err" </dev/null || { printf 'cannot read %s: ' "$file"; head -c 1000 "$out.err"; exit 6; } >&2
		sort "$out.raw" | mh_masked >"$out" || exit 5
		rm -f "$out.raw"
	fi
	shift "$k"
done
