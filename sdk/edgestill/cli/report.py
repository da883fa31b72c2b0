"""`edgestill report`: draw a run's page again, or put two runs side by side."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from ..errors import EdgestillError, MissingExtraError
from .console import CONSOLE, say

COLOURS = {"better": "green", "worse": "red", "same": "dim"}


def report(
    folder: Annotated[Path, typer.Argument(help="A run's folder, with results.json in it.")],
    other: Annotated[Path | None, typer.Argument(help="Another run's: what changed from the first to it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the changes between two runs as JSON.")] = False,
) -> None:
    """Write report.html from a run's results and what was measured on devices; with two runs, print what changed.

    Differences within the noise of the two measurements are told apart from real ones.
    """
    from edgestill_benchmarks.comparison import compare_runs
    from edgestill_benchmarks.metrics import read_devices
    from edgestill_benchmarks.results import read_results

    if other is None:
        try:
            from edgestill_benchmarks.report import write_report
        except ImportError as error:
            raise MissingExtraError(str(error.name), "report") from error
        say(f"report {write_report(folder)}")
        return
    before, after = read_results(folder), read_results(other)
    if before["data"]["digest"] != after["data"]["digest"]:
        names = f"{before['data']['name']}, {after['data']['name']}"
        raise EdgestillError(
            f"{folder} and {other} have other data ({names}, or another cut): their accuracies cannot be compared"
        )
    changes = [
        asdict(change)
        for change in compare_runs(before, after, (read_devices(folder, before), read_devices(other, after)))
    ]
    if as_json:
        print(json.dumps(changes, indent=2))
        return
    table = Table(title=f"{folder} → {other}", title_justify="left", box=box.SIMPLE_HEAD, padding=0)
    for heading in ("what", "of"):
        table.add_column(heading, overflow="fold")
    for heading in ("before", "after", "change", "noise", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in changes:
        colour = COLOURS[one["verdict"]]
        table.add_row(one["what"], one["of"], *_cells(one), f"[{colour}]{one['verdict']}[/]")
    CONSOLE.print(table)


def _cells(one: dict[str, Any]) -> list[str]:
    values = (one["before"], one["after"])
    if one["what"] == "accuracy":
        return [
            *(f"{100 * value:.2f} %" for value in values),
            f"{100 * one['change']:+.2f}",
            f"±{100 * one['noise']:.2f}",
        ]
    times = one["what"] == "p50"
    shown = [f"{value:.3f} ms" if times else f"{value / 1000:,.1f} kB" for value in values]
    return [*shown, f"{100 * one['change']:+.1f} %", f"±{100 * one['noise']:.1f} %"]
