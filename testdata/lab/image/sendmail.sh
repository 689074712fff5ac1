set -eu
# Debian's stock daemon listens on the loopback alone; a mail host listens everywhere.
sed -i '/DAEMON_OPTIONS/s/, *Addr=127\.0\.0\.1//; /DAEMON_OPTIONS/s/, *Addr=::1//' /etc/mail/sendmail.mc
cd /etc/mail
# Debian lets a client come ten times a minute and holds its greeting for five seconds: the witness outside asks more.
printf 'ClientRate:198.51.100\t\t0\nClientConn:198.51.100\t\t0\nGreetPause:198.51.100\t\t0\n' >> access
m4 sendmail.mc > sendmail.cf.new
mv sendmail.cf.new sendmail.cf
make -s -C /etc/mail >/dev/null
newaliases
# Debian 13 installs the service switched off.
systemctl enable sendmail
