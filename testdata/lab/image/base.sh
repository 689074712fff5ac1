# Runs once inside a new base image: what every host of the lab has, whatever its MTA.
set -eu
# The images are cloned: each host brings its own host keys and machine id.
rm -f /etc/ssh/ssh_host_*
systemctl disable ssh.socket 2>/dev/null || :
systemctl enable ssh.service
# Timers that would compete with a test for the two cores.
systemctl mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer dpkg-db-backup.timer systemd-timesyncd.service console-getty.service
# Ten parallel logins of a fleet run, and no reverse look-up before the banner.
mkdir -p /etc/ssh/sshd_config.d
printf 'UseDNS no\nMaxStartups 100:30:200\nPermitRootLogin prohibit-password\n' \
    > /etc/ssh/sshd_config.d/lab.conf
# A container has no kernel log of its own.
sed -i 's/^module(load="imklog.*/# &/' /etc/rsyslog.conf
# The mail log as a file, also where the release logs to the journal alone.
grep -q 'mail.log' /etc/rsyslog.conf || printf 'mail.*\t-/var/log/mail.log\n' > /etc/rsyslog.d/mail.conf
for account in alice bob; do
    useradd -m -s /bin/bash "$account"
done
