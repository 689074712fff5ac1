# Regenerate what exim reads, then restart it.
chown root:Debian-exim /etc/exim4/passwd* 2>/dev/null || :
update-exim4.conf
if [ "$LAB_INIT" = systemd ]; then systemctl restart exim4; else service exim4 restart; fi
