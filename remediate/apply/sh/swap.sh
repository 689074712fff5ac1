# swap.sh: what a run changes goes live, in order, and the daemons are told. Whatever fails, the host is put back at once.

# mh_may is looked at before every change: whoever has taken the run's token decides from then on.
mh_may() {
  mh_taken || return 0
  mh_fenced=1
  return 1
}

mh_main() {
  mh_begin swap
  mh_fenced=
  if [ -d "$mh_dir/token" ] || ! mh_locked; then
    mh_tell 0 fenced "the run is over, or the host's lock is not its own"
    return 4
  fi
  mh_hold
  case $? in
  0) ;;
  1) return 4 ;;
  *)
    mh_failed
    return
    ;;
  esac
  if ! mh_may; then
    mh_drop
    mh_tell 0 fenced "the run's token is taken"
    return 4
  fi
  mh_guarded || mh_why "no guard is armed"
  [ -n "$mh_cause" ] || { mh_note swap doing && mkdir -p "$mh_dir/swapped" && mh_durable "$mh_dir" && mh_owe; } || mh_why "cannot write to $mh_dir"
  [ -n "$mh_cause" ] || mh_swap || mh_cause=${mh_cause:-unknown}
  if [ -z "$mh_cause" ] && [ -z "$mh_fenced" ]; then
    mh_drop
    return 0
  fi
  mh_failed
}

# mh_swap changes everything. The deletions of what the daemons still use follow the reload.
mh_swap() {
  mh_swap_items '' || return 1
  mh_note swap done && mh_note reload doing || { mh_why "cannot write to $mh_dir"; return 1; }
  mh_may && mh_reload && mh_may || return 1
  mh_swap_items last || return 1
  mh_paid && mh_note reload done || { mh_why "cannot write to $mh_dir"; return 1; }
  mh_tell 0 reloaded ''
  [ ! -d "$mh_dir/guard" ] || true >"$mh_dir/guard/again" || { mh_why "cannot write to $mh_dir/guard"; return 1; }
  mh_may
}

mh_swap_items() {
  item=0
  while [ "$item" -lt "$mh_count" ]; do
    item=$((item + 1))
    mh_item "$item"
    [ "$item_last" = "$1" ] || continue
    mh_swap_one || { mh_why "$item_show was not changed"; return 1; }
    mh_tell "$item" swapped "$item_show"
  done
}

mh_swap_one() {
  case $item_kind in
  service)
    mh_swap_service
    return
    ;;
  esac
  mh_enter || { mh_why "the directory of $item_show is not what it was"; return 1; }
  mh_fresh || return 1
  case $item_kind in
  mode) mh_touch && mh_may && mh_there && mh_own "$mh_name" "$new_uid" "$new_gid" "$new_mode" live && mh_durable "$mh_name" ;;
  *)
    if [ "$new_kind" = absent ]; then
      [ "$was_kind" = absent ] || { mh_touch && mh_remove; }
    elif [ "$was_kind $was_sum $was_uid $was_gid $was_mode" = "$new_kind $new_sum $new_uid $new_gid $new_mode" ]; then
      : # nothing changes, not even the time
    else
      mh_replace
    fi
    ;;
  esac
}

# mh_fresh says whether the item is what it was when it was saved.
mh_fresh() {
  mh_meta "$mh_name" || { mh_why "cannot look at $item_show"; return 1; }
  if [ "$was_kind" = absent ]; then
    [ "$mh_kind" = absent ] && return
    mh_why "$item_show is there, and was not"
    return 1
  fi
  case $item_kind$mh_kind in
  *file | modedir) ;;
  *)
    mh_why "$item_show is not the file that it was"
    return 1
    ;;
  esac
  if [ "$mh_uid $mh_gid $mh_mode" != "$was_uid $was_gid $was_mode" ]; then
    mh_why "owner or mode of $item_show were changed"
    return 1
  fi
  [ "$item_kind" != mode ] || return 0
  mh_single || { mh_why "$item_show has other names too (hard links)"; return 1; }
  mh_is "$mh_name" "$was_sum" "$mh_dir/copy/$item" || { mh_why "the content of $item_show was changed"; return 1; }
}

# mh_single says whether the file has no name but this one and those that runs keep.
mh_single() {
  [ "$mh_links" -gt 1 ] || return 0
  mh_n=$(ls -i "$mh_base"/*/keep/ "$mh_base"/.[!.]*/keep/ 2>/dev/null | awk -v i="$mh_inode" '$1 == i { n++ } END { print n + 1 }')
  [ "$mh_links" -le "$mh_n" ]
}

# mh_replace puts new/N in the item's place.
mh_replace() {
  mh_build || { mh_why "cannot make a directory beside $item_show"; return 1; }
  mh_from=
  [ "$was_kind" = absent ] || mh_from=$mh_name
  mh_dress "$mh_from" || { mh_why "cannot make a file beside $item_show"; return 1; }
  mh_fill "$mh_dir/new/$item" "$new_sum" || { mh_why "cannot write a file beside $item_show"; return 1; }
  mh_own ./new "$new_uid" "$new_gid" "$new_mode" || { mh_why "cannot set owner and mode of $item_show"; return 1; }
  mh_durable ./new || { mh_why "cannot make $item_show durable"; return 1; }
  mh_fresh && mh_touch && mh_rename
}

# mh_failed puts everything back, or leaves that to whoever has the token.
mh_failed() {
  mh_note swap failed "${mh_cause:-fenced}"
  if [ -n "$mh_fenced" ]; then
    mh_enter && rm -rf "$mh_room"
    cd /
    mh_drop
    mh_tell 0 fenced "the run's token is taken"
    return 4
  fi
  mh_drop
  mh_tell 0 failed "$mh_cause"
  # On a disk that takes nothing more the lock could not be given back.
  mh_heir=$$ sh "$mh_dir/restore.sh" --guard
  case $? in
  0) return 5 ;;
  4) return 4 ;;
  *) return 6 ;;
  esac
}
