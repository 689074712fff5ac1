# Packages and mail logs.

# mh_package PATH sends as the fact package:PATH which package owns it, "NAME VERSION", or nothing.
mh_package() {
  mh_owner=
  mh_real=$(mh__follow "$1")
  if [ -d /var/lib/dpkg/info ]; then
    mh_owner=$(mh__dpkg "$1" "$mh_real")
  fi
  [ -n "$mh_owner" ] || ! mh_has rpm || mh_owner=$($mh_short rpm -qf --qf '%{NAME} %{VERSION}-%{RELEASE}\n' "$mh_real" 2>/dev/null | awk 'NF == 2 && !/not owned/ { print; exit }')
  [ -n "$mh_owner" ] || ! mh_has apk || mh_owner=$($mh_short apk info -W "$mh_real" 2>/dev/null | sed -n 's/.* is owned by \(.*\)-\([0-9][^-]*-r[0-9]*\)$/\1 \2/p')
  [ -n "$mh_owner" ] || ! mh_has pacman || mh_owner=$($mh_short pacman -Qo "$mh_real" 2>/dev/null | sed -n 's/.* is owned by //p')
  [ -n "$mh_owner" ] || ! mh_has lslpp || mh_owner=$(mh__lslpp "$1" "$mh_real")
  [ -n "$mh_owner" ] || ! mh_has pkgchk || mh_owner=$(mh__pkgchk "$1" "$mh_real")
  [ -n "$mh_owner" ] || ! mh_has swlist || mh_owner=$(mh__swlist "$1" "$mh_real")
  [ -n "$mh_owner" ] || [ ! -d /var/db/pkg ] || ! mh_has pkg || mh_owner=$($mh_short pkg which -q "$mh_real" 2>/dev/null | sed -n 's/^\(.*\)-\([^-]*\)$/\1 \2/p')
  mh_fact "package:$1" "$mh_owner"
}

# mh__dpkg asks dpkg's lists of files, where a path may be written with or without /usr.
mh__dpkg() (
  set +f # a driver may have it set
  mh_pkg=$(for mh_f; do
    printf '%s\n%s\n/usr%s\n' "$mh_f" "${mh_f#/usr}" "$mh_f"
  done | grep -lxF -f - /var/lib/dpkg/info/*.list 2>/dev/null | sed -n '1s;.*/\(.*\)\.list;\1;p')
  [ -z "$mh_pkg" ] || dpkg-query -W -f '${Package} ${Version}\n' "$mh_pkg" 2>/dev/null
)

# mh__lslpp asks AIX: lslpp -w names the fileset of a file, lslpp -Lqc its level in the third column.
mh__lslpp() {
  for mh_f; do
    mh_pkg=$(lslpp -w "$mh_f" 2>/dev/null | awk -v f="$mh_f" '$1 == f { print $2; exit }')
    [ -n "$mh_pkg" ] || continue
    lslpp -Lqc "$mh_pkg" 2>/dev/null | awk -F : 'NR == 1 { print $2, $3 }'
    return
  done
}

# mh__pkgchk asks System V packages (Solaris): pkgchk -l -p names the packages of a file, pkginfo -l their version.
mh__pkgchk() {
  for mh_f; do
    mh_pkg=$(pkgchk -l -p "$mh_f" 2>/dev/null | awk '/^Referenced by/ { getline; print $1; exit }')
    [ -n "$mh_pkg" ] || continue
    pkginfo -l "$mh_pkg" 2>/dev/null | awk -v p="$mh_pkg" '$1 == "VERSION:" { print p, $2; exit }'
    return
  done
}

# mh__swlist asks HP-UX: swlist -l file names the fileset of each file.
mh__swlist() {
  for mh_f; do
    mh_pkg=$($mh_short swlist -l file 2>/dev/null | awk -v f="$mh_f" '$2 == f { sub(/:$/, "", $1); print $1; exit }')
    [ -n "$mh_pkg" ] || continue
    swlist -l fileset -a revision "$mh_pkg" 2>/dev/null | awk -v p="$mh_pkg" '$1 == p { print p, $2; exit }'
    return
  done
}

# mh__changes prints a package's changelog.
mh__changes() {
  for mh_f in "/usr/share/doc/$1/changelog.Debian.gz" "/usr/share/doc/$1/changelog.gz" "/usr/share/doc/$1/changelog.Debian" "/usr/share/doc/packages/$1/changelog.gz"; do
    [ -r "$mh_f" ] || continue
    case $mh_f in
    *.gz) gzip -dc <"$mh_f" ;;
    *) cat "$mh_f" ;;
    esac
    break
  done
  ! mh_has rpm || $mh_short rpm -q --changelog "$1"
}

