# smtpd reads its one file when it starts, and no more.
newaliases
systemctl restart opensmtpd
