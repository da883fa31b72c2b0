"""Energy from hardware counters, where there are any: of the whole package or board, idle parts included."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from .sensors import ROOT

_POWER_SECONDS = 0.05


class Meter(Protocol):
    """A counter of energy. Close it: one that samples runs a thread until then."""

    source: str

    def joules(self) -> float:
        """Energy since a fixed moment in the past, J."""

    def close(self) -> None:
        """Stop reading the counter; calling it again does nothing."""


@contextmanager
def open_meter(root: Path = ROOT) -> Iterator[Meter | None]:
    """`find_meter` for the length of a block, however it ends."""
    meter = find_meter(root)
    try:
        yield meter
    finally:
        if meter is not None:
            meter.close()


def find_meter(root: Path = ROOT) -> Meter | None:
    """The best counter of this machine, or None: RAPL, an energy counter of hwmon, a power sensor (INA2xx) of hwmon."""
    # Packages alone (intel-rapl:0): their energy includes that of their parts (intel-rapl:0:0).
    packages = [path for path in sorted(root.glob("sys/class/powercap/intel-rapl:?")) if _reads(path / "energy_uj")]
    if packages:
        return _Rapl(packages)
    for kind, meter in (("energy", _Counters), ("power", _Power)):
        inputs = [path for path in sorted(root.glob(f"sys/class/hwmon/hwmon*/{kind}*_input")) if _reads(path)]
        if inputs:
            return meter(inputs)
    return None


class _Rapl:
    """Intel's and AMD's Running Average Power Limit (RAPL); the counters wrap around at `max_energy_range_uj`."""

    def __init__(self, packages: list[Path]) -> None:
        self.source = "RAPL, package"
        self._packages = packages
        self._ranges = [int((path / "max_energy_range_uj").read_text()) for path in packages]
        self._last = self._read()
        self._total = 0

    def joules(self) -> float:
        now = self._read()
        self._total += sum(
            (new - old) % (span + 1) for new, old, span in zip(now, self._last, self._ranges, strict=True)
        )
        self._last = now
        return self._total / 1e6

    def close(self) -> None:
        """Nothing to stop."""

    def _read(self) -> list[int]:
        return [int((path / "energy_uj").read_text()) for path in self._packages]


class _Counters:
    def __init__(self, inputs: list[Path]) -> None:
        self.source = f"hwmon, {_chip(inputs[0])}"
        self._inputs = inputs

    def joules(self) -> float:
        return sum(int(path.read_text()) for path in self._inputs) / 1e6

    def close(self) -> None:
        """Nothing to stop."""


class _Power:
    """A power sensor, read twenty times a second by a thread of its own and summed up."""

    def __init__(self, inputs: list[Path]) -> None:
        self.source = f"hwmon, {_chip(inputs[0])}, integrated"
        self._inputs = inputs
        self._total = 0.0
        self._last = time.perf_counter()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="edgestill-power", daemon=True)
        self._thread.start()

    def joules(self) -> float:
        with self._lock:
            now = time.perf_counter()
            self._total += sum(int(path.read_text()) for path in self._inputs) / 1e6 * (now - self._last)
            self._last = now
            return self._total

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._ended.wait(_POWER_SECONDS):
            try:
                self.joules()
            except (OSError, ValueError):
                return  # the sensor is gone; the next call of `joules` raises


def _chip(path: Path) -> str:
    try:
        return (path.parent / "name").read_text().strip()
    except OSError:
        return path.parent.name


def _reads(path: Path) -> bool:
    try:
        path.read_text()
    except OSError:
        return False  # missing, or readable by root only
    return True
