# A disposable machine around the image $1 with a real sshd on loopback port $2; $3 is the test's directory, $4 a public key, $5 1 where this machine's shells are lent, and the
# program $6 with them. What follows are more daemons: a port and a line each: options of sshd, or a line for its configuration that begins with Subsystem, or the word dropbear.
# Standard input is a pipe that the test holds: when it ends, so does all of this.
# It runs in mount and pid namespaces of its own: nothing outside them changes, and all of it ends with this shell.
set -eu
exec 3<&0 </dev/null
image=$1 port=$2 out=$3 key=$4 lend=$5
mount -t tmpfs -o mode=755 none "$out/m"
cd "$out/m"
mkdir upper work root usrupper usrwork
mount -t overlay -o "lowerdir=$image,upperdir=$PWD/upper,workdir=$PWD/work" none root
if [ "$lend" = 1 ]; then
    mount -t overlay -o "lowerdir=$image/usr:/usr,upperdir=$PWD/usrupper,workdir=$PWD/usrwork" none root/usr
    cp "$6" root/usr/test-program
fi
r=$PWD/root
mount -t proc proc "$r/proc"
mount --rbind /dev "$r/dev"
mkdir -p "$r/run/sshd"
cat > "$r/setup" <<'SETUP'
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
account() { # name shell sudoers-line
    useradd -m -s "$2" "$1"
    printf '%s:%s\n' "$1" 'correct secret 1!' | chpasswd
    mkdir -p "/home/$1/.ssh"
    cp /key "/home/$1/.ssh/authorized_keys"
    chown -R "$1:" "/home/$1/.ssh"
    [ -z "$3" ] || printf '%s\n' "$3" > "/etc/sudoers.d/$1"
}
echo "root:root secret 2!" | chpasswd
mkdir -p /root/.ssh
cp /key /root/.ssh/authorized_keys
account dashy /bin/dash 'dashy ALL=(ALL) ALL'
account bashy /bin/bash 'bashy ALL=(ALL) ALL'
account free /bin/sh 'free ALL=(ALL) NOPASSWD: ALL'
account nosudo /bin/sh ''
account only /bin/sh 'only ALL=(ALL) NOPASSWD: /usr/bin/id'
account needtty /bin/sh 'Defaults:needtty requiretty
needtty ALL=(ALL) NOPASSWD: ALL'
account usepty /bin/sh 'Defaults:usepty use_pty
usepty ALL=(ALL) ALL'
account lecture /bin/sh 'Defaults:lecture lecture=always
lecture ALL=(ALL) ALL'
account asks /bin/sh 'Defaults:asks passprompt="Kennwort bitte: ", passprompt_override, timestamp_timeout=0
asks ALL=(ALL) ALL'
account noisy /bin/bash 'noisy ALL=(ALL) ALL'
printf 'echo "noise on stdout"; echo "noise on stderr" >&2\nPS1=x\n' > /home/noisy/.bashrc
printf 'banner and motd: all activity is watched. Password: none\n' > /etc/motd
printf '#!/bin/sh\nPATH=/nonexistent\nexport PATH\nexec /bin/sh "$@"\n' > /usr/local/bin/nopath # sshd before 9 sets a PATH of its own over SetEnv's
chmod 755 /usr/local/bin/nopath
account nopath /usr/local/bin/nopath 'nopath ALL=(ALL) ALL'
account euckr /bin/bash 'euckr ALL=(ALL) ALL'
for a in root nopath; do # the superuser by other names, to whom sshd_config gives another environment
    useradd -o -u 0 -g 0 -M -d /root -s "$([ $a = nopath ] && echo /usr/local/bin/nopath || echo /bin/sh)" "super$a" && printf 'super%s:%s\n' "$a" 'correct secret 1!' | chpasswd
done
account nologin /usr/sbin/nologin 'nologin ALL=(ALL) ALL'
account two /bin/sh ''
account kbd /bin/sh ''
account locked /bin/sh ''
usermod -L -e 1 locked
if [ -x /usr/bin/tcsh ] && [ ! -x /usr/bin/csh ]; then ln -sf tcsh /usr/bin/csh; fi # its own link leads through /etc/alternatives
account rootpw /bin/sh 'Defaults:rootpw rootpw
rootpw ALL=(ALL) ALL'
account targetpw /bin/sh 'Defaults:targetpw targetpw, use_pty
targetpw ALL=(ALL) ALL'
account ttypw /bin/sh 'Defaults:ttypw requiretty, use_pty, lecture=always
ttypw ALL=(ALL) ALL'
account visible /bin/sh 'Defaults:visible !visiblepw
visible ALL=(ALL) ALL'
account notty /bin/sh 'Defaults:notty requiretty
notty ALL=(ALL) NOPASSWD: ALL'
account expiring /bin/sh 'expiring ALL=(ALL) ALL'
chage -d 0 expiring
useradd -o -u 0 -g 0 -m -d /home/toor -s /bin/sh toor
mkdir -p /home/toor/.ssh
cp /key /home/toor/.ssh/authorized_keys
account nosu /bin/sh ''
groupadd wheelless
usermod -a -G wheelless nosu
sed -i '1i auth required pam_wheel.so deny group=wheelless' /etc/pam.d/su
if command -v doas > /dev/null; then
    account doasfree /bin/sh ''
    account doaspw /bin/sh ''
    account doaskeep /bin/tcsh ''
    account nodoas /bin/sh ''
    printf 'permit nopass doasfree\npermit doaspw\npermit persist doaskeep\n' > /etc/doas.conf
    chmod 600 /etc/doas.conf
