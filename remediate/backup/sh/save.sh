# What a run replaces is saved in its folder. Nothing else is written, and what could not be put back later, or whose place root may not
# write to in safety, is refused by name.

# mh_refuse TEXT refuses the item.
mh_refuse() {
  mh_bad=1
  mh_fact refused "$item $1"
  return 1
}

# mh_owner UID says whether the directories of that account are taken: root's and those of the MTA.
mh_owner() {
  case " 0 $mh_owners " in *" $1 "*) return 0 ;; esac
  return 1
}

# mh_ids ACCOUNT... puts the numbers of accounts into mh_owners; one that is not there owns nothing.
mh_ids() {
  mh_owners=
  for mh_a; do
    mh_a=$(id -u "$mh_a" 2>/dev/null) && mh_owners="$mh_owners $mh_a"
  done
}

# mh_link_to LINK puts the target of a symbolic link into mh_target. (readlink is no POSIX utility everywhere.)
mh_link_to() {
  mh_target=$(ls -ld "$1" && echo x) || return 1
  mh_target=${mh_target%"${mh_nl}x"}
  mh_target=${mh_target#*" $1 -> "}
}

# mh_step DIR LAST says whether nobody but root and the MTA can change what a name in a directory stands for. Where all may write but only an
# owner may rename or remove his own (the sticky bit), a name of root's stands; as the last directory that is not enough.
mh_step() {
  mh_sticky=
  case $mh_safe in *"$mh_nl$1$mh_nl"*) return 0 ;; esac
  mh_meta "$1" && [ "$mh_kind" = dir ] || mh_refuse "$1 is no directory" || return 1
  mh_owner "$mh_uid" || mh_refuse "the directory $1 belongs to the account $mh_uid" || return 1
  case $mh_mode in
  ?[0-7][014-5][014-5]) mh_safe=$mh_safe$1$mh_nl ;;
  [1357]???)
    mh_sticky=1
    [ -z "$2" ] || mh_refuse "the directory $1 can be written to by others than its owner" || return 1
    ;;
  *) mh_refuse "the directory $1 can be written to by others than its owner" || return 1 ;;
  esac
}

