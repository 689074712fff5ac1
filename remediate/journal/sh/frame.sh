# What a script sends back: lines that begin with the nonce of the command, which nobody else knows; and contents.

# mh_open begins the answer, mh_close ends it.
mh_open() {
  mh_epoch
  printf '\n%s begin 1 %s\n' "$mh_nonce" "$mh_now"
}
mh_close() { printf '%s done\n' "$mh_nonce"; }

# mh_fact KEY VALUE sends one line; what cannot stand in a line becomes "?".
mh_fact() {
  mh__v=$2
  case $mh__v in *[!\ -~]*) mh__v=$(printf %s "$2" | tr '\000-\037\177' '?????????????????????????????????') ;; esac
  printf '%s fact %s %s\n' "$mh_nonce" "$1" "$mh__v"
}

# mh_blob KEY FILE KIB sends the beginning of a small file, in hexadecimal, with its whole size. A file that is not there is not sent.
mh_blob() {
  [ -f "$2" ] || return 0
  printf '%s blob %s\n' "$mh_nonce" "$1"
  dd bs=1024 count="$3" <"$2" 2>/dev/null | od -An -v -tx1
  printf '%s end %s\n' "$mh_nonce" "$(wc -c <"$2" | tr -d ' ')"
}

# mh_raw KEY FILE SIZE sends a file that does not change meanwhile, as it is.
mh_raw() {
  printf '%s raw %s %s\n' "$mh_nonce" "$1" "$3"
  cat "$2"
  printf '\n%s end %s\n' "$mh_nonce" "$3"
}

# mh_line FILE puts the first line of a file into mh_text.
mh_line() {
  mh_text=
  [ -f "$1" ] || return 1
  read -r mh_text <"$1" || [ -n "$mh_text" ]
}

# mh_process KEY DIR sends pid, birth and life of the process that the files pid and start of DIR name.
mh_process() {
  mh_line "$2/pid" || return 0
  mh__pid=$mh_text
  mh_line "$2/start"
  mh_fact "$1.pid" "$mh__pid"
  mh_fact "$1.start" "$mh_text"
  mh__start=$mh_text
  if mh_alive "$mh__pid" "$mh__start"; then mh_fact "$1.alive" yes; fi
}

# mh_lock sends whose the host's lock is.
mh_lock() {
  mh_locked
  [ -n "$mh_holder" ] || return 0
  mh_fact lock.run "$mh_holder"
  mh_line "$mh_base/lock/holder"
  mh_fact lock.holder "$mh_text"
  mh_process lock "$mh_base/lock"
}

# mh_record RUN sends how a run stands.
mh_record() {
  mh_run=$1
  mh_dir=$mh_base/$1
  mh_fact run "$1"
  [ -d "$mh_dir" ] && [ ! -h "$mh_dir" ] || return 0
  mh_fact folder yes
  mh_blob about "$mh_dir/about" 16
  mh_blob journal "$mh_dir/journal" 512
  mh_blob owed "$mh_dir/owed" 64
  mh_blob hooks "$mh_dir/hooks" 16
  if mh_line "$mh_dir/end"; then mh_fact end "$mh_text"; fi
  if mh_taken; then mh_fact token "$mh_taker"; fi
  [ -d "$mh_dir/guard" ] || return 0
  mh_fact guard yes
  if mh_line "$mh_dir/guard/deadline"; then mh_fact guard.deadline "$mh_text"; fi
  mh_process guard "$mh_dir/guard"
}
