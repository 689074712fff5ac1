# An appliance's layout: /etc/sendmail.cf was delivered finished; there is no mc, no m4 tree, no Makefile.
set -eu
systemctl disable sendmail 2>/dev/null || :
sed 's,^O PidFile=.*,O PidFile=/run/sendmail.pid,' /etc/mail/sendmail.cf > /etc/sendmail.cf
rm -f /etc/init.d/sendmail /etc/cron.d/sendmail /etc/cron.daily/sendmail /etc/network/if-up.d/sendmail \
    /etc/network/if-post-down.d/sendmail /etc/network/if-down.d/sendmail
rm -rf /etc/mail/*.mc /etc/mail/sendmail.cf* /etc/mail/m4 /etc/mail/Makefile /etc/mail/sendmail.conf /etc/mail/databases \
    /etc/mail/submit.cf.errors /usr/share/sendmail/cf
cat > /lib/systemd/system/sendmail.service <<'UNIT'
[Unit]
Description=Mail daemon
After=network.target

[Service]
Type=forking
PIDFile=/run/sendmail.pid
ExecStart=/usr/sbin/sendmail -C/etc/sendmail.cf -bd -q10m

[Install]
WantedBy=multi-user.target
UNIT
systemctl enable sendmail.service
