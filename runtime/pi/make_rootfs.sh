#!/usr/bin/env bash
# The user land of a Raspberry Pi (Debian 12, arm64, Python 3.11), and a command that runs its Python on this machine:
#
#   make_rootfs.sh FOLDER pi4|pi5 [REQUIREMENT …]     → FOLDER/python SCRIPT …
#
# Needs qemu-user-static and mmdebstrap (Debian packages), uv first on the PATH, and root for mmdebstrap. Emulated, so
# results are those of ARM code and times mean nothing. Never `-cpu max`: that qemu computes int8 wrongly.
set -euo pipefail
folder=$1 board=$2
shift 2
root=$folder/root site=$folder/site
for tool in qemu-aarch64-static mmdebstrap uv; do
  command -v $tool >/dev/null || { echo "$tool is missing: apt-get install qemu-user-static mmdebstrap, and activate the environment" >&2; exit 1; }
done
case $board in # the features are those of the CPU that is emulated: XNNPACK believes them, and a lie ends in SIGILL
  pi4) cpu=cortex-a72 part=0xd08 model="Raspberry Pi 4 Model B Rev 1.4" features="fp asimd evtstrm crc32 cpuid" ;;
  pi5) cpu=cortex-a76 part=0xd0b model="Raspberry Pi 5 Model B Rev 1.0"
       features="fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp" ;;
  *) echo "unknown board $board: pi4 or pi5" >&2; exit 2 ;;
esac

# Unpacked, not installed: nothing of it has to run for that.
if [ ! -e "$root/.complete" ]; then
  rm -rf "$root"
  mkdir -p "$folder"
  find_mirror() { # the one that this machine's apt uses
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | { grep -v security || true; } | sort -u | head -1
  }
  mirror=$(find_mirror)
  [ -n "$mirror" ] || { apt-get update -qq; mirror=$(find_mirror); }
  mmdebstrap --quiet --arch=arm64 --variant=extract \
    --include=base-files,bash,dash,coreutils,libc6,libc-bin,libstdc++6,libgcc-s1,zlib1g,libssl3,libffi8,libbz2-1.0,liblzma5,libsqlite3-0,libexpat1,libuuid1,python3.11-minimal,libpython3.11-stdlib \
    bookworm "$root" "$mirror"
  touch "$root/.complete"
fi

# What the engines ask about the board. Without it LiteRT crashes, or loses its fast kernels without a word.
mkdir -p "$root/proc/device-tree" "$root/sys/devices/system/cpu"
: > "$root/proc/cpuinfo"
for core in 0 1 2 3; do
  printf 'processor\t: %d\nBogoMIPS\t: 108.00\nFeatures\t: %s\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: %s\nCPU revision\t: 3\n\n' \
    $core "$features" $part >> "$root/proc/cpuinfo"
  place=$root/sys/devices/system/cpu/cpu$core
  mkdir -p "$place/cpufreq" "$place/topology"
  echo 1800000 > "$place/cpufreq/cpuinfo_max_freq"
  echo 600000 > "$place/cpufreq/cpuinfo_min_freq"
  echo 0 > "$place/topology/physical_package_id"
  echo $core > "$place/topology/core_id"
  echo 0-3 > "$place/topology/core_siblings_list"
done
for file in possible present online; do echo 0-3 > "$root/sys/devices/system/cpu/$file"; done
printf '%s\0' "$model" > "$root/proc/device-tree/model"

if [ $# -gt 0 ]; then
  rm -rf "$site"
  uv pip install --quiet --python-platform aarch64-manylinux_2_36 --python-version 3.11 --only-binary :all: \
    --target "$site" "$@"
fi
cat > "$folder/python" <<END
#!/bin/sh
export QEMU_CPU=$cpu PYTHONPATH="$site\${PYTHONPATH:+:\$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1
exec qemu-aarch64-static -L "$root" "$root/usr/bin/python3.11" "\$@"
END
chmod +x "$folder/python"
