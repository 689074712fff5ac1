set -eu
# Debian's stock daemon listens on the loopback alone; a mail host listens everywhere.
sed -i '/DAEMON_OPTIONS/s/, *Addr=127\.0\.0\.1//; /DAEMON_OPTIONS/s/, *Addr=::1//' /etc/mail/sendmail.mc
cd /etc/mail
m4 sendmail.mc > sendmail.cf.new
mv sendmail.cf.new sendmail.cf
make -s -C /etc/mail >/dev/null
newaliases
# Debian 13 installs the service switched off.
systemctl enable sendmail
