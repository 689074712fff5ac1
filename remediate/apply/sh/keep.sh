# Copies files of the stage into the run's folder. $1 is the stage's directory, $2 and $3 its first process and when that began; then N PATH …
stage=$1 pid=$2 start=$3
shift 3
now=$(sed -n 's/^.*) //p' "/proc/$pid/stat" 2>/dev/null | cut -d ' ' -f 20)
[ "$now" = "$start" ] || { echo "the stage has ended" >&2; exit 5; }
new=${stage%/stage}/new
mkdir -p -m 0700 "$new" || exit 5
sha() {
	if command -v sha256sum >/dev/null 2>&1; then sha256sum <"$1"; else openssl dgst -sha256 -r <"$1"; fi | sed 's/[^0-9a-f].*//'
}
while [ $# -gt 1 ]; do
	from=/proc/$pid/root$2
	[ -f "$from" ] && [ ! -h "$from" ] || { printf '%s is not there\n' "$2" >&2; exit 5; }
	cat "$from" >"$new/.$1" && mv -f "$new/.$1" "$new/$1" || exit 5
	sync "$new/$1" 2>/dev/null || sync
	printf '%s sha256:%s %s %s %s %s\n' "$1" "$(sha "$new/$1")" "$(($(wc -c <"$new/$1")))" "$(stat -c '%u' "$from")" "$(stat -c '%g' "$from")" "$(stat -c '%a' "$from")"
	shift 2
done
sync "$new" 2>/dev/null || sync
