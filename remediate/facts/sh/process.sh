# Processes, sockets and services.

# mh__table fills mh_processes: PID PPID UID EXE NAME ARGV AGE CONTAINER with tabs between them, one process a line. NAME is the base
# name of the program; CONTAINER is set where a process lives in another pid namespace than this script, as containers' processes do.
mh__table() {
  UNIX95=1
  export UNIX95
  mh_self=$(ls -l /proc/self/ns/pid 2>/dev/null)
  mh_processes=$({
    ls -l /proc/[0-9]*/exe /proc/[0-9]*/ns/pid 2>/dev/null | sed -n 's;^.* /proc/\([0-9]*\)/exe -> ;x \1 ;p
s;^.* /proc/\([0-9]*\)/ns/pid -> ;n \1 ;p'
    if mh_has ps && ps -e -o pid= >/dev/null 2>&1; then
      ps -e -o pid= -o ppid= -o uid= -o etime= -o args=
    else
      mh__bare
    fi
  } 2>/dev/null | mh_self=${mh_self##* } awk '
    $1 == "x" { p = $2; sub(/^x [0-9]+ /, ""); sub(/ \(deleted\)$/, ""); exe[p] = $0; next }
    $1 == "n" { if (ENVIRON["mh_self"] != "" && $3 != ENVIRON["mh_self"]) away[$2] = $3; next }
    $1 ~ /^[0-9]+$/ {
      pid = $1; ppid = $2; uid = $3; age = $4
      args = $0; sub(/^ *[0-9]+ +[0-9]+ +[^ ]+ +[^ ]+ +/, "", args); gsub(/\t/, " ", args)
      name = exe[pid]
      if (name == "") { if (args ~ /^\[/) next; name = args; sub(/[ :].*/, "", name) }
      sub(/.*\//, "", name)
      print pid "\t" ppid "\t" uid "\t" exe[pid] "\t" name "\t" args "\t" age "\t" away[pid]
    }')
  mh_fact elsewhere "$(printf '%s\n' "$mh_processes" | awk -F '\t' '$8 != "" && !($5 in n) && ++c <= 200 { n[$5] = 1; printf "%s ", $5 }')"
}

# mh__bare lists processes where there is no ps: "PID PPID UID - ARGV".
mh__bare() {
  for mh_f in /proc/[0-9]*; do
    mh_l=$(tr '\000\n' '  ' <"$mh_f/cmdline") || continue
    [ -n "$mh_l" ] || continue
    awk -v l="$mh_l" '$1 == "Pid:" { p = $2 } $1 == "PPid:" { q = $2 } $1 == "Uid:" { print p, q, $2, "-", l }' "$mh_f/status"
  done 2>/dev/null
}

# mh_running NAME… prints "PID TAB argv" of the processes whose program has one of these names, and sends each of them. Those of
# containers are left out: the files that they see are not the host's.
mh_running() {
  mh_match=$(printf '%s\n' "$mh_processes" | mh_names=" $* " awk -F '\t' '$8 == "" && index(ENVIRON["mh_names"], " " $5 " ")')
  [ -n "$mh_match" ] || return 0
  mh__procs "$mh_match"
  printf '%s\n' "$mh_match" | awk -F '\t' '{ print $1 "\t" $6 }'
}

# mh__procs sends lines of mh_processes to the frame itself, wherever the standard output leads.
mh__procs() {
  printf '%s\n' "$1" | mh_nonce=$mh_nonce mh_key=$mh_key awk "$mh_awk_mask$mh_awk_frame$mh_awk_proc" >&6
}

# mh__sockets fills mh_listeners: "ADDR:PORT PID", one listening TCP socket a line, PID 0 where it cannot be known, and sends them and
# the processes behind them.
mh__sockets() {
  mh_listeners=$(mh__ss || mh__netstat || mh__procnet)
  mh_listeners=$(printf '%s\n' "$mh_listeners" | awk '
    NF == 2 && !seen[$0]++ { line[++n] = $0; at[n] = $1; pid[n] = $2; if ($2 > 0) known[$1] = 1 }
    END { for (i = 1; i <= n; i++) if (pid[i] > 0 || !(at[i] in known)) print line[i] }' | sed 500q)
  case $mh_listeners in
  *" 0"*) mh_listeners=$(mh__lsof "$mh_listeners") ;;
  esac
  printf '%s\n' "$mh_listeners" | while read -r mh_a mh_b; do
    [ -z "$mh_a" ] || printf '%s listen %s %s\n' "$mh_nonce" "$mh_a" "$mh_b"
  done
  mh_match=$({ printf '%s\n' "$mh_listeners"; echo -; printf '%s\n' "$mh_processes"; } | awk '
    $0 == "-" { FS = "\t"; table = 1; next }
    !table { want[$2] = 1; next }
    ($1 + 0) in want')
  [ -z "$mh_match" ] || mh__procs "$mh_match"
}

mh__ss() {
  mh_has ss || return 1
  ss -ltnp 2>/dev/null | awk '
    $1 == "LISTEN" {
      ok = 1
      a = $4; sub(/%[^]:]*/, "", a); if (a ~ /^\*:/) a = "[::]" substr(a, 2)
      if (a !~ /^\[/ && a ~ /:.*:/) { p = a; sub(/.*:/, "", p); sub(/:[^:]*$/, "", a); a = "[" a "]:" p }
      rest = $0; n = 0
      while (match(rest, /pid=[0-9]+/)) { print a, substr(rest, RSTART + 4, RLENGTH - 4); rest = substr(rest, RSTART + RLENGTH); n++ }
      if (!n) print a, 0
    }
    /^State/ { ok = 1 }
    END { exit !ok }'
}

# mh__netstat reads "tcp 0 0 0.0.0.0:25 … LISTEN 12/master" of Linux, "tcp4 0 0 *.25 … LISTEN" of AIX, HP-UX and BSD, and Solaris,
# where the local address comes first.
mh__netstat() {
  mh_has netstat || return 1
  case $mh_system in
  Linux) netstat -ltnp 2>/dev/null ;;
  *) netstat -an 2>/dev/null ;;
  esac | awk '
    /IPv6/ { six = 1 } /IPv4/ { six = 0 }
    /LISTEN/ && !/LISTENING/ {
      a = ($1 ~ /^tcp/) ? $4 : $1; p = a; v6 = ($1 ~ /^tcp.*6/) || (six && $1 !~ /^tcp/)
      sub(/.*[.:]/, "", p); a = substr(a, 1, length(a) - length(p) - 1); sub(/%.*/, "", a)
      if (a == "*") a = v6 ? "::" : "0.0.0.0"
      if (a ~ /:/) a = "[" a "]"
      if (p !~ /^[0-9]+$/ || a !~ /^[][0-9a-fA-F:.]+$/) next
      pid = $NF; sub(/\/.*/, "", pid); print a ":" p, (pid ~ /^[0-9]+$/ && $NF ~ /\//) ? pid : 0; ok = 1
    }
    /^(Proto|Active|TCP)/ || /Local Address/ { ok = 1 }
    END { exit !ok }'
}

# mh__procnet reads /proc/net/tcp and tcp6, where addresses stand in hexadecimal, each 32 bits in the byte order of the machine, and
# finds the owners of the sockets among the open files of all processes.
mh__procnet() {
  [ -r /proc/net/tcp ] || return 1
  mh_order=$(printf '\001\000' | od -An -d | tr -d ' ')
  {
    ls -l /proc/[0-9]*/fd 2>/dev/null | sed -n 's;^/proc/\([0-9]*\)/fd:$;p \1;p
s;.* -> socket:\[\([0-9]*\)\]$;i \1;p'
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null
  } | awk -v little="$mh_order" '
    function hex(s,   i, n) { n = 0; for (i = 1; i <= length(s); i++) n = n * 16 + index("0123456789ABCDEF", substr(s, i, 1)) - 1; return n }
    function byte(w, i) { return substr(w, (little == 1 ? 7 - 2 * i : 1 + 2 * i), 2) }
    function four(w) { return hex(byte(w, 0)) "." hex(byte(w, 1)) "." hex(byte(w, 2)) "." hex(byte(w, 3)) }
    function pair(a, b) { a = tolower(a b); sub(/^0+/, "", a); return a == "" ? "0" : a }
    function six(s,   i, w, out) {
      if (s ~ /^0+$/) return "::"
      for (i = 0; i < 4; i++) { w = substr(s, 1 + 8 * i, 8); out = out (i ? ":" : "") pair(byte(w, 0), byte(w, 1)) ":" pair(byte(w, 2), byte(w, 3)) }
      if (out == "0:0:0:0:0:0:0:1") return "::1"
      return out
    }
    $1 == "p" { pid = $2; next }
    $1 == "i" { if (owners[$2] == "") owners[$2] = pid; next }
    $4 == "0A" {
      split($2, w, ":"); a = (length(w[1]) == 8) ? four(w[1]) : "[" six(w[1]) "]"
      print a ":" hex(w[2]), owners[$10] + 0
    }'
}

# mh__lsof fills in the owners that the first tool could not tell.
mh__lsof() {
  if ! mh_has lsof; then
    printf '%s\n' "$1"
    return
  fi
  { $mh_short lsof -nP -iTCP -sTCP:LISTEN -Fpn 2>/dev/null; echo -; printf '%s\n' "$1"; } | awk '
    $0 == "-" { table = 1; next }
    !table { if (/^p/) pid = substr($0, 2); else if (/^n/) { p = $0; sub(/.*:/, "", p); owner[p] = pid } next }
    $2 == 0 { p = $1; sub(/.*:/, "", p); if (p in owner) $2 = owner[p] }
    { print }'
}

# mh_service NAME… sends for each service the fact service:NAME = "BOOT STATE UNIT PATH LINK…": BOOT is enabled, disabled, masked or none,
# STATE is active, inactive or -, PATH is the unit's file or the start script, and each LINK is what has it started at boot.
mh_service() {
  for mh_p; do
    case $mh_init in
    systemd) mh_word=$(mh__unit "$mh_p") ;;
    smf) mh_word=$(svcs -H -o state,fmri "$mh_p" 2>/dev/null | awk '{ print ($1 == "disabled" ? "disabled inactive" : "enabled " ($1 == "online" ? "active" : "inactive")), $2, "-"; exit }') ;;
    src) mh_word=$(mh__src "$mh_p") ;;
    *) mh_word=$(mh__links "$mh_p") ;;
    esac
    mh_fact "service:$mh_p" "${mh_word:-none -}"
  done
}

