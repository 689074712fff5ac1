# Reads the host's mail log on from where it was. "mark" prints where it is: "now EPOCH", and a line "file INODE SIZE PATH" for each log file.
# "since LINE..." prints what came after such lines, at most 2 MiB of each file, only lines that tell of a refusal.
what=$1
shift
logs='/var/log/mail.log /var/log/maillog /var/log/mail /var/log/mail.info /var/log/exim4/mainlog /var/log/exim4/rejectlog /var/log/exim/main.log
/var/log/exim/mainlog /var/log/exim/reject.log /var/spool/exim/log/mainlog /var/log/exim_mainlog /var/adm/syslog/mail.log /var/adm/maillog /var/log/zimbra.log'
bounded() { LC_ALL=C awk '{ n += length($0) + 1; if (n > 2097152) exit; print }'; }
refusals() { grep -i -e relay -e 'configuration error' -e 'local problem' -e 'lookup failure' | tail -n 2000; }
stat_of() {
  at=$(ls -ldinL "$1" 2>/dev/null | awk '{ print $1, $6 }')
}
if [ "$what" = mark ]; then
  echo "now $(date +%s)"
  for f in $logs; do
    if [ -f "$f" ]; then
      stat_of "$f"
      echo "file $at $f"
    fi
  done
  exit 0
fi
any= since=
for line; do
  rest=${line#* }
  case $line in
  now*) since=$rest ;;
  file*)
    inode=${rest%% *}
    rest=${rest#* }
    size=${rest%% *}
    f=${rest#* }
    [ -f "$f" ] || continue
    stat_of "$f"
    # A log that was turned over meanwhile begins anew under its name; its end before that is not looked for.
    [ "${at% *}" = "$inode" ] && [ "${at#* }" -ge "$size" ] || size=0
    # One that does not grow may have been left from the days before the journal.
    [ "${at#* }" -eq "$size" ] || any=1
    tail -c "+$((size + 1))" "$f" 2>/dev/null | bounded | refusals
    ;;
  esac
done
if [ -z "$any" ] && [ -n "$since" ] && command -v journalctl >/dev/null 2>&1; then
  journalctl -q --no-pager -o cat --since "@$since" SYSLOG_FACILITY=2 2>/dev/null | bounded | refusals
fi
exit 0
