"""On a device: `python -m edgestill_benchmarks measure BUNDLE` and `… memory BUNDLE --file NAME`; prints JSON."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from edgestill_runtime import EdgestillError, open_bundle
from edgestill_runtime.files import write_bytes

from .machine import usable_cores
from .measurement import measure, measure_memory


def main() -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m edgestill_benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    latency = commands.add_parser("measure", help="latency of every file of a bundle, interleaved")
    latency.add_argument("--threads", type=_threads, default=1, help="of one call: a number, or `all` (default: 1)")
    latency.add_argument("--min-calls", type=int, default=1000, help="calls per file, at least (default: 1000)")
    latency.add_argument("--min-seconds", type=float, default=5.0, help="seconds per file, at least (default: 5)")
    memory = commands.add_parser("memory", help="peak memory of a process that runs one file")
    memory.add_argument("--file", required=True, help="a model file of the bundle, such as model.pte")
    for command in (latency, memory):
        command.add_argument("bundle", type=Path)
        command.add_argument("--output", type=Path, help="write the JSON here instead of printing it")
    arguments = parser.parse_args()
    try:
        bundle = open_bundle(arguments.bundle)
        bundle.verify()
        if arguments.command == "measure":
            result = measure(bundle, arguments.threads, arguments.min_calls, arguments.min_seconds).to_json()
        else:
            result = asdict(measure_memory(bundle, arguments.file))
    except EdgestillError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    text = json.dumps(result, indent=2) + "\n"
    if arguments.output:
        write_bytes(arguments.output, text.encode())
    else:
        print(text, end="")
    return 0


def _threads(text: str) -> int:
    return usable_cores() if text == "all" else int(text)


if __name__ == "__main__":
    sys.exit(main())
