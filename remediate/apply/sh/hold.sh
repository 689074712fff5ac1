# The run's own lock, busy.1, busy.2 and so on: the highest counts, and it is free when it is marked done or its holder is dead. A lock is
# never removed, so that of two who find it free only one makes the next.

# mh_hold takes the lock. A holder that a restore finds stopped, or slower than it may be, is ended: that is safe at any of its steps.
mh_hold() {
  mh_waited=0
  while [ "$mh_waited" -le 600 ]; do
    mh_top=0
    while [ -d "$mh_dir/busy.$((mh_top + 1))" ]; do mh_top=$((mh_top + 1)); done
    if [ "$mh_top" -eq 0 ] || [ -e "$mh_dir/busy.$mh_top/done" ] || mh_free "$mh_dir/busy.$mh_top"; then
      mh_hold_next "$((mh_top + 1))"
      case $? in
      0) return 0 ;;
      1) ;;
      *)
        mh_why "cannot write to $mh_dir"
        return 2
        ;;
      esac
    fi
    # A swap does not wait for the restore that ends it.
    [ "$mh_what" != swap ] || ! mh_taken || return 1
    [ "$mh_what" != confirm ] || [ "$mh_waited" -lt 10 ] || return 1
    sleep 1
    mh_waited=$((mh_waited + 1))
  done
  mh_why "$mh_dir/busy.$mh_top is held by process $mh_p, which does not end"
  return 1
}

# mh_hold_next N makes the lock's next generation.
mh_hold_next() {
  mh_n=$mh_dir/holding.$$
  rm -rf "$mh_n"
  mh_birth $$ || mh_born=unknown
  if ! mkdir "$mh_n" || ! printf '%s\n' "$$ $mh_born $mh_what" >"$mh_n/holder"; then
    rm -rf "$mh_n"
    return 2
  fi
  mh_claim "$mh_n" "$mh_dir/busy.$1"
  mh_n=$?
  rm -rf "$mh_dir/holding.$$"
  [ "$mh_n" -ne 0 ] || mh_held=$1
  return "$mh_n"
} 2>/dev/null

# mh_free DIR says whether a lock's holder is dead. A restore ends one that is in its way.
mh_free() {
  mh_p= mh_b= mh_w=
  read -r mh_p mh_b mh_w <"$1/holder" 2>/dev/null
  mh_alive "$mh_p" "$mh_b" || return 0
  [ "$mh_p" != "${mh_heir:-}" ] || return 0
  # It is this process: the lock was made, and could not be made durable.
  [ "$mh_p" != $$ ] || return 0
  [ "$mh_what" = restore ] || return 1
  case $mh_w in restore) mh_n=$mh_patience ;; *) mh_n=$mh_grace ;; esac
  if [ "$mh_waited" -ge "$mh_n" ] || mh_stopped "$mh_p"; then
    mh_slay "$mh_p"
    ! mh_alive "$mh_p" "$mh_b"
    return
  fi
  return 1
}

# mh_drop gives the lock back.
mh_drop() {
  [ -z "$mh_held" ] || true >"$mh_dir/busy.$mh_held/done"
  mh_held=
} 2>/dev/null

# mh_stopped PID says whether a process is stopped by a signal.
mh_stopped() {
  mh_l=$(cat "/proc/$1/stat" 2>/dev/null || ps -o state= -p "$1" 2>/dev/null || ps -o s= -p "$1" 2>/dev/null)
  mh_l=${mh_l##*") "}
  case $mh_l in [Tt]*) return 0 ;; esac
  return 1
}

# mh_children PID... prints those processes and all that descend from them, but not this one.
mh_children() {
  {
    ps -e -o pid= -o ppid= 2>/dev/null || cat /proc/[0-9]*/stat 2>/dev/null | sed 's/(.*)//' | awk '{ print $1, $3 }'
  } | awk -v top="$*" -v me=$$ '
    BEGIN { n = split(top, t, " "); for (i = 1; i <= n; i++) family[t[i]] = 1 }
    { parent[$1] = $2 }
    END {
      for (p in parent) {
        q = p
        for (i = 0; i < 64 && q != "" && !(q in family) && q > 1; i++) q = parent[q]
        if ((q in family) && p != me) print p
      }
    }'
}