# mh__unit asks systemd. A unit that it made of a start script is at home in that script, and started by its links.
mh__unit() (
  set +f
  systemctl show -p Id -p LoadState -p ActiveState -p UnitFileState -p FragmentPath -p SourcePath "$1.service" 2>/dev/null | awk '
    { i = index($0, "="); v[substr($0, 1, i - 1)] = substr($0, i + 1) }
    END {
      if (v["LoadState"] == "" || v["LoadState"] == "not-found") exit
      b = v["UnitFileState"]; s = v["ActiveState"]; f = v["SourcePath"] != "" ? v["SourcePath"] : v["FragmentPath"]
      if (v["LoadState"] == "masked" || b ~ /^masked/) b = "masked"
      else b = (b ~ /^(enabled|static|generated|alias|indirect)/) ? "enabled" : "disabled"
      if (f !~ /^\/[^ ]*$/) f = "-"
      print b, (s == "active" || s == "activating" || s == "reloading") ? "active" : "inactive", v["Id"], f
    }' | {
    read -r mh_b mh_s mh_u mh_f || return 0
    for mh_l in /etc/systemd/system/*.wants/"$mh_u" /etc/systemd/system/*.requires/"$mh_u"; do
      [ ! -h "$mh_l" ] || mh_f="$mh_f $mh_l"
    done
    case $mh_f in
    */init.d/*)
      mh_l=$(mh__rclinks "$1")
      mh_f="$mh_f${mh_l:+ ${mh_l% }}"
      # "generated" it is all the same where no link is left
      case $mh_b:$mh_f in enabled:*' '*) ;; enabled:*) mh_b=disabled ;; esac
      ;;
    esac
    echo "$mh_b $mh_s $mh_u $mh_f"
  }
)

# mh__rclinks prints the links by which the start script NAME is run when the system comes up. A directory that is a link is passed over: its
# other name is here too.
mh__rclinks() (
  set +f
  for mh_d in /etc/rc[2345].d /etc/rc.d/rc[2345].d /sbin/rc[23].d; do
    [ ! -h "$mh_d" ] || continue
    for mh_l in "$mh_d"/S[0-9][0-9]"$1" "$mh_d"/S[0-9][0-9][0-9]"$1"; do
      [ ! -e "$mh_l" ] && [ ! -h "$mh_l" ] || echo "$mh_l"
    done
  done | tr '\n' ' '
  for mh_l in /etc/runlevels/*/"$1"; do
    [ ! -h "$mh_l" ] || printf '%s ' "$mh_l"
  done
)

