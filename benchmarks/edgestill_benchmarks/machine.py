"""The machine of a measurement: without it a latency means nothing."""

import os
import platform
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

# What int8 kernels can use → its name in /proc/cpuinfo.
FEATURES = {
    "dotprod": "asimddp", "i8mm": "i8mm", "fp16": "asimdhp", "bf16": "bf16", "sve": "sve",
    "avx2": "avx2", "avx512": "avx512f", "avx-vnni": "avx_vnni", "avx512-vnni": "avx512_vnni", "amx-int8": "amx_int8",
}  # fmt: skip


def describe_machine(packages: Sequence[str] | None = None) -> dict[str, Any]:
    """Board or CPU, what it can do, cores, governor (None where there is none), memory, OS, Python, packages' versions.

    Read from `/proc` and `/sys` on Linux; None for what another system does not provide.

    Args:
        packages: whose versions are included; those of `machine_packages` when None.
    """
    versions = {name: _version(name) for name in (machine_packages() if packages is None else packages)}
    return {
        "cpu": _cpu_model(),
        "features": _features(),
        "architecture": platform.machine(),
        "cores": usable_cores(),
        "governor": _governor(),
        "memory_bytes": _memory_bytes(),
        "os": _os_name(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cuda": None,
        "packages": {name: version for name, version in versions.items() if version is not None},
    }


def measurement_identity() -> dict[str, Any]:
    """What a measurement made here depends on, without what varies by itself: it may be part of a cache's key.

    The machine's model and cores, Python, and the versions of engines and numpy; not the clock's governor or the load.
    """
    machine = describe_machine()
    facts = {name: machine[name] for name in ("cpu", "features", "architecture", "cores", "python")}
    return {**facts, "packages": {name: one for name, one in machine["packages"].items() if name != "edgestill"}}


def machine_packages() -> list[str]:
    """Packages that outputs and times depend on: the engines, and what they build on."""
    # Not at the top: this file is sent to devices where edgestill is not installed; see `edgestill.devices.probing`.
    from edgestill_runtime.engines import families

    engines = [package.name for family in families() for package in family.packages]
    return ["edgestill", "numpy", *engines, "torch"]


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def busy_share(seconds: float = 0.5) -> float | None:
    """Share of all cores' time, 0–1, that other processes used while this one slept; None where it is not known."""
    before = _cpu_times()
    time.sleep(seconds)
    after = _cpu_times()
    if before is None or after is None or after[1] == before[1]:
        return None
    return 1 - (after[0] - before[0]) / (after[1] - before[1])


def _cpu_times() -> tuple[int, int] | None:
    """Idle ticks of all cores together, and all ticks."""
    line = (_read(Path("/proc/stat")) or "").partition("\n")[0].split()
    if line[:1] != ["cpu"]:
        return None
    ticks = [int(value) for value in line[1:9]]  # user nice system idle iowait irq softirq steal
    return ticks[3] + ticks[4], sum(ticks)


def _cpu_model() -> str:
    board = _read(Path("/sys/firmware/devicetree/base/model"))  # "Raspberry Pi 5 Model B Rev 1.0"
    if board:
        return board.rstrip("\0")
    for line in (_read(Path("/proc/cpuinfo")) or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model"):
            return value.strip()
    return platform.processor() or platform.machine()


def _features() -> list[str]:
    for line in (_read(Path("/proc/cpuinfo")) or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return [name for name, flag in FEATURES.items() if flag in value.split()]
    return []


def _governor() -> str | None:
    """Of every core; several names where they differ."""
    paths = sorted(Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor"))
    return " ".join(sorted({name for path in paths if (name := _read(path))})) or None


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
