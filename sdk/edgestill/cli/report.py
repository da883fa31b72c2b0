"""`edgestill report`: draw a run's page again."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import MissingExtraError
from .console import say


def report(
    folder: Annotated[Path, typer.Argument(help="A run's folder, with results.json in it.")],
) -> None:
    """Write report.html from results.json and samples.npz."""
    try:
        from edgestill_benchmarks.report import write_report
    except ImportError as error:
        raise MissingExtraError(str(error.name), "report") from error
    say(f"report {write_report(folder)}")
