# The functions that every script of a run begins with. POSIX sh and its utilities are all they need. Names begin with mh_; those with
# mh__ are for this file alone. Results are left in variables: a substitution costs a process, and hides what failed.
# mh_base is the folder of all runs, mh_run the run, mh_dir its folder; mh_setup needs none of them.

mh_nl='
'
mh_tab=$(printf '\t')

# mh_setup makes the surroundings the same everywhere and finds out which tools there are. PATH is left as it stands, with the
# directories of POSIX tools before and those of system programs after.
mh_setup() {
  PATH=/usr/xpg6/bin:/usr/xpg4/bin:$PATH:/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin:/usr/local/sbin:/opt/csw/bin
  LC_ALL=C
  LANG=C
  export PATH LC_ALL LANG
  unset QUOTING_STYLE TIME_STYLE BLOCK_SIZE POSIXLY_CORRECT CDPATH ENV
  IFS=" $mh_tab$mh_nl"
  umask 077
  set +e
  set +u
  mh__sha=cksum
  for mh__t in sha256sum shasum digest openssl sha256 csum perl; do
    if mh_has "$mh__t" && mh__works "$mh__t"; then
      mh__sha=$mh__t
      break
    fi
  done
  # What a run carries may be secret: a printf that is a program of its own would show it to all in its arguments (mksh, ksh88, posh).
  mh__say=awk
  case $(type print) in *built?in*) mh__say=print ;; esac
  case $(type printf) in *built?in*) mh__say=printf ;; esac
  # sync(1) takes names since coreutils 8.24; older ones ignore them, and one that takes names fails for a name that is not there.
  mh__sync=all
  if sync / && ! sync /nonexistent/name; then
    mh__sync=names
  elif mh_has perl; then
    mh__sync=perl
  fi
  return 0
} </dev/null >/dev/null 2>&1

# mh_has finds a tool and puts its path in mh_path. (posh has no command -v.)
mh_has() {
  mh_path=
  mh__ifs=$IFS
  IFS=:
  for mh__d in $PATH; do
    if [ -f "$mh__d/$1" ] && [ -x "$mh__d/$1" ]; then
      mh_path=$mh__d/$1
      break
    fi
  done
  IFS=$mh__ifs
  [ -n "$mh_path" ]
}

# mh__works says whether a tool makes the sha256 that it should.
mh__works() {
  mh__sha=$1
  mh_hash /dev/null && [ "$mh_sum" = sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 ]
}

# mh_hash FILE puts "sha256:HEX" into mh_sum, or where nothing here makes one "cksum:CRC SIZE". It fails where the file cannot be read.
mh_hash() {
  mh_sum=
  [ -r "$1" ] || return 1
  case $mh__sha in
  sha256sum) mh_sum=$(sha256sum <"$1") || return 1 ;;
  shasum) mh_sum=$(shasum -a 256 <"$1") || return 1 ;;
  digest) mh_sum=$(digest -a sha256 <"$1") || return 1 ;;
  openssl) mh_sum=$(openssl dgst -sha256 <"$1") || return 1 ;;
  sha256) mh_sum=$(sha256 -q <"$1") || return 1 ;;
  csum) mh_sum=$(csum -h SHA256 - <"$1") || return 1 ;;
  perl) mh_sum=$(perl -MDigest::SHA -e 'print Digest::SHA->new(256)->addfile(*STDIN)->hexdigest' <"$1") || return 1 ;;
  *)
    mh_sum=$(cksum <"$1") || return 1
    case $mh_sum in
    [0-9]*' '[0-9]*) mh_sum=cksum:$mh_sum ;;
    *) return 1 ;;
    esac
    return 0
    ;;
  esac
  mh_sum=${mh_sum##*= }
  mh_sum=${mh_sum%% *}
  case $mh_sum in
  *[!0-9a-f]*) return 1 ;;
  ????????????????????????????????????????????????????????????????) mh_sum=sha256:$mh_sum ;;
  *) return 1 ;;
  esac
}

# mh_durable PATH... makes files and directories outlive a loss of power.
mh_durable() {
  case $mh__sync in
  names) sync "$@" ;;
  perl) perl -MIO::Handle -e 'my $f; for (@ARGV) { open($f, "<", $_) && $f->sync or die "$_: $!\n" }' "$@" ;;
  *) sync ;;
  esac
} </dev/null 2>/dev/null

