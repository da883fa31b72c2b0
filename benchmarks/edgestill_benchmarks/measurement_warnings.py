"""Warnings about measurements: what makes their numbers unreliable, and what to do about it."""

from collections.abc import Mapping, Sequence
from typing import Any

from .sensors import Sensors

NOISY_SHARE = 0.1
DRIFT = 0.03
SLOWER_CLOCK = 0.9


def latency_warnings(
    files: Sequence[Mapping[str, Any]], machine: Mapping[str, Any], busy: float | None
) -> tuple[str, ...]:
    """Warnings from the times themselves, and from the state of the machine at the time.

    Args:
        files: of a `Measurement`, as plain data. machine: see `describe_machine`. busy: see `busy_share`.
    """
    warnings = []
    if busy is not None and busy > NOISY_SHARE:
        warnings.append(
            f"other programs used {100 * busy:.0f} % of the processor just before the measurement: "
            "end them and measure again"
        )
    if machine["governor"] not in (None, "performance"):
        warnings.append(
            f"the clock's governor is {machine['governor']}, which changes the clock with the load: "
            "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
        )
    for file in files:
        times = file["latency_ms"]
        name = f"{file['file']}, {file['threads']} thread{'s' * (file['threads'] != 1)}"
        if times["p90"] > 2 * times["p50"]:
            warnings.append(
                f"{name}: p90 is {times['p90'] / times['p50']:.1f} × p50, so the machine was disturbed: "
                "compare ratios of p50, or measure again when it is quiet"
            )
        if abs(times["drift"]) > DRIFT:
            warnings.append(
                f"{name}: p50 changed by {100 * times['drift']:+.0f} % from the first half to the second, so it is not "
                "known better than that: measure longer, or when the machine is quiet and cool"
            )
        if not file["threads_set"]:
            warnings.append(f"{name}: {file['engine']} chooses its number of threads itself; this one was not set")
    return tuple(warnings)


def board_warnings(before: Sensors, after: Sensors) -> tuple[str, ...]:
    """Warnings about clock, voltage and temperature of the board during the measurement."""
    warnings = []
    if after.throttled:
        warnings.append(
            f"the board is held back ({', '.join(after.throttled)}): cool it, and give it a stronger power supply"
        )
    elif after.throttled_since_start and after.throttled_since_start != before.throttled_since_start:
        warnings.append(
            f"the board was held back meanwhile ({', '.join(after.throttled_since_start)}): "
            "cool it, and give it a stronger power supply"
        )
    if before.clock_mhz and after.clock_mhz and after.clock_mhz < SLOWER_CLOCK * before.clock_mhz:
        warm = "" if after.temperature_c is None else f" at {after.temperature_c:.0f} °C"
        warnings.append(
            f"the clock fell from {before.clock_mhz:.0f} to {after.clock_mhz:.0f} MHz{warm}: "
            "cool the board and measure again"
        )
    return tuple(warnings)
