# Exim: the dialogues that are put to `exim -bh`, made of the names and networks that the configuration holds.

# exim_names: the words that the dialogues are made of.
exim_names() {
	ex_host=$(exim_opt primary_hostname)
	[ -n "$ex_host" ] || ex_host=$(hostname --fqdn 2>/dev/null || hostname)
	ex_all=$ex_listed$ex_scan
	ex_local=$ex_host
	for ex_i in $(printf '%s\n' "$ex_listed" | exim_items domainlist | sed -n '/^local:[*]/d; /^local:/s/^local://p'); do
		ex_local=$ex_i
		break
	done
	ex_far=example.org
	for ex_i in example.org example.net example.com; do
		case $ex_all in *"$ex_i"*) ;; *) ex_far=$ex_i && break ;; esac
	done
	ex_from=example.com
	for ex_i in example.com example.net example.org; do
		[ "$ex_i" = "$ex_far" ] && continue
		case $ex_all in *"$ex_i"*) ;; *) ex_from=$ex_i && break ;; esac
	done
	ex_out=
	ex_outs=
	for ex_i in 198.51.100 203.0.113 192.0.2 8.20.30; do
		case $ex_all in *"$ex_i"* | *"${ex_i%.*}.0.0"*) ex_outs="$ex_outs $ex_i.7" ;; *) [ -n "$ex_out" ] && ex_outs="$ex_outs $ex_i.7" || ex_out=$ex_i.7 ;; esac
	done
	[ -n "$ex_out" ] || ex_out=198.51.100.7
	ex_own=$(exim_own)
	mh_fact "exim:$ex_n:names" "host=$ex_host local=$ex_local far=$ex_far from=$ex_from own=$ex_own"
}

# exim_own: the host's own first IPv4 address that is not loopback.
exim_own() {
	{ ip -4 -o addr show 2>/dev/null || ifconfig -a 2>/dev/null; } |
		sed -n 's/.*inet \(addr:\)*\([0-9][0-9.]*\).*/\2/p' | sed '/^127\./d' | sed -n 1p
}