# mh_walk PATH puts the place that a path leads to into mh_real, component by component, links resolved; mh_parent is its directory. The last
# component need not be there.
mh_walk() {
  mh_at= mh_todo=$1 mh_turns=0 mh_odd=
  while :; do
    while :; do case $mh_todo in /*) mh_todo=${mh_todo#/} ;; *) break ;; esac; done
    [ -n "$mh_todo" ] || break
    mh_c=${mh_todo%%/*}
    mh_todo=${mh_todo#"$mh_c"}
    case $mh_c in
    .) continue ;;
    ..)
      mh_at=${mh_at%/*}
      continue
      ;;
    esac
    mh_last=1
    case $mh_todo in *[!/]*) mh_last= ;; esac
    mh_meta "$mh_at/$mh_c" || mh_refuse "$mh_at/$mh_c cannot be looked at" || return 1
    mh_is=$mh_kind mh_by=$mh_uid
    [ "$mh_is" != link ] || mh_last=
    mh_step "${mh_at:-/}" "$mh_last" || return 1
    if [ "$mh_is" = link ]; then
      mh_follow "$mh_at/$mh_c" || return 1
      continue
    fi
    if [ -z "$mh_last" ] && [ "$mh_is" != dir ]; then
      mh_refuse "$mh_at/$mh_c is no directory"
      return 1
    fi
    mh_at=$mh_at/$mh_c
  done
  mh_real=${mh_at:-/}
  mh_parent=${mh_at%/*}
  mh_parent=${mh_parent:-/}
  [ "$(printf '%s' "$mh_real" | tr -d '\001-\037\177' && echo x)" = "${mh_real}x" ] || mh_refuse "it leads to a name with a control character" || return 1
  [ -z "$mh_odd" ] || mh_inside || mh_refuse "the link $mh_odd belongs to the account $mh_oddly and leads out of the MTA's directories, to $mh_real" || return 1
}

# mh_follow LINK goes on at a link's target.
mh_follow() {
  mh_turns=$((mh_turns + 1))
  [ "$mh_turns" -le 40 ] || mh_refuse "its links lead in a circle" || return 1
  if [ "$mh_by" -ne 0 ]; then
    [ -z "$mh_sticky" ] && mh_owner "$mh_by" || mh_refuse "the link $1 belongs to the account $mh_by" || return 1
    mh_odd=$1 mh_oddly=$mh_by
  fi
  mh_link_to "$1" || mh_refuse "the link $1 cannot be read" || return 1
  case $mh_target in /*) mh_at= ;; esac
  mh_todo=$mh_target$mh_todo
  mh_linked=1
}

# mh_inside says whether mh_real is in one of the MTA's directories.
mh_inside() {
  mh_roots | while read -r mh_r; do
    case $mh_real in "$mh_r" | "$mh_r"/*) echo inside ;; esac
  done | grep inside >/dev/null
}

# mh_mounts PATH puts into mh_ro whether the file system of a path is mounted read-only, and into mh_point where it is mounted.
mh_mounts() {
  mh_ro= mh_point=
  [ -r /proc/self/mountinfo ] || return 0
  mh_point=$(mh_p=$1 awk '
    function plain(s, out, i) {
      while ((i = index(s, "\\")) > 0) {
        out = out substr(s, 1, i - 1) sprintf("%c", substr(s, i + 1, 1) * 64 + substr(s, i + 2, 1) * 8 + substr(s, i + 3, 1))
        s = substr(s, i + 4)
      }
      return out s
    }
    BEGIN { path = ENVIRON["mh_p"] }
    {
      p = plain($5)
      if ((p == path || p == "/" || index(path, p "/") == 1) && length(p) >= len) {
        len = length(p)
        point = p
        ro = index("," $6 ",", ",ro,") || index("," $NF ",", ",ro,")
      }
    }
    END { print (ro ? "ro" : "rw") " " point }' /proc/self/mountinfo)
  case $mh_point in "ro "*) mh_ro=1 ;; esac
  mh_point=${mh_point#??" "}
}

# mh_fixed PATH says whether a file or directory may not be changed (chattr +i, +a); with 2 where nothing here can tell.
mh_fixed() {
  mh_f=$(lsattr -d "$1" 2>/dev/null) || return 2
  case ${mh_f%% *} in *[ia]*) return 0 ;; esac
  return 1
}

# mh_writable KIND refuses a place where nothing can be renamed, or for a change of mode what cannot be changed.
mh_writable() {
  mh_mounts "$mh_real"
  [ -z "$mh_ro" ] || mh_refuse "$mh_real is on a file system that is mounted read-only" || return 1
  if [ -e "$mh_real" ] && mh_fixed "$mh_real"; then mh_refuse "$mh_real is immutable or append-only (chattr)" || return 1; fi
  [ "$1" != mode ] || return 0
  [ "$mh_point" != "$mh_real" ] || mh_refuse "$mh_real is a mount of its own: a file that is mounted cannot be replaced" || return 1
  if mh_fixed "$mh_parent"; then mh_refuse "the directory $mh_parent is immutable or append-only (chattr)" || return 1; fi
  [ -w "$mh_parent/" ] || mh_refuse "the directory $mh_parent cannot be written to" || return 1
  mh_space "$mh_parent"
}

# mh_space DIR refuses a directory on a file system that has no room for what is to come.
mh_space() {
  case $mh_roomy in *"$mh_nl$1$mh_nl"*) return 0 ;; esac
  mh_f=$(df -Pk "$1" 2>/dev/null | awk 'END { for (i = 2; i <= NF; i++) if ($i ~ /^[0-9]+%$/) { print $(i - 1); exit } }')
  case $mh_f in
  '' | *[!0-9]*) ;;
  *) [ "${#mh_f}" -gt 9 ] || [ "$mh_f" -ge "$((mh_room + 64))" ] || mh_refuse "no room for $((mh_room + 64)) KiB beside it: the file system of $1 has $mh_f" || return 1 ;;
  esac
  mh_f=$(df -Pi "$1" 2>/dev/null | awk 'END { for (i = 2; i <= NF; i++) if ($i ~ /^[0-9]+%$/) { print $(i - 1); exit } }')
  case $mh_f in
  '' | *[!0-9]*) ;;
  *) [ "${#mh_f}" -gt 9 ] || [ "$mh_f" -ge 16 ] || mh_refuse "the file system of $1 has room for $mh_f files only" || return 1 ;;
  esac
  mh_try "$1" || mh_refuse "no room for $((mh_room + 64)) KiB in $1: $mh_e" || return 1
  mh_roomy=$mh_roomy$1$mh_nl
}

# mh_try DIR takes the room in a file that has lost its name, and gives it back: what df promises may not be had (quota).
mh_try() {
  mh_t=${1%/}/.mtaharden-$mh_run.room
  mh_e=$({ umask 077; set -C; exec 9>"$mh_t" && rm -f "$mh_t" && dd if=/dev/zero bs=1024 count="$((mh_room + 64))" >&9; } 2>&1)
  mh_f=$?
  mh_e=${mh_e%%"$mh_nl"*}
  return "$mh_f"
}

# mh_json TEXT puts a text into mh_text as it stands in a string of JSON.
mh_json() {
  mh_text=$1
  case $mh_text in *[\"\\]*) mh_text=$(printf '%s' "$1" | sed 's/["\\]/\\&/g') ;; esac
}

# mh_before prints the state of the item as JSON.
mh_before() {
  if [ "$was" = absent ]; then
    printf '{"absent":true,"uid":0,"gid":0}'
  else
    printf '{"hash":"%s","size":%s,"uid":%s,"gid":%s,"mode":"%s"}' "$was_sum" "$was_size" "$was_uid" "$was_gid" "$was_mode"
  fi
}

# mh_keep saves one file: the inode by a hard link where the file systems are the same, the content in any case.
mh_keep() {
  [ "$mh_kind" = file ] || mh_refuse "$mh_real is no plain file" || return 1
  mh_names=$mh_links
  [ "${#mh_size}" -le 9 ] || mh_refuse "$mh_real has $mh_size bytes: too many to be saved" || return 1
  mh_total=$((mh_total + mh_size / 1024 + 1))
  [ "$mh_total" -le MAXKIB ] || mh_refuse "$mh_real and those before it have more than MAXKIB KiB: too much to be saved" || return 1
  mh_k=$mh_dir/keep/$item
  mh_source=$mh_real
  if mh_e=$(ln "$mh_real" "$mh_k" 2>&1); then
    mh_second || return 1
  else
    mh_fixed "$mh_real"
    case $?$mh_e in 2*ermitted*) mh_refuse "$mh_real takes no hard link, as one that is immutable or append-only (chattr)" || return 1 ;; esac
  fi
  mh_meta "$mh_source" && [ "$mh_kind" = file ] || mh_refuse "$mh_real changed while it was saved" || return 1
  # The names that this run and earlier ones gave it do not count.
  [ "$kept" != true ] || mh_names=$((mh_names + 1 - $(mh_ours "$mh_inode")))
  [ "$mh_names" -le 1 ] || mh_refuse "$mh_real has $mh_names names (hard links): which of them to change is not known" || return 1
  was=file was_size=$mh_size was_uid=$mh_uid was_gid=$mh_gid was_mode=$mh_mode mh_i=$mh_inode mh_m=$mh_mark
  mh_hash "$mh_source" || mh_refuse "$mh_real cannot be read" || return 1
  was_sum=$mh_sum
  if ! mh_copy "$mh_source" "$mh_dir/copy/$item"; then
    case $mh_e in *preserv*) mh_e="its ACL, label or attributes could not be put back: $mh_e" ;; esac
    mh_refuse "$mh_real cannot be copied: $mh_e" || return 1
  fi
  mh_hash "$mh_dir/copy/$item" && [ "$mh_sum" = "$was_sum" ] && mh_hash "$mh_real" && [ "$mh_sum" = "$was_sum" ] &&
    mh_meta "$mh_real" && [ "$mh_inode $mh_size $mh_uid $mh_gid $mh_mode" = "$mh_i $was_size $was_uid $was_gid $was_mode" ] ||
    mh_refuse "$mh_real changed while it was saved" || return 1
  [ "$kept" = true ] || mh_alike || mh_refuse "the ACL, label or attributes of $mh_real could not be put back: the run's folder is on another file system, and a copy there has not got them" || return 1
}

# mh_second takes the new name for the inode that is kept. An overlay whose layers lie on two file systems may show another number at each of the two
# names (the kernel's overlayfs.rst, "Inode properties"): then nothing here tells that they are one, and the copy has to do.
mh_second() {
  mh_meta "$mh_k" || mh_refuse "$mh_k cannot be looked at" || return 1
  mh_i=$mh_inode
  mh_meta "$mh_real" || mh_refuse "$mh_real cannot be looked at" || return 1
  if [ "$mh_inode" = "$mh_i" ]; then
    kept=true mh_source=$mh_k
    return 0
  fi
  rm -f "$mh_k" || mh_refuse "cannot write to $mh_dir" || return 1
}

# mh_ours INODE prints how many names runs have of a file on their own file system.
mh_ours() {
  ls -i "$mh_base"/*/keep/* "$mh_base"/.[!.]*/keep/* 2>/dev/null | awk -v inode="$1" '$1 == inode { n++ } END { print n + 0 }'
}

# mh_copy FROM TO copies with all that cp can.
mh_copy() {
  case $mh_cp in
  all) mh_e=$(cp --preserve=all "$1" "$2" 2>&1) ;;
  *) mh_e=$(cp -p "$1" "$2" 2>&1) ;;
  esac
}

# mh_alike says whether the copy has the marks of the original, as far as anything here can show them.
mh_alike() {
  mh_meta "$mh_dir/copy/$item" && [ "$mh_mark" = "$mh_m" ] || return 1
  [ "$mh_m" != . ] || [ "$(ls -dZ "$mh_real" | cut -d' ' -f1)" = "$(ls -dZ "$mh_dir/copy/$item" | cut -d' ' -f1)" ] || return 1
  if mh_has getfacl && [ "$(getfacl -cn "$mh_real" 2>/dev/null)" != "$(getfacl -cn "$mh_dir/copy/$item" 2>/dev/null)" ]; then return 1; fi
  if mh_has getfattr && [ "$(getfattr -hd -m - --absolute-names "$mh_real" 2>/dev/null | sed 1d)" != "$(getfattr -hd -m - --absolute-names "$mh_dir/copy/$item" 2>/dev/null | sed 1d)" ]; then return 1; fi
  return 0
}

# mh_item N KIND PATH JSON saves one thing, of kind file (one that may not be there yet), mode or service. JSON is what is known of it.
mh_item() {
  item=$1 kept=false was=absent was_sum= mh_linked= mh_real=$3
  case $2 in
  file | mode)
    mh_walk "$3" || return 0
    case $mh_taken_paths in *"$mh_nl$mh_real$mh_nl"*) mh_refuse "$mh_real is named twice"; return 0 ;; esac
    [ "$2" = mode ] || mh_taken_paths=$mh_taken_paths$mh_real$mh_nl
    mh_writable "$2" || return 0
    mh_meta "$mh_real" || { mh_refuse "$mh_real cannot be looked at"; return 0; }
    if [ "$mh_kind" = absent ]; then
      [ -z "$mh_linked" ] || [ "$mh_real" = "$3" ] || mh_dangling "$3" || return 0
    elif [ "$2" = file ]; then
      mh_keep || return 0
    else
      case $mh_kind in file | dir) ;; *) mh_refuse "$mh_real is neither a file nor a directory"; return 0 ;; esac
      was=file was_size=$mh_size was_uid=$mh_uid was_gid=$mh_gid was_mode=$mh_mode
    fi
    ;;
  esac
  mh_json "$mh_real"
  mh_f="{$4,\"path\":\"$mh_text\""
  if [ "$mh_real" != "$3" ]; then
    mh_json "$3"
    mh_f="$mh_f,\"named\":\"$mh_text\""
  fi
  mh_f="$mh_f,\"kept\":$kept,\"before\":$(mh_before)}"
  [ "$item" -eq 1 ] || mh_f=",$mh_nl$mh_f"
  printf '%s' "$mh_f" >>"$mh_dir/manifest.tmp" || mh_refuse "cannot write to $mh_dir"
  return 0
}

# mh_dangling refuses a link that leads to nothing; a link in the directories before the name is none.
mh_dangling() { [ ! -h "$1" ] || mh_refuse "the link $1 leads to nothing"; }

# mh_boot_link FILE refuses a boot link in a place that is not safe, and sends whether it is there.
mh_boot_link() {
  mh_walk "${1%/*}/." && mh_step "$mh_real" 1 || return 0
  mh_parent=$mh_real
  mh_mounts "$mh_real"
  [ -z "$mh_ro" ] && [ -w "$mh_real/" ] || mh_refuse "the directory $mh_real cannot be written to" || return 0
  if [ -h "$1" ] || [ -e "$1" ]; then mh_fact link "$item $1"; fi
}

# mh_reserve takes the room that the run will need, and gives it back: what df promises may not be had (quota).
mh_reserve() {
  mh_e=$(dd if=/dev/zero of="$mh_dir/room" bs=1024 count="$((mh_room + 64))" 2>&1) && mh_durable "$mh_dir/room"
  mh_f=$?
  rm -f "$mh_dir/room"
  return "$mh_f"
}

# mh_save ROOM HEAD TAIL saves what mh_items names, ROOM being the KiB that the run needs besides; HEAD and TAIL are around the items in the manifest.
mh_save() {
  mh_room=$1
  mh_locked || { mh_fact fenced "$mh_holder"; return; }
  [ ! -e "$mh_dir/manifest" ] || { mh_fact why "the run has saved already"; return; }
  rm -rf "$mh_dir/keep" "$mh_dir/copy" "$mh_dir/manifest.tmp"
  mkdir "$mh_dir/keep" "$mh_dir/copy" && printf '%s' "$2" >"$mh_dir/manifest.tmp" || { mh_fact why "cannot write to $mh_dir"; return; }
  mh_cp=
  if cp --preserve=all "$mh_dir/manifest.tmp" "$mh_dir/copy/try" 2>/dev/null; then mh_cp=all; fi
  rm -f "$mh_dir/copy/try"
  mh_safe=$mh_nl mh_roomy=$mh_nl mh_taken_paths=$mh_nl mh_total=0 mh_bad= item=0
  mh_items
  item=0
  [ -n "$mh_bad" ] || mh_reserve || mh_refuse "no room for $((mh_room + 64)) KiB in $mh_dir: $mh_e"
  if [ -n "$mh_bad" ]; then
    rm -rf "$mh_dir/keep" "$mh_dir/copy" "$mh_dir/manifest.tmp"
    return
  fi
  printf '%s\n' "$3" >>"$mh_dir/manifest.tmp" && mh_all_durable && mh_seal "$mh_dir/manifest" || { mh_fact why "cannot write to $mh_dir"; return; }
  mh_send manifest "$mh_dir/manifest"
  for mh_f in "$mh_dir"/copy/*; do
    [ ! -f "$mh_f" ] || mh_send "copy.${mh_f##*/}" "$mh_f"
  done
}

mh_all_durable() {
  set -- "$mh_dir/copy" "$mh_dir/keep" "$mh_dir"
  for mh_f in "$mh_dir"/copy/* "$mh_dir"/keep/*; do
    [ ! -e "$mh_f" ] || set -- "$@" "$mh_f"
  done
  mh_durable "$@"
}

# mh_send KEY FILE sends a file of the run's folder whole.
mh_send() {
  mh_meta "$2" && mh_raw "$1" "$2" "$mh_size"
}
