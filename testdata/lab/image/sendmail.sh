set -eu
# Debian's stock daemon listens on the loopback alone; a mail host listens everywhere.
sed -i '/DAEMON_OPTIONS/s/, *Addr=127\.0\.0\.1//; /DAEMON_OPTIONS/s/, *Addr=::1//' /etc/mail/sendmail.mc
# A busy test machine is no reason to refuse: sendmail counts its load average as the host's own.
sed -i '/^MAILER_DEFINITIONS/i define(`confREFUSE_LA'"'"', `1000'"'"')dnl\ndefine(`confQUEUE_LA'"'"', `1000'"'"')dnl' /etc/mail/sendmail.mc
cd /etc/mail
# Debian lets a client come ten times a minute and holds its greeting for five seconds: the lab asks more.
for net in 10.87.0 198.51.100 203.0.113 IPv6:2001:db8:51 IPv6:2001:db8:113; do
    printf 'ClientRate:%s\t\t0\nClientConn:%s\t\t0\nGreetPause:%s\t\t0\n' "$net" "$net" "$net"
done >> access
m4 sendmail.mc > sendmail.cf.new
mv sendmail.cf.new sendmail.cf
make -s -C /etc/mail >/dev/null
newaliases
# Debian 13 installs the service switched off.
systemctl enable sendmail
