# restore.sh: everything that a run changed is put back. By hand: sh restore.sh [--dry | --force].
#   --dry     say what would be done
#   --force   what is neither what the run put there nor what stood before is moved to displaced/ and replaced; without, nothing is touched
#   --guard   the same, for the guard and for a run that failed: of a run that was confirmed nothing is put back
#   --boot    nothing is reloaded or started: the machine is about to start its services
#   --for RUN another run has the host's lock, and its token is heeded
# Exit status: 0 it is as it was, 3 there are conflicts or another run is at work and nothing was touched, 4 it was confirmed meanwhile,
# 6 it is not all put back: for each file standard output has a line.

mh_main() {
  mh_begin restore
  mh_guard= mh_force= mh_dry= mh_boot= mh_for= mh_fenced= mh_own_lock=
  while [ $# -gt 0 ]; do
    case $1 in
    --guard) mh_guard=1 mh_force=1 ;;
    --force) mh_force=1 ;;
    --dry) mh_dry=1 ;;
    --boot) mh_boot=1 ;;
    --for)
      mh_for=${2:?--for needs a run}
      shift
      ;;
    *)
      printf 'usage: sh restore.sh [--dry | --force]\n' >&2
      return 64
      ;;
    esac
    shift
  done
  if [ -n "$mh_dry" ]; then
    mh_survey
    [ "$mh_conflicts" -eq 0 ] || return 3
    return 0
  fi
  rm -f "$mh_dir"/room.*
  mh_claimed && mh_held_restore
  mh_n=$?
  [ "$mh_n" -eq 0 ] || [ -z "$mh_own_lock" ] || mh_release
  return "$mh_n"
}

# mh_held_restore restores under the run's lock. Where the lock cannot be written the guard goes on without.
mh_held_restore() {
  mh_outer=
  mh_hold_for || { mh_tell 0 fenced "run $mh_for is over"; return 4; }
  mh_hold
  case $?$mh_guard in
  0* | 21) ;;
  *)
    mh_tell 0 failed "the run's lock was not to be had"
    mh_drop_for
    return 6
    ;;
  esac
  mh_restore
  mh_rc=$?
  cd /
  mh_drop
  mh_drop_for
  return "$mh_rc"
}

# mh_hold_for takes the lock of the run within which this one is put back, as that run's swap does: its guard ends this restore as it would
# end a swap.
mh_hold_for() {
  [ -n "$mh_for" ] || return 0
  mh_home=$mh_dir mh_dir=$mh_base/$mh_for mh_what=swap
  mh_hold && ! mh_taken
  mh_rc=$?
  mh_outer=$mh_held mh_held= mh_dir=$mh_home mh_what=restore
  [ "$mh_rc" -eq 0 ] || mh_drop_for
  return "$mh_rc"
}

mh_drop_for() {
  [ -z "$mh_outer" ] || true >"$mh_base/$mh_for/busy.$mh_outer/done"
  mh_outer=
} 2>/dev/null

# mh_may: a restore gives way to nobody, but within another run to that run's end.
mh_may() {
  [ -n "$mh_for" ] && [ -d "$mh_base/$mh_for/token" ] || return 0
  mh_fenced=1
  return 1
}

# mh_claimed takes the token, and the host's lock where nobody has it.
mh_claimed() {
  if mh_locked || [ -n "$mh_guard" ]; then
    :
  elif [ -z "$mh_holder" ]; then
    mh_lock_host || mh_locked || { mh_tell 0 locked "another run has just begun"; return 3; }
    mh_own_lock=1
  elif [ "$mh_holder" != "$mh_for" ]; then
    mh_tell 0 locked "run $mh_holder is at work on this host"
    return 3
  fi
  mh_take restore && return 0
  if [ -z "$mh_taker" ]; then
    # A disk that takes nothing more: the guard puts back what it can.
    [ -z "$mh_guard" ] || return 0
    mh_tell 0 failed "cannot write to $mh_dir"
    return 6
  fi
  [ "$mh_taker" = confirm ] && [ -n "$mh_guard" ] || return 0
  mh_tell 0 fenced "the run was confirmed"
  return 4
}

# mh_lock_host takes the host's lock for a restore that no controller asked for.
mh_lock_host() {
  mh_n=$mh_base/locking.$mh_run.$$
  rm -rf "$mh_n"
  mh_birth $$ || mh_born=unknown
  mkdir "$mh_n" && printf '%s\n' "$mh_run" >"$mh_n/run" && echo "restore.sh by hand" >"$mh_n/holder" &&
    echo $$ >"$mh_n/pid" && printf '%s\n' "$mh_born" >"$mh_n/start" && mh_claim "$mh_n" "$mh_base/lock" && return 0
  rm -rf "$mh_n"
  return 1
} 2>/dev/null

