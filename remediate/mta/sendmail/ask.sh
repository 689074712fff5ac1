# sendmail: the questions that are made of the keys found on the host, and the one process that answers them all.

# sm_keys CF: what may let somebody relay, or change a client's features: "access KEY VALUE", "R NAME", "m NAME", "issuer NAME" (of certificates
# whose subject decides), "avoid DOMAIN" and "daemon ADDRESS:PORT FLAGS" (a listener with modifiers), one a line.
sm_keys() {
	sm_list=$(sm_paths "$1")
	for sm_path in $(printf '%s\n' "$sm_list" | sed -n 's/^map [a-z]* //p'); do
		sm_lines "$1" | grep "^Kaccess[ 	].*$sm_path" >/dev/null 2>&1 || continue
		sm_type=$(printf '%s\n' "$sm_list" | sed -n "s|^map \([a-z]*\) $sm_path\$|\1|p" | head -n 1)
		sm_text=${sm_path%.db}
		{
			grep -v '^#' "$sm_text" 2>/dev/null
			mh_has makemap && "$mh_path" -u "$sm_type" "$sm_text" 2>/dev/null
		} | tr 'A-Z' 'a-z' | awk 'NF >= 2 { v = $0; k = $1; sub(/^[^ \t]+[ \t]+/, "", v)
			if (v ~ /^relay/) print "access\t" k "\tRELAY"; else if (k ~ /^certissuer:/ && v ~ /^subject/) print "issuer\t" substr(k, 12) "\t-"; else if (k ~ /^srv_features:/) print "access\t" k "\t" v
			else { sub(/^(to|from|connect|spam):/, "", k); if (k ~ /(^|[.@])(example|iana)\.(org|net|com)$/) print "avoid\t" k "\t-" } }'
	done
	sm_lines "$1" | awk '/^CR/ { l = substr($0, 3) } /^C[{]R[}]/ { l = substr($0, 5) }
		/^CR/ || /^C[{]R[}]/ { n = split(l, w, /[ \t]+/); for (i = 1; i <= n; i++) if (w[i] != "") print "R\t" tolower(w[i]) "\tRELAY" }'
	# a file that is read by "%[...]" gives every word of its lines, another one the first
	sm_lines "$1" | awk '/^FR/ { l = substr($0, 3) } /^F[{]R[}]/ { l = substr($0, 5) }
		/^FR/ || /^F[{]R[}]/ { sub(/^[ \t]*-o[ \t]*/, "", l); sub(/^[ \t]+/, "", l); all = (l ~ /[ \t]%\[/); sub(/[ \t].*/, "", l); if (l ~ /^\//) print all, l }' |
		while read -r sm_all sm_path; do
			awk -v all="$sm_all" '{ if (all) sub(/#.*/, ""); for (i = 1; i <= (all ? NF : NF > 0); i++) if ($i ~ /^[A-Za-z0-9.[]/) print "R\t" tolower($i) "\tRELAY" }' "$sm_path" 2>/dev/null
		done
	# with relay_entire_domain whoever is in a domain of class m, which has the host's own from the start, and whatever goes there
	if sm_lines "$1" | grep '^R.*[$]=m.*[$]@ *RELAY' >/dev/null 2>&1; then
		{
			case $sm_fqdn in *.*) printf '%s\n' "${sm_fqdn#*.}" ;; esac
			sm_lines "$1" | awk '/^Cm/ { l = substr($0, 3) } /^C[{]m[}]/ { l = substr($0, 5) }
				/^Cm/ || /^C[{]m[}]/ { n = split(l, w, /[ \t]+/); for (i = 1; i <= n; i++) if (w[i] ~ /^[A-Za-z0-9.-]+$/) print w[i] }'
		} | awk '{ print "m\t" tolower($1) "\tRELAY" }'
	fi
	sm_daemons "$1"
}

# sm_daemons CF: each DaemonPortOptions line with modifiers, its listener, and the modifiers as {daemon_flags} holds them: a small letter
# once, a capital twice, a blank behind each.
sm_daemons() {
	sm_lines "$1" | awk '/^O[ \t]*DaemonPortOptions[ \t]*=/ {
		sub(/^[^=]*=[ \t]*/, ""); n = split($0, part, ","); addr = ""; port = "25"; family = "inet"; flags = ""
		for (i = 1; i <= n; i++) {
			k = part[i]; sub(/^[ \t]+/, "", k); v = k; sub(/^[^=]*=[ \t]*/, "", v); sub(/[ \t]+$/, "", v); k = tolower(substr(k, 1, 1))
			if (k == "a") addr = v; if (k == "p") port = v; if (k == "f") family = v
			if (k == "m") for (j = 1; j <= length(v); j++) { c = substr(v, j, 1); if (c ~ /[A-Z]/) c = c c; if (c ~ /[A-Za-z]/) flags = flags c " " }
		}
		p = tolower(port); if (p == "smtp" || p == "mta") port = 25; if (p == "smtps" || p == "submissions") port = 465; if (p == "submission") port = 587
		if (addr == "") addr = (family == "inet6") ? "::" : "0.0.0.0"
		if (addr ~ /:/) addr = "[" addr "]"
		if (flags != "") print "daemon\t" addr ":" port "\t" flags
	}'
}

