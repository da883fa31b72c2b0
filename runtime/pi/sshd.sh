#!/usr/bin/env bash
# The user land that make_rootfs.sh made, as a host that can be reached over ssh on loopback:
#
#   sshd.sh FOLDER [PORT]     → prints READY and stays;  ssh -F FOLDER/ssh/config pi
#
# This machine's own sshd, with every login chrooted into it. Needs root, openssh-server, and what enter.sh needs.
set -euo pipefail
folder=$(realpath "$1") port=${2:-2222}
[ "${EDGESTILL_IN_NAMESPACE:-}" ] || exec "$(dirname "$0")/enter.sh" "$folder" "$0" "$folder" "$port"
ssh=$folder/ssh

mkdir -p "$ssh" /run/sshd
for key in host_key id; do
  [ -f "$ssh/$key" ] || ssh-keygen -q -t ed25519 -N '' -C "$key of an emulated Pi" -f "$ssh/$key"
done
cp "$ssh/id.pub" "$ssh/authorized_keys"
printf '[127.0.0.1]:%s %s\n' "$port" "$(cut -d' ' -f1,2 "$ssh/host_key.pub")" > "$ssh/known_hosts"
{ grep -v '^pi:' /etc/passwd; echo 'pi:x:1000:1000:pi:/home/pi:/bin/bash'; } > "$ssh/passwd"
mount --bind "$ssh/passwd" /etc/passwd

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
ChrootDirectory /mnt
SetEnv QEMU_CPU=$QEMU_CPU QEMU_UNAME=$QEMU_UNAME PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8
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