fi
if [ -e /usr/lib/*/security/pam_oath.so ] || [ -e /lib/*/security/pam_oath.so ]; then
    account otp /bin/sh 'otp ALL=(ALL) NOPASSWD: ALL'
    # RFC 4226, appendix D
    printf 'HOTP otp - 3132333435363738393031323334353637383930\n' > /etc/users.oath
    chmod 600 /etc/users.oath
    sed -i '1i auth [success=1 default=ignore] pam_succeed_if.so quiet user != otp\nauth [success=done default=die] pam_oath.so usersfile=/etc/users.oath window=5 digits=6' /etc/pam.d/sshd
fi
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/user_ca
for s in csh tcsh fish ksh mksh yash; do
    if [ -x "/usr/bin/$s" ] && "/usr/bin/$s" -c true; then account "u$s" "/usr/bin/$s" "u$s ALL=(ALL) ALL"; echo "u$s" >> /made; fi
done
if [ -x /usr/bin/localedef ] && localedef -i ko_KR -f EUC-KR ko_KR.EUC-KR; then echo euckr >> /made; fi
if [ -x /usr/bin/busybox ]; then
    ln -s busybox /usr/bin/ash
    account uash /usr/bin/ash 'uash ALL=(ALL) ALL'
    echo uash >> /made
    for f in /usr/bin/busybox $(ldd /usr/bin/busybox | grep -o '/[^ ]*'); do mkdir -p "/bb${f%/*}" && cp -L "$f" "/bb$f"; done
    mkdir -p /bb/bin /bb/sbin /bb/usr/sbin /bb/etc /bb/tmp /bb/proc /bb/dev /bb/var/lib
    chroot /bb /usr/bin/busybox --install -s
    cp /etc/passwd /etc/group /etc/os-release /bb/etc/
    echo superroot >> /made
fi
if [ -d /home/ufish ]; then
    mkdir -p /home/ufish/.config/fish
    printf 'echo "fish noise"\nalias sh "echo no"\nfunction exec; echo no; end\n' > /home/ufish/.config/fish/config.fish
    chown -R ufish: /home/ufish/.config
fi
if [ -d /home/utcsh ]; then printf 'echo "csh noise"\nset noclobber\nalias env echo no\n' > /home/utcsh/.tcshrc; fi
chmod 440 /etc/sudoers.d/*
ssh-keygen -q -A
SETUP
cp "$key" "$r/key"
chroot "$r" /bin/sh /setup
dsa= penalties=
[ ! -e "$r/etc/ssh/ssh_host_dsa_key" ] || dsa='HostKeyAlgorithms +ssh-dss
HostKey /etc/ssh/ssh_host_dsa_key'
# From 9.8 on sshd turns an address away after a few failed logins, and failing is what some of the tests do.
if chroot "$r" /usr/sbin/sshd -T -o PerSourcePenalties=no > /dev/null 2>&1; then penalties='PerSourcePenalties no'; fi
cat > "$r/etc/ssh/test_config" <<CONFIG
ListenAddress 127.0.0.1
Port $port
HostKey /etc/ssh/ssh_host_rsa_key
HostKey /etc/ssh/ssh_host_ecdsa_key
HostKey /etc/ssh/ssh_host_ed25519_key
$dsa
$penalties
PermitRootLogin yes
UsePAM yes
PasswordAuthentication yes
KbdInteractiveAuthentication yes
LogLevel VERBOSE
PrintMotd yes
PidFile none
AcceptEnv LANG LC_*
TrustedUserCAKeys /etc/ssh/user_ca.pub
Match User otp
    AuthenticationMethods publickey,keyboard-interactive
Match User notty
    PermitTTY no
Match User targetpw
    MaxAuthTries 3
Match User euckr
    SetEnv LANG=ko_KR.EUC-KR LC_ALL=ko_KR.EUC-KR
Match User superroot
    ChrootDirectory /bb
Match User two
    AuthenticationMethods publickey,password
Match User kbd
    AuthenticationMethods keyboard-interactive
Match User bashy
    Banner /etc/motd
CONFIG
cp "$r"/etc/ssh/ssh_host_*_key.pub "$out/"
cp "$r/etc/ssh/user_ca" "$out/"
cp "$r/made" "$out/made" 2>/dev/null || :
chroot "$r" sudo -V | head -n 1 > "$out/sudo"
# A /tmp that runs nothing.
mount -t tmpfs -o noexec,nosuid,mode=1777 none "$r/tmp"
if [ -d "$r/bb" ]; then
    mount -t proc proc "$r/bb/proc"
    mount --rbind /dev "$r/bb/dev"
fi
shift 6
while [ $# -gt 1 ]; do
    port2=$1 word=$2
    shift 2
    if [ "$word" = dropbear ]; then
        chroot "$r" dropbearkey -t ed25519 -f /dropbear_key > /dev/null 2>&1
        chroot "$r" dropbearkey -y -f /dropbear_key | grep ^ssh- > "$out/dropbear.pub"
        chroot "$r" /usr/sbin/dropbear -F -E -r /dropbear_key -p "127.0.0.1:$port2" 3>&- &
    else
        config=/etc/ssh/test_config
        case $word in Subsystem*)
            config=/etc/ssh/config.$port2
            { printf '%s\n' "$word"; cat "$r/etc/ssh/test_config"; } > "$r$config"
            word= ;;
        esac
        chroot "$r" /usr/sbin/sshd -D -e -f "$config" -p "$port2" $word 3>&- &
    fi
done
{ cat > /dev/null; kill -TERM 1; } <&3 &
exec 3<&-
exec chroot "$r" /usr/sbin/sshd -D -e -f /etc/ssh/test_config
