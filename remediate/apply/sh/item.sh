# What swap.sh, restore.sh, guard.sh and confirm.sh share, over the functions of the journal's script. Names begin with mh_; of an item, with
# item_ (what it is), was_ (what stood there) and new_ (what the run puts there).

# mh_tell N STATE TEXT prints a line for whoever started the script. Nobody may be there any more.
mh_tell() { printf '%s %s %s\n' "$1" "$2" "$3" 2>/dev/null || :; }

# mh_why TEXT keeps the first reason for a failure, and says it.
mh_why() {
  mh_cause=${mh_cause:-$1}
  printf '%s: %s\n' "$mh_what" "$1" >&2 2>/dev/null || :
}

# mh_begin NAME prepares a script: of a link that is lost it takes no notice.
mh_begin() {
  mh_what=$1 mh_cause= mh_held=
  mh_algo=sha256
  [ "$mh__sha" != cksum ] || mh_algo=cksum
  mh_ef=
  if [ / -ef / ] && ! [ / -ef /dev/null ]; then mh_ef=1; fi 2>/dev/null
  # Where a link to a directory came in a name's place, mv would go through it but for -T (GNU, busybox).
  mh_mv="mv -f"
  case $(mv --help 2>&1) in *-T*) mh_mv="mv -fT" ;; esac
  mh_meta "$mh_dir" || return 1
  mh_me=$mh_uid
  cd / || return 1
  trap '' HUP PIPE INT
}

# mh_is FILE SUM REFERENCE says whether a file has the content of that sum. Where the sum cannot be made here, or is no sha256, the file is
# compared with the copy that has the content.
mh_is() {
  case $2 in
  sha256:*) if [ "$mh_algo" = sha256 ]; then
    mh_hash "$1" && [ "$mh_sum" = "$2" ]
    return
  fi ;;
  esac
  [ -f "$3" ] && cmp -s "$1" "$3"
}

# mh_whole FILE SUM OTHER says whether a file of the run's folder still holds what it held: the other copy counts only where no sum does.
mh_whole() {
  [ -f "$1" ] || return 1
  case $2 in
  "$mh_algo":*) mh_hash "$1" && [ "$mh_sum" = "$2" ] ;;
  *) return 0 ;;
  esac
}

# mh_enter steps into the item's directory, so that what follows happens there whatever becomes of the path: mh_name is the item there,
# mh_room the directory in which its successor is made (mh_build). No include pattern of an MTA matches that name.
mh_enter() {
  mh_parent=${item_path%/*}
  mh_parent=${mh_parent:-/}
  mh_name=./${item_path##*/}
  mh_up=.
  mh_room=./.mtaharden-$mh_run.$item
  cd -P "$mh_parent/" 2>/dev/null && [ "$PWD" = "$mh_parent" ]
}

# mh_there says whether the path still leads to the directory that mh_enter stepped into.
mh_there() {
  if [ -n "$mh_ef" ]; then
    [ "$mh_up" -ef "$mh_parent" ]
    return
  fi
  mh_meta "$mh_up" || return 1
  mh_here=$mh_inode
  mh_meta "$mh_parent" && [ "$mh_kind" = dir ] && [ "$mh_inode" = "$mh_here" ]
}

# mh_look says in mh_state what stands at the item's path: ours (what the run put there, or the content from before with another owner or mode),
# already (what stood there before) or conflict.
mh_look() {
  mh_state=already
  mh_touched || return 0
  mh_state=conflict
  case $item_kind in
  service) mh_look_service ;;
  mode) mh_look_mode ;;
  *) mh_look_file ;;
  esac
}

# mh_touched says whether the swap came as far as this item. What it did not touch is none of a restore's business, whatever stands there.
# Where a run's folder was made anew of the controller's copy, swapped/all stands for all of them.
mh_touched() { [ -e "$mh_dir/swapped/$item" ] || [ -e "$mh_dir/swapped/all" ]; }

# mh_touch is written down before the item is changed.
mh_touch() {
  true >"$mh_dir/swapped/$item" && mh_durable "$mh_dir/swapped" && return 0
  mh_why "cannot write to $mh_dir"
  return 1
} 2>/dev/null

mh_look_file() {
  if ! mh_enter; then
    # There is no such directory: then there is no such file.
    [ -e "$mh_parent" ] || [ -h "$mh_parent" ] || mh_look_absent
    return 0
  fi
  mh_meta "$mh_name" || return 0
  case $mh_kind in
  absent) mh_look_absent ;;
  file)
    if [ "$was_kind" = file ] && [ "$new_kind" = file ] && [ "$was_sum" = "$new_sum" ]; then
      mh_is "$mh_name" "$was_sum" "$mh_dir/copy/$item" || return 0
      mh_look_meta
    elif [ "$new_kind" = file ] && mh_is "$mh_name" "$new_sum" "$mh_dir/new/$item"; then
      mh_state=ours
    elif [ "$was_kind" = file ] && mh_is "$mh_name" "$was_sum" "$mh_dir/copy/$item"; then
      # Somebody brought the content back, or the MTA's own start did: owner and mode come back with it.
      mh_state=ours
      mh_look_meta
    fi
    ;;
  esac
}