# mh_epoch puts the seconds since 1970 into mh_now.
mh_epoch() {
  mh_now=$(date +%s 2>/dev/null)
  case $mh_now in
  '' | *[!0-9]*) mh_now=$(awk 'BEGIN { srand(); srand(); print srand() }' </dev/null) ;;
  esac
}

# mh_meta PATH says what stands at a path, of a link the link itself: mh_kind is file, dir, link, other or absent; then mh_inode, mh_mode
# (octal, four digits), mh_links, mh_uid, mh_gid, mh_size (bytes) and mh_mark, what ls puts behind the mode: + for an ACL, . for a label.
mh_meta() {
  mh_kind=absent mh_inode= mh_mode= mh_links= mh_uid= mh_gid= mh_size= mh_mark=
  [ -e "$1" ] || [ -h "$1" ] || return 0
  mh__l=$(ls -ldin "$1" 2>/dev/null) || return 1
  mh__set=$-
  set -f
  set -- $mh__l
  case $mh__set in *f*) ;; *) set +f ;; esac
  [ $# -ge 6 ] || return 1
  mh_inode=$1 mh_links=$3 mh_uid=$4 mh_gid=$5 mh_size=$6
  case $2 in
  -*) mh_kind=file ;;
  d*) mh_kind=dir ;;
  l*) mh_kind=link ;;
  *) mh_kind=other mh_size=0 ;;
  esac
  case $mh_inode$mh_links$mh_uid$mh_gid$mh_size in '' | *[!0-9]*) return 1 ;; esac
  case $2 in
  ??????????) ;;
  ??????????[+.@]) mh_mark=${2#??????????} ;;
  *) return 1 ;;
  esac
  mh__octal "$2"
}

# mh__octal puts the mode of ls's letters into mh_mode.
mh__octal() {
  mh__s=0 mh__o=
  mh__r=${1#?}
  for mh__b in 4 2 1; do
    mh__n=0
    case $mh__r in r*) mh__n=4 ;; esac
    case $mh__r in ?w*) mh__n=$((mh__n + 2)) ;; esac
    case $mh__r in ??[xst]*) mh__n=$((mh__n + 1)) ;; esac
    case $mh__r in ??[sStTlL]*) mh__s=$((mh__s + mh__b)) ;; esac
    mh__o=$mh__o$mh__n
    mh__r=${mh__r#???}
  done
  mh_mode=$mh__s$mh__o
}

# mh_birth PID puts a word into mh_born by which a process is told from a later one with its number. It fails where there is no such
# process, or none but its remains.
mh_birth() {
  mh_born=
  case $1 in '' | 0 | *[!0-9]*) return 1 ;; esac
  kill -0 "$1" 2>/dev/null || [ -d "/proc/$1" ] || return 1
  mh__p=$1
  if [ -r "/proc/$1/stat" ] && mh__l=$(cat "/proc/$1/stat" 2>/dev/null) && [ -n "$mh__l" ]; then
    mh__l=${mh__l##*")"}
    set -- $mh__l
    case $1 in Z | X | x) return 1 ;; esac
    [ $# -ge 20 ] || return 1
    shift 19
    mh_born=$1
    [ ! -r /proc/sys/kernel/random/boot_id ] || mh_born=$mh_born.$(cut -c1-8 /proc/sys/kernel/random/boot_id)
    return 0
  fi
  mh_born=$(ps -o lstart= -p "$mh__p" 2>/dev/null) || mh_born=$(ps -o stime= -p "$mh__p" 2>/dev/null) || return 1
  set -- $mh_born
  mh__ifs=$IFS
  IFS=_
  mh_born=$*
  IFS=$mh__ifs
  [ -n "$mh_born" ]
}

# mh_alive PID BORN says whether that process still lives.
mh_alive() { mh_birth "$1" && [ "$mh_born" = "$2" ]; }

# mh_say TEXT writes TEXT, in which \0ooo is the byte of that octal number. Whatever it is, no other process sees it.
mh_say() {
  case $mh__say in
  printf) printf %b "$1" ;;
  print) print -n -- "$1" ;;
  *)
    mh__b=$1 awk 'BEGIN {
      text = ENVIRON["mh__b"]
      while ((i = index(text, "\\")) > 0) {
        printf "%s%c", substr(text, 1, i - 1), substr(text, i + 2, 1) * 64 + substr(text, i + 3, 1) * 8 + substr(text, i + 4, 1)
        text = substr(text, i + 5)
      }
      printf "%s", text
    }' </dev/null
    ;;
  esac
}

