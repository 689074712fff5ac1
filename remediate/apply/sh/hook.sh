# What restores at the next boot, where that comes before the time is over. mh_root is empty but for tests.

# mh_hooks makes the first kind of hook that fits. Its names are written down before it is made.
mh_hooks() {
  mh_name=mtaharden-restore-$mh_run
  if [ -d "$mh_root/run/systemd/system" ]; then
    mh_hook_systemd
  elif [ -d "$mh_root/etc/runlevels/boot" ] && [ -d "$mh_root/etc/init.d" ]; then
    mh_hook_openrc
  elif [ -d "$mh_root/etc/rcS.d" ]; then
    mh_hook_rcs
  elif mh_hook_dirs; then
    mh_hook_rc $mh_list
  elif [ -d "$mh_root/etc/cron.d" ] && mh_cron; then
    mh_hook_cron
  else
    mh_why "nothing here is known that runs a script at boot (systemd, OpenRC, rc links, cron.d)"
    return 1
  fi || { mh_why "cannot make a boot hook"; return 1; }
}

# mh_hook_dirs puts the links of each run level into mh_list: the script is to be the first there.
mh_hook_dirs() {
  mh_list=
  for mh_d in /etc/rc.d/rc2.d /etc/rc.d/rc3.d /etc/rc.d/rc4.d /etc/rc.d/rc5.d /etc/rc2.d /etc/rc3.d /etc/rc4.d /etc/rc5.d /sbin/rc2.d /sbin/rc3.d; do
    [ ! -d "$mh_root$mh_d" ] || [ -h "$mh_root$mh_d" ] || mh_list="$mh_list $mh_root$mh_d/S00$mh_name"
  done
  [ -n "$mh_list" ]
}

# mh_cron says whether a cron that reads cron.d runs.
mh_cron() { ps -e -o comm= 2>/dev/null | grep -E '(^|/)(cron|crond)$' >/dev/null; }

mh_write() {
  true >"$mh_dir/hooks.tmp" || return 1
  for mh_f; do printf '%s\n' "$mh_f" >>"$mh_dir/hooks.tmp" || return 1; done
  mh_seal "$mh_dir/hooks"
}

# mh_hook_systemd: everything that does not say otherwise starts after sysinit.target (systemd.unit(5), DefaultDependencies), and this before.
# systemd is not told of the unit: it reads it when it next starts.
mh_hook_systemd() {
  mh_u=$mh_root/etc/systemd/system/$mh_name.service
  mh_w=$mh_root/etc/systemd/system/sysinit.target.wants
  mh_write "$mh_u" "$mh_w/$mh_name.service" || return 1
  [ -d "$mh_w" ] || { mkdir "$mh_w" && printf '%s\n' "$mh_w" | mh_put "$mh_dir/hookdir"; } || return 1
  printf '%s\n' "[Unit]" "Description=mtaharden: restores the host, run $mh_run was not confirmed" \
    "DefaultDependencies=no" "RequiresMountsFor=$mh_dir" "After=local-fs.target" "Before=sysinit.target" "Conflicts=shutdown.target" \
    "[Service]" "Type=oneshot" "ExecStart=/bin/sh $mh_dir/guard.sh --boot" "TimeoutStartSec=300" "KillMode=process" |
    mh_put "$mh_u" && chmod 644 "$mh_u" && ln -s "../$mh_name.service" "$mh_w/$mh_name.service" && mh_durable "$mh_w"
}

mh_hook_openrc() {
  mh_u=$mh_root/etc/init.d/$mh_name
  mh_w=$mh_root/etc/runlevels/boot/$mh_name
  mh_write "$mh_u" "$mh_w" || return 1
  printf '%s\n' "#!/sbin/openrc-run" "depend() {" "  need localmount" "  before *" "}" "start() {" \
    "  /bin/sh $mh_dir/guard.sh --boot" "}" | mh_put "$mh_u" && chmod 755 "$mh_u" && ln -s "/etc/init.d/$mh_name" "$mh_w" &&
    mh_durable "${mh_w%/*}"
}

# mh_hook_rcs: everything of rcS.d ends before a service of another run level starts. Where startpar orders the boot it runs nothing but what
# insserv has written down, until /etc/init.d/.legacy-bootordering says that the links count (Debian's rc(8)).
mh_hook_rcs() {
  mh_w=$mh_root/etc/init.d/.legacy-bootordering
  if [ ! -s "$mh_root/etc/init.d/.depend.boot" ] || [ -e "$mh_w" ]; then
    mh_hook_rc "$mh_root/etc/rcS.d/S99$mh_name"
    return
  fi
  mh_write "$mh_root/etc/rcS.d/S99$mh_name" "$mh_w" && mh_rc_script "$mh_root/etc/rcS.d/S99$mh_name" &&
    printf '%s\n' "$mh_name" | mh_put "$mh_w"
}

mh_hook_rc() { mh_write "$@" && mh_rc_script "$@"; }

mh_rc_script() {
  for mh_u; do
    printf '%s\n' "#!/bin/sh" "### BEGIN INIT INFO" "# Provides: $mh_name" "# Required-Start: \$local_fs" "# Required-Stop:" \
      "# X-Start-Before: \$all" "# Default-Start: S" "# Default-Stop:" "### END INIT INFO" \
      'case $1 in stop) exit 0 ;; esac' "exec /bin/sh $mh_dir/guard.sh --boot" | mh_put "$mh_u" && chmod 755 "$mh_u" || return 1
  done
}

mh_hook_cron() {
  mh_u=$mh_root/etc/cron.d/$mh_name
  mh_write "$mh_u" || return 1
  printf '@reboot root /bin/sh %s --late\n' "$mh_dir/guard.sh" | mh_put "$mh_u" && chmod 644 "$mh_u"
}
