# Says what else on a host has to do with the files below /etc: "managed NAME" for configuration management that is set up, "etckeeper" where
# /etc is in its care, "busy TOOL PID PROGRAM" where a package manager holds the lock under which it changes the host (proc(5), /proc/locks).
# $1 stands before every path; it is empty but for tests.
for f in /etc/puppetlabs/puppet/puppet.conf /etc/puppet/puppet.conf; do [ ! -f "$1$f" ] || echo managed puppet; done
[ ! -f "$1/etc/chef/client.rb" ] || echo managed chef
[ ! -f "$1/etc/salt/minion" ] || echo managed salt
[ ! -x "$1/var/cfengine/bin/cf-agent" ] || echo managed cfengine
[ ! -d "$1/opt/rudder/bin" ] || echo managed rudder
if grep -l ansible-pull "$1"/etc/crontab "$1"/etc/cron.d/* "$1"/var/spool/cron/* "$1"/var/spool/cron/crontabs/* "$1"/etc/systemd/system/*.service 2>/dev/null | grep . >/dev/null; then
  echo managed ansible-pull
fi
for d in .git .hg .bzr _darcs; do
  if [ -d "$1/etc/$d" ] && command -v etckeeper >/dev/null 2>&1; then echo etckeeper; fi
done
for f in dpkg:/var/lib/dpkg/lock-frontend dpkg:/var/lib/dpkg/lock rpm:/var/lib/rpm/.rpm.lock rpm:/usr/lib/sysimage/rpm/.rpm.lock; do
  [ -f "$1${f#*:}" ] && [ -r "$1/proc/locks" ] || continue
  inode=$(ls -di "$1${f#*:}" | awk '{ print $1 }')
  awk -v inode="$inode" '$2 == "POSIX" && $4 == "WRITE" && $5 ~ /^[0-9]+$/ && $6 ~ (":" inode "$") { print $5 }' "$1/proc/locks" | while read -r pid; do
    # A file of another file system may have that number, too.
    ls -l "$1/proc/$pid/fd" 2>/dev/null | grep " -> .*${f#*:}\$" >/dev/null || continue
    printf 'busy %s %s %s\n' "${f%%:*}" "$pid" "$(cat "$1/proc/$pid/comm" 2>/dev/null)"
  done
done
exit 0
