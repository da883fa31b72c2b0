#!/usr/bin/env bash
# The user land of a Raspberry Pi, and a command that runs its Python on this machine:
#
#   make_rootfs.sh FOLDER pi4|pi5 bookworm|trixie [REQUIREMENT …]     → FOLDER/python SCRIPT …
#                                                                      FOLDER/count FILE SCRIPT …
#
# bookworm is Debian 12 with Python 3.11, trixie is Debian 13 with Python 3.13. The requirements go into FOLDER/site,
# which that command sees and a login over ssh (sshd.sh) does not. Needs qemu-user-static and mmdebstrap (Debian
# packages), uv first on the PATH, and root for mmdebstrap; `count`, which counts instructions (instructions.c), needs
# qemu-user and gcc too. Emulated, so results are those of ARM code and times mean
# nothing. Never `-cpu max`: that qemu computes int8 wrongly.
set -euo pipefail
folder=$1 board=$2 suite=$3
shift 3
root=$folder/root site=$folder/site
cannot() { echo "NO EMULATED RASPBERRY PI HERE, so nothing was tested on ARM: $1" >&2; exit 1; }
[ $EUID = 0 ] || cannot "it is unpacked and entered by root; run this as root"
command -v apt-get >/dev/null || cannot "it is made of Debian's packages by Debian's tools, and this is no Debian"
for tool in qemu-aarch64-static mmdebstrap uv; do
  command -v $tool >/dev/null || cannot "$tool is missing: apt-get install qemu-user-static mmdebstrap, and activate the environment"
done
case $board in # the features are those of the CPU that is emulated: XNNPACK believes them, and a lie ends in SIGILL
  pi4) cpu=cortex-a72 part=0xd08 model="Raspberry Pi 4 Model B Rev 1.4" hertz=1800000 features="fp asimd evtstrm crc32 cpuid" ;;
  pi5) cpu=cortex-a76 part=0xd0b model="Raspberry Pi 5 Model B Rev 1.0" hertz=2400000
       features="fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp" ;;
  *) echo "unknown board $board: pi4 or pi5" >&2; exit 2 ;;
esac
case $suite in
  bookworm) version=3.11 glibc=36 more=libssl3 ;;
  trixie) version=3.13 glibc=40 more=libssl3t64,adbd ;;
  *) echo "unknown suite $suite: bookworm or trixie" >&2; exit 2 ;;
esac

# Unpacked, not installed: nothing of it has to run for that.
if [ "$(cat "$root/.complete" 2>/dev/null)" != $suite ]; then
  rm -rf "$root"
  mkdir -p "$folder"
  find_mirror() { # the one that this machine's apt uses
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | { grep -v security || true; } | sort -u | head -1
  }
  mirror=$(find_mirror)
  [ -n "$mirror" ] || { apt-get update -qq; mirror=$(find_mirror); }
  tools=base-files,bash,ca-certificates,coreutils,dash,findutils,grep,gzip,procps,sed,tar
  libraries=libc6,libc-bin,libstdc++6,libgcc-s1,zlib1g,$more,libffi8,libbz2-1.0,liblzma5,libsqlite3-0,libexpat1,libuuid1
  mmdebstrap --quiet --arch=arm64 --variant=extract \
    --include=$tools,$libraries,python3-minimal,python$version-minimal,libpython$version-stdlib,python$version-venv,python3-pip-whl \
    $suite "$root" "$mirror"
  # What the packages' own scripts would have written, had they run.
  printf 'root:x:0:0:root:/root:/bin/bash\npi:x:1000:1000:pi:/home/pi:/bin/bash\n' > "$root/etc/passwd"
  printf 'root:x:0:\npi:x:1000:\n' > "$root/etc/group"
  cat "$root"/usr/share/ca-certificates/mozilla/*.crt > "$root/etc/ssl/certs/ca-certificates.crt"
  [ -e "$root/bin/sh" ] || ln -s dash "$root/bin/sh"
  mkdir -p "$root/home/pi" "$root/tmp"
  chown 1000:1000 "$root/home/pi"
  chmod 1777 "$root/tmp"
  echo $suite > "$root/.complete"
fi

# What the engines ask about the board. Without it LiteRT crashes, or loses its fast kernels without a word.
mkdir -p "$root/proc" "$root/sys/devices/system/cpu" "$root/sys/firmware/devicetree/base"
: > "$root/proc/cpuinfo"
for core in 0 1 2 3; do
  printf 'processor\t: %d\nBogoMIPS\t: 108.00\nFeatures\t: %s\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: %s\nCPU revision\t: 3\n\n' \
    $core "$features" $part >> "$root/proc/cpuinfo"
  place=$root/sys/devices/system/cpu/cpu$core
  mkdir -p "$place/cpufreq" "$place/topology"
  echo $hertz > "$place/cpufreq/cpuinfo_max_freq"
  echo 600000 > "$place/cpufreq/cpuinfo_min_freq"
  echo 0 > "$place/topology/physical_package_id"
  echo $core > "$place/topology/core_id"
  echo 0-3 > "$place/topology/core_siblings_list"
done
for file in possible present online; do echo 0-3 > "$root/sys/devices/system/cpu/$file"; done
printf '%s\0' "$model" > "$root/sys/firmware/devicetree/base/model"
# For a login, which has a /proc of its own.
mkdir -p "$root/.board"
cp "$root/proc/cpuinfo" "$root/.board/cpuinfo"
echo $cpu > "$root/.board/cpu"

if [ $# -gt 0 ]; then
  rm -rf "$site"
  uv pip install --quiet --python-platform aarch64-manylinux_2_$glibc --python-version $version --only-binary :all: \
    --target "$site" "$@"
fi
cat > "$folder/python" <<END
#!/bin/sh
export QEMU_CPU=$cpu PYTHONPATH="$site\${PYTHONPATH:+:\$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1
exec qemu-aarch64-static -L "$root" "$root/usr/bin/python$version" "\$@"
END
chmod +x "$folder/python"
if command -v qemu-aarch64 >/dev/null && command -v gcc >/dev/null; then
  gcc -O2 -Wall -shared -fPIC -fvisibility=hidden -o "$folder/instructions.so" "$(dirname "$0")/instructions.c"
  cat > "$folder/count" <<END
#!/bin/sh
out=\$1
shift
export QEMU_CPU=$cpu PYTHONPATH="$site" PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0
exec qemu-aarch64 -plugin "$folder/instructions.so,out=\$out" -L "$root" "$root/usr/bin/python$version" "\$@"
END
  chmod +x "$folder/count"
fi
