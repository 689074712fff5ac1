# Exim: who sent mail through this host, summed from its main log.

# exim_seen: sums the main log of the last 7 days (at most 50 MiB): who sent, and whether it went to another host.
exim_seen() {
	ex_log=$(exim_opt log_file_path | tr ':' '\n' | sed -n 's/^[ ]*\(\/.*%s.*\)/\1/p' | sed -n 1p)
	[ -n "$ex_log" ] || ex_log=$(exim_opt spool_directory)/log/%slog
	ex_log=$(printf '%s' "$ex_log" | sed 's/%s/main/; s/%D/*/; s/%M/*/')
	ex_sum=$({
		for ex_f in $ex_log.1 $ex_log; do
			[ -r "$ex_f" ] && tail -c 26214400 "$ex_f" 2>/dev/null
		done
		mh_maillog
	} | exim_sum "$(date +%Y-%m-%d)")
	[ -z "$ex_sum" ] || printf '%s\n' "$ex_sum" | mh_seen exim
}

# exim_sum TODAY: reads main log lines, joins arrivals and deliveries by message id, prints "addr auth where count last".
exim_sum() {
	"$ex_awk" -v today="$1" '
	function days(d,    y, m) { y = substr(d, 1, 4) + 0; m = substr(d, 6, 2) + 0; if (m < 3) { y--; m += 12 } return 365 * y + int(y / 4) - int(y / 100) + int(y / 400) + int((153 * (m - 3) + 2) / 5) + substr(d, 9, 2) }
	function isid(s,    p) { return split(s, p, "-") == 3 && (length(p[1]) == 6 && (length(p[2]) == 6 && length(p[3]) == 2 || length(p[2]) == 11 && length(p[3]) == 4)) && s !~ /[^0-9A-Za-z-]/ }
	BEGIN { oldest = days(today) - 7 }
	{
		d = 0; for (i = 1; i <= NF && i <= 8; i++) if ($i ~ /^[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]$/) { d = i; break }
		if (!d || days($d) < oldest) next
		for (i = d + 2; i <= d + 5; i++) if (isid($i)) break
		if (i > d + 5) next
		id = $i; what = $(i + 1); when = $d " " substr($(d + 1), 1, 8)
		if (line[id when what $0]++) next
	}
	what == "<=" {
		client = ""; auth = "-"
		for (j = i + 3; j <= NF; j++) {
			if ($j ~ /^\[[0-9A-Fa-f:.]+\](:[0-9]+)?$/ && client == "" && hsaw) { client = $j; sub(/^\[/, "", client); sub(/\].*/, "", client) }
			if ($j ~ /^H=/) { hsaw = 1; if ($j ~ /^H=\[/) { client = $j; sub(/^H=\[/, "", client); sub(/\].*/, "", client) } }
			if ($j ~ /^A=/) auth = "auth"
			if ($j ~ /^P=/) break
		}
		for (; j <= NF; j++) if ($j ~ /^A=/) auth = "auth"
		hsaw = 0
		if (client != "") { from[id] = client; how[id] = auth }
		next
	}
	(what == "=>" || what == "->") && (id in from) {
		far = "local"
		for (j = i + 2; j <= NF; j++) if ($j ~ /^H=/) { far = "foreign"; for (k = j; k <= j + 2; k++) if ($k ~ /\[(127\.|::1\])/) far = "local"; break }
		key = from[id] "\t" how[id] "\t" far; count[key]++
		if (when > last[key]) last[key] = when
	}
	END { for (key in count) print key "\t" count[key] "\t" last[key] }' | sort
}
