# Prints the differences of what show.sh left: for each N, lines of "diff N PAIR BYTES" and the unified difference. PAIR is
# pending (live, unchanged), plan (unchanged, candidate) or whole (live, candidate).
stage=$1
shift
work=$stage/work
pair() {
	diff -U 3 "$work/$n.$2" "$work/$n.$3" >"$work/$n.diff" 2>"$work/$n.err"
	[ $? -le 1 ] || { head -c 1000 "$work/$n.err" >&2; exit 5; }
	sed 1,2d "$work/$n.diff" | head -c 400000 >"$work/$n.cut"
	printf 'diff %s %s %s\n' "$n" "$1" "$(($(wc -c <"$work/$n.cut")))"
	cat "$work/$n.cut"
}
for n; do
	pair pending live same
	[ -f "$work/$n.next" ] || continue
	pair plan same next
	pair whole live next
done
