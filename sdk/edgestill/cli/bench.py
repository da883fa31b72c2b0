"""`edgestill bench`: a bundle's latency on this machine."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ..errors import EdgestillError
from .console import CONSOLE, say


def bench(
    bundle: Annotated[Path, typer.Argument(help="A bundle, folder or zip.")],
    threads: Annotated[list[str] | None, typer.Option(help="A number or `all`; repeat for several.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A second per file instead of five.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the measurements as JSON.")] = False,
) -> None:
    """Measure every file of a bundle, interleaved: p50, p90, p99, mean, minimum and the first call."""
    limits = ("--min-calls", "200", "--min-seconds", "1") if quick else ()
    measurements = []
    for number in threads or ["1", "all"]:
        if number != "all" and not number.isdecimal():
            raise typer.BadParameter(f"{number!r} is neither a number nor `all`", param_hint="--threads")
        # A process for each number of threads: ExecuTorch has one pool a process.
        command = [sys.executable, "-m", "edgestill_benchmarks", "measure", str(bundle), "--threads", number, *limits]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise EdgestillError(f"measuring {bundle} failed: {said.removeprefix('error: ')}")
        measurements.append(json.loads(done.stdout))
    if as_json:
        print(json.dumps(measurements, indent=2))
        return
    machine = measurements[0]["machine"]
    table = Table(title=f"{bundle} · {machine['cpu']}, {machine['cores']} cores", title_justify="left")
    table.add_column("file", no_wrap=True)
    for heading in ("threads", "p50 ms", "p90 ms", "p99 ms", "mean ms", "min ms", "first ms", "calls"):
        table.add_column(heading, justify="right", no_wrap=True)
    for measurement in measurements:
        for one in measurement["files"]:
            times = one["latency_ms"]
            numbers = (f"{times[name]:.3f}" for name in ("p50", "p90", "p99", "mean", "min", "first"))
            count = str(one["threads"]) if one["threads_set"] else "its own"
            table.add_row(one["file"], count, *numbers, str(times["calls"]))
    CONSOLE.print(table)
    for warning in dict.fromkeys(text for measurement in measurements for text in measurement["warnings"]):
        say(f"warning: {warning}", style="yellow")