# mh_survey looks at every item and says what it finds.
mh_survey() {
  mh_conflicts=0 mh_ours=0 item=$mh_count
  while [ "$item" -gt 0 ]; do
    mh_item "$item"
    mh_look
    case $mh_state in
    conflict) mh_conflicts=$((mh_conflicts + 1)) ;;
    ours) mh_ours=$((mh_ours + 1)) ;;
    esac
    [ -z "$mh_dry$1" ] || mh_tell "$item" "$mh_state" "$item_show"
    [ -z "$mh_dry" ] || [ "$mh_state" = already ] || mh_saved || mh_tell "$item" lost "$item_show"
    item=$((item - 1))
  done
  cd /
}

# mh_saved says whether what stood before the item is still to be had.
mh_saved() {
  case $item_kind/$was_kind in mode/* | service/* | */absent) return 0 ;; esac
  mh_original || mh_whole "$mh_dir/copy/$item" "$was_sum"
}

# mh_original says whether the inode that stood there is kept, and holds what it held.
mh_original() { [ -n "$item_kept" ] && [ -f "$mh_dir/keep/$item" ] && mh_is "$mh_dir/keep/$item" "$was_sum" "$mh_dir/copy/$item"; }

mh_restore() {
  mh_survey ''
  if [ "$mh_conflicts" -gt 0 ] && [ -z "$mh_force" ]; then
    mh_survey list
    return 3
  fi
  # A journal that cannot be written stops no restore.
  mh_note restore doing
  mh_by=
  if [ -n "$mh_for" ]; then mh_by="by run $mh_for"; elif [ -z "$mh_guard" ]; then mh_by="by hand"; fi
  mh_sweep
  if [ $((mh_ours + mh_conflicts)) -gt 0 ] && ! mh_due; then
    mh_owe || mh_why "cannot write down what is owed"
  fi
  mh_back_all
  if [ -z "$mh_fenced" ] && mh_due; then
    if [ -n "$mh_boot" ]; then
      mh_paid
    elif mh_reload; then
      mh_times
      mh_paid && mh_tell 0 reloaded ''
    else
      mh_bad=$((mh_bad + 1))
      mh_tell 0 failed "the files are back, the reload failed; type: $mh_reload_show"
    fi
  fi
  if [ -n "$mh_fenced" ]; then
    # That run's own restore.sh puts back what this one did.
    mh_note restore undone "run $mh_for is over"
    mh_tell 0 fenced "run $mh_for is over"
    return 4
  fi
  if [ "$mh_bad" -gt 0 ]; then
    mh_note restore failed "$mh_bad failed: $mh_cause"
    return 6
  fi
  mh_unlink_kept
  mh_note restore done "$mh_by"
  mh_turns
  mh_over restored && return 0
  mh_tell 0 failed "all is put back, but $mh_cause"
  return 6
}

# mh_turns says in the journal of a run that this one had undone that its changes stand again; were those that it had undone one's before, that
# these are gone again; and so on.
mh_turns() {
  mh_home=$mh_dir mh_to=undone mh_n=0
  while [ "$mh_n" -lt 100 ] && read -r mh_of <"$mh_dir/undoes" && [ -f "$mh_base/$mh_of/journal" ]; do
    mh_dir=$mh_base/$mh_of mh_n=$((mh_n + 1))
    mh_note restore "$mh_to" "by run $mh_run"
    if [ "$mh_to" = undone ]; then mh_to=done; else mh_to=undone; fi
  done
  mh_dir=$mh_home
} 2>/dev/null

# mh_times sets back the time of what the reload made anew with the same content, as that of Debian's Exim does.
mh_times() {
  item=$mh_count
  while [ "$item" -gt 0 ]; do
    mh_item "$item"
    mh_time
    item=$((item - 1))
  done
  cd /
}

# mh_time sets back the time of a file that holds what it held.
mh_time() {
  case $item_kind/$was_kind in mode/* | service/* | */absent) return 0 ;; esac
  ! mh_enter || ! mh_whole "$mh_name" "$was_sum" || touch -r "$mh_dir/copy/$item" "$mh_name"
} 2>/dev/null

# mh_sweep removes what a swap left beside the files that it was about to replace; a swap that wakes up late has nothing left to rename.
mh_sweep() {
  item=$mh_count mh_bad=0
  while [ "$item" -gt 0 ]; do
    mh_item "$item"
    if [ "$item_kind" != service ] && mh_enter && ! rm -rf "$mh_room" 2>/dev/null; then
      mh_bad=$((mh_bad + 1))
      mh_why "cannot remove ${mh_room#./} beside $item_show"
      mh_tell 0 failed "cannot remove ${mh_room#./} beside $item_show"
    fi
    item=$((item - 1))
  done
  cd /
}

