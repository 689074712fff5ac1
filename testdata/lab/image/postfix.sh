set -eu
# debconf asked nothing: say what an internet site says, for the name this image has.
host=$(cat /etc/mailname)
postconf -e "myhostname = $host" "mydestination = \$myhostname, $host, localhost.lab.test, localhost" \
    "inet_interfaces = all" "inet_protocols = all"
newaliases
