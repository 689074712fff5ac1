# The functions that every part of the collector uses. Names begin with mh_; those with mh__ are for this file alone.
# A line of the frame begins with the run's nonce; what stands between a header and its "end" begins with "|".

# Tools are looked for where systems keep POSIX ones first, and in the directories for system programs.
PATH=/usr/xpg6/bin:/usr/xpg4/bin:/usr/bin:/bin:$PATH:/usr/sbin:/sbin:/usr/local/bin:/usr/local/sbin:/usr/lib:/usr/libexec:/usr/ucblib:/opt/csw/bin
LC_ALL=C
LANG=C
export PATH LC_ALL LANG
umask 077
mh_nl='
'
mh_tab=$(printf '\t')
IFS=" $mh_tab$mh_nl"
mh_done=$mh_nl
mh_total=0
mh_spent=0

# mh__random prints 16 hexadecimal digits that nobody can guess.
mh__random() {
  if [ -r /dev/urandom ]; then
    od -An -N8 -tx1 /dev/urandom | tr -d ' \n'
  else
    { date; echo "$$ $mh_nonce"; ps -e; ls -lat / /tmp; } 2>/dev/null | cksum | tr -cd '0-9'
  fi
}

# mh_has finds a tool and puts its path in mh_path.
mh_has() {
  mh_path=
  mh_ifs=$IFS
  IFS=:
  for mh_dir in $PATH; do
    if [ -f "$mh_dir/$1" ] && [ -x "$mh_dir/$1" ]; then
      mh_path=$mh_dir/$1
      break
    fi
  done
  IFS=$mh_ifs
  [ -n "$mh_path" ]
}

# mh_esc puts its argument into mh_word as one word of a frame line.
mh_esc() {
  case $1 in
  *[!A-Za-z0-9_./:+,@-]*)
    mh_word=$(mh_text=$1 awk "$mh_awk_frame"'BEGIN { printf "%s", esc(ENVIRON["mh_text"]) }' </dev/null)
    ;;
  *) mh_word=$1 ;;
  esac
}

# mh__line puts its argument into mh_word with line ends made spaces.
mh__line() {
  mh_word=$1
  case $mh_word in
  *"$mh_nl"*) mh_word=$(printf '%s' "$1" | tr '\n' ' ') ;;
  esac
}

# mh_fact KEY VALUE sends a fact of one line.
mh_fact() {
  mh__line "$2"
  mh_value=$mh_word
  mh_esc "$1"
  printf '%s fact %s %s\n' "$mh_nonce" "$mh_word" "$mh_value"
}

# mh_problem TEXT says to people what could not be looked at.
mh_problem() {
  mh__line "$1"
  printf '%s problem %s\n' "$mh_nonce" "$mh_word"
}

# mh__kind says in mh_kind how a file is to be sent, judging by its name: private keys, credential tables and databases are only hashed.
mh__kind() {
  mh_base=${1##*/}
  case $mh_base in
  *[Pp][Aa][Ss][Ss][Ww][DdOo]* | *[Ss][Aa][Ss][Ll]_[Pp][Aa][Ss][Ss]* | *[Aa][Uu][Tt][Hh][Ii][Nn][Ff][Oo]* | *[Aa][Uu][Tt][Hh][-_][Ii][Nn][Ff][Oo]* | \
    shadow* | *[Ss][Ee][Cc][Rr][Ee][Tt]* | *[Cc][Rr][Ee][Dd][Ee][Nn][Tt][Ii][Aa][Ll]* | *.key | *key.pem | privkey* | *.p12 | *.pfx | *.jks | *.private | \
    sasldb* | *.keytab | .pgpass | .my.cnf | .netrc | id_rsa | id_dsa | id_ecdsa | id_ed25519) mh_kind=secret ;;
  *.db | *.dir | *.pag | *.cdb | *.lmdb | *.mdb | *.gdbm | *.sqlite) mh_kind=binary ;;
  *) mh_kind=file ;;
  esac
  case $1 in
  */private/*.pem | */dovecot/users | */dovecot/*.users | */dkim/*.pem) mh_kind=secret ;;
  esac
}

# mh__target puts into mh_target the path that $1 leads to where it is or goes through a symbolic link, else nothing.
mh__target() {
  mh_target=
  mh_parent=${1%/*}
  if [ "$mh_parent" != "$mh_lastdir" ]; then
    mh_lastdir=$mh_parent
    mh_realdir=$(cd -P "${mh_parent:-/}" 2>/dev/null && pwd -P)
    [ "$mh_realdir" = / ] && mh_realdir=
  fi
  if [ -h "$1" ]; then
    mh_target=$(mh__follow "$1")
  elif [ "$mh_realdir" != "$mh_parent" ]; then
    mh_target=$mh_realdir/${1##*/}
  fi
}

