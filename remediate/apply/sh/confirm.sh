# confirm.sh: the run stays. It takes the run's token, and with it guard and swap are over.
# Exit status: 0 confirmed, 3 the swap is not done, 4 the host was put back or that is under way, 6 the guard or the lock is left.

mh_main() {
  mh_begin confirm
  mh_taken
  case $mh_taker in
  '') mh_confirm || return $? ;;
  confirm) ;;
  *)
    mh_tell 0 fenced "the host was put back"
    return 4
    ;;
  esac
  mh_ended
  if [ "$mh_end" = restored ]; then
    mh_tell 0 fenced "the host was put back"
    return 4
  fi
  grep '^[0-9]* [0-9]* confirm done' "$mh_dir/journal" >/dev/null 2>&1 || mh_note confirm done
  mh_over confirmed || { mh_tell 0 failed "confirmed, but $mh_cause"; return 6; }
  mh_tell 0 confirmed ''
}

mh_confirm() {
  if ! mh_hold; then
    mh_tell 0 busy "the run's lock was not to be had"
    mh_taken && return 4
    return 3
  fi
  mh_confirm_held
  mh_n=$?
  mh_drop
  return "$mh_n"
}

mh_confirm_held() {
  if mh_due || ! grep '^[0-9]* [0-9]* reload done' "$mh_dir/journal" >/dev/null 2>&1; then
    mh_tell 0 busy "the swap is not done"
    return 3
  fi
  item=0
  while [ "$item" -lt "$mh_count" ]; do
    item=$((item + 1))
    mh_item "$item"
    mh_look
    if [ "$mh_state" = already ] && mh_differs; then
      mh_tell "$item" already "$item_show"
      mh_tell 0 fenced "the host was put back"
      return 4
    fi
  done
  cd /
  mh_note confirm doing || { mh_tell 0 failed "cannot write to $mh_dir"; return 3; }
  if ! mh_take confirm && [ "$mh_taker" != confirm ]; then
    mh_tell 0 fenced "the host was put back"
    return 4
  fi
}