# mh__src asks AIX's resource controller; what starts at boot stands in /etc/rc.tcpip as "start /usr/lib/sendmail …".
mh__src() {
  mh_l=$(lssrc -s "$1" 2>/dev/null | awk -v n="$1" '$1 == n { print $NF }')
  mh_d=$(sed -n "/^[ 	]*start .*\/$1 /p" /etc/rc.tcpip 2>/dev/null | sed 1q)
  [ -n "$mh_l$mh_d" ] || return 0
  case $mh_l in active) mh_l=active ;; *) mh_l=inactive ;; esac
  if [ -n "$mh_d" ]; then echo "enabled $mh_l $1 /etc/rc.tcpip"; else echo "disabled $mh_l $1 -"; fi
}

# mh__links looks for a start script, the links of System V and OpenRC that run it, and BSD's rc.conf.
mh__links() {
  if [ -r /etc/rc.conf ] && grep -i "^[ 	]*$1_enable=[\"']*yes" /etc/rc.conf >/dev/null 2>&1; then
    echo "enabled - $1 /etc/rc.conf"
    return
  fi
  mh_l=$(mh__rclinks "$1")
  mh_l=${mh_l% }
  for mh_f in /etc/init.d/"$1" /etc/rc.d/init.d/"$1" /etc/rc.d/"$1" /sbin/init.d/"$1" -; do
    if [ "$mh_f" = - ]; then [ -n "$mh_l" ]; else [ -f "$mh_f" ]; fi || continue
    if [ -n "$mh_l" ]; then echo "enabled - $1 $mh_f $mh_l"; else echo "disabled - $1 $mh_f"; fi
    return
  done
}
