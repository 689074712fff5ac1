set -eu
host=$(cat /etc/mailname)
conf=/etc/exim4/update-exim4.conf.conf
sed -i "s/^dc_eximconfig_configtype=.*/dc_eximconfig_configtype='internet'/
s/^dc_other_hostnames=.*/dc_other_hostnames='$host'/
s/^dc_local_interfaces=.*/dc_local_interfaces=''/" "$conf"
update-exim4.conf
