"""Sensors of a board: temperature, clock, throttling. Read from `/sys` and from a Raspberry Pi's `vcgencmd`."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
# Bits of `vcgencmd get_throttled` (Raspberry Pi documentation, "vcgencmd"); 16 higher: it happened since boot.
_THROTTLED = {0: "under-voltage", 1: "clock capped", 2: "throttled", 3: "soft temperature limit"}


@dataclass(frozen=True)
class Sensors:
    """A reading; None for what this machine does not provide.

    Args:
        temperature_c: of the hottest thermal zone, °C. clock_mhz: mean of the cores. top_clock_mhz: their maximum.
        throttled: reasons why the board is throttled now; () for none. throttled_since_start: all since it was booted.
    """

    temperature_c: float | None
    clock_mhz: float | None
    top_clock_mhz: float | None
    throttled: tuple[str, ...] | None
    throttled_since_start: tuple[str, ...] | None


def read_sensors(root: Path = ROOT) -> Sensors:
    """Read all of them.

    Args:
        root: where `/sys` is looked for.
    """
    temperatures = _numbers(root, "sys/class/thermal/thermal_zone*/temp")
    clocks = _numbers(root, "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
    tops = _numbers(root, "sys/devices/system/cpu/cpu[0-9]*/cpufreq/cpuinfo_max_freq")
    flags = _firmware_flags()
    return Sensors(
        max(temperatures) / 1000 if temperatures else None,
        sum(clocks) / len(clocks) / 1000 if clocks else None,
        max(tops) / 1000 if tops else None,
        None if flags is None else _named(flags),
        None if flags is None else _named(flags >> 16),
    )


def _numbers(root: Path, pattern: str) -> list[float]:
    found = []
    for path in root.glob(pattern):
        try:
            found.append(float(path.read_text()))
        except (OSError, ValueError):
            continue  # a zone may be switched off
    return found


def _firmware_flags() -> int | None:
    if shutil.which("vcgencmd") is None:
        return None
    done = subprocess.run(["vcgencmd", "get_throttled"], capture_output=True, text=True, check=False)
    found = re.fullmatch(r"throttled=0x([0-9a-fA-F]+)", done.stdout.strip())
    return int(found[1], 16) if found else None


def _named(flags: int) -> tuple[str, ...]:
    return tuple(name for bit, name in _THROTTLED.items() if flags >> bit & 1)