# mh_put FILE writes its standard input to a file that has its name only when it is whole, durably.
mh_put() {
  rm -f "$1.tmp" && cat >"$1.tmp" && mh_seal "$1"
}

# mh_seal FILE gives the finished FILE.tmp its name.
mh_seal() {
  mh_durable "$1.tmp" && mv -f "$1.tmp" "$1" && mh_durable "${1%/*}"
}

# mh_note STEP STATE [TEXT] adds a line to the run's journal, durably. A line that a lost machine left without its end is ended first.
mh_note() {
  mh__j=$mh_dir/journal
  mh__t=${3:-}
  case $mh__t in *"$mh_nl"*) mh__t=$(printf '%s' "$mh__t" | tr '\n' ' ') ;; esac
  mh__n=0 mh__e=
  if [ -f "$mh__j" ]; then
    mh__n=$(wc -l <"$mh__j") || return 1
    [ -z "$(tail -c 1 "$mh__j")" ] || mh__e=$mh_nl
  fi
  mh_epoch
  printf '%s%s %s %s %s %s\n' "$mh__e" "$((mh__n + 1))" "$mh_now" "$1" "$2" "$mh__t" >>"$mh__j" 2>/dev/null || return 1
  mh_durable "$mh__j" || return 1
  [ "$mh__n" -gt 0 ] || mh_durable "$mh_dir"
}

# mh_claim FROM TO gives a filled directory the name TO unless that is taken. It is one rename: of two that try only one wins, and whoever
# finds TO finds what is in it. The name of FROM must be nobody else's. It fails with 1 where TO is taken, 2 where the rename cannot be made.
mh_claim() {
  mh__f=${1##*/}
  true >"$1/$mh__f" && mh_durable "$1" || return 2
  if [ ! -e "$2" ]; then
    # Into a directory of that name that came meanwhile mv puts FROM itself: then a directory stands where the file should.
    mv "$1" "$2" 2>/dev/null
    if [ -f "$2/$mh__f" ]; then
      mh_durable "${2%/*}"
      return
    fi
    rm -rf "$2/$mh__f"
    [ -e "$2" ] || return 2
  fi
  return 1
}

# mh_take WHO takes the run's token: who has it decides how the run ends. It fails where the token is taken; mh_taker is then by whom.
mh_take() {
  mh__w=$mh_dir/taking.$1.$$
  rm -rf "$mh__w"
  mh_taker=
  mkdir "$mh__w" && printf '%s\n' "$1" >"$mh__w/who" && mh_durable "$mh__w/who" && mh_claim "$mh__w" "$mh_dir/token" && return 0
  rm -rf "$mh__w"
  mh_taken
  return 1
} 2>/dev/null

# mh_taken says whether the run's token is taken; mh_taker is by whom.
mh_taken() {
  mh_taker=
  [ -d "$mh_dir/token" ] || return 1
  read -r mh_taker <"$mh_dir/token/who" || mh_taker=unknown
  return 0
} 2>/dev/null

# mh_locked says whether the host's lock is this run's; mh_holder is whose it is, "" where there is none.
mh_locked() {
  mh_holder=
  [ -d "$mh_base/lock" ] || return 1
  read -r mh_holder <"$mh_base/lock/run" || mh_holder=unknown
  [ "$mh_holder" = "$mh_run" ]
} 2>/dev/null

# mh_release gives the host's lock back where it is this run's. It is one rename too. A guard that sees the run's end and who ended it may be at
# it together: one of them finds the lock gone, and were the next run to have it already, that run gets it back.
mh_release() {
  mh_locked || return 0
  mh__w=$mh_dir/unlocked.$$
  rm -rf "$mh__w" || return 1
  mv "$mh_base/lock" "$mh__w"
  if [ -d "$mh__w" ]; then
    read -r mh_holder <"$mh__w/run" || mh_holder=unknown
    [ "$mh_holder" = "$mh_run" ] || { mh_claim "$mh__w" "$mh_base/lock"; return; }
  elif mh_locked; then
    return 1
  fi
  mh_durable "$mh_base" && rm -rf "$mh__w"
} 2>/dev/null
