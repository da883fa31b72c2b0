#!/usr/bin/env bash
# The user land that make_rootfs.sh made (trixie, which has adbd), as a device that can be reached over adb on loopback:
#
#   adbd.sh FOLDER [PORT]     → prints READY and stays;  adb connect 127.0.0.1:PORT
#
# Debian's adbd itself, the ARM one, in the emulated board; as on a rooted phone, commands run as root. Needs root and what
# enter.sh needs.
set -euo pipefail
folder=$(realpath "$1") port=${2:-5555}
[ "${EDGESTILL_IN_NAMESPACE:-}" ] || exec "$(dirname "$0")/enter.sh" "$folder" "$0" "$folder" "$port"
export ADBD_PORT=$port PATH=/usr/bin:/bin HOME=/root LANG=C.UTF-8
(until (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; do sleep 0.05; done; echo READY) &
exec /usr/sbin/chroot /mnt /usr/lib/android-sdk/platform-tools/adbd
