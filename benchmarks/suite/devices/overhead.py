"""What the measuring itself costs: p50 of `edgestill_benchmarks` against a bare loop over LiteRT's own interpreter.

    python -m benchmarks.suite.devices.overhead docs/results/measuring.json runs/demo/demo.edge …

Both in one process and in turns, a tenth of a second each, the medians of each turn compared. Then the measurement
twice, one after the other: how far p50 moves, and whether the measurement says so.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from edgestill_benchmarks import Rule, benchmark_bundle, describe_machine, measure_latency, open_models
from edgestill_runtime import Bundle, open_bundle
from edgestill_runtime.files import write_bytes

FILE = "model.tflite"
TURN_SECONDS = 0.1
ONE_TURN = Rule(min_calls=1, min_seconds=TURN_SECONDS, turn_seconds=TURN_SECONDS)


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    found: dict[str, Any] = {"machine": describe_machine(), "bundles": {}}
    for path in arguments.bundles:
        bundle = open_bundle(path)
        found["bundles"][bundle.manifest.name] = {
            "overhead": overhead(bundle, arguments.rounds),
            "repeated": repeated(bundle),
        }
        print(bundle.manifest.name, json.dumps(found["bundles"][bundle.manifest.name], indent=1))
    write_bytes(arguments.output, (json.dumps(found, indent=2) + "\n").encode())


def overhead(bundle: Bundle, rounds: int) -> dict[str, float]:
    """Median over the rounds of p50 by the harness, p50 of the bare loop (ms), and of their ratio."""
    model = open_models(bundle)[FILE]
    sample = model.tensors_of([array[:1] for array in bundle.golden().inputs])
    bare = bare_loop(bundle)
    harness_times, bare_times = [], []
    for _ in range(rounds):
        harness_times.append(measure_latency({"x": lambda: model.invoke(*sample)}, ONE_TURN)["x"].p50)
        bare_times.append(bare())
    model.close()
    ratio = statistics.median(one / other for one, other in zip(harness_times, bare_times, strict=True))
    return {"harness_ms": statistics.median(harness_times), "bare_ms": statistics.median(bare_times), "ratio": ratio}


def bare_loop(bundle: Bundle) -> Any:
    """A function that times the raw interpreter for one turn and gives the median, ms."""
    interpreter = Interpreter(model_content=bundle.read(FILE), num_threads=1)
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    value = np.ones(taken["shape"], taken["dtype"])

    def turn() -> float:
        times = []
        started = time.perf_counter()
        while time.perf_counter() - started < TURN_SECONDS:
            before = time.perf_counter_ns()
            interpreter.set_tensor(taken["index"], value)
            interpreter.invoke()
            interpreter.get_tensor(given["index"])
            times.append(time.perf_counter_ns() - before)
        return statistics.median(times) / 1e6

    return turn


def repeated(bundle: Bundle) -> list[dict[str, Any]]:
    """The same measurement twice: p50 of each file, how far it moved, and what each measurement warned of."""
    first, second = (benchmark_bundle(bundle) for _ in range(2))
    rows = []
    for one, other in zip(first["files"], second["files"], strict=True):
        before, after = (file["threads"][0]["latency_ms"]["p50"] for file in (one, other))
        said = [text for run in (first, second) for text in run["warnings"]]
        warned = [text for text in said if not text.startswith("model") or text.startswith(f"{one['file']},")]
        rows.append({"file": one["file"], "p50_ms": [before, after], "moved": after / before - 1, "warnings": warned})
    return rows


if __name__ == "__main__":
    main()
