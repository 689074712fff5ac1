# Services: what starts one at boot is a set of links, and that it runs is the manager's business. mh_links calls a function for every link
# of the item: NUMBER gone|come PATH TARGET. A mark beside the links that went says that the service was started or stopped.

mh_look_service() {
  mh_state=already
  [ ! -e "$mh_dir/links/$item.act" ] || mh_state=ours
  mh_links mh_link_look
}

mh_link_look() {
  mh_saved=$mh_dir/links/$item.$1
  case $2 in
  gone)
    if [ ! -h "$3" ] && [ ! -e "$3" ]; then
      if [ -h "$mh_saved" ] || [ -e "$mh_saved" ]; then mh_link_ours; else mh_state=conflict; fi
    fi
    ;;
  *)
    if [ -h "$3" ] && mh_link_is "$3" "$4"; then
      mh_link_ours
    elif [ -h "$3" ] || [ -e "$3" ]; then
      mh_state=conflict
    fi
    ;;
  esac
}

mh_link_ours() { [ "$mh_state" = conflict ] || mh_state=ours; }

# mh_link_is LINK TARGET says whether a symbolic link has that target.
mh_link_is() {
  mh_l=$(ls -ld "$1" 2>/dev/null; echo x)
  case $mh_l in *" -> $2${mh_nl}x") return 0 ;; esac
  return 1
}

mh_swap_service() {
  mkdir -p "$mh_dir/links" && mh_durable "$mh_dir" || return 1
  mh_links mh_link_fresh && mh_touch && mh_links mh_link_swap || return 1
  mh_svc_reload || { mh_why "the service manager does not take the links of $item_show"; return 1; }
  [ "$was_active" != "$new_active" ] || return 0
  mh_may && true >"$mh_dir/links/$item.act" && mh_durable "$mh_dir/links/$item.act" "$mh_dir/links" || return 1
  if [ -n "$new_active" ]; then mh_svc start; else mh_svc stop; fi || { mh_why "cannot start or stop $item_show"; return 1; }
}

mh_link_fresh() {
  case $2 in
  gone) [ -h "$3" ] || [ -e "$3" ] ;;
  *) [ ! -h "$3" ] && [ ! -e "$3" ] ;;
  esac || { mh_why "a boot link of $item_show is not what it was"; return 1; }
}

mh_link_swap() {
  mh_may || return 1
  case $2 in
  gone) mv "$3" "$mh_dir/links/$item.$1" && mh_durable "$mh_dir/links" ;;
  *) ln -s "$4" "$3" ;;
  esac && mh_durable "${3%/*}" || { mh_why "cannot move a boot link of $item_show"; return 1; }
}

mh_back_service() {
  mh_links mh_link_back && mh_svc_reload || return 1
  [ -e "$mh_dir/links/$item.act" ] || return 0
  mh_may || return 1
  if [ -n "$was_active" ]; then mh_svc start; else mh_svc stop; fi || { mh_why "cannot start or stop $item_show"; return 1; }
  rm -f "$mh_dir/links/$item.act" && mh_durable "$mh_dir/links"
}

mh_link_back() {
  mh_saved=$mh_dir/links/$item.$1
  mh_may || return 1
  case $2 in
  gone)
    [ ! -h "$3" ] && [ ! -e "$3" ] || return 0
    mv "$mh_saved" "$3"
    ;;
  *)
    [ -h "$3" ] && mh_link_is "$3" "$4" || return 0
    rm -f "$3"
    ;;
  esac && mh_durable "${3%/*}" || { mh_why "cannot move a boot link of $item_show back"; return 1; }
}
