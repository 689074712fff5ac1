set -eu
# Positive proof that nothing here takes mail.
test ! -e /usr/sbin/sendmail
