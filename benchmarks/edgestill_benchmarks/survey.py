"""Everything about a bundle on this machine: each part measured in a process of its own, gathered as plain data.

The content is described by `measurement.schema.json`; a device sends it home as it is.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from edgestill_runtime import Bundle, EdgestillError, installed_engines
from edgestill_runtime.files import sha256_of_file

from .doubts import doubts_about_the_board
from .latency import INTERLEAVED, Rule
from .machine import describe_machine
from .operators import no_profiles
from .sensors import read_sensors

SCHEMA_VERSION = 2
COLD_STARTS = 3
PROGRESS = "progress "  # how a line begins that says how far a process is

Progress = Callable[[str, float], None]


class MeasuringError(EdgestillError):
    """A process that measured ended without a result."""


def survey_bundle(
    bundle: Bundle,
    threads: Sequence[int] = (1,),
    rule: Rule = INTERLEAVED,
    samples: Path | None = None,
    answers: Path | None = None,
    on_progress: Progress = lambda doing, share: None,
) -> dict[str, Any]:
    """Measure every file of a bundle whose engine is installed.

    Args:
        threads: numbers of threads, each measured in turn.
        samples: see `answer_samples`; without it no quality is measured. answers: where the outputs go.
        on_progress: called with what is being done, and the share of that, 0–1.

    Raises:
        MeasuringError: a part could not be measured; says what it said.
    """
    path = str(bundle.path)
    before = read_sensors()
    limits = ("--rule", rule.name, "--min-calls", str(rule.min_calls), "--min-seconds", str(rule.min_seconds))
    latencies = []
    for number in sorted(set(threads)):
        doing = f"latency, {number} thread{'s' * (number != 1)}"
        words = ("latency", path, "--threads", str(number), *limits)
        latencies.append(_child(words, partial(on_progress, doing)))
    installed = installed_engines(bundle.manifest.engines)
    entries = {name: entry for name, entry in bundle.manifest.models.items() if entry.engine in installed}
    files = []
    for place, (name, entry) in enumerate(entries.items()):
        on_progress("cold start and memory", place / len(entries))
        files.append(
            {
                "file": name,
                "engine": entry.engine,
                "precision": entry.precision,
                "bytes": bundle.size(name),
                "threads": _of_threads(name, latencies),
                **_cold(path, name),
            }
        )
    on_progress("operators", 0.0)
    profiles = _profiles(bundle)
    on_progress("operators", 1.0)
    qualities = {}
    if samples is not None:
        if answers is None:
            raise ValueError("samples need a place for the answers")
        asked = ("answers", path, str(samples), "--answers", str(answers))
        qualities = _child(asked, partial(on_progress, "answers"))
    after = read_sensors()
    doubts = [text for one in latencies for text in one["warnings"]]
    doubts += doubts_about_the_board(before, after)
    return {
        "schema_version": SCHEMA_VERSION,
        "bundle": {"name": bundle.manifest.name, "digest": bundle.digest()},
        "machine": describe_machine(),
        "rule": asdict(rule),
        "files": [one | {"profile": profiles[one["file"]], "quality": qualities.get(one["file"])} for one in files],
        "samples": None if samples is None else {"digest": f"sha256:{sha256_of_file(samples)}"},
        "energy_from": latencies[0]["energy"],
        "sensors": {"before": asdict(before), "after": asdict(after)},
        "warnings": list(dict.fromkeys(doubts)),
    }


def _of_threads(name: str, latencies: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = [row for one in latencies for row in one["files"] if row["file"] == name]
    return [{key: row[key] for key in ("engine", "threads", "threads_set", "latency_ms")} for row in rows]


def _cold(path: str, name: str) -> dict[str, Any]:
    """Several fresh processes: from their start to the first answer, and the memory of the last."""
    times = []
    for _ in range(COLD_STARTS):
        started = time.monotonic()
        found = _child(("start", path, "--file", name))
        times.append(1000 * (found["answered_at"] - started))
    memory = {key: found[key] for key in ("before_bytes", "resident_bytes", "peak_bytes")}
    return {"cold_start_ms": {"p50": round(statistics.median(times), 2), "runs": len(times)}, "memory": memory}


def _profiles(bundle: Bundle) -> dict[str, Any]:
    """Of every file. What goes wrong in an engine's profiler is told, and takes nothing else along."""
    try:
        found: dict[str, Any] = _child(("operators", str(bundle.path)))
    except MeasuringError as error:
        return {name: asdict(profile) for name, profile in no_profiles(bundle, str(error)).items()}
    return found


def _child(words: Sequence[str], on_progress: Callable[[float], None] | None = None) -> Any:
    """One command of this package in a process of its own: its last line is the result, as JSON."""
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
        said = errors.read().strip().splitlines()
    if process.returncode != 0 or not last:
        why = said[-1].removeprefix("error: ") if said else f"exit code {process.returncode}, without a word"
        raise MeasuringError(f"measuring failed ({words[0]}): {why}")
    return json.loads(last)
