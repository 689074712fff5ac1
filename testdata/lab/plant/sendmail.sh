# Regenerate what sendmail reads, then restart it. A planted .cf is meant as it is: its .mc does not overwrite it.
cd /etc/mail
planted() { printf '%s\n' "$LAB_PLANTED" | grep -qxF "$1"; }
for name in sendmail submit; do
    planted "/etc/mail/$name.cf" && continue
    [ -f "$name.mc" ] || continue
    m4 "$name.mc" > "$name.cf.new" && mv "$name.cf.new" "$name.cf"
done
for map in access mailertable virtusertable domaintable genericstable authinfo; do
    [ ! -f "$map" ] || planted "/etc/mail/$map.db" || makemap hash "$map" < "$map"
done
newaliases
if [ "$LAB_INIT" = systemd ]; then systemctl restart sendmail; else service sendmail restart; fi