mh_look_absent() {
  if [ "$was_kind" = absent ]; then
    mh_state=already
  elif [ "$new_kind" = absent ]; then
    mh_state=ours
  fi
}

# mh_look_meta judges by owner and mode.
mh_look_meta() {
  case "$mh_uid $mh_gid $mh_mode" in
  "$was_uid $was_gid $was_mode") mh_state=already ;;
  "$new_uid $new_gid $new_mode") mh_state=ours ;;
  esac
}

mh_look_mode() {
  mh_enter && mh_meta "$mh_name" || return 0
  case $mh_kind in file | dir | other) mh_look_meta ;; esac
}

# mh_build steps into a directory of root's alone beside the item, in which its successor is made. The MTA's own account may own the
# directory of the item: what it can put in the place of a name there, root is not to write through.
mh_build() {
  rm -rf "$mh_room" && mkdir "$mh_room" && cd -P "$mh_room/" || return 1
  mh_up=.. mh_name=.$mh_name
  mh_meta . || return 1
  case $mh_uid/$mh_mode in "$mh_me"/?700) mh_there ;; *) return 1 ;; esac
} 2>/dev/null

# mh_rename is the last step of every replacement: the finished file, which is on the disk, takes the name, and the name is on the disk before
# anything else happens.
mh_rename() {
  mh_may || return 1
  mh_there || { mh_why "the directory of $item_show is another one now"; return 1; }
  [ ! -d "$mh_name" ] || { mh_why "$item_show is a directory"; return 1; }
  $mh_mv ./new "$mh_name" && mh_durable .. && cd .. && rmdir "$mh_room" || { mh_why "cannot put $item_show in place"; return 1; }
}

# mh_remove takes the item's name away.
mh_remove() {
  mh_may || return 1
  mh_there || { mh_why "the directory of $item_show is another one now"; return 1; }
  rm -f "$mh_name" && [ ! -e "$mh_name" ] && mh_durable . || { mh_why "cannot remove $item_show"; return 1; }
}

# mh_own FILE UID GID MODE [LIVE] sets owner and mode where they differ; chown clears bits of the mode. Of a live file the token is looked at
# before each.
mh_own() {
  mh_meta "$1" || return 1
  if [ "$mh_uid $mh_gid" != "$2 $3" ]; then
    { [ -z "$5" ] || mh_may; } && chown "$2:$3" "$1" || return 1
    mh_meta "$1" || return 1
  fi
  [ "$mh_mode" = "$4" ] || { { [ -z "$5" ] || mh_may; } && chmod "$4" "$1"; } || return 1
  mh_meta "$1" && [ "$mh_uid $mh_gid $mh_mode" = "$2 $3 $4" ]
} 2>/dev/null

# mh_dress FROM makes the file new, empty or not, with all attributes of FROM: owner, mode, ACL, extended attributes and label as far as this
# host's cp carries them.
mh_dress() {
  (set -C && true >./new) || return 1
  [ -n "$1" ] || return 0
  cp --attributes-only --preserve=all "$1" ./new && return 0
  ! cp --help | grep -e --attributes-only >/dev/null || return 1 # it could, and did not
  cp -p "$1" ./new || return 1
  [ ! -d /sys/fs/selinux/booleans ] || chcon --reference="$1" ./new || :
} 2>/dev/null

# mh_fill FROM SUM puts a content into the file and looks whether it is all there.
mh_fill() {
  cat "$1" >|./new && mh_is ./new "$2" "$1"
} 2>/dev/null

# mh_limit COMMAND... runs a command of at most 90 s with no input but what stands in the file mh_input, and keeps what it says in the run's folder.
mh_limit() {
  (
    trap - HUP PIPE INT
    if mh_has timeout; then
      exec timeout -k 5 90 "$@"
    fi
    "$@" &
    mh_pid=$! mh_n=0
    while mh_n=$((mh_n + 1)) && [ "$mh_n" -le 90 ] && kill -0 "$mh_pid"; do sleep 1; done 2>/dev/null
    [ "$mh_n" -le 90 ] || mh_slay "$mh_pid"
    wait "$mh_pid"
  ) <"${mh_input:-/dev/null}" >>"$mh_dir/output" 2>&1
}

# mh_due says whether something is owed.
mh_due() { [ -s "$mh_dir/owed" ]; }

# mh_owe writes down what is due before the first file changes; mh_paid that it is done.
mh_owe() { mh_owed | mh_put "$mh_dir/owed"; }
mh_paid() { mh_put "$mh_dir/owed" </dev/null; }
