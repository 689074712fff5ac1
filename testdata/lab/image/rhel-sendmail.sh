# Red Hat's layout over Debian's binaries: the m4 tree in /usr/share/sendmail-cf, one Makefile, native units for the
# daemon and the submission runner, settings in /etc/sysconfig.
set -eu
host=$(cat /etc/mailname)
systemctl disable sendmail 2>/dev/null || :
rm -f /etc/init.d/sendmail /etc/cron.d/sendmail /etc/cron.daily/sendmail /etc/network/if-up.d/sendmail \
    /etc/network/if-post-down.d/sendmail /etc/network/if-down.d/sendmail
rm -rf /etc/mail
mv /usr/share/sendmail/cf /usr/share/sendmail-cf
mkdir -p /etc/mail /etc/sysconfig /var/log/mail
install -d -o smmsp -g smmsp -m 0770 /var/spool/clientmqueue
install -d -o root -g mail -m 0700 /var/spool/mqueue
printf 'DAEMON=yes\nQUEUE=1h\n' > /etc/sysconfig/sendmail
cat > /etc/mail/sendmail.mc <<'MC'
divert(-1)dnl
dnl # The macro source of /etc/mail/sendmail.cf. After a change: make -C /etc/mail
include(`/usr/share/sendmail-cf/m4/cf.m4')dnl
VERSIONID(`setup for linux')dnl
OSTYPE(`linux')dnl
define(`confDEF_USER_ID', ``8:12'')dnl
define(`confTO_CONNECT', `1m')dnl
define(`confTRY_NULL_MX_LIST', `True')dnl
define(`confDONT_PROBE_INTERFACES', `True')dnl
define(`PROCMAIL_MAILER_PATH', `/usr/bin/procmail')dnl
define(`ALIAS_FILE', `/etc/aliases')dnl
define(`STATUS_FILE', `/var/log/mail/statistics')dnl
define(`confPID_FILE', `/run/sendmail.pid')dnl
define(`confUSERDB_SPEC', `/etc/mail/userdb.db')dnl
define(`confPRIVACY_FLAGS', `authwarnings,novrfy,noexpn,restrictqrun')dnl
define(`confTO_IDENT', `0')dnl
define(`confREFUSE_LA', `1000')dnl
define(`confQUEUE_LA', `1000')dnl
FEATURE(`no_default_msa', `dnl')dnl
FEATURE(`smrsh', `/usr/lib/sm.bin/smrsh')dnl
FEATURE(`mailertable', `hash -o /etc/mail/mailertable.db')dnl
FEATURE(`virtusertable', `hash -o /etc/mail/virtusertable.db')dnl
FEATURE(redirect)dnl
FEATURE(always_add_domain)dnl
FEATURE(use_cw_file)dnl
FEATURE(use_ct_file)dnl
FEATURE(local_procmail, `', `procmail -t -Y -a $h -d $u')dnl
FEATURE(`access_db', `hash -T<TMPF> -o /etc/mail/access.db')dnl
FEATURE(`blacklist_recipients')dnl
DAEMON_OPTIONS(`Port=smtp, Name=MTA')dnl
LOCAL_DOMAIN(`localhost.localdomain')dnl
MAILER(smtp)dnl
MAILER(procmail)dnl
MC
cat > /etc/mail/submit.mc <<'MC'
divert(-1)dnl
include(`/usr/share/sendmail-cf/m4/cf.m4')dnl
VERSIONID(`linux setup')dnl
define(`confCF_VERSION', `Submit')dnl
define(`__OSTYPE__', `')dnl
define(`_USE_DECNET_SYNTAX_', `1')dnl
define(`confTIME_ZONE', `USE_TZ')dnl
define(`confDONT_INIT_GROUPS', `True')dnl
define(`confPID_FILE', `/run/sm-client.pid')dnl
define(`MSP_QUEUE_DIR', `/var/spool/clientmqueue')dnl
define(`STATUS_FILE', `/var/log/mail/sm-client.st')dnl
FEATURE(`use_ct_file')dnl
FEATURE(`msp', `[127.0.0.1]')dnl
MC
cat > /etc/mail/Makefile <<'MAKE'
# Builds what sendmail reads from what people write.
POSSIBLE = $(wildcard access domaintable mailertable virtusertable)
DBS = $(POSSIBLE:=.db)

all: sendmail.cf submit.cf $(DBS)

%.cf: %.mc
	m4 $< > $@.new && mv -f $@.new $@

%.db: %
	makemap hash $@ < $<

clean:
	rm -f *.db *~
MAKE
printf 'Connect:localhost.localdomain\t\tRELAY\nConnect:localhost\t\t\tRELAY\nConnect:127.0.0.1\t\t\tRELAY\n' > /etc/mail/access
: > /etc/mail/mailertable; : > /etc/mail/virtusertable; : > /etc/mail/domaintable; : > /etc/mail/trusted-users
printf '%s\n' "$host" > /etc/mail/local-host-names
: > /etc/mail/relay-domains; printf 'smtp\tSee the manual.\n' > /etc/mail/helpfile
: > /var/log/mail/statistics
cat > /lib/systemd/system/sendmail.service <<'UNIT'
[Unit]
Description=Sendmail Mail Transport Agent
After=syslog.target network.target
Wants=sm-client.service

[Service]
Type=forking
PIDFile=/run/sendmail.pid
Environment=QUEUE=1h
EnvironmentFile=-/etc/sysconfig/sendmail
ExecStartPre=-/usr/bin/make -s -C /etc/mail
ExecStart=/usr/sbin/sendmail -bd -q${QUEUE}

[Install]
WantedBy=multi-user.target
UNIT
cat > /lib/systemd/system/sm-client.service <<'UNIT'
[Unit]
Description=Sendmail Mail Transport Client
After=network.target sendmail.service
BindsTo=sendmail.service

[Service]
Type=forking
PIDFile=/run/sm-client.pid
Environment=QUEUE=1h
EnvironmentFile=-/etc/sysconfig/sendmail
ExecStartPre=/bin/sh -c 'touch /run/sm-client.pid; chown smmsp:smmsp /run/sm-client.pid'
ExecStart=/usr/sbin/sendmail -L sm-msp-queue -Ac -q${QUEUE}

[Install]
WantedBy=multi-user.target
UNIT
make -s -C /etc/mail
chgrp smmsp /etc/mail/submit.cf
newaliases
systemctl enable sendmail.service sm-client.service