# sm_questions CF: the questions, one a line, fields parted by tabs:
# number class entry form client-address client-name user verb sender recipient listener daemon-flags cert-issuer cert-subject
sm_questions() {
	sm_keys "$1" | awk '!seen[$0]++' | awk -F '\t' -v own="$sm_addr" -v host="$sm_fqdn" -v max=400 -v trust="$sm_trust" '
	function ask(class, entry, form, addr, name, user, verb, from, to) {
		if (n >= max) { cut++; return }
		n++
		printf "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", n, class, entry, form, addr, name, user, verb, from, to, listener, flags, issuer, subject
	}
	function cert(id, i, s) {
		issuer = i; subject = s
		rcpt("inside", id, addr, name, "relaytest@" foreign)
		issuer = i "+20x"; if (s != "") { issuer = i; subject = s "+20x" }
		rcpt("beside", id, addr, name, "relaytest@" foreign)
		issuer = subject = ""
	}
	function rcpt(class, entry, addr, name, to) { ask(class, entry, "plain", addr, name, "", "RCPT", "antispam@" other, to) }
	# covered: does a sound key (two octets or more, a name of two labels or more) hold the candidate?
	function covered(c, i, k) {
		for (i = 1; i <= nk; i++) {
			k = bare[i]
			if (k == "" || index(k, ".") == 0) continue
			if (c == k || index(c, k ".") == 1) return 1
			if (k !~ /^[0-9.]+$/ && length(c) > length(k) && substr(c, length(c) - length(k)) == "." k) return 1
		}
		return 0
	}
	# shunned: does another key, such as a REJECT, name the candidate?
	function shunned(c, k) {
		for (k in avoid) if (c == k || substr(c, length(c) - length(k)) == "." k || substr(k, length(k) - length(c)) == "." c) return 1
		return 0
	}
	function choose(list, i, w, m) {
		m = split(list, w, " ")
		for (i = 1; i <= m; i++) if (!covered(w[i]) && !shunned(w[i])) return w[i]
		for (i = 1; i <= m; i++) if (!covered(w[i])) return w[i]
		return w[1]
	}
	function pad(k, m, w, i, s) {
		m = split(k, w, "."); s = k
		for (i = m; i < 4; i++) s = s "." (i == 3 ? 7 : 1)
		return s
	}
	function next4(k, m, w, i, s) {
		m = split(k, w, "."); w[m] = (w[m] + 0 >= 254) ? w[m] - 1 : w[m] + 1
		s = w[1]; for (i = 2; i <= m; i++) s = s "." w[i]
		return pad(s)
	}
	function net4(id, k) {
		rcpt("inside", id, pad(k), "[" pad(k) "]", "relaytest@" foreign)
		if (!covered(next4(k)) && !(next4(k) ~ /^(0|127)\./)) rcpt("beside", id, next4(k), "[" next4(k) "]", "relaytest@" foreign)
	}
	function net6(id, k, m, w, i, s) {
		sub(/^ipv6:/, "", k); m = split(k, w, ":"); s = k
		if (k !~ /::/) for (i = m; i < 8; i++) s = s ":" (i == 7 ? 1 : 0)
		rcpt("inside", id, "IPv6:" s, "[IPv6:" s "]", "relaytest@" foreign)
	}
	function client(id, k) {
		sub(/^\[/, "", k); sub(/\]$/, "", k)
		if (k ~ /^[0-9]+(\.[0-9]+)*$/) { net4(id, k); return }
		if (k ~ /^[0-9.]+\/[0-9]+$/) { sub(/\/.*/, "", k); if (k ~ /^0\./) k = "9.9.9"; sub(/\.0$/, "", k); net4(id, k); return }
		if (k ~ /^ipv6:/) { net6(id, k); return }
		if (k == "" || k ~ /[@:\/]/) return
		if (both) id = id "/client"
		rcpt("inside", id, addr, "client." k, "relaytest@" foreign)
		rcpt("inside", id, addr, k, "relaytest@" foreign)
		rcpt("beside", id, addr, "client.x" k, "relaytest@" foreign)
	}
	function to(id, k) {
		if (k == "" || k ~ /^[0-9.\/]+$/ || k ~ /^ipv6:/ || k ~ /^\[/) return
		if (k ~ /@$/) { rcpt("inside", id, addr, name, k foreign); return }
		if (k ~ /@/) { rcpt("inside", id, addr, name, k); return }
		rcpt("inside", id, addr, name, "relaytest@" k)
		rcpt("inside", id, addr, name, "relaytest@host." k)
		if (!covered("x" k)) rcpt("beside", id, addr, name, "relaytest@x" k)
	}
	function from(id, k) {
		if (k == "" || k ~ /^[0-9.\/]+$/ || k ~ /^ipv6:/) return
		if (k !~ /@/) k = "antispam@" k
		if (k ~ /@$/) k = k other
		ask("inside", id, "plain", addr, name, "", "RCPT", k, "relaytest@" foreign)
	}
	function feature(id, k) {
		if (k ~ /^[0-9]+(\.[0-9]+)*$/) { ask("inside", id, "", pad(k), "[" pad(k) "]", "", "EXPN", "", "root"); return }
		if (k == "" || k ~ /[@:\/]/) return
		ask("inside", id, "", addr, k, "", "EXPN", "", "root")
	}
	$1 == "issuer" { by = $2; next }
	$1 == "daemon" { nd++; where[nd] = $2; mods[nd] = $3; next }
	$1 == "avoid" { sub(/^.*@/, "", $2); avoid[$2] = 1; next }
	{ nk++; kind[nk] = $1; key[nk] = $2; val[nk] = $3; b = $2; sub(/^(connect|to|from|srv_features):/, "", b); bare[nk] = (val[nk] == "RELAY") ? b : "" }
	END {
		foreign = choose("example.org example.net example.com iana.org")
		other = foreign == "example.com" ? "example.net" : "example.com"
		addr = choose("198.51.100.7 203.0.113.77 192.0.2.99 8.20.30.40")
		name = choose("probe.example.net probe.example.com probe.iana.org")
		lit = "[" own "]"; o = "antispam@" lit
		f["plain"] = "relaytest@" foreign
		split("plain null-sender own-sender literal-sender percent-literal percent-name quoted quoted-percent double-at-literal quoted-literal double-at-name route-literal route-name bang bang-literal bang-name", form, " ")
		to_["percent-literal"] = "relaytest%" foreign "@" lit; to_["percent-name"] = "relaytest%" foreign "@" host
		to_["quoted"] = "\"relaytest@" foreign "\""; to_["quoted-percent"] = "\"relaytest%" foreign "\""
		to_["double-at-literal"] = "relaytest@" foreign "@" lit; to_["quoted-literal"] = "\"relaytest@" foreign "\"@" lit
		to_["double-at-name"] = "relaytest@" foreign "@" host; to_["route-literal"] = "@" lit ":relaytest@" foreign
		to_["route-name"] = "@" host ":relaytest@" foreign; to_["bang"] = foreign "!relaytest"
		to_["bang-literal"] = foreign "!relaytest@" lit; to_["bang-name"] = foreign "!relaytest@" host
		for (i = 1; i <= 16; i++) {
			s = o; if (form[i] == "plain") s = "antispam@" other; if (form[i] == "null-sender") s = ""; if (form[i] == "own-sender") s = "antispam@" host
			r = to_[form[i]]; if (r == "") r = "relaytest@" foreign
			ask("outside", "", form[i], addr, name, "", "RCPT", s, r)
		}
		ask("outside", "", "plain", addr, "[" addr "]", "", "RCPT", "antispam@" other, "relaytest@" foreign)
		ask("outside", "", "plain", "IPv6:2001:db8:ffff:0:0:0:0:7", name, "", "RCPT", "antispam@" other, "relaytest@" foreign)
		if (trust != "") ask("inside", "auth:" trust, "plain", addr, name, "probe", "RCPT", "antispam@" other, "relaytest@" foreign)
		rcpt("localhost", "", "127.0.0.1", "localhost", "relaytest@" foreign)
		rcpt("localhost", "", "IPv6:0:0:0:0:0:0:0:1", "localhost", "relaytest@" foreign)
		for (i = 1; i <= nd && i <= 8; i++) {
			listener = where[i]; flags = mods[i]
			rcpt("outside", "", addr, name, "relaytest@" foreign); rcpt("localhost", "", "127.0.0.1", "localhost", "relaytest@" foreign)
			if (trust != "") ask("inside", "auth:" trust, "plain", addr, name, "probe", "RCPT", "antispam@" other, "relaytest@" foreign)
			listener = flags = ""
		}
		if (own != "") rcpt("own", "", own, host, "relaytest@" foreign)
		ask("outside", "", "", addr, name, "", "VRFY", "", "root"); ask("outside", "", "", addr, name, "", "EXPN", "", "root")
		ask("localhost", "", "", "127.0.0.1", "localhost", "", "VRFY", "", "root"); ask("localhost", "", "", "127.0.0.1", "localhost", "", "EXPN", "", "root")
		for (i = 1; i <= nk; i++) {
			id = kind[i] ":" key[i]; k = key[i]
			both = kind[i] != "access" || k !~ /^[a-z_]+:/
			if (kind[i] == "R" || kind[i] == "m") { client(id, k); to(id, k) }
			else if (k ~ /^srv_features:/) { sub(/^srv_features:/, "", k); feature(id, k) }
			else if (k ~ /^certissuer:/) { sub(/^certissuer:/, "", k); cert(id, k, "") }
			else if (k ~ /^certsubject:/) { sub(/^certsubject:/, "", k); cert(id, by, k) }
			else if (k ~ /^connect:/) { sub(/^connect:/, "", k); client(id, k) }
			else if (k ~ /^to:/) { sub(/^to:/, "", k); to(id, k) }
			else if (k ~ /^from:/) { sub(/^from:/, "", k); from(id, k) }
			else if (k !~ /^[a-z_]+:/ || k ~ /^ipv6:/) { client(id, k); to(id, k); from(id, k) }
		}
		if (cut) printf "0\tcut\t%d questions were not asked\n", cut
	}'
}

# sm_script: the questions as lines for sendmail -bt. A ruleset that does not exist marks where an answer begins.
sm_script() {
	for sm_word in R w m '{TrustAuthMech}'; do
		printf 'MHQclass-%s x\n$=%s\n' "$sm_word" "$sm_word"
	done
	for sm_word in j Z v m w; do
		printf 'MHQmacro-%s x\n$%s\n' "$sm_word" "$sm_word"
	done
	awk -F '\t' -v rule="$sm_rule" -v mech="$sm_trust" '$1 > 0 {
		a = $5; name = $6; resolve = "OK"; if (name ~ /^\[/) resolve = "FAIL"
		print "MHQ" $1 " x"
		print ".D{client_addr}" a; print ".D{client_name}" name; print ".D{client_resolve}" resolve
		print ".D{client_ptr}" name; print ".D{daemon_flags}" $12; print ".Ds" name
		print ".D{auth_type}" ($7 == "" ? "" : mech); print ".D{auth_authen}" $7
		print ".D{verify}" ($13 $14 == "" ? "" : "OK"); print ".D{cert_issuer}" $13; print ".D{cert_subject}" $14
		if ($8 != "RCPT") { print "srv_features " name; next }
		from = $9; print ".Df" from; print ".D{mail_from}<" from ">"; print ".D{mail_addr}" from
		host = from; sub(/^.*@/, "", host); print ".D{mail_host}" host
		print rule " <" $10 ">"
		# where an accepted recipient would go: the mailer that rulesets 3 and 0 choose
		if (!($10 in sent)) { sent[$10] = 1; print "MHQparse-" $1 " x"; print "3,0 <" $10 ">" }
	} END { print "MHQend x" }'
}

# sm_bt PROG ARG…: sendmail in test mode; the trace of inner rulesets is left out, its exit status is the last line.
sm_bt='{ "$@" 2>&1; echo "MHQ exit $?"; } | awk "/ (input|returns):( |\$)/ { if (\$0 !~ /(check_?rcpt|srv_features) +returns: |^(> )*(parse|0) +returns: /) next } /: Name server timeout\$/ { next } { print }"'

# sm_delayed CF: true where check_rcpt begins by calling checkrcpt and passes on what it refuses.
sm_delayed() {
	sm_head=$(sm_lines "$1" | awk '/^S/ { on = ($0 ~ /^Scheck_rcpt([^A-Za-z0-9_]|$)/) }
		on && /^R/ { l = $0; gsub(/[ \t]+/, "", l); if (n++ < 2) printf "%s ", l }')
	case $sm_head in
	'R$'[+*]'$:$1$|$>checkrcpt$1'*' R$'[+*]'$|$#error$*$#error$2'*) return 0 ;;
	'R$'[+*]'$:$1$|$>checkrcpt$1'*' R$'[+*]'$|$#$*$#$2'*) return 0 ;;
	esac
	return 1
}

