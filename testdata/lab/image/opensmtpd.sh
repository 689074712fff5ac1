set -eu
host=$(cat /etc/mailname)
echo "$host" > /etc/mailname
cat > /etc/smtpd.conf <<CONF
# Debian's smtpd.conf, and mail for this host from anywhere.
table aliases file:/etc/aliases

listen on 0.0.0.0
listen on ::

action "local" maildir alias <aliases>
action "relay" relay

match from any for domain "$host" action "local"
match for local action "local"
match for any action "relay"
CONF
[ -f /etc/aliases ] || echo 'postmaster: root' > /etc/aliases
newaliases
smtpd -n