# exim_items KIND: splits the lists of one kind on stdin as Exim does (":" with "::" for a colon, or "<X" for another separator).
# domainlist: prints local:NAME for the plain names of local domains and relay:NAME for those of the others.
# hostlist: prints the addresses and networks of lists and of the ACL conditions on hosts, those in files too.
exim_items() {
	"$ex_awk" -v kind="$1" '
	function item(s, owner,    line, n) {
		gsub(/^[ \t"]+|[ \t"]+$/, "", s); sub(/^![ \t]*/, "", s)
		if (s == "" || s ~ /^\+/ || s ~ /\$/) return
		if (kind == "domainlist") {
			if (s ~ /^[*]?[A-Za-z0-9.-]+$/ && s != "localhost") print (owner ~ /local/ ? "local:" : "relay:") s
			return
		}
		if (s ~ /^\// || s ~ /^(net-|net[0-9]+-)?(iplsearch|lsearch);/) {
			sub(/^[^;]*;[ \t]*/, "", s)
			if (s !~ /^\/[A-Za-z0-9_.\/+-]+$/) return
			n = 0
			while ((getline line < s) > 0 && n++ < 200) { sub(/[ \t#].*/, "", line); sub(/:$/, "", line); if (line !~ /^\//) item(line, owner) }
			close(s); return
		}
		gsub(/[][]/, "", s)
		if (s ~ /^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+(\/[0-9]+)?$/ || s ~ /^[0-9A-Fa-f:]*:[0-9A-Fa-f:]*(\/[0-9]+)?$/) print s
	}
	function list(v, owner,    sep, n, p, i) {
		sub(/^[ \t"]+/, "", v); sep = ":"
		if (v ~ /^<[^ \t]/) { sep = substr(v, 2, 1); v = substr(v, 3) }
		else { gsub(/::/, "\001", v) }
		n = split(v, p, sep == "|" || sep == "." || sep == "+" ? "[" sep "]" : sep)
		for (i = 1; i <= n; i++) { gsub(/\001/, ":", p[i]); item(p[i], owner) }
	}
	{ v = $0; sub(/^[^=]*=/, "", v) }
	kind == "domainlist" && /^(hide )?domainlist/ { list(v, $2); next }
	kind == "hostlist" && /^(hide )?hostlist/ { list(v, $2); next }
	/^begin / { sec = $2 }
	kind == "hostlist" && sec == "acl" && /^[ \t]*([a-z]+[ \t]+)?!?hosts[ \t]*=/ { list(v, "acl") }
	kind == "senders" && sec == "acl" && /^[ \t]*([a-z]+[ \t]+)?(senders|sender_domains)[ \t]*=/ {
		n = split(v, w, /[ \t:;"]+/)
		for (i = 1; i <= n; i++) {
			s = w[i]; sub(/^\*@/, "", s); sub(/^\*\./, "x.", s)
			if (s ~ /^[A-Za-z0-9._-]+@[A-Za-z0-9.-]+$/) print s
			else if (s ~ /^[A-Za-z0-9-]+\.[A-Za-z0-9.-]+$/) print "probe@" s
		}
	}'
}

# exim_neighbours: for each address or network on stdin one client inside and the neighbour just outside, one a line.
exim_neighbours() {
	"$ex_awk" -F/ '
	function ip4(x) { return int(x / 16777216) "." int(x / 65536) % 256 "." int(x / 256) % 256 "." x % 256 }
	function hexval(s,    i, v) { v = 0; for (i = 1; i <= length(s); i++) v = v * 16 + index("0123456789abcdef", substr(s, i, 1)) - 1; return v }
	function ip6(n,    i, s) { for (i = 1; i <= 8; i++) s = s (i > 1 ? ":" : "") sprintf("%x", n[i]); return s }
	function expand(s, n,    p, l, r, a, b, i) {
		s = tolower(s); p = index(s, "::"); for (i = 1; i <= 8; i++) n[i] = 0
		if (p) { l = split(substr(s, 1, p - 1), a, ":"); r = split(substr(s, p + 2), b, ":") } else l = split(s, a, ":")
		if (l + r > 8) return 0
		for (i = 1; i <= l; i++) n[i] = hexval(a[i])
		for (i = 1; i <= r; i++) n[8 - r + i] = hexval(b[i])
		return 1
	}
	$1 ~ /^[0-9.]+$/ {
		split($1, o, "."); bits = $2 == "" ? 32 : $2 + 0
		for (i = 1; i <= 4; i++) if (o[i] > 255) next
		if (bits > 32) next
		x = ((o[1] * 256 + o[2]) * 256 + o[3]) * 256 + o[4]; size = 2 ^ (32 - bits); base = x - x % size
		print ip4(base + (size > 2 ? 1 : x - base))
		if (bits > 0) print ip4(base + size < 4294967296 ? base + size : base - 1)
		next
	}
	$1 ~ /:/ {
		bits = $2 == "" ? 128 : $2 + 0
		if (bits > 128 || bits < 1 || !expand($1, n)) next
		h = int((bits - 1) / 16) + 1; unit = 2 ^ (16 * h - bits); n[h] -= n[h] % unit
		for (i = h + 1; i <= 8; i++) n[i] = 0
		if (bits < 128) n[8] += 1
		print ip6(n)
		n[h] += n[h] + unit < 65536 ? unit : -unit
		print ip6(n)
	}'
}

# exim_login: sets ex_login to the name of an authenticator, which -oMaa takes for the one by which a client has logged in.
exim_login() {
	ex_login=$(printf '%s\n' "$ex_scan" | "$ex_awk" '
	/^begin / { sec = $2; next }
	sec == "authenticators" && /^[ \t]*[A-Za-z0-9_]+:[ \t]*$/ { name = $1; sub(/:.*/, "", name) }
	sec == "authenticators" && /^[ \t]*public_name[ \t]*=/ && name != "" { print name; exit }')
}

# exim_ask CLIENT LISTENER LINE...: puts down a dialogue of its own process, for -bh is about one client. "CLIENT,user=NAME" has logged in;
# without a LISTENER it is at the usual one. Each LINE is a command, "=word" names the form of what follows. Of ex_queue the lines
# ">NUMBER TEXT" and "<OPTIONS" begin a dialogue. At most 40 are asked; what was cut is counted.
exim_ask() {
	if [ "$ex_asked" -ge 40 ]; then
		ex_cut=$((ex_cut + 1))
		return 0
	fi
	ex_asked=$((ex_asked + 1))
	ex_opts=
	case $1 in *,user=*) ex_opts="-oMaa $ex_login -oMai ${1#*,user=} " ;; esac
	ex_port=${2:-$ex_usual}
	ex_told="<$ex_opts${ex_port:+-oMi $ex_port }-bh ${1%%,*}$mh_nl"
	ex_head=">$ex_asked $1 ${ex_port:--} EHLO probe.$ex_from|"
	ex_told="${ex_told}EHLO probe.$ex_from$mh_nl"
	shift 2
	for ex_line; do
		ex_head="$ex_head$ex_line|"
		case $ex_line in =*) ;; *) ex_told=$ex_told$ex_line$mh_nl ;; esac
	done
	ex_queue=$ex_queue$ex_head$mh_nl${ex_told}QUIT$mh_nl
}

# Of the trace only places and fixed words are kept: values in it may hold what the configuration hides.
ex_trace='
/^LOG:/ {
	told = ""
	if (/rejected RCPT /) told = " rejected RCPT"
	n = split("unknown ACL,unknown named,failed to expand,error in ACL,unknown condition,missing,defer,timed out,connect,verify", known, ",")
	for (i = 1; i <= n; i++) if (index($0, known[i])) told = told " (" known[i] ")"
	if (told != "") keep("LOG:" told)
	next
}
/^>>> *check .*verify = / { keep($0); next }
match($0, /^>>>[ !\342\225\216]+/) { ex_p = substr($0, 1, RLENGTH); gsub(/[^> ]/, " ", ex_p); $0 = ex_p substr($0, RLENGTH + 1) }
/^>>> *check dnssec/ { next }
/^>>> *check [!a-z]/ { keep($1 " " $2 " " $3); next }
/^>>> *(processing|using ACL|end of ACL|ACL is|[a-z]+: (condition test|endpass))|^>>> .* router forced/ { keep($0); next }
/configuration error|^Exim/ { keep($0) }'

# What puts the dialogues of ex_queue, one process each, for 30 seconds: "$@" is the program. exim_turn takes its input and says how it
# ended; exim_fresh makes the cell as it was before the first. It is text, for it runs in the cell too.
ex_talk='
set -f
IFS="
"
ex_head= ex_go= ex_say=
for ex_line in $ex_queue ">"; do
	IFS=" "
	case $ex_line in
	"<"*) ex_go=${ex_line#"<"} ;;
	">"*)
		if [ -n "$ex_head" ]; then
			ex_now=$(date +%s 2>/dev/null)
			if [ "$ex_begun" -gt 0 ] && [ $((ex_now - ex_begun)) -ge 30 ] || ! exim_fresh; then
				ex_begun=1
				ex_cut=$((ex_cut + 1))
			else
				printf "\n%s said exim:%s:said:%s exim:%s:asked:%s %s\n" "$mh_nonce" "$ex_n" "${ex_head%% *}" "$ex_n" "${ex_head%% *}" "${ex_head#* }"
				printf "\n%s said exim:%s:said:%s\n" "$mh_nonce" "$ex_n" "${ex_head%% *}" >&2
				printf "%s" "$ex_say" | exim_turn "$@" $ex_go
			fi
		fi
		ex_head=${ex_line#">"} ex_say=
		;;
	*) ex_say="$ex_say$ex_line
" ;;
	esac
done
printf "\n%s fact exim:%s:cut %s dialogues, %s networks\n" "$mh_nonce" "$ex_n" "$ex_cut" "$ex_beyond"
'

# exim_turn within the cell, where timeout(1) is.
ex_turn='
exim_turn() {
	"$@"
	ex_rc=$?
	[ "$ex_rc" -ne 137 ] || ex_rc=124
	printf "\n%s rc %s\n" "$mh_nonce" "$ex_rc"
}
'

# exim_turns: all dialogues of ex_queue. The cell is set up once for them where it can be, else once for each: what they say is the same.
# What runs in it is told the nonce by its environment, which others cannot read.
exim_turns() {
	if [ "$ex_sh" = 'unshare -m sh' ] && [ -n "$mh_timeout" ]; then
		export mh_nonce ex_begun ex_cut ex_beyond ex_n
		printf '%s' "$ex_queue" | $ex_sh -c "$ex_room$ex_again$ex_turn"'ex_queue=$(cat)'"$ex_talk" sh \
			$mh_timeout 8 sh -c "$ex_limit" sh "$ex_prog" ${ex_cf:+-C "$ex_cf"} $ex_macros
		return
	fi
	exim_fresh() { :; }
	exim_turn() { mh_turn 8 $ex_sh -c "$ex_room$ex_limit" sh "$@"; }
	set -- "$ex_prog" ${ex_cf:+-C "$ex_cf"} $ex_macros
	eval "$ex_talk"
}

# exim_named CLIENT: the forms that name no address literal and are whole addresses: one process for them all.
exim_named() {
	ex_m="MAIL FROM:<probe@$ex_from>"
	ex_r="RCPT TO:<probe@$ex_far>"
	exim_ask "$1" "" =plain "$ex_m" "$ex_r" RSET =null-sender "MAIL FROM:<>" "$ex_r" RSET =own-sender "MAIL FROM:<probe@$ex_local>" "$ex_r" \
		RSET =route-name "$ex_m" "RCPT TO:<@$ex_local:probe@$ex_far>" RSET =percent-name "$ex_m" "RCPT TO:<probe%$ex_far@$ex_local>" \
		=bang-name "RCPT TO:<$ex_far!probe@$ex_local>" =local "RCPT TO:<postmaster@$ex_local>"
}

# exim_odd CLIENT: the other relay forms. Each may be a syntax error, the sender's with the recipient after it two: Exim closes after so many
# (smtp_max_synprot_errors), and after ten commands that are no mail.
exim_odd() {
	ex_client=$1
	ex_ip="[${ex_own:-127.0.0.1}]"
	ex_max=$(exim_opt smtp_max_synprot_errors)
	case $ex_max in [0-2]) ex_max=1 ;; *) ex_max=3 ;; esac
	ex_errors=0
	set --
	for ex_form in literal-sender quoted-percent percent-literal bang-literal quoted-literal route-literal double-at-literal double-at-name quoted bang; do
		ex_by=probe@$ex_from
		ex_cost=1
		case $ex_form in
		literal-sender) ex_by="probe@$ex_ip" ex_cost=2 ex_to="probe@$ex_far" ;;
		quoted-percent) ex_to="\"probe%$ex_far\"" ;;
		percent-literal) ex_to="probe%$ex_far@$ex_ip" ;;
		bang-literal) ex_to="$ex_far!probe@$ex_ip" ;;
		quoted-literal) ex_to="\"probe@$ex_far\"@$ex_ip" ;;
		route-literal) ex_to="@$ex_ip:probe@$ex_far" ;;
		double-at-literal) ex_to="probe@$ex_far@$ex_ip" ;;
		double-at-name) ex_to="probe@$ex_far@$ex_local" ;;
		quoted) ex_to="\"probe@$ex_far\"" ;;
		bang) ex_to="$ex_far!probe" ;;
		esac
		if [ $# -gt 0 ] && [ $((ex_errors + ex_cost)) -gt "$ex_max" ]; then
			exim_ask "$ex_client" "" "$@"
			ex_errors=0
			set --
		fi
		[ $# -eq 0 ] || set -- "$@" RSET
		set -- "$@" "=$ex_form" "MAIL FROM:<$ex_by>" "RCPT TO:<$ex_to>"
		ex_errors=$((ex_errors + ex_cost))
	done
	exim_ask "$ex_client" "" "$@"
}

# exim_reads: true where more than syntax decides about the forms of exim_odd, for some clients perhaps otherwise than for others.
exim_reads() {
	case $mh_nl$ex_main$mh_nl in *"${mh_nl}allow_domain_literals$mh_nl"* | *"${mh_nl}allow_domain_literals = true"*) return 0 ;; esac
	[ -n "$(exim_opt recipient_unqualified_hosts)$(exim_opt sender_unqualified_hosts)" ]
}