# mh_changelog PKG sends as the fact fixed:PKG the identifiers of vulnerabilities and advisories that the package's changelog names.
mh_changelog() {
  mh_ids=$(mh__changes "$1" 2>/dev/null | awk '
    {
      while (match($0, /(CVE|CAN)-[0-9][0-9][0-9][0-9]-[0-9]+|(DSA|DLA|USN|GHSA)-[0-9a-z]+(-[0-9a-z]+)*|RH[SBE]A-[0-9]+:[0-9]+/)) {
        id = substr($0, RSTART, RLENGTH); $0 = substr($0, RSTART + RLENGTH)
        if (!(id in known) && n < 500) { known[id] = 1; n++; printf "%s%s", (n > 1 ? " " : ""), id }
      }
    }')
  mh_fact "fixed:$1" "$mh_ids"
}

# mh_maillog prints the mail log of the last 7 days, at most 50 MiB, the newest files first; with no such file, the journal's mail lines.
mh_maillog() {
  mh__logs | mh__recent
}

# mh__logs prints the log files that were written to in the last 8 days.
mh__logs() (
  set +f
  mh_left=52428800
  mh_logs=$(ls -td /var/log/mail.log /var/log/mail.log.[0-9]* /var/log/mail.log-[0-9]* /var/log/maillog /var/log/maillog[.-][0-9]* \
    /var/log/mail /var/log/mail[.-][0-9]* /var/log/mail.info /var/log/exim4/mainlog /var/log/exim4/mainlog.[0-9]* \
    /var/log/exim/main.log /var/log/exim/main.log[.-][0-9]* /var/log/exim/mainlog /var/log/exim/mainlog[.-][0-9]* \
    /var/spool/exim/log/mainlog /var/spool/exim/log/mainlog.[0-9]* /var/log/exim_mainlog /var/log/exim_mainlog[.-][0-9]* \
    /var/adm/syslog/mail.log /var/adm/syslog/OLDmail.log /var/adm/maillog /var/log/zimbra.log 2>/dev/null)
  [ -n "$mh_logs" ] || case $(uname -s) in SunOS) mh_logs=$(ls -td /var/log/syslog /var/log/syslog.[0-9] 2>/dev/null) ;; esac
  mh_any=
  for mh_f in $mh_logs; do
    [ -f "$mh_f" ] && [ "$mh_left" -gt 0 ] || continue
    if [ ! -r "$mh_f" ]; then
      mh_problem "cannot read the mail log $mh_f" >&6
      continue
    fi
    [ -n "$(find "$mh_f" -mtime -8 2>/dev/null)" ] || continue
    mh_any=1
    case $mh_f in
    *.gz) $mh_short gzip -dc <"$mh_f" ;;
    *.bz2) $mh_short bzip2 -dc <"$mh_f" ;;
    *.xz) $mh_short xz -dc <"$mh_f" ;;
    *.zst) $mh_short zstd -dc <"$mh_f" ;;
    *) cat "$mh_f" ;;
    esac 2>/dev/null | tail -c "$mh_left"
    mh_left=$((mh_left - $(ls -ldL "$mh_f" | awk '{ print $5 }')))
  done
  [ -n "$mh_any" ] || ! mh_has journalctl ||
    $mh_short journalctl -q --no-pager -o short-iso --since '7 days ago' SYSLOG_FACILITY=2 2>/dev/null | tail -c 52428800
)

# mh__recent lets through the lines of the last 7 days, by the date that a line begins with: "Nov  4", "2026-11-04".
mh__recent() {
  awk '
    function label(day,   z, era, doe, yoe, y, doy, mp, d, m) {
      z = day + 719468; era = int(z / 146097); doe = z - era * 146097
      yoe = int((doe - int(doe / 1460) + int(doe / 36524) - int(doe / 146096)) / 365)
      doy = doe - (365 * yoe + int(yoe / 4) - int(yoe / 100)); mp = int((5 * doy + 2) / 153)
      d = doy - int((153 * mp + 2) / 5) + 1; m = mp < 10 ? mp + 3 : mp - 9; y = yoe + era * 400 + (m <= 2)
      fresh[sprintf("%04d-%02d-%02d", y, m, d)] = 1
      fresh[substr("JanFebMarAprMayJunJulAugSepOctNovDec", m * 3 - 2, 3) sprintf(" %2d", d)] = 1
    }
    BEGIN { srand(); srand(); now = srand(); for (i = -1; i <= 7; i++) label(int(now / 86400) - i) }
    {
      if (substr($0, 1, 10) in fresh || substr($0, 1, 6) in fresh) on = 1
      else if ($0 ~ /^([0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]|[A-Z][a-z][a-z] [ 0-9][0-9] )/) on = 0
      if (on && (bytes += length($0) + 1) <= 52428800) print
    }'
}
