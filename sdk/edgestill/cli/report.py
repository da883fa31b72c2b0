"""`edgestill report`: draw a run's page again, or put runs side by side."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from edgestill_benchmarks.comparison import Change, compare_runs
from edgestill_benchmarks.metrics import read_devices
from edgestill_benchmarks.results import read_results

from ..errors import EdgestillError, MissingExtraError
from .console import CONSOLE, columns, say

COLOURS = {"better": "green", "worse": "red", "same": "dim", "unknown": "dim"}


def report(
    folders: Annotated[list[Path], typer.Argument(help="A run's folder, with results.json in it; or several.")],
    output: Annotated[
        Path | None, typer.Option(help="Of several runs: the page (default: comparison.html in the last's folder).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the changes between two runs as JSON.")] = False,
) -> None:
    """Write report.html of a run; or one page of several, and of two what changed from the first to the second.

    Differences within the noise of the two measurements are told apart from real ones.
    """
    try:
        from edgestill_benchmarks.report import write_comparison, write_report
    except ImportError as error:
        raise MissingExtraError(str(error.name), "report") from error
    if len(folders) == 1:
        if output is not None or as_json:
            raise EdgestillError("--output and --json belong to several runs; the page of one is its report.html")
        say(f"report {write_report(folders[0])}")
        return
    if as_json and len(folders) != 2:
        raise EdgestillError(f"--json prints what changed between two runs, not {len(folders)}")
    changes = _changes(folders) if len(folders) == 2 else []
    page = write_comparison(folders, output or folders[-1] / "comparison.html", changes)
    if as_json:
        print(json.dumps([asdict(change) for change in changes], indent=2))
        return
    if changes:
        CONSOLE.print(_table(folders, changes))
    say(f"report {page}")


def _changes(folders: Sequence[Path]) -> list[Change]:
    before, after = (read_results(folder) for folder in folders)
    first, second = (read_devices(folder, run) for folder, run in zip(folders, (before, after), strict=True))
    return compare_runs(before, after, (first, second))


def _table(folders: Sequence[Path], changes: Sequence[Change]) -> Table:
    table = columns(("what", "of"), ("before", "after", "change", "noise", ""), " → ".join(map(str, folders)))
    for one in changes:
        table.add_row(one.what, one.of, *one.shown(), Text(one.verdict, COLOURS[one.verdict]))
    return table
