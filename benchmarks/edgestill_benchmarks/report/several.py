"""The page of several runs: all their files on all their devices together, and of two runs what changed."""

from collections.abc import Sequence
from pathlib import Path

from edgestill_runtime.files import write_bytes

from ..comparison import Change, is_share_of_samples, refuse_other_task
from ..measures import main_measure
from ..metrics import Row, metrics, qualities, read_devices
from ..results import ResultsError, read_results
from .charts import charts_of_runs
from .rendering import render


def write_comparison(folders: Sequence[Path], target: Path, changes: Sequence[Change] = ()) -> Path:
    """Write the page of several runs on the same data.

    Args:
        changes: from the first of two runs to the second; see `compare_runs`.

    Raises:
        ResultsError: no results in a folder, not as their schema says, or of other data or another task than the
            first's.
    """
    runs = [read_results(folder) for folder in folders]
    for folder, results in zip(folders, runs, strict=True):
        if results["data"]["digest"] != runs[0]["data"]["digest"]:
            raise ResultsError(
                f"{folders[0]} and {folder} have other data ({runs[0]['data']['name']}, {results['data']['name']}, or "
                "another cut): their results cannot be compared"
            )
        refuse_other_task(runs[0], results)
    labels = _labels(folders, [results["name"] for results in runs])
    rows: list[Row] = []
    found: dict[tuple[str, str], dict[str, float] | None] = {}
    for label, folder, results in zip(labels, folders, runs, strict=True):
        devices = read_devices(folder, results)
        rows += [row | {"run": label, "device": f"{label}, {row['device']}"} for row in metrics(results, devices)]
        found |= {(f"{label}, {device}", file): one for (device, file), one in qualities(results, devices).items()}
    task = runs[0]["task"]
    measure = main_measure(task)
    teachers = {
        f"teacher of {one}": results["teacher"]["quality"][measure.name]
        for one, results in zip(labels, runs, strict=True)
    }
    page = render(
        "comparison.html.j2",
        ", ".join(labels),
        rows,
        charts_of_runs(rows, teachers, runs[0]["data"]["test"], measure),
        task,
        found,
        data_name=runs[0]["data"]["name"],
        test=runs[0]["data"]["test"],
        share=all(is_share_of_samples(results) for results in runs),
        quick=any(results["quick"] for results in runs),
        changes=[(change, change.shown()) for change in changes],
        counts={
            name: sum(change.verdict == name for change in changes) for name in ("better", "worse", "same", "unknown")
        },
    )
    write_bytes(target, page.encode())
    return target


def _labels(folders: Sequence[Path], names: Sequence[str]) -> list[str]:
    """The shortest that tells the runs apart: their names, their folders', or the whole paths."""
    paths = [folder.resolve() for folder in folders]
    choices = [list(names), [path.name for path in paths], [str(path) for path in paths]]
    return next((labels for labels in choices if len(set(labels)) == len(labels)), choices[-1])