# mh_slay PID ends a process and all that descend from it. They are stopped first, so that none can start another meanwhile.
mh_slay() {
  mh_list=$1 mh_n=0
  kill -STOP "$1" || return 0
  while [ "$mh_n" -lt 20 ]; do
    mh_n=$((mh_n + 1))
    mh_more=$(mh_children "$1" | sort -n | tr '\n' ' ')
    [ "$mh_more" != "$mh_list" ] || break
    mh_list=$mh_more
    [ -z "$mh_list" ] || kill -STOP $mh_list
  done
  kill -KILL $mh_list "$1"
  mh_n=0
  for mh_l in $mh_list "$1"; do
    while [ "$mh_n" -lt 10 ] && mh_birth "$mh_l"; do
      sleep 1
      mh_n=$((mh_n + 1))
    done
  done
} 2>/dev/null

# mh_over WORD writes down how the run ended and takes away what it left: boot hook, stage, guard and the host's lock. It may be called again.
mh_over() {
  printf '%s\n' "$1" | mh_put "$mh_dir/end" || { mh_why "cannot write to $mh_dir"; return 1; }
  rm -f "$mh_dir"/room.*
  mh_swept
  mh_unhook || { mh_why "cannot remove the boot hook $mh_hook"; return 1; }
  [ ! -e "$mh_dir/stage" ] || rm -rf "$mh_dir/stage" || mh_why "cannot remove $mh_dir/stage"
  mh_disarm
  mh_release || { mh_why "cannot release $mh_base/lock"; return 1; }
}

# mh_swept takes away the locks that somebody who was killed had begun to make.
mh_swept() {
  for mh_n in "$mh_dir"/holding.*; do
    kill -0 "${mh_n##*.}" || rm -rf "$mh_n"
  done
} 2>/dev/null

# mh_ended puts into mh_end how the run ended: confirmed, restored or nothing.
mh_ended() {
  mh_end=
  [ ! -f "$mh_dir/end" ] || read -r mh_end <"$mh_dir/end"
}

# mh_guarded says whether the guard waits.
mh_guarded() {
  mh_p= mh_b=
  { read -r mh_p <"$mh_dir/guard/pid" && read -r mh_b <"$mh_dir/guard/start"; } 2>/dev/null && mh_alive "$mh_p" "$mh_b"
}

# mh_unhook removes what would restore at the next boot, by the names that the guard wrote down before it made them.
mh_unhook() {
  mh_hook=
  [ -f "$mh_dir/hooks" ] || return 0
  while read -r mh_hook; do
    case $mh_hook in
    /*/mtaharden-restore-* | /*/S[0-9][0-9]mtaharden-restore-*)
      rm -f "$mh_hook" "$mh_hook.tmp" && mh_durable "${mh_hook%/*}" || return 1
      ;;
    */etc/init.d/.legacy-bootordering)
      rm -f "$mh_hook.tmp" && mh_durable "${mh_hook%/*}" || return 1
      ! grep "^mtaharden-restore-$mh_run\$" "$mh_hook" >/dev/null 2>&1 || { rm -f "$mh_hook" && mh_durable "${mh_hook%/*}"; } || return 1
      ;;
    esac
  done <"$mh_dir/hooks"
  if [ -f "$mh_dir/hookdir" ]; then
    read -r mh_hook <"$mh_dir/hookdir"
    case $mh_hook in */sysinit.target.wants) rmdir "$mh_hook" 2>/dev/null ;; esac
    rm -f "$mh_dir/hookdir"
  fi
  rm -f "$mh_dir/hooks" && mh_durable "$mh_dir"
}

# mh_disarm ends the guard, unless it is the guard that runs this: mh_guarding is its process. Its folder goes last: where this is killed while
# the guard is stopped and does not yet end, the next that disarms finds it there.
mh_disarm() {
  [ -d "$mh_dir/guard" ] || return 0
  mh_p= mh_b=
  read -r mh_p <"$mh_dir/guard/pid" && read -r mh_b <"$mh_dir/guard/start"
  [ "$mh_p" = "${mh_guarding:-}" ] || ! mh_alive "$mh_p" "$mh_b" || mh_slay "$mh_p"
  rm -rf "$mh_dir/unarmed" && mv "$mh_dir/guard" "$mh_dir/unarmed" && rm -rf "$mh_dir/unarmed"
} 2>/dev/null
