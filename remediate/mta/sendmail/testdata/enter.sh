# $1 the system, $2 an empty directory, $3 the exchange
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$2"
mkdir "$2/u" "$2/w" "$2/m"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/u,workdir=$2/w" "$2/m"
mount -t proc proc "$2/m/proc"
mount --bind /dev "$2/m/dev"
mkdir -p "$2/m/x"
mount --bind "$3" "$2/m/x"
ip link set lo up
ip addr add 10.9.9.1/24 dev lo
hostname mx.lab.test
rm -f "$2/m/etc/hosts" "$2/m/etc/resolv.conf" # they may be links
printf '127.0.0.1 localhost\n10.9.9.1 mx.lab.test mx\n' >"$2/m/etc/hosts"
: >"$2/m/etc/resolv.conf"
exec chroot "$2/m" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin sh /x/within.sh
