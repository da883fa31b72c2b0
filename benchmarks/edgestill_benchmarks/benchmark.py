"""The whole benchmark of a bundle on this machine: each part runs in a process of its own; the results are plain data.

Their format is `measurement.schema.json`; a device sends them to the host unchanged.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from os import PathLike
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from edgestill_runtime import Bundle, EdgestillError, InputError, installed_engines
from edgestill_runtime.files import sha256_of_file

from .latency import INTERLEAVED, Rule
from .machine import describe_machine
from .measurement_warnings import board_warnings
from .operators import no_profiles
from .sensors import read_sensors

SCHEMA_VERSION = 2
COLD_STARTS = 3
PROGRESS = "progress "  # prefix of the lines in which a process reports its progress

Progress = Callable[[str, float], None]


class MeasuringError(EdgestillError):
    """A measuring process ended without a result."""


def benchmark_bundle(
    bundle: Bundle,
    threads: Sequence[int] = (1,),
    rule: Rule = INTERLEAVED,
    samples: str | PathLike[str] | None = None,
    outputs: str | PathLike[str] | None = None,
    on_progress: Progress = lambda step, share: None,
) -> dict[str, Any]:
    """Measure every file of a bundle whose engine is installed.

    Args:
        threads: numbers of threads, each measured in turn.
        samples: see `evaluate_samples`; without it no quality is measured. outputs: the npz to write them to.
        on_progress: called with the current step, and the share of it that is done, 0–1.

    Raises:
        InputError: samples without a path for the outputs.
        MeasuringError: a part could not be measured; the message is that of its process.
    """
    if samples is not None and outputs is None:
        raise InputError("samples need a path to write the outputs to")
    before = read_sensors()
    latencies = _latencies(bundle, threads, rule, on_progress)
    files = _files(bundle, latencies, on_progress)
    on_progress("operators", 0.0)
    profiles = _profiles(bundle)
    on_progress("operators", 1.0)
    qualities = {}
    if samples is not None:
        words = ("answers", str(bundle.path), str(samples), "--answers", str(outputs))
        qualities = _child(words, partial(on_progress, "outputs"))
    after = read_sensors()
    warnings = [text for latency in latencies for text in latency["warnings"]] + list(board_warnings(before, after))
    return {
        "schema_version": SCHEMA_VERSION,
        "bundle": {"name": bundle.manifest.name, "digest": bundle.digest()},
        "machine": describe_machine(),
        "rule": asdict(rule),
        "files": [one | {"profile": profiles[one["file"]], "quality": qualities.get(one["file"])} for one in files],
        "samples": None if samples is None else {"digest": f"sha256:{sha256_of_file(Path(samples))}"},
        "energy_from": latencies[0]["energy"],
        "sensors": {"before": asdict(before), "after": asdict(after)},
        "warnings": list(dict.fromkeys(warnings)),
    }


def _latencies(bundle: Bundle, threads: Sequence[int], rule: Rule, on_progress: Progress) -> list[dict[str, Any]]:
    """A `Measurement` for each number of threads, as plain data."""
    limits = ("--rule", rule.name, "--min-calls", str(rule.min_calls), "--min-seconds", str(rule.min_seconds))
    latencies = []
    for number in sorted(set(threads)):
        step = f"latency, {number} thread{'s' * (number != 1)}"
        words = ("latency", str(bundle.path), "--threads", str(number), *limits)
        latencies.append(_child(words, partial(on_progress, step)))
    return latencies


def _files(bundle: Bundle, latencies: Sequence[dict[str, Any]], on_progress: Progress) -> list[dict[str, Any]]:
    """An entry for each file whose engine is installed, without profile and quality."""
    installed = installed_engines(bundle.manifest.engines)
    entries = {name: entry for name, entry in bundle.manifest.models.items() if entry.engine in installed}
    files = []
    for number, (name, entry) in enumerate(entries.items()):
        on_progress("cold start and memory", number / len(entries))
        files.append(
            {
                "file": name,
                "engine": entry.engine,
                "precision": entry.precision,
                "bytes": bundle.size(name),
                "threads": _of_threads(name, latencies),
                **_cold_start(str(bundle.path), name),
            }
        )
    return files


def _of_threads(name: str, latencies: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = [row for one in latencies for row in one["files"] if row["file"] == name]
    return [{key: row[key] for key in ("engine", "threads", "threads_set", "latency_ms")} for row in rows]


def _cold_start(path: str, name: str) -> dict[str, Any]:
    """Time from the start of a fresh process to its first output, median of several; and the memory of the last."""
    times = []
    for _ in range(COLD_STARTS):
        started = time.monotonic()
        found = _child(("start", path, "--file", name))
        times.append(1000 * (found["answered_at"] - started))
    memory = {key: found[key] for key in ("before_bytes", "resident_bytes", "peak_bytes")}
    return {"cold_start_ms": {"p50": round(statistics.median(times), 2), "runs": len(times)}, "memory": memory}


def _profiles(bundle: Bundle) -> dict[str, Any]:
    """Profile of every file. A failing profiler is reported in them and does not stop the rest of the benchmark."""
    try:
        found: dict[str, Any] = _child(("operators", str(bundle.path)))
    except MeasuringError as error:
        return {name: asdict(profile) for name, profile in no_profiles(bundle, str(error)).items()}
    return found


def _child(words: Sequence[str], on_progress: Callable[[float], None] | None = None) -> Any:
    """Run one command of this package in a process of its own; the last line of its output is the result, as JSON."""
    command = [sys.executable, "-m", __package__, *words, *(["--progress"] if on_progress else [])]
    with (
        TemporaryFile("w+", errors="replace") as errors,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, errors="replace"
        ) as process,
    ):
        assert process.stdout
        last = ""
        for line in process.stdout:
            if on_progress and line.startswith(PROGRESS):
                on_progress(float(line.split()[1]))
            else:
                last = line
        process.wait()
        errors.seek(0)
        lines = errors.read().strip().splitlines()
    if process.returncode != 0 or not last:
        reason = lines[-1].removeprefix("error: ") if lines else f"exit code {process.returncode}, and no message"
        raise MeasuringError(f"measuring failed ({words[0]}): {reason}")
    return json.loads(last)
