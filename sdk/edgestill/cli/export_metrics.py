"""`edgestill export-metrics`: the numbers of a run, over all its devices, for a script or a model card."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from edgestill_runtime.files import write_bytes

from .console import say


class Format(StrEnum):
    """What comes out."""

    CSV = "csv"
    JSON = "json"
    MARKDOWN = "markdown"


def export_metrics(
    folder: Annotated[Path, typer.Argument(help="A run's folder, with results.json in it.")],
    form: Annotated[Format, typer.Option("--format", help="markdown is a table for a model card.")] = Format.CSV,
    output: Annotated[Path | None, typer.Option(help="File to write; the terminal without it.")] = None,
) -> None:
    """Export a run's numbers: a row for each device, file and number of threads."""
    from edgestill_benchmarks.metrics import as_csv, as_json, as_markdown, metrics, read_devices
    from edgestill_benchmarks.results import read_results

    results = read_results(folder)
    rows = metrics(results, read_devices(folder, results))
    text = {
        Format.CSV: lambda: as_csv(rows),
        Format.JSON: lambda: as_json(rows),
        Format.MARKDOWN: lambda: as_markdown(results, rows),
    }[form]()
    if output is None:
        print(text, end="")
    else:
        write_bytes(output, text.encode())
        say(f"{output}: {len(rows)} rows")
