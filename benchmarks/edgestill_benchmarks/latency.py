"""Latency of single calls, in milliseconds.

Machines are noisy, so files are measured together: a short turn each, round after round, until every one has enough
calls. A temporary disturbance then affects all of them, and their ratios stay the same.

`MLPERF` is the rule of MLPerf's single-stream scenario instead: at least 1,024 calls and 60 seconds, one file after the
other, and p90 is the number that counts (MLCommons, MLPerf Inference Rules, "Scenarios").
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgestill_runtime import EdgestillError

from .energy import Meter

TURN_SECONDS = 0.1
WARM_UP_SECONDS = 0.5
WARM_UP_CALLS = 20


@dataclass(frozen=True)
class Rule:
    """How much is measured.

    Args:
        name: of the rule. headline: the percentile that counts.
        min_calls, min_seconds: each function is timed until both are met.
        turn_seconds: how long one is timed before the next.

    Raises:
        EdgestillError: min_calls below 1, or seconds that are negative or not finite.
    """

    name: str = "interleaved"
    headline: str = "p50"
    min_calls: int = 1000
    min_seconds: float = 5.0
    turn_seconds: float = TURN_SECONDS

    def __post_init__(self) -> None:
        if self.min_calls < 1:
            raise EdgestillError(f"min_calls must be at least 1, not {self.min_calls}")
        for name in ("min_seconds", "turn_seconds"):
            seconds = getattr(self, name)
            if not 0 <= seconds < math.inf:
                raise EdgestillError(f"{name} must be a number of seconds from 0, not {seconds}")


INTERLEAVED = Rule()
MLPERF = Rule("mlperf", "p90", 1024, 60.0, turn_seconds=60.0)


@dataclass(frozen=True)
class Latency:
    """Times of single calls, milliseconds: percentiles, mean and minimum of the warm ones, and the first call apart.

    Args:
        drift: p50 of the second half of the calls / that of the first, minus 1.
        energy_mj: millijoules a call, of everything that the meter covers; None without a meter.
    """

    p50: float
    p90: float
    p99: float
    mean: float
    min: float
    first: float
    calls: int
    drift: float
    energy_mj: float | None = None


@dataclass
class _Turns:
    call: Callable[[], Any]
    first: float = 0.0
    times: list[float] = field(default_factory=list)
    seconds: float = 0.0
    joules: float = 0.0

    def enough(self, rule: Rule) -> float:
        """Share of the rule's calls and seconds that is done, 0–1."""
        return min(1.0, len(self.times) / rule.min_calls, self.seconds / max(rule.min_seconds, 1e-9))


def measure_latency(
    calls: Mapping[str, Callable[[], Any]],
    rule: Rule = INTERLEAVED,
    meter: Meter | None = None,
    on_progress: Callable[[float], None] = lambda share: None,
) -> dict[str, Latency]:
    """Time some functions.

    Args:
        calls: name → a function that makes one call.
        meter: of energy; read before and after each turn.
        on_progress: called after every turn with the share that is done, 0–1.
    """
    turns = {name: _Turns(call) for name, call in calls.items()}
    for turn in turns.values():
        turn.first = _timed(turn.call)
        started, warm = time.perf_counter(), 0
        while warm < WARM_UP_CALLS or time.perf_counter() - started < min(WARM_UP_SECONDS, rule.min_seconds):
            turn.call()
            warm += 1
    while any(turn.enough(rule) < 1 for turn in turns.values()):
        for turn in turns.values():
            _time_turn(turn, rule, meter)
            on_progress(sum(turn.enough(rule) for turn in turns.values()) / len(turns))
    return {name: _summarize(turn, meter is not None) for name, turn in turns.items()}


def _time_turn(turn: _Turns, rule: Rule, meter: Meter | None) -> None:
    turn.call()  # not counted: it finds the caches full of another file
    joules = meter.joules() if meter else 0.0
    started = time.perf_counter()
    while True:
        turn.times.append(_timed(turn.call))
        if time.perf_counter() - started >= rule.turn_seconds:
            break
    turn.seconds += time.perf_counter() - started
    turn.joules += (meter.joules() if meter else 0.0) - joules


def _timed(call: Callable[[], Any]) -> float:
    started = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - started) / 1e6


def _summarize(turn: _Turns, metered: bool) -> Latency:
    times = np.array(turn.times)
    halves = [float(np.median(half)) for half in np.array_split(times, 2) if len(half)]
    values = [*np.percentile(times, [50, 90, 99]), times.mean(), times.min(), turn.first]
    p50, p90, p99, mean, least, first = (round(float(value), 5) for value in values)
    energy = round(1000 * turn.joules / len(times), 6) if metered else None
    return Latency(p50, p90, p99, mean, least, first, len(times), round(halves[-1] / halves[0] - 1, 4), energy)
