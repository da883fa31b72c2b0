#!/usr/bin/env bash
# Mount the user land that make_rootfs.sh made at /mnt as a running board would have it, then run a command:
#
#   enter.sh FOLDER COMMAND …        the command finds the user land at /mnt; its environment has QEMU_CPU for the board
#
# ARM programs in there are handed to qemu by the kernel (binfmt_misc). All mounts are in a namespace of their own and end
# with the command. Needs root and qemu-user-static (with its binfmt entry).
set -euo pipefail
folder=$(realpath "$1")
shift
[ "${EDGESTILL_IN_NAMESPACE:-}" ] || EDGESTILL_IN_NAMESPACE=1 exec unshare --mount --propagation private "$0" "$folder" "$@"
root=/mnt registry=/proc/sys/fs/binfmt_misc

[ -e $registry/register ] || mount -t binfmt_misc binfmt_misc $registry
[ -e $registry/qemu-aarch64 ] || cat /usr/lib/binfmt.d/qemu-aarch64.conf > $registry/register

mount --bind "$folder/root" $root
mount -t proc proc $root/proc
mount --bind $root/.board/cpuinfo $root/proc/cpuinfo
mkdir -p $root/dev
mount -t tmpfs tmpfs $root/dev
for device in null zero random urandom tty; do
  touch $root/dev/$device
  mount --bind /dev/$device $root/dev/$device
done
mkdir -p $root/dev/pts $root/dev/shm
chmod 1777 $root/dev/shm
mount --bind /dev/pts $root/dev/pts
ln -sfn /proc/self/fd $root/dev/fd
mkdir -p $root/small # a disk that is soon full
mount -t tmpfs -o size=4m,mode=777 tmpfs $root/small
# It finds, and trusts, whom this machine does.
cp -L /etc/resolv.conf $root/etc/resolv.conf
cp -L /etc/ssl/certs/ca-certificates.crt $root/etc/ssl/certs/ca-certificates.crt
export QEMU_CPU=$(cat $root/.board/cpu) QEMU_UNAME=6.6.51+rpt-rpi
exec "$@"
