# Red Hat's way: make does all of it. A planted .cf is meant as it is: the .mc is made older than it.
cd /etc/mail
for name in sendmail submit; do
    if printf '%s\n' "$LAB_PLANTED" | grep -qxF "/etc/mail/$name.cf"; then
        touch -d '1 hour ago' "$name.mc"
        touch "$name.cf"
    elif printf '%s\n' "$LAB_PLANTED" | grep -qxF "/etc/mail/$name.mc"; then
        touch "$name.mc"
    fi
done
touch access mailertable virtusertable domaintable
make -s -C /etc/mail
newaliases
systemctl restart sendmail
