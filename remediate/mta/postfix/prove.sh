# Puts SMTP dialogues to the daemons of the stage. Standard input has one a line, fields parted by \037: key, host, port, plain, starttls or
# wrapper, then the commands. For each it prints the key, the step that ended it (connect, greeting, tls, 1, 2 … end) and the last reply, parted
# by tabs: the first reply that is no success, or that of the last command.
cr=$(printf "\r")
hear() {
  all=
  while IFS= read -r -t 20 line <&7; do
    line=${line%"$cr"}
    all="$all ${line#????}"
    case $line in
    [0-9][0-9][0-9]-*) ;;
    [0-9][0-9][0-9]*) reply=${line%%[!0-9]*}$all; return 0 ;;
    *) reply="$line"; return 0 ;;
    esac
  done
  reply="the connection ended"
  return 1
}
say() { printf "%s\r\n" "$1" >&8 2>/dev/null; hear; }
tell() { printf "%s\t%s\t%s\n" "$key" "$1" "$reply"; }
open_plain() { { exec 7<>"/dev/tcp/$host/$port"; } 2>/dev/null && exec 8>&7; }
open_tls() {
  at=$host:$port
  case $host in *:*) at="[$host]:$port" ;; esac
  starttls="-starttls smtp"
  if [ "$1" = wrapper ]; then starttls=; fi
  coproc TLS { exec openssl s_client -connect "$at" $starttls -quiet -ign_eof 2>/dev/null; }
  exec 7<&"${TLS[0]}" 8>&"${TLS[1]}" || return 1
  if [ "$1" = wrapper ]; then hear; return; fi
  # what the program prints of the dialogue before it is passed over
  say "NOOP" || return 1
  while case $reply in "250 2.0.0"*) false ;; esac do hear || return 1; done
}
dialogue() {
  step=greeting
  case $mode in
  plain)
    reply="cannot connect"
    open_plain || { tell connect; return; }
    hear || { tell greeting; return; }
    ;;
  *)
    reply="no TLS"
    open_tls "$mode" || { tell tls; return; }
    ;;
  esac
  case $reply in 2*) ;; *) tell greeting; return ;; esac
  step=0
  for command; do
    step=$((step + 1))
    say "$command" || { tell "$step"; return; }
    case $reply in [23]*) ;; *) tell "$step"; return ;; esac
  done
  tell end
}
while IFS= read -r asked; do
  IFS=$(printf "\037")
  set -f
  set -- $asked
  set +f
  IFS=" "
  key=$1 host=$2 port=$3 mode=$4
  shift 4
  dialogue "$@"
  exec 7<&- 8>&-
  if [ -n "$TLS_PID" ]; then
    pid=$TLS_PID
    exec {TLS[0]}<&- {TLS[1]}>&-
    kill "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
  fi
done