# exim_plain CLIENT [LISTENER]: a foreign and a local recipient.
exim_plain() {
	exim_ask "$1" "${2-}" =plain "MAIL FROM:<probe@$ex_from>" "RCPT TO:<probe@$ex_far>" =local "RCPT TO:<postmaster@$ex_local>"
}

# exim_dialogues: all questions of one instance.
exim_dialogues() {
	ex_asked=0
	ex_cut=0
	ex_queue=
	ex_begun=$(date +%s 2>/dev/null)
	case $ex_begun in *[!0-9]* | '') ex_begun=0 ;; esac
	# Where the configuration looks at the port, every dialogue is one at a listener: without one it would be at port 0, which nobody reaches.
	ex_usual=
	ex_others=
	case $ex_scan in *received_port* | *interface_port* | *received_ip_address* | *interface_address*)
		for ex_i in $(exim_listeners); do [ -n "$ex_usual" ] && ex_others="$ex_others $ex_i" || ex_usual=$ex_i; done ;;
	esac
	exim_named "$ex_out"
	exim_odd "$ex_out"
	for ex_i in "" $ex_others; do
		exim_ask "$ex_out" "$ex_i" "VRFY root@$ex_local" "VRFY probe7nobody@$ex_local" "EXPN postmaster@$ex_local" "EXPN root@$ex_local" HELP
	done
	for ex_i in $ex_outs; do exim_named "$ex_i"; done
	for ex_i in 127.0.0.1 ::1 $ex_own; do exim_plain "$ex_i"; done
	exim_login
	[ -z "$ex_login" ] || exim_plain "$ex_out,user=probe"
	for ex_i in $ex_others; do exim_plain "$ex_out" "$ex_i"; done
	exim_domains
	ex_nets=$(printf '%s\n%s\n' "$ex_listed" "$ex_scan" | exim_items hostlist | sed '/^127\.0\.0\.1$/d; /^::1$/d' | "$ex_awk" '!seen[$0]++')
	for ex_i in $(printf '%s\n' "$ex_nets" | sed -n 1,9p | exim_neighbours | "$ex_awk" '!seen[$0]++'); do
		case " $ex_out $ex_outs $ex_own " in *" $ex_i "*) ;; *) exim_plain "$ex_i" ;; esac
	done
	if exim_reads; then
		for ex_i in $ex_outs; do exim_odd "$ex_i"; done
	fi
	ex_beyond=$(printf '%s\n' "$ex_nets" | sed -n '10,$p' | wc -l)
	ex_beyond=$((ex_beyond))
	mh_batch "exim:$ex_n:said" 30 "$ex_trace" exim_turns
}

