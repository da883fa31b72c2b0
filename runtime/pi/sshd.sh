#!/usr/bin/env bash
# The user land that make_rootfs.sh made, as a host that can be reached over ssh on loopback:
#
#   sshd.sh FOLDER [PORT]     → prints READY and stays;  ssh -F FOLDER/ssh/config pi
#
# This machine's own sshd, with every login chrooted into FOLDER/root, where the kernel hands ARM programs to qemu
# (binfmt_misc). All mounts are in a namespace of its own and end with it. Needs root, openssh-server and
# qemu-user-static (with its binfmt entry).
set -euo pipefail
folder=$(realpath "$1") port=${2:-2222}
[ "${EDGESTILL_IN_NAMESPACE:-}" ] || EDGESTILL_IN_NAMESPACE=1 exec unshare --mount --propagation private "$0" "$folder" "$port"
root=/mnt ssh=$folder/ssh registry=/proc/sys/fs/binfmt_misc

[ -e $registry/register ] || mount -t binfmt_misc binfmt_misc $registry
[ -e $registry/qemu-aarch64 ] || cat /usr/lib/binfmt.d/qemu-aarch64.conf > $registry/register

mount --bind "$folder/root" $root # sshd wants every folder above to be of root alone
mkdir -p "$ssh" /run/sshd
for key in host_key id; do
  [ -f "$ssh/$key" ] || ssh-keygen -q -t ed25519 -N '' -C "$key of an emulated Pi" -f "$ssh/$key"
done
cp "$ssh/id.pub" "$ssh/authorized_keys"
printf '[127.0.0.1]:%s %s\n' "$port" "$(cut -d' ' -f1,2 "$ssh/host_key.pub")" > "$ssh/known_hosts"

mount -t proc proc "$root/proc"
mount --bind "$root/.board/cpuinfo" "$root/proc/cpuinfo"
mkdir -p "$root/dev"
mount -t tmpfs tmpfs "$root/dev"
for device in null zero random urandom tty; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir -p "$root/dev/pts" "$root/dev/shm"
chmod 1777 "$root/dev/shm"
mount --bind /dev/pts "$root/dev/pts"
ln -sfn /proc/self/fd "$root/dev/fd"
mkdir -p "$root/small" # a disk that is soon full
mount -t tmpfs -o size=4m,mode=777 tmpfs "$root/small"
{ grep -v '^pi:' /etc/passwd; echo 'pi:x:1000:1000:pi:/home/pi:/bin/bash'; } > "$ssh/passwd"
mount --bind "$ssh/passwd" /etc/passwd
cp -L /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true

cat > "$ssh/sshd_config" <<END
ListenAddress 127.0.0.1
Port $port
HostKey $ssh/host_key
PidFile $ssh/sshd.pid
AuthorizedKeysFile $ssh/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowUsers pi
ChrootDirectory $root
SetEnv QEMU_CPU=$(cat "$root/.board/cpu") QEMU_UNAME=6.6.51+rpt-rpi PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8
Subsystem sftp internal-sftp
PrintMotd no
MaxStartups 50
END
cat > "$ssh/config" <<END
Host pi
  HostName 127.0.0.1
  Port $port
  User pi
  IdentityFile $ssh/id
  IdentitiesOnly yes
  UserKnownHostsFile $ssh/known_hosts
  BatchMode yes
END
(until (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; do sleep 0.05; done; echo READY) &
exec /usr/sbin/sshd -D -e -f "$ssh/sshd_config"