# mh_back_all puts back what is not yet as it was, the last change first. What fails does not stop the others.
mh_back_all() {
  item=$mh_count
  while [ "$item" -gt 0 ] && [ -z "$mh_fenced" ]; do
    mh_item "$item"
    mh_look
    mh_done=
    case $mh_state in
    already)
      mh_done=already
      ! mh_touched || ! mh_may || mh_time
      ;;
    ours) ! mh_back || mh_done=restored ;;
    *) ! mh_displace || ! mh_back || mh_done=displaced ;;
    esac
    if [ -z "$mh_done" ]; then
      [ -z "$mh_fenced" ] || break
      mh_bad=$((mh_bad + 1))
      [ "$item_kind" = service ] || ! mh_enter || rm -rf "$mh_room"
      mh_done=failed
      mh_why "$item_show was not put back"
    fi
    mh_tell "$item" "$mh_done" "$item_show"
    item=$((item - 1))
  done
  cd /
}

mh_back() {
  case $item_kind in
  service)
    mh_back_service
    return
    ;;
  esac
  mh_enter || { mh_why "the directory of $item_show is not what it was"; return 1; }
  if [ "$item_kind" = mode ]; then
    mh_may && mh_there && mh_own "$mh_name" "$was_uid" "$was_gid" "$was_mode" live && mh_durable "$mh_name"
    return
  fi
  if [ "$was_kind" = absent ]; then
    mh_remove
    return
  fi
  mh_build || { mh_why "cannot make a directory beside $item_show"; return 1; }
  if mh_original && ln "$mh_dir/keep/$item" ./new 2>/dev/null; then
    mh_own ./new "$was_uid" "$was_gid" "$was_mode" || { mh_why "cannot set owner and mode of $item_show"; return 1; }
  else
    mh_recopy || return 1
  fi
  mh_rename
}

# mh_recopy makes the temporary file of the copy: the original inode was written to, or lies elsewhere. What the copy does not carry, the
# original or what stands there now does.
mh_recopy() {
  mh_whole "$mh_dir/copy/$item" "$was_sum" || { mh_why "the saved copy of $item_show is damaged"; return 1; }
  mh_from=
  for mh_f in "$mh_name" "$mh_dir/copy/$item" "$mh_dir/keep/$item"; do
    [ ! -f "$mh_f" ] || [ -h "$mh_f" ] || mh_from=$mh_f
  done
  mh_dress "$mh_from" && mh_fill "$mh_dir/copy/$item" "$was_sum" &&
    mh_own ./new "$was_uid" "$was_gid" "$was_mode" || { mh_why "cannot write a file beside $item_show"; return 1; }
  touch -r "$mh_dir/copy/$item" ./new || { mh_why "cannot set the time of $item_show"; return 1; }
  mh_durable ./new || { mh_why "cannot make $item_show durable"; return 1; }
}

# mh_displace keeps a third content: somebody's work, or somebody else's.
mh_displace() {
  [ "$item_kind" != service ] || return 0
  mkdir -p "$mh_dir/displaced" && mh_enter && mh_meta "$mh_name" || { mh_why "cannot keep what stands at $item_show"; return 1; }
  mh_to=$mh_dir/displaced/$item mh_n=1
  while [ -e "$mh_to" ] || [ -h "$mh_to" ]; do
    mh_n=$((mh_n + 1))
    mh_to=$mh_dir/displaced/$item.$mh_n
  done
  case $item_kind/$mh_kind in
  mode/absent)
    mh_why "$item_show is gone"
    return 1
    ;;
  mode/*) echo "$mh_uid $mh_gid $mh_mode" | mh_put "$mh_to" ;;
  */absent) return 0 ;;
  */file) ln "$mh_name" "$mh_to" 2>/dev/null || cp -p "$mh_name" "$mh_to" && mh_durable "$mh_to" ;;
  *) mh_may && mv "$mh_name" "$mh_to" ;;
  esac && mh_durable "$mh_dir/displaced" || { mh_why "cannot keep what stands at $item_show"; return 1; }
}

# mh_unlink_kept takes the second names of restored files away: a file that is as it was has one name. The copies stay.
mh_unlink_kept() {
  item=$mh_count
  while [ "$item" -gt 0 ]; do
    mh_item "$item"
    if [ -n "$item_kept" ] && [ -f "$mh_dir/keep/$item" ] && mh_enter && mh_meta "$mh_name" && [ "$mh_kind" = file ]; then
      mh_here=$mh_inode
      mh_meta "$mh_dir/keep/$item" && [ "$mh_inode" = "$mh_here" ] && mh_whole "$mh_dir/copy/$item" "$was_sum" && rm -f "$mh_dir/keep/$item"
    fi
    item=$((item - 1))
  done
  cd /
} 2>/dev/null