# exim_listeners: "ADDR.PORT" as -oMi takes it, for the instance's own listening sockets on which mail is taken.
exim_listeners() {
	printf '%s\n' "$mh_listeners" | "$ex_awk" -v pid="$ex_pid" '$2 == pid { a = $1; p = a; sub(/.*:/, "", p); sub(/:[0-9]+$/, "", a); gsub(/[][]/, "", a)
		if (a == "0.0.0.0" || a == "*") a = "127.0.0.1"; if (a == "::") a = "::1"; if (!seen[p]++) print a "." p }' | sed -n 1,4p
}

# exim_domains: relay domains and senders that ACLs name: one inside and one just beside each.
exim_domains() {
	for ex_i in $(printf '%s\n' "$ex_listed" | exim_items domainlist | sed -n 's/^relay:\**\.*//p' | "$ex_awk" '!seen[$0]++' | sed -n 1,8p); do
		exim_ask "$ex_out" "" =domain "MAIL FROM:<probe@$ex_from>" "RCPT TO:<probe@$ex_i>" "RCPT TO:<probe@sub.$ex_i>" "RCPT TO:<probe@x$ex_i>"
	done
	set --
	for ex_i in $(printf '%s\n' "$ex_scan" | exim_items senders | "$ex_awk" '!seen[$0]++' | sed -n 1,6p); do
		set -- "$@" =sender "MAIL FROM:<$ex_i>" "RCPT TO:<probe@$ex_far>" RSET
	done
	[ $# -eq 0 ] || exim_ask "$ex_out" "" "$@"
}
