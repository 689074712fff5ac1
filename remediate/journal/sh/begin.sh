# How a run begins on a host.

# mh_rootonly DIR makes DIR root's alone, or says in mh_why why it cannot be trusted.
mh_rootonly() {
  mh_why=
  mh__me=$(id -u)
  mkdir -p "$1" 2>/dev/null || { mh_why="cannot make the directory $1"; return 1; }
  mh_meta "$1" || { mh_why="cannot look at $1"; return 1; }
  if [ "$mh_kind" != dir ]; then
    mh_why="$1 is no directory"
  elif [ "$mh_uid" != "$mh__me" ]; then
    mh_why="$1 belongs to the account $mh_uid"
  elif [ "$mh_mode" != 0700 ] && ! chmod 700 "$1" 2>/dev/null; then
    mh_why="$1 cannot be made its owner's alone"
  fi
  [ -z "$mh_why" ]
}

# mh_begin VETO HOLDER takes the host's lock for this run and its shell, or says why not.
mh_begin() {
  mh_got=
  if [ -e "$1" ] || [ -h "$1" ]; then
    if [ -s "$1" ]; then
      mh_blob veto "$1" 64
    else
      printf '%s blob veto\n%s end 0\n' "$mh_nonce" "$mh_nonce"
    fi
    return
  fi
  mh_rootonly "$mh_base" || { mh_fact why "$mh_why"; return; }
  if [ -e "$mh_base/lock" ]; then
    mh_other
    return
  fi
  mkdir "$mh_dir" 2>/dev/null || { mh_fact why "cannot make the run's folder $mh_dir: $(mkdir "$mh_dir" 2>&1)"; return; }
  mh__w=$mh_dir/locking.$mh_run
  mh_birth $$
  if mh_files && mkdir "$mh__w" && printf '%s\n' "$mh_run" >"$mh__w/run" && printf '%s\n' "$2" >"$mh__w/holder" &&
    printf '%s\n' "$$" >"$mh__w/pid" && printf '%s\n' "$mh_born" >"$mh__w/start" &&
    mh_durable "$mh__w/run" "$mh__w/holder" "$mh__w/pid" "$mh__w/start" "$mh_dir" "$mh_base"; then
    mh_claim "$mh__w" "$mh_base/lock"
    mh__rc=$?
  else
    mh__rc=3
  fi
  case $mh__rc in
  0)
    mh_got=yes
    mh_fact held "$mh_run"
    return
    ;;
  1) mh__rc= ;;
  *) mh__rc="cannot write to the run's folder $mh_dir" ;;
  esac
  rm -rf "$mh_dir"
  if [ -n "$mh__rc" ]; then mh_fact why "$mh__rc"; else mh_other; fi
}

# mh_other sends who has the lock, and how his run stands.
mh_other() {
  mh_lock
  case $mh_holder in
  '') mh_fact why "the lock was given back in this moment: try again" ;;
  *) mh_record "$mh_holder" ;;
  esac
}

# mh_hold stays as long as the lock is this run's and somebody reads what it says.
mh_hold() {
  [ -n "$mh_got" ] || return 0
  mh__n=0
  while mh_locked; do
    sleep 1
    mh__n=$((mh__n + 1))
    if [ "$mh__n" -ge 5 ]; then
      mh__n=0
      printf '\n' || return 0
    fi
  done
}
