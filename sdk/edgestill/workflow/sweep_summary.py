"""The summary of a sweep: mean and standard deviation over the seeds of each point, as data and as a table."""

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from .sweep_plan import RESULT, Sweep, Trial

# What a trial measured → the heading of its column, in per cent.
COLUMNS = {
    "validation_alone": "val. baseline",
    "validation_distilled": "val. distilled",
    "validation_gain": "gain",
    "test_alone": "test baseline",
    "test_distilled": "test distilled",
    "test_int8": "test int8",
    "retained": "retained",
}


def summarize(sweep: Sweep, trials: Sequence[Trial]) -> dict[str, Any]:
    """Mean and standard deviation over the seeds of each point, as shares (0–1), beside every single trial."""
    results = [(trial, read_result(sweep, trial)) for trial in trials]
    points = []
    for name, changes in sweep.points.items():
        done = [(trial.seed, result) for trial, result in results if trial.point == name and result]
        measured = {
            column: _spread([result[column] for _, result in done])
            for column in COLUMNS
            if done and all(column in result for _, result in done)
        }
        runs = [{"seed": seed, **result} for seed, result in done]
        points.append({"name": name, "changes": dict(changes), "measured": measured, "runs": runs})
    return {"recipe": sweep.recipe.name, "seeds": list(sweep.seeds), "quick": sweep.quick, "points": points}


def markdown(summary: Mapping[str, Any]) -> str:
    """The table of a sweep: mean ± standard deviation in per cent."""
    columns = [name for name in COLUMNS if any(name in point["measured"] for point in summary["points"])]
    lines = ["| | " + " | ".join(COLUMNS[name] for name in columns) + " |"]
    lines.append("| --- |" + " ---: |" * len(columns))
    for point in summary["points"]:
        cells = [shown(point["measured"].get(name)) for name in columns]
        lines.append(f"| {point['name']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def shown(spread: Mapping[str, float] | None) -> str:
    """`91.20 ± 0.13`, in per cent; without the deviation for a single seed."""
    if spread is None:
        return "–"
    deviation = "" if spread["sd"] is None else f" ± {100 * spread['sd']:.2f}"
    return f"{100 * spread['mean']:.2f}{deviation}"


def read_result(sweep: Sweep, trial: Trial) -> dict[str, Any] | None:
    """The result of a trial; None if it is unfinished, or for another request."""
    try:
        result: dict[str, Any] = json.loads((trial.folder / RESULT).read_bytes())
    except (OSError, ValueError):
        return None
    return result if result.pop("key", None) == sweep.key(trial) else None


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    return {"mean": statistics.mean(values), "sd": statistics.stdev(values) if len(values) > 1 else None}
