# Real sshds over the image $1, for hosts to be reached: $2 is the test's directory, $3 a public key, $4 the first of four ports of 127.0.0.1 and ::1.
#   $4     three host keys
#   $4+1   an ecdsa key alone
#   $4+2   a certificate of the CA in $2/ca.pub for reach.example, and the same three keys
#   $4+3   an ed25519 key of its own
# Standard input is a pipe that the test holds: when it ends, so does all of this. It runs in mount and pid namespaces of its own.
set -eu
exec 3<&0 </dev/null
image=$1 out=$2 key=$3 port=$4
mkdir -p "$out/m"
mount -t tmpfs -o mode=755 none "$out/m"
cd "$out/m"
mkdir upper work root
mount -t overlay -o "lowerdir=$image,upperdir=$PWD/upper,workdir=$PWD/work" none root
r=$PWD/root
mount -t proc proc "$r/proc"
mount --rbind /dev "$r/dev"
mkdir -p "$r/run/sshd" "$r/keys"
cp "$key" "$r/key"
cat > "$r/setup" <<'SETUP'
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
mkdir -p /root/.ssh
cp /key /root/.ssh/authorized_keys
for name in joe shut; do
    useradd -m -s /bin/sh -p '*' "$name" # no password, and not locked
    mkdir -p "/home/$name/.ssh"
    cp /key "/home/$name/.ssh/authorized_keys"
    chown -R "$name:" "/home/$name/.ssh"
done
for t in rsa ecdsa ed25519; do ssh-keygen -q -t $t -N '' -f /keys/$t; done
for k in own ca; do ssh-keygen -q -t ed25519 -N '' -f /keys/$k; done
ssh-keygen -q -s /keys/ca -I reach -h -n reach.example,wild-*.example /keys/ed25519.pub
SETUP
chroot "$r" /bin/sh /setup
penalties=
if chroot "$r" /usr/sbin/sshd -T -h /keys/rsa -o PerSourcePenalties=no > /dev/null 2>&1; then penalties='PerSourcePenalties no'; fi
daemon() { # number host-keys
    {
        printf 'ListenAddress 127.0.0.1:%s\nListenAddress [::1]:%s\n' "$((port + $1))" "$((port + $1))"
        for k in $2; do echo "HostKey /keys/$k"; done
        [ "$1" != 2 ] || echo 'HostCertificate /keys/ed25519-cert.pub'
        [ "$1" != 3 ] || echo 'GSSAPIAuthentication yes'
        printf '%s\nPermitRootLogin yes\nUsePAM no\nPasswordAuthentication no\nPidFile none\nMaxStartups 100\nMatch User shut\n    AllowTcpForwarding no\n' "$penalties"
    } > "$r/etc/ssh/reach$1"
    chroot "$r" /usr/sbin/sshd -e -f "/etc/ssh/reach$1"
}
daemon 0 'rsa ecdsa ed25519'
daemon 1 ecdsa
daemon 2 'rsa ecdsa ed25519'
daemon 3 own
cp "$r"/keys/*.pub "$out/"
echo ready
cat <&3 > /dev/null
