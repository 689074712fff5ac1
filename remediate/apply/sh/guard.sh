# guard.sh: the host restores itself unless the run is confirmed in time.
#   --arm D    start the wait of D seconds, and make what restores at the next boot. Prints "armed HOW".
#   --wait D   the wait itself, in a process that no login owns. From the end of the reload on it counts once more.
#   --boot     restore before services start; --late: where they may have started already
#   --disarm   end the wait and remove what would restore at boot, where no file has changed yet
# Exit status: 0 done, 4 the run is over, 5 the guard cannot be armed, 6 it is not all put back.

mh_main() {
  mh_begin guard
  case ${1:-} in
  --arm) mh_arm "$2" ;;
  --wait) mh_wait "$2" ;;
  --boot) mh_booted --boot ;;
  --late) mh_booted ;;
  --disarm)
    mh_unhook || { mh_why "cannot remove the boot hook $mh_hook"; return 6; }
    mh_disarm
    ;;
  *)
    printf 'usage: sh guard.sh --arm SECONDS | --disarm\n' >&2
    return 64
    ;;
  esac
}

mh_arm() {
  case $1 in '' | *[!0-9]*) return 64 ;; esac
  [ ! -d "$mh_dir/token" ] || return 4
  if mh_guarded; then
    printf 'armed\n'
    return 0
  fi
  mh_note guard doing || { mh_why "cannot write to $mh_dir"; return 5; }
  if mh_lasts && mh_reserve && mh_hooks && mh_start "$1" && mh_note guard done "$mh_how"; then
    printf 'armed %s\n' "$mh_how"
    return 0
  fi
  mh_why "cannot arm a guard"
  mh_unhook
  mh_disarm
  mh_note guard failed "$mh_cause"
  return 5
}

# mh_start starts the wait in a process of its own, by the first way that works here, and waits until that says so.
mh_start() {
  mh_epoch
  rm -rf "$mh_dir/guard" && mkdir "$mh_dir/guard" && echo "$((mh_now + $1))" >"$mh_dir/guard/deadline" &&
    mh_durable "$mh_dir/guard/deadline" "$mh_dir/guard" "$mh_dir" || { mh_why "cannot write to $mh_dir"; return 1; }
  if [ -d "$mh_root/run/systemd/system" ]; then
    # A process that setsid starts may be ended with its login (logind.conf(5), KillUserProcesses); a service is not. Who is left of it when
    # it ends, a daemon that a reload started, is not ended with it.
    mh_has systemd-run || { mh_why "systemd runs, and systemd-run is not there"; return 1; }
    mh_how=systemd-run
    for mh_f in --collect ''; do # --collect: since systemd 236
      systemd-run --quiet $mh_f --unit="mtaharden-guard-$mh_run" --description="mtaharden: restores the host unless run $mh_run is confirmed" \
        -p KillMode=process /bin/sh "$mh_dir/guard.sh" --wait "$1" </dev/null >>"$mh_dir/output" 2>&1 && break
    done
    mh_up && return 0
    mh_why "systemd-run does not start it"
    return 1
  fi
  for mh_how in setsid perl nohup; do
    mh_has "$mh_how" || continue
    case $mh_how in
    perl) set -- "$1" perl -MPOSIX -e 'POSIX::setsid(); exec @ARGV or exit 1' ;;
    *) set -- "$1" "$mh_how" ;;
    esac
    mh_d=$1
    shift
    ("$@" /bin/sh "$mh_dir/guard.sh" --wait "$mh_d" </dev/null >>"$mh_dir/output" 2>&1 &)
    mh_up && return 0
    set -- "$mh_d"
  done
  mh_why "none of systemd-run, setsid, perl and nohup starts a process that outlives the login"
  return 1
}

# mh_up waits until the guard says that it waits.
mh_up() {
  mh_n=0
  while [ "$mh_n" -lt 10 ]; do
    mh_guarded && return 0
    sleep 1
    mh_n=$((mh_n + 1))
  done
  return 1
}