# sm_ask PROG CF: one process answers everything. It sleeps 60 s where the host's name is unqualified.
sm_ask() {
	sm_acts=$(sm_paths "$2" | sed -n 's/^acts //p' | head -n 3 | tr '\n' ';' | sed 's/;$//; s/;/, /g')
	sm_why=
	[ -z "$sm_acts" ] || sm_why="asking would $sm_acts"
	# without root it would read other files than the daemon does
	case $(id 2>/dev/null) in 'uid=0('* | 'uid=0 '*) ;; *) sm_why="the collector did not run as root" ;; esac
	sm_trust=$(sm_lines "$2" | sed -n 's/^C{TrustAuthMech}[ 	]*\([A-Z0-9-]*\).*/\1/p' | head -n 1)
	sm_rule=check_rcpt
	# with delay_checks the relay check is a ruleset that check_rcpt calls first and obeys; where it does not, that one is not asked
	if grep '^Scheckrcpt' "$2" >/dev/null 2>&1 && sm_delayed "$2"; then sm_rule=checkrcpt; fi
	mh_fact "sendmail:rule:$2" "$sm_rule"
	sm_text=$(sm_questions "$2")
	printf '%s\n' "$sm_text" | mh_ask "sendmail:questions:$2" 10 cat
	# the questions stand even where sendmail is not asked: the reading answers them
	if [ -n "$sm_why" ]; then
		mh_fact "sendmail:noask:$2" "$sm_why"
		mh_cmd "sendmail:version:$1" 75 "$1" -d0.1 -bt -C /dev/null
		return 0
	fi
	sm_level=$(sed -n 's/^V\([0-9]*\).*/\1/p' "$2" | head -n 1)
	set -- "$1" "$2" -d0.13 -d37.1 -bt
	[ "$2" = /etc/mail/sendmail.cf ] || set -- "$@" -C "$2"
	# an unreachable name server may not hold the questions up; the options are of 8.10 and newer
	[ "${sm_level:-0}" -lt 9 ] || set -- "$@" -OTimeout.resolver.retrans=1s -OTimeout.resolver.retry=1
	sm_prog=$1
	sm_cf=$2
	shift
	shift
	# what the daemon was told on its command line holds for the answers too
	sm_word=
	for sm_arg in $sm_options; do
		case $sm_word$sm_arg in
		-O | -o) sm_word=-O ;;
		-O?* | -o?*) set -- "$@" "$sm_word$sm_arg" && sm_word= ;;
		*) sm_word= ;;
		esac
	done
	printf '%s\n' "$sm_text" | sm_script | mh_ask "sendmail:ask:$sm_prog:$sm_cf" 90 sh -c "$sm_bt" sh "$sm_prog" "$@"
}
