"""What makes a measurement doubtful, and what to do about it. Plain data in, sentences out."""

from collections.abc import Mapping, Sequence
from typing import Any

from .sensors import Sensors

NOISY_SHARE = 0.1
DRIFT = 0.03
SLOWER_CLOCK = 0.9


def doubts_about_latency(
    files: Sequence[Mapping[str, Any]], machine: Mapping[str, Any], busy: float | None
) -> tuple[str, ...]:
    """What the times themselves, and the machine while they were taken, give to doubt.

    Args:
        files: of a `Measurement`, as plain data. busy: see `busy_share`.
    """
    found = []
    if busy is not None and busy > NOISY_SHARE:
        found.append(
            f"other programs used {100 * busy:.0f} % of the processor just before the measurement: "
            "end them and measure again"
        )
    if machine["governor"] not in (None, "performance"):
        found.append(
            f"the clock's governor is {machine['governor']}, which changes the clock with the load: "
            "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
        )
    for one in files:
        times, what = one["latency_ms"], f"{one['file']}, {one['threads']} thread{'s' * (one['threads'] != 1)}"
        if times["p90"] > 2 * times["p50"]:
            found.append(
                f"{what}: p90 is {times['p90'] / times['p50']:.1f} × p50, so the machine was disturbed: "
                "compare ratios of p50, or measure again when it is quiet"
            )
        if abs(times["drift"]) > DRIFT:
            found.append(
                f"{what}: p50 changed by {100 * times['drift']:+.0f} % from the first half to the second, so it is not "
                "known better than that: measure longer, or when the machine is quiet and cool"
            )
        if not one["threads_set"]:
            found.append(f"{what}: {one['engine']} chooses its number of threads itself; this one was not set")
    return tuple(found)


def doubts_about_the_board(before: Sensors, after: Sensors) -> tuple[str, ...]:
    """What happened to clock and voltage meanwhile."""
    found = []
    if after.throttled:
        found.append(
            f"the board is held back ({', '.join(after.throttled)}): cool it, and give it a stronger power supply"
        )
    elif after.throttled_since_start and after.throttled_since_start != before.throttled_since_start:
        found.append(
            f"the board was held back meanwhile ({', '.join(after.throttled_since_start)}): "
            "cool it, and give it a stronger power supply"
        )
    if before.clock_mhz and after.clock_mhz and after.clock_mhz < SLOWER_CLOCK * before.clock_mhz:
        warm = "" if after.temperature_c is None else f" at {after.temperature_c:.0f} °C"
        found.append(
            f"the clock fell from {before.clock_mhz:.0f} to {after.clock_mhz:.0f} MHz{warm}: "
            "cool the board and measure again"
        )
    return tuple(found)
