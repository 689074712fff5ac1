# The host part: what machine this is, who listens, what runs.

# mh_host sends the facts of the host itself.
mh_host() {
  mh_uid=$(id -u 2>/dev/null) || mh_uid=$(id | sed 's/^uid=\([0-9]*\).*/\1/')
  mh_fact root "$([ "$mh_uid" = 0 ] && echo 1 || echo 0)"
  mh_fact uname.s "$(uname -s)"
  mh_fact uname.r "$(uname -r)"
  mh_fact uname.m "$(uname -m)"
  mh_fact hostname "$(hostname -f 2>/dev/null || hostname 2>/dev/null || uname -n)"
  mh_fact node "$(uname -n)"
  mh_fact tool.sum "$mh_sum"
  mh_fact timezone "$(date +%z)"
  mh_os
  mh_table
  mh_sockets
}

# mh_os sends the release file that the system keeps.
mh_os() {
  for mh_f in /etc/os-release /usr/lib/os-release; do
    [ -r "$mh_f" ] || continue
    mh_file "$mh_f"
    break
  done
}

# mh_table fills mh_processes: "PID TAB PPID TAB UID TAB EXE TAB NAME TAB ARGV", one process a line.
mh_table() {
  mh_processes=$({
    ls -l /proc/[0-9]*/exe 2>/dev/null | sed -n 's;^.* /proc/\([0-9]*\)/exe -> ;x \1 ;p'
    ps -e -o pid= -o ppid= -o uid= -o args= 2>/dev/null
  } | awk '
    $1 == "x" { p = $2; sub(/^x [0-9]+ /, ""); sub(/ \(deleted\)$/, ""); exe[p] = $0; next }
    $1 ~ /^[0-9]+$/ {
      pid = $1; ppid = $2; uid = $3
      args = $0; sub(/^ *[0-9]+ +[0-9]+ +[^ ]+ +/, "", args); gsub(/\t/, " ", args)
      name = exe[pid]
      if (name == "") { name = args; sub(/[ :].*/, "", name); if (name ~ /^\[/) next }
      sub(/.*\//, "", name)
      print pid "\t" ppid "\t" uid "\t" exe[pid] "\t" name "\t" args
    }')
}

# mh_sockets fills mh_listeners: "ADDR:PORT PID", one listening TCP socket a line.
mh_sockets() {
  mh_listeners=
  if mh_has ss; then
    mh_listeners=$(ss -ltnp 2>/dev/null | awk '
      $1 == "LISTEN" {
        a = $4; sub(/%[^]:]*/, "", a); if (a ~ /^\*:/) a = "[::]" substr(a, 2)
        pid = 0; if (match($0, /pid=[0-9]+/)) pid = substr($0, RSTART + 4, RLENGTH - 4)
        print a, pid
      }')
  fi
  printf '%s\n' "$mh_listeners" | while read -r mh_a mh_b; do
    [ -z "$mh_a" ] || printf '%s listen %s %s\n' "$mh_nonce" "$mh_a" "$mh_b"
  done
}
