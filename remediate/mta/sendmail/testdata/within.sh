# Inside the system: each configuration of /x/in is laid over a fresh /etc/mail, generated and collected.
umask 022
cp -a /etc/mail /pristine
[ -e /usr/share/sendmail-cf ] || ln -s sendmail/cf /usr/share/sendmail-cf

# what a published configuration names and does not bring is made empty
complete() {
	awk '/^K/ { type = $2; for (i = 3; i <= NF; i++) if ($i ~ /^\//) { print type, $i; break } }
		/^F/ { l = $0; if (sub(/^F([{][^}]*[}]|.)[ \t]*(-o[ \t]*)?/, "", l) && l ~ /^\//) { sub(/[ \t].*/, "", l); print "class", l } }' "$1" |
		while read -r type path; do
			mkdir -p "${path%/*}"
			[ -f "$path" ] || : >"$path"
			case $type in hash | btree | dbm | cdb | lmdb) makemap "$type" "$path" <"$path" ;; esac
		done
}

for site in /x/in/*; do
	name=${site##*/}
	rm -rf /etc/mail
	cp -a /pristine /etc/mail
	rm -f /etc/mail/*.db
	cp -R "$site/." /
	# makemap and sendmail refuse what others may write
	chown -R root:root /etc/mail
	chmod 755 / /etc /etc/mail
	{
		if [ -f "$site/etc/mail/sendmail.mc" ]; then
			(cd /etc/mail && m4 -D_CF_DIR_=/usr/share/sendmail/cf/ /usr/share/sendmail/cf/m4/cf.m4 sendmail.mc >sendmail.cf) || continue
		fi
		complete /etc/mail/sendmail.cf
	} >"/x/out/$name.make" 2>&1
	sh /x/collect.sh >"/x/out/$name.snap" 2>/dev/null </dev/null
done
exit 0
