# No source to build from but the maps'.
cd /etc/mail
for map in access mailertable virtusertable domaintable genericstable; do
    [ ! -f "$map" ] || makemap hash "$map" < "$map"
done
newaliases
systemctl restart sendmail