# mh__follow prints where a symbolic link leads in the end; at most 20 steps.
mh__follow() {
  mh_f=$1
  for mh_step in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    mh_d=$(cd -P "${mh_f%/*}/" 2>/dev/null && pwd -P) || return
    [ "$mh_d" = / ] && mh_d=
    mh_f=$mh_d/${mh_f##*/}
    [ -h "$mh_f" ] || break
    mh_l=$(ls -ld "$mh_f") || return
    mh_l=${mh_l#* -> }
    case $mh_l in
    /*) mh_f=$mh_l ;;
    *) mh_f=$mh_d/$mh_l ;;
    esac
  done
  printf '%s\n' "$mh_f"
}

# mh__sums prints a checksum line for each file, by the first tool that is there; mh_sum is its name.
mh__sums() {
  case $mh_sum in
  sha256sum) $mh_short sha256sum "$@" ;;
  shasum) $mh_short shasum -a 256 "$@" ;;
  openssl) $mh_short openssl dgst -sha256 -r "$@" ;;
  digest) for mh_f; do printf '%s  %s\n' "$(digest -a sha256 "$mh_f")" "$mh_f"; done ;;
  sha256) for mh_f; do printf '%s  %s\n' "$(sha256 -q "$mh_f")" "$mh_f"; done ;;
  csum) for mh_f; do printf '%s  %s\n' "$(csum -h SHA256 "$mh_f" | awk '{ print $1 }')" "$mh_f"; done ;;
  *) $mh_short cksum "$@" ;;
  esac
}

# mh__stat prints what is known of each file: stat's own words where there is one, else ls's.
mh__stat() {
  if [ -n "$mh_stat" ]; then
    stat -L -c 's %f %h %u %g %s %Y %U %G %n' "$@"
  else
    ls -ldL "$@"
  fi
}

# mh__emit MODE PATH… sends files; MODE is file, secret or stat.
mh__emit() {
  mh_mode=$1
  shift
  mh_list= mh_sumlist= mh_keys= mh_lastdir=//
  for mh_p; do
    case $mh_p in
    *"$mh_nl"* | *"$mh_tab"*) mh_problem "a file name with a line end or a tab was left out: $mh_p"; continue ;;
    /*) ;;
    *) mh_problem "a file name that is not absolute was left out: $mh_p"; continue ;;
    esac
    case $mh_done in *"$mh_nl$mh_p$mh_nl"*) continue ;; esac
    mh_done=$mh_done$mh_p$mh_nl
    mh__target "$mh_p"
    mh__kind "$mh_p"
    if [ "$mh_kind" = file ] && [ -n "$mh_target" ]; then mh__kind "$mh_target"; fi
    [ "$mh_mode" = file ] || mh_kind=$mh_mode
    if [ ! -e "$mh_p" ]; then
      mh_kind=absent
      [ -h "$mh_p" ] || [ -x "${mh_p%/*}/" ] || [ ! -d "${mh_p%/*}/" ] || mh_kind=unreadable
    elif [ ! -f "$mh_p" ]; then
      mh_kind=stat
    elif [ "$mh_kind" != stat ]; then
      if [ ! -r "$mh_p" ]; then
        [ "$mh_kind" = file ] && mh_kind=unreadable
      else
        mh_sumlist=$mh_sumlist$mh_p$mh_nl
      fi
    fi
    if [ "$mh_total" -gt 28672 ] && [ "$mh_kind" = file ]; then
      mh_problem "more than 28 MiB were collected; the content of $mh_p was left out"
      mh_kind=truncated
    fi
    mh_keys="${mh_keys}k$mh_tab$mh_kind$mh_tab$mh_p$mh_tab$mh_target$mh_nl"
    [ "$mh_kind" = absent ] || mh_list=$mh_list$mh_p$mh_nl
  done
  [ -n "$mh_keys" ] || return 0
  {
    printf '%s' "$mh_keys"
    set -f
    IFS=$mh_nl
    set -- $mh_list
    [ $# -eq 0 ] || mh__stat "$@" 2>/dev/null
    set -- $mh_sumlist
    IFS=" $mh_tab$mh_nl"
    set +f
    [ $# -eq 0 ] || mh__sums "$@" 2>/dev/null
  } | mh_nonce=$mh_nonce mh_key=$mh_key mh_nul=$mh_nul awk "$mh_awk_mask$mh_awk_frame$mh_awk_file"
  mh__sent $?
}

# mh__sent adds what an awk said it sent: its status is 10 and one for each 256 KiB.
mh__sent() {
  if [ "$1" -ge 10 ]; then
    mh_total=$((mh_total + ($1 - 10) * 256))
  else
    mh_problem "awk ended with status $1; a section may be missing"
  fi
}

mh_file() { mh__emit file "$@"; }
mh_secret() { mh__emit secret "$@"; }
mh_stat() { mh__emit stat "$@"; }

# mh_tree DIR [MAX] sends every file under DIR, sorted, at most MAX of them.
mh_tree() {
  mh_dir=${1%/}
  mh_max=${2:-500}
  if [ ! -d "$mh_dir/" ]; then
    mh_file "$mh_dir"
    return
  fi
  [ -r "$mh_dir/" ] && [ -x "$mh_dir/" ] || mh_problem "cannot read the directory $mh_dir"
  mh_found=$($mh_short find "$mh_dir/" '(' -type f -o -type l ')' -print 2>/dev/null | sort | awk -v max="$mh_max" 'NR <= max { print } NR == max + 1 { print "cut" }')
  case $mh_found in
  *"${mh_nl}cut")
    mh_problem "$mh_dir holds more than $mh_max files; the rest was left out"
    mh_found=${mh_found%"${mh_nl}cut"}
    ;;
  esac
  set -f
  IFS=$mh_nl
  set --
  for mh_p in $mh_found; do
    mh_p=$mh_dir/${mh_p#"$mh_dir/"}
    case $mh_p in "$mh_dir//"*) mh_p=$mh_dir/${mh_p#"$mh_dir//"} ;; esac
    [ -f "$mh_p" ] && set -- "$@" "$mh_p"
  done
  IFS=" $mh_tab$mh_nl"
  set +f
  [ $# -eq 0 ] || mh_file "$@"
}

# mh_cmd NAME SECS CMD ARG… runs a program with no input; mh_ask gives it the function's own input.
mh_cmd() { mh__run "$@" </dev/null; }
mh_ask() { mh__run "$@"; }

# mh__run sends a program's standard output, standard error and status. It reads no further than the program's own end: what that left
# running and holding the pipes is not waited for.
mh__run() {
  mh_name=$1
  mh_secs=$2
  shift 2
  if [ "$mh_spent" -ge 120 ] || [ "$mh_total" -gt 28672 ]; then
    mh_problem "$mh_name was not run: the time or the size of this collect is used up"
    return 0
  fi
  {
    mh_err=$({
      mh__limit "$@"
      printf '\n%s fin\n' "$mh_nonce" >&2
    } 2>&1 >&3 | mh__err)
    [ -z "$mh_err" ] || printf '%s\n' "$mh_err"
    printf '%s fin\n' "$mh_nonce"
  } 3>&1 | $mh_head 1200000 | mh_nonce=$mh_nonce mh_key=$mh_key mh_name=$mh_name awk "$mh_awk_mask$mh_awk_frame$mh_awk_output"
  mh_rc=$?
  if [ "$mh_rc" -ge 110 ]; then
    mh_spent=$((mh_spent + mh_secs))
    mh_rc=$((mh_rc - 100))
  fi
  mh__sent "$mh_rc"
}

# mh__rc ends a program's output with its status; the first such line counts. Of a signal ksh93 says 256 and its number, yash 384, the
# others 128.
mh__rc() {
  mh_rc=$1
  [ "$mh_rc" -le 256 ] || mh_rc=$((mh_rc % 128 + 128))
  printf '\n%s rc %s\n' "$mh_nonce" "$mh_rc"
}

# mh__err bounds a program's standard error and stops at its end.
mh__err() {
  $mh_head 80000 | mh_nonce=$mh_nonce awk 'index($0, ENVIRON["mh_nonce"] " fin") == 1 { exit } (n += length($0) + 1) < 65536 { print }'
}

# mh__limit runs a program for at most mh_secs seconds and says its status, 124 where it was stopped.
mh__limit() {
  if [ -n "$mh_timeout" ]; then
    $mh_timeout "$mh_secs" "$@"
    mh_rc=$?
    # 137: timeout(1) had to use SIGKILL, or somebody else did.
    [ "$mh_rc" -eq 137 ] && mh_rc=124
    mh__rc "$mh_rc"
    return
  fi
  # What is waited for is the sleep: it ends at the time limit, or the program's end ends it. No trap is needed, no sleep is left.
  # exec: yash would else keep a shell between, and the sleep would be that shell's. The status is said by the program's own shell:
  # what wait returns of a process that ended early differs from shell to shell.
  { exec sleep "$mh_secs" </dev/null >/dev/null 2>&1 3>&- 6>&-; } &
  mh_s=$!
  {
    (
      "$@" <&5 5<&-
      mh__rc $?
      kill -KILL "$mh_s" 2>/dev/null # a milder signal is lost in mksh before the sleep has begun
      exit 0
    ) &
  } 5<&0
  mh_pid=$!
  if wait "$mh_s" 2>/dev/null && kill -0 "$mh_pid" 2>/dev/null; then
    mh_tree_of=$(mh__descent "$mh_pid")
    mh__rc 124 # before the kill: the program's own shell may outlive it by a moment and say its status first
    kill -TERM $mh_tree_of 2>/dev/null
    sleep 1
    kill -KILL $mh_tree_of 2>/dev/null
  fi
  wait "$mh_pid" 2>/dev/null
}

# mh_within SECS CMD ARG… runs a program with no input for at most SECS seconds, and records nothing: what it prints is printed, its status
# is the function's, 124 where it was stopped. Some shells then say so on standard error.
mh_within() {
  mh_secs=$1
  shift
  if [ -n "$mh_timeout" ]; then
    $mh_timeout "$mh_secs" "$@" </dev/null
    mh_rc=$?
    [ "$mh_rc" -ne 137 ] || mh_rc=124
    return "$mh_rc"
  fi
  # a pipe: ksh93 catches a substitution in a file, which a program under "ulimit -f" could not write
  mh_within=$({ mh__limit "$@" </dev/null; echo x; } | cat)
  mh_said=${mh_within%%"$mh_nl$mh_nonce rc "*} # quotes around the whole would hide the pattern from posh
  printf '%s' "$mh_said"
  mh_rc=${mh_within#*"$mh_nl$mh_nonce rc "}
  mh_rc=${mh_rc%%"$mh_nl"*}
  [ "$mh_rc" -ge 0 ] 2>/dev/null || mh_rc=1
  return "$mh_rc"
}

# mh__descent prints a process and all that descend from it.
mh__descent() {
  { ps -e -o pid= -o ppid= 2>/dev/null || cat /proc/[0-9]*/stat 2>/dev/null | sed 's/(.*)//' | awk '{ print $1, $3 }'; } | awk -v top="$1" '
    { parent[$1] = $2 }
    END {
      for (p in parent) {
        q = p
        for (i = 0; i < 64 && q != "" && q != top && q > 1; i++) q = parent[q]
        if (q == top) print p
      }
    }'
}

# mh_seen NAME reads "addr TAB auth|- TAB foreign|local TAB count TAB last" and sends the lines as what MTA NAME carried.
mh_seen() {
  mh_esc "$1"
  printf '%s seen %s\n' "$mh_nonce" "$mh_word"
  $mh_head 1048576 | awk '{ print "|" $0 }'
  printf '%s end\n' "$mh_nonce"
}

# mh__setup makes the run's nonce and key and finds out which tools there are.
mh__setup() {
  [ -n "$mh_nonce" ] || mh_nonce="mh-$(mh__random)"
  mh_key=$(mh__random)
  mh_nul=1
  [ "$(printf 'a\000b\n' | awk '{ print length($0) }')" = 3 ] && mh_nul=
  mh_timeout= mh_short= mh_stat= mh_sum=cksum
  if timeout -k 2 5 true; then
    mh_timeout="timeout -k 2"
    mh_short="timeout -k 2 20"
  fi
  if printf x | head -c 3; then mh_head="head -c"; else mh_head=mh__head; fi
  case $(stat -L -c '%f %Y' / </dev/null) in [0-9a-f]*' '[0-9]*) mh_stat=1 ;; esac
  for mh_t in sha256sum shasum digest openssl sha256 csum; do
    if mh_has "$mh_t"; then
      mh_sum=$mh_t
      break
    fi
  done
} >/dev/null 2>&1

# mh__head takes the place of head -c where that is missing: awk bounds what it takes itself.
mh__head() { cat; }
