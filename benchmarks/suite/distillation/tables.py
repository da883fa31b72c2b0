"""Sweeps → the tables of docs/distillation.md, between its two marks.

python -m benchmarks.suite.distillation.tables runs/sweeps benchmarks/results/distillation docs/distillation.md
"""

import argparse
import json
import shutil
import statistics
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- tables: begin -->\n", "<!-- tables: end -->"
RECIPES = "benchmarks/suite/distillation/recipes"
# Folder of the sweep → heading, recipe, points.
SWEEPS = {
    "fashion-mnist": ("Fashion-MNIST", "recipes/fashion-mnist.toml", "response"),
    "cifar10": ("CIFAR-10, the JPEG re-encoded copy", f"{RECIPES}/cifar10.toml", "response"),
    "spoken-digits": ("Spoken digits (FSDD)", "recipes/spoken-digits.toml", "response"),
    "few-labels": ("Few labels: Fashion-MNIST with 1,000 of them", f"{RECIPES}/few-labels.toml", "with-few-labels"),
    "cached-or-live": ("Cached views against a live teacher: accuracy", "recipes/demo.toml", "cached-or-live"),
}
# Begun on a GPU and gone on with on a CPU: the times of such trainings say nothing.
TWO_MACHINES = {"fashion-mnist", "cifar10", "few-labels"}


def main() -> None:
    """Copy the sweeps' results and logs, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sweeps", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("page", type=Path)
    arguments = parser.parse_args()
    arguments.results.mkdir(parents=True, exist_ok=True)
    parts = []
    for log in sorted((arguments.sweeps.parent / "teachers").glob("*/metrics.jsonl")):
        shorten(log, arguments.results / "teachers" / f"{log.parent.name}.jsonl")
    for name, (heading, recipe, points) in SWEEPS.items():
        if evaluated(arguments.sweeps / name / "sweep.json"):
            keep(arguments.sweeps / name, arguments.results)
        kept = arguments.results / f"{name}.json"
        if kept.is_file():
            command = f"`edgestill sweep {recipe} --points {RECIPES}/{points}.toml --seeds 3 --evaluate`"
            shown = table(json.loads(kept.read_text()), times=name not in TWO_MACHINES)
            parts.append(f"### {heading}\n\n{command}\n\n{shown}")
    page = arguments.page.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    arguments.page.write_text(f"{before}{BEGIN}\n{chr(10).join(parts)}\n{END}{after}")


def evaluated(sweep: Path) -> bool:
    """Whether a sweep is there and has read the test split, as `--evaluate` lets it."""
    points = json.loads(sweep.read_text())["points"] if sweep.is_file() else []
    return any("test_int8" in run for point in points for run in point["runs"])


def keep(sweep: Path, results: Path) -> None:
    """`NAME.json`, and the trainings' logs in `NAME/`: one line an epoch."""
    shutil.copy(sweep / "sweep.json", results / f"{sweep.name}.json")
    folder = results / sweep.name
    shutil.rmtree(folder, ignore_errors=True)
    for log in sorted((sweep / "stages").glob("*/metrics.jsonl")):
        shorten(log, folder / f"{log.parent.name}.jsonl")


def shorten(log: Path, target: Path) -> None:
    """A training's log with as many digits as mean something."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    short = [{key: round(value, 5) for key, value in entry.items()} for entry in lines]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("".join(json.dumps(entry) + "\n" for entry in short))


def table(found: dict[str, Any], times: bool) -> str:
    """One sweep: accuracy of the int8 file (the lower of the two), gain over the baseline with the same seed."""
    points = {point["name"]: point["runs"] for point in found["points"]}
    alone = {run["seed"]: run for run in points.get("alone", [])}
    first = next(run for runs in points.values() for run in runs)
    lines = [
        f"Teacher {100 * first['test_teacher']:.2f} % on the test split; student {first['parameters']:,} parameters; "
        f"seeds {', '.join(map(str, found['seeds']))}.",
        "",
        "| method | seeds | int8 file, test % | gain, points | retained % | validation % |"
        + " training, min |" * times,
        "| --- | ---: | ---: | ---: | ---: | ---: |" + " ---: |" * times,
    ]
    for name, runs in points.items():
        if not runs:
            continue
        gains = [run["test_int8"] - alone[run["seed"]]["test_int8"] for run in runs if run["seed"] in alone]
        cells = [
            name,
            str(len(runs)),
            spread([run["test_int8"] for run in runs]),
            "" if name == "alone" or not gains else spread(gains, sign=True),
            spread([run["retained"] for run in runs]),
            spread([run["validation_distilled"] for run in runs]),
        ]
        if times:
            cells.append(f"{statistics.mean(run['seconds_distilled'] for run in runs) / 60:.1f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def spread(values: list[float], sign: bool = False) -> str:
    """Mean ± standard deviation, in per cent."""
    mean = f"{100 * statistics.mean(values):{'+' if sign else ''}.2f}"
    return mean + (f" ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
