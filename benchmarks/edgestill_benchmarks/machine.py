"""The facts without which a latency means nothing."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("edgestill", "numpy", "ai-edge-litert", "executorch", "executorch-numpy-runtime", "torch")


def describe_machine() -> dict[str, Any]:
    """CPU model, cores, frequency governor (None where there is none), memory, OS, Python, versions of the packages.

    Read from `/proc` and `/sys` on Linux; what another system does not tell is None.
    """
    return {
        "cpu": _cpu_model(),
        "architecture": platform.machine(),
        "cores": usable_cores(),
        "governor": _read(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        "memory_bytes": _memory_bytes(),
        "os": _os_name(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cuda": None,
        "packages": {name: version for name in PACKAGES if (version := _version(name)) is not None},
    }


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load_per_core() -> float | None:
    """One-minute load average divided by the cores; None where the system has none."""
    return os.getloadavg()[0] / usable_cores() if hasattr(os, "getloadavg") else None


def _cpu_model() -> str:
    board = _read(Path("/proc/device-tree/model"))  # "Raspberry Pi 5 Model B Rev 1.0"
    if board:
        return board.rstrip("\0")
    for line in (_read(Path("/proc/cpuinfo")) or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model"):
            return value.strip()
    return platform.processor() or platform.machine()


def _memory_bytes() -> int | None:
    for line in (_read(Path("/proc/meminfo")) or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return None


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"


def _read(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
