# The host part: what machine this is, what starts its services, who listens, what runs.

# mh_host sends the facts of the host itself.
mh_host() {
  mh_uid=$(id -u 2>/dev/null) || mh_uid=$(id | sed 's/^uid=\([0-9]*\).*/\1/')
  mh_fact root "$([ "$mh_uid" = 0 ] && echo 1 || echo 0)"
  mh_system=$(uname -s)
  mh_fact uname.s "$mh_system"
  mh_fact uname.r "$(uname -r)"
  mh_fact uname.v "$(uname -v)"
  mh_fact uname.m "$(uname -m)"
  mh_fact hostname "$(mh__hostname)"
  mh_fact node "$(uname -n)"
  mh_fact tool.sum "$mh_sum"
  mh_fact tool.limit "${mh_timeout:-watch}"
  mh_fact timezone "$(date +%z)"
  mh__release
  mh_init=$(mh__init)
  mh_fact init "$mh_init"
  mh_fact container "$(mh__container)"
  mh_fact addrs "$(mh__addrs)"
  mh_fact login "$(mh__login)"
  mh__panels
  for mh_t in $mh_tools; do
    mh_has "$mh_t" && mh_fact "tool:$mh_t" "$mh_path"
  done
  mh__table
  mh__sockets
}

# mh__hostname prints the host's qualified name. Only where hostname knows -f it is given: on Solaris, AIX and HP-UX that would set
# the name to "-f".
mh__hostname() {
  case $mh_system in
  Linux | *BSD | Darwin) ${mh_timeout:+$mh_timeout 5} hostname -f 2>/dev/null || hostname 2>/dev/null || uname -n ;;
  *) hostname 2>/dev/null || uname -n ;;
  esac
}

# mh__release sends what says which system this is and of what version.
mh__release() {
  for mh_f in /etc/os-release /usr/lib/os-release; do
    [ -r "$mh_f" ] || continue
    mh_file "$mh_f"
    return
  done
  case $mh_system in
  AIX)
    mh_fact os.id aix
    mh_fact os.version "$(oslevel -s 2>/dev/null || oslevel 2>/dev/null)"
    ;;
  HP-UX)
    mh_fact os.id hpux
    mh_fact os.version "$(uname -r)"
    mh_file /etc/rc.config.d/mailservs
    ;;
  SunOS)
    mh_fact os.id solaris
    mh_fact os.version "$(uname -r)"
    [ -r /etc/release ] && mh_fact os.name "$(sed -n '1s/^ *//p' /etc/release)"
    ;;
  *)
    mh_fact os.id "$(echo "$mh_system" | tr '[:upper:]' '[:lower:]')"
    mh_fact os.version "$(uname -r)"
    [ -r /etc/redhat-release ] && {
      mh_fact os.id rhel
      mh_fact os.name "$(head -n 1 /etc/redhat-release)"
      mh_fact os.version "$(sed -n '1s/.*release \([0-9.]*\).*/\1/p' /etc/redhat-release)"
    }
    ;;
  esac
}

# mh__init names what starts services: systemd, openrc, sysv, smf, src, hpux, bsd or none.
mh__init() {
  case $mh_system in
  AIX) echo src ;;
  HP-UX) echo hpux ;;
  SunOS) if mh_has svcs; then echo smf; else echo sysv; fi ;;
  *BSD) echo bsd ;;
  *)
    if [ -d /run/systemd/system ]; then
      echo systemd
    elif [ -d /run/openrc ] || [ -d /etc/runlevels ]; then
      echo openrc
    elif [ -d /etc/rc2.d ] || [ -d /etc/rc.d/rc3.d ] || [ -f /etc/inittab ]; then
      echo sysv
    else
      echo none
    fi
    ;;
  esac
}

# mh__container names the container that the host is, if it is one.
mh__container() {
  if [ -r /run/systemd/container ]; then
    sed 1q /run/systemd/container
  elif [ -f /.dockerenv ]; then
    echo docker
  elif [ -f /run/.containerenv ]; then
    echo podman
  elif [ -r /proc/1/environ ]; then
    tr '\000' '\n' </proc/1/environ | sed -n 's/^container=//p'
  fi
}

# mh__addrs prints the host's own addresses with the length of their prefix.
mh__addrs() {
  if mh_has ip; then
    ip -o addr show 2>/dev/null | awk '$3 ~ /^inet/ { print $4 }' | tr '\n' ' '
    return
  fi
  { ifconfig -a 2>/dev/null || netstat -in 2>/dev/null | awk 'NR > 1 { sub(/\*$/, "", $1); print $1 }' | sort -u | while read -r mh_f; do ifconfig "$mh_f"; done 2>/dev/null; } | awk '
    function bits(m,   i, n, w, k) {
      if (m ~ /\./) { k = split(m, w, "."); for (i = 1; i <= k; i++) while (w[i] > 0) { n += w[i] % 2; w[i] = int(w[i] / 2) }; return n + 0 }
      sub(/^0x/, "", m); for (i = 1; i <= length(m); i++) n += substr("0112122312232334", index("0123456789abcdef", tolower(substr(m, i, 1))), 1)
      return n + 0
    }
    $1 == "inet" || $1 == "inet6" {
      a = $2; p = ""
      if (a ~ /^addr:/) a = substr(a, 6)
      if (a == "") a = $3
      for (i = 2; i < NF; i++) { if ($i == "netmask") p = bits($(i + 1)); if ($i == "prefixlen") p = $(i + 1) }
      if (match($0, /Mask:[0-9.]+/)) p = bits(substr($0, RSTART + 5, RLENGTH - 5))
      if (a ~ /\//) { p = a; sub(/.*\//, "", p); sub(/\/.*/, "", a) }
      sub(/%.*/, "", a)
      if (p == "") p = ($1 == "inet") ? 32 : 128
      if (a ~ /^[0-9a-fA-F:.]+$/) printf "%s/%s ", a, p
    }'
}

# mh__login prints the address that the login's client has for this host: sshd names it in SSH_CONNECTION (sshd(8)). sudo takes that from
# the environment; it is still in that of the processes above.
mh__login() {
  mh_a=${SSH_CONNECTION:-}
  mh_b=$PPID
  for mh_step in 1 2 3 4 5 6 7 8; do
    [ -z "$mh_a" ] && [ -r "/proc/$mh_b/environ" ] || break
    mh_a=$({ tr '\000' '\n' <"/proc/$mh_b/environ"; } 2>/dev/null | sed -n 's/^SSH_CONNECTION=//p')
    mh_b=$(sed -n 's/^PPid:[^0-9]*//p' "/proc/$mh_b/status" 2>/dev/null)
  done
  printf '%s\n' "${mh_a%% *}"
}

# mh__panels sends as the fact panel the suites whose marker files are there.
mh__panels() {
  mh_found=$(printf '%s\n' "$mh_panels" | while read -r mh_a mh_b; do [ -e "$mh_b" ] && echo "$mh_a"; done | sort -u | tr '\n' ' ')
  mh_fact panel "${mh_found% }"
}
