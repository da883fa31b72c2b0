"""Latency of single calls, in milliseconds.

Machines are noisy, so files are measured together: a short turn each, round after round, until every one has enough
calls. What disturbs the machine for a while then disturbs all of them, and their ratios stay.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

TURN_SECONDS = 0.1
WARM_UP_SECONDS = 0.5
WARM_UP_CALLS = 20


@dataclass(frozen=True)
class Latency:
    """Times of single calls, milliseconds: percentiles, mean and minimum of the warm ones, and the first call apart."""

    p50: float
    p90: float
    p99: float
    mean: float
    min: float
    first: float
    calls: int


@dataclass
class _Turns:
    call: Callable[[], Any]
    first: float = 0.0
    times: list[float] = field(default_factory=list)
    seconds: float = 0.0


def measure_latency(
    calls: Mapping[str, Callable[[], Any]],
    min_calls: int = 1000,
    min_seconds: float = 5.0,
    on_progress: Callable[[float], None] = lambda share: None,
) -> dict[str, Latency]:
    """Time some functions, interleaved.

    Args:
        calls: name → a function that makes one call.
        min_calls, min_seconds: each function is timed until it has both, whichever takes longer.
        on_progress: called after every round with the share that is done, 0–1.
    """
    turns = {name: _Turns(call) for name, call in calls.items()}
    for turn in turns.values():
        turn.first = _timed(turn.call)
        started, warm = time.perf_counter(), 0
        while warm < WARM_UP_CALLS or time.perf_counter() - started < min(WARM_UP_SECONDS, min_seconds):
            turn.call()
            warm += 1
    done = 0.0
    while done < 1:
        for turn in turns.values():
            _take(turn)
        done = min(min(len(turn.times) / min_calls, turn.seconds / min_seconds) for turn in turns.values())
        on_progress(min(done, 1.0))
    return {name: _summarise(turn) for name, turn in turns.items()}


def _take(turn: _Turns) -> None:
    turn.call()  # not counted: it finds the caches full of another file
    started = time.perf_counter()
    while time.perf_counter() - started < TURN_SECONDS:
        turn.times.append(_timed(turn.call))
    turn.seconds += time.perf_counter() - started


def _timed(call: Callable[[], Any]) -> float:
    started = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - started) / 1e6


def _summarise(turn: _Turns) -> Latency:
    times = np.array(turn.times)
    p50, p90, p99 = (round(float(value), 5) for value in np.percentile(times, [50, 90, 99]))
    mean, least, first = (round(float(value), 5) for value in (times.mean(), times.min(), turn.first))
    return Latency(p50, p90, p99, mean, least, first, len(times))
