# Regenerate what Postfix reads, then restart it. $LAB_INIT names the init system.
newaliases
cd /etc/postfix
postconf -h default_database_type > /run/lab-dbtype 2>/dev/null || echo hash > /run/lab-dbtype
# Each text that the configuration names as a map of a built type is built again.
{ postconf -n; postconf -P; postconf -M; } 2>/dev/null |
    grep -oE '(hash|btree|lmdb|cdb|dbm):(/[^], }"]*|\$[{(]?config_directory[)}]?/[^], }"]*)' | sort -u |
    while IFS= read -r map; do
        type=${map%%:*}
        path=$(printf '%s\n' "${map#*:}" | sed 's,^\$[{(]*config_directory[)}]*,/etc/postfix,')
        [ -f "$path" ] || continue
        [ "$path" = /etc/aliases ] && continue
        postmap "$type:$path"
    done
if [ "$LAB_INIT" = systemd ]; then systemctl restart postfix; else service postfix restart; fi
