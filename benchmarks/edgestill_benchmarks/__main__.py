"""On a device: `python -m edgestill_benchmarks measure BUNDLE` runs the whole benchmark and prints JSON.

`latency`, `start`, `operators` and `answers` are its parts; each runs in a process of its own.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgestill_runtime import Bundle, EdgestillError, open_bundle
from edgestill_runtime.arguments import count
from edgestill_runtime.files import write_bytes

from .benchmark import PROGRESS, benchmark_bundle
from .latency import INTERLEAVED, MLPERF, Rule
from .machine import usable_cores
from .measurement import evaluate_samples, measure, measure_start
from .operators import profile_bundle

RULES = {rule.name: rule for rule in (INTERLEAVED, MLPERF)}


def main() -> int:
    """Parse, measure, print."""
    arguments = _parser().parse_args()
    try:
        bundle = open_bundle(arguments.bundle)
        if arguments.command in ("measure", "latency", "operators"):
            bundle.verify()  # not for `start`, which is timed, and which checks each file that it reads
        result = arguments.function(bundle, arguments)
    except (EdgestillError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    output = getattr(arguments, "output", None)
    if output:
        write_bytes(output, (json.dumps(result, indent=2) + "\n").encode())
    else:
        print(json.dumps(result, indent=2 if arguments.command == "measure" else None))
    return 0


def _measure(bundle: Bundle, arguments: argparse.Namespace) -> Any:
    threads = [_threads(text) for text in arguments.threads or ["1"]]
    report = _report if arguments.progress else lambda step, share: None
    return benchmark_bundle(bundle, threads, _rule(arguments), arguments.samples, arguments.answers, report)


def _latency(bundle: Bundle, arguments: argparse.Namespace) -> Any:
    return measure(bundle, _threads(arguments.threads), _rule(arguments), _progress(arguments)).to_json()


def _start(bundle: Bundle, arguments: argparse.Namespace) -> Any:
    return asdict(measure_start(bundle, arguments.file))


def _operators(bundle: Bundle, arguments: argparse.Namespace) -> Any:
    return {name: asdict(profile) for name, profile in profile_bundle(bundle).items()}


def _answers(bundle: Bundle, arguments: argparse.Namespace) -> Any:
    return evaluate_samples(bundle, arguments.samples, arguments.answers, _progress(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m edgestill_benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    whole = commands.add_parser("measure", help="all of the below; quality if samples are given")
    latency = commands.add_parser("latency", help="latency of every file of a bundle")
    start = commands.add_parser("start", help="time to the first output, and memory, of a process that runs one file")
    operators = commands.add_parser("operators", help="times of every file's operators, as its engine reports them")
    answers = commands.add_parser("answers", help="outputs and quality of every file on samples")
    parts = ((whole, _measure), (latency, _latency), (start, _start), (operators, _operators), (answers, _answers))
    for command, function in parts:
        command.set_defaults(function=function)
        command.add_argument("bundle", type=Path)
        command.add_argument("--progress", action="store_true", help="print lines with the progress")
    for command in (whole, latency):
        command.add_argument("--rule", choices=sorted(RULES), default=INTERLEAVED.name, help="default: interleaved")
        command.add_argument("--min-calls", type=count, help="calls per file, at least (default: the rule's)")
        command.add_argument("--min-seconds", type=_seconds, help="seconds per file, at least (default: the rule's)")
    whole.add_argument("--threads", action="append", help="of one call: a number, or `all`; repeat it (default: 1)")
    whole.add_argument("--samples", type=Path, help="an npz of test images and targets")
    whole.add_argument("--answers", type=Path, help="where the outputs go, an npz")
    whole.add_argument("--output", type=Path, help="write the JSON here instead of printing it")
    latency.add_argument("--threads", default="1", help="of one call: a number, or `all` (default: 1)")
    start.add_argument("--file", required=True, help="a model file of the bundle, such as model.pte")
    answers.add_argument("samples", type=Path, help="an npz of test images and targets")
    answers.add_argument("--answers", type=Path, required=True, help="where the outputs go, an npz")
    return parser


def _rule(arguments: argparse.Namespace) -> Rule:
    limits = {name: getattr(arguments, name) for name in ("min_calls", "min_seconds")}
    return replace(RULES[arguments.rule], **{name: value for name, value in limits.items() if value is not None})


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of seconds from 0, not {text!r}")
    return seconds


def _threads(text: str) -> int:
    if text == "all":
        return usable_cores()
    if not text.isdecimal() or int(text) < 1:
        raise EdgestillError(f"--threads {text} is neither a number from 1 nor `all`")
    return int(text)


def _progress(arguments: argparse.Namespace) -> Callable[[float], None]:
    return (lambda share: print(f"{PROGRESS}{share:.3f}", flush=True)) if arguments.progress else lambda share: None


def _report(step: str, share: float) -> None:
    print(f"{PROGRESS}{share:.3f} {step}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