# mh_lasts refuses a folder in memory alone: a reboot takes the guard and the saved files away, and leaves what was changed. Where all of the host
# is in memory a reboot takes both.
mh_lasts() {
  [ -r "$mh_root/proc/self/mountinfo" ] || return 0
  mh_f=$(mh_p=$(cd -P "$mh_dir" && pwd -P) awk '
    {
      for (i = 7; i < NF && $i != "-"; i++);
      if (($5 == "/" || $5 == ENVIRON["mh_p"] || index(ENVIRON["mh_p"], $5 "/") == 1) && length($5) >= len) {
        len = length($5)
        type = $(i + 1)
      }
    }
    END { if (len > 1) print type }' "$mh_root/proc/self/mountinfo")
  case $mh_f in
  tmpfs | ramfs | devtmpfs)
    mh_why "$mh_base is in memory alone ($mh_f): the next boot would find neither the guard nor what was saved"
    return 1
    ;;
  esac
}

# mh_reserve keeps room for a restore on a disk that fills up.
mh_reserve() {
  for mh_n in 1 2 3 4 5 6 7 8; do
    dd if=/dev/zero of="$mh_dir/room.$mh_n" bs=16384 count=1 2>/dev/null || { mh_why "no room in $mh_dir"; return 1; }
  done
}

# mh_clock puts seconds that only ever grow into mh_t, whatever becomes of the clock on the wall; where there are none to read, those are
# counted that were slept.
mh_clock() {
  mh_t=
  { read -r mh_t mh_l <"$mh_root/proc/uptime"; } 2>/dev/null
  mh_t=${mh_t%%.*}
  case $mh_t in
  '' | *[!0-9]*)
    mh_slept=$((${mh_slept:-0} + 1))
    mh_t=$mh_slept
    ;;
  esac
}

# mh_oom N keeps the kernel from taking the guard where memory is short (proc(5)); what it starts is to have no such right.
mh_oom() { [ ! -w "/proc/$$/oom_score_adj" ] || echo "$1" >"/proc/$$/oom_score_adj"; } 2>/dev/null

mh_wait() {
  mh_birth $$ || return 5
  [ -d "$mh_dir/guard" ] || return 5
  printf '%s\n' "$mh_born" | mh_put "$mh_dir/guard/start" && echo $$ | mh_put "$mh_dir/guard/pid" || return 5
  mh_oom -1000
  mh_clock
  mh_until=$((mh_t + $1)) mh_again=
  while [ "$mh_t" -lt "$mh_until" ]; do
    sleep 1
    mh_clock
    mh_ended
    [ -z "$mh_end" ] || break
    if [ -z "$mh_again" ] && [ -e "$mh_dir/guard/again" ]; then
      mh_again=1 mh_until=$((mh_t + $1))
      mh_epoch
      echo "$((mh_now + $1))" | mh_put "$mh_dir/guard/deadline"
    fi
  done
  mh_fire
}

# mh_booted is what the boot hook runs: whatever the run had reached, it was not confirmed before the machine went down.
mh_booted() {
  mh_n=0
  # The disk may not be there yet, or be read-only.
  until true >"$mh_dir/booted" || [ "$mh_n" -ge 60 ]; do
    sleep 1
    mh_n=$((mh_n + 1))
  done 2>/dev/null
  rm -f "$mh_dir/booted"
  mh_fire "$@"
}

# mh_fire restores. What does not succeed is tried again: a disk may be full only for a while. Before a boot has come to its services it is
# not waited for.
mh_fire() {
  mh_oom 0
  mh_guarding=$$
  export mh_guarding
  for mh_try in 1 2 3 4 5 6; do
    mh_ended
    case $mh_end in
    '') ;;
    *)
      mh_over "$mh_end" && return 0
      ;;
    esac
    sh "$mh_dir/restore.sh" --guard "$@" </dev/null >>"$mh_dir/output" 2>&1
    case $? in
    0) return 0 ;;
    4) sh "$mh_dir/confirm.sh" </dev/null >>"$mh_dir/output" 2>&1 && return 0 ;;
    esac
    [ $# -eq 0 ] || return 6
    [ "$mh_try" -eq 6 ] || sleep $((mh_try * 10))
  done
  return 6
}
