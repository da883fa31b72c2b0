"""Sweeps: one recipe with some of its values varied, each with several seeds, in parallel processes.

A point is a set of changes to the recipe, a trial a point with a seed. Trials share their stages (`stages.py`), so a
teacher, its outputs and a student alone are made once for all that need them. A trial that has finished is not run
again while its stages are those that it would use now: data, code, weights and engines are looked at each time. One
that was killed goes on with its next epoch.

    trials run in child processes here, or, where there are several hosts, through Ray Tune (`sweep_ray.py`)
"""

import hashlib
import json
import os
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from edgestill_benchmarks import usable_cores
from edgestill_runtime.files import write_bytes

from . import __version__
from .errors import EdgestillError, RecipeError
from .file_kinds import no_toml
from .progress import SILENT, Progress
from .recipe import flatten, load_recipe

Changes = Mapping[str, Any]
RESULT = "result.json"  # of a trial, in its folder
# What a trial measured → the heading of its column, in per cent.
COLUMNS = {
    "validation_alone": "val. alone",
    "validation_distilled": "val. distilled",
    "validation_gain": "gain",
    "test_alone": "test alone",
    "test_distilled": "test distilled",
    "test_int8": "test int8",
    "retained": "retained",
}


@dataclass(frozen=True)
class Trial:
    """A point and a seed.

    Args:
        point: the point's name. changes: of the recipe, the seed included.
        folder: where its result and log are kept.
    """

    point: str
    seed: int
    changes: Changes
    folder: Path

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.point}, seed {self.seed}"


@dataclass(frozen=True)
class Sweep:
    """What is to be tried.

    Args:
        recipe: the file. points: name → changes. seeds: of training.
        folder: for everything; `stages` in it is the shared pool.
        evaluate: convert each student too, and read the test split: for the final table, not for choosing.
        quick: two epochs each, to try it out.
    """

    recipe: Path
    points: Mapping[str, Changes]
    seeds: Sequence[int]
    folder: Path
    evaluate: bool = False
    quick: bool = False

    @property
    def pool(self) -> Path:
        """The stages that trials share."""
        return self.folder / "stages"

    def trials(self) -> list[Trial]:
        """Every point with every seed; points first, so that all seeds of the first are done early.

        Raises:
            RecipeError: a change that the recipe does not allow.
        """
        found = []
        for (point, changes), seed in product(self.points.items(), self.seeds):
            changed = {**changes, "seed": seed}
            load_recipe(self.recipe, changed)
            mark = hashlib.sha256(json.dumps(changed, sort_keys=True, default=str).encode()).hexdigest()[:12]
            found.append(Trial(point, seed, changed, self.folder / "trials" / mark))
        return found

    def command(self, trial: Trial) -> list[str]:
        """What a trial runs, on any host that sees the folder."""
        job = {
            "recipe": str(self.recipe.resolve()),
            "changes": dict(trial.changes),
            "pool": str(self.pool.resolve()),
            "folder": str(trial.folder.resolve()),
            "evaluate": self.evaluate,
            "quick": self.quick,
            "key": self.key(trial),
        }
        return [sys.executable, "-m", "edgestill.sweep_trial", json.dumps(job)]

    def key(self, trial: Trial) -> str:
        """What was asked of a trial; what its result depends on beside this, its stages know (`run_sweep`)."""
        facts = [__version__, self.recipe.read_text(encoding="utf-8"), dict(trial.changes), self.evaluate, self.quick]
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def run_sweep(sweep: Sweep, jobs: int | None = None, progress: Progress = SILENT) -> dict[str, Any]:
    """Run all trials that have not finished, and gather.

    Args:
        jobs: processes at the same time; one a core when None. Through Ray, the cluster decides.

    Returns:
        Plain data, as it is written to `sweep.json`; see `summarise`.

    Raises:
        RecipeError: a change that the recipe does not allow.
        EdgestillError: a trial failed; the others were still run, and what they found is kept.
    """
    trials = sweep.trials()
    finished = _finished(sweep, trials)
    waiting = [trial for trial in trials if trial not in finished]
    failed = []
    with progress.task("trials", len(trials)) as task:
        task.advance(len(trials) - len(waiting))
        for trial, error in _carry_out(sweep, waiting, jobs):
            if error:
                failed.append(f"{trial.name}: {error}")
                (trial.folder / RESULT).unlink(missing_ok=True)  # one of before, which no longer holds
            else:
                result = _result(sweep, trial) or {}
                task.advance(1, trial=trial.name, validation_accuracy=result.get("validation_distilled", 0.0))
    found = summarise(sweep, trials)
    write_bytes(sweep.folder / "sweep.json", (json.dumps(found, indent=2, ensure_ascii=False) + "\n").encode())
    write_bytes(sweep.folder / "sweep.md", markdown(found).encode())
    if failed:
        raise EdgestillError(f"{len(failed)} of {len(trials)} trials failed; {failed[0]}")
    return found


def parse_over(text: str) -> tuple[str, list[Any]]:
    """`training.epochs=10,20` → the key and its values, each as TOML writes it; words need no quotes.

    Raises:
        RecipeError: no `=`, or values that are not TOML.
    """
    key, equals, values = text.partition("=")
    if not equals or not key.strip() or not values.strip():
        raise RecipeError(f"--over {text!r}: write KEY=VALUE,VALUE, such as training.epochs=10,20")
    try:
        parsed = tomllib.loads(f"values = [{values}]")["values"]
    except tomllib.TOMLDecodeError as error:
        if any(sign in values for sign in "{}[]\"'"):
            raise RecipeError(f"--over {text!r}: the values are not valid TOML: {error}") from error
        parsed = [value.strip() for value in values.split(",")]
    return key.strip(), parsed


def grid(over: Sequence[tuple[str, list[Any]]]) -> dict[str, dict[str, Any]]:
    """All combinations of the values, by name."""
    points = {}
    for chosen in product(*(values for _, values in over)):
        changes = {key: value for (key, _), value in zip(over, chosen, strict=True)}
        name = ", ".join(f"{key.rpartition('.')[2]} {_short(value)}" for key, value in changes.items())
        points[name or "recipe"] = changes
    return points


def read_points(path: Path) -> dict[str, dict[str, Any]]:
    """Named points from a TOML file: a table each, with the recipe's own keys in it.

    Raises:
        RecipeError: not there, or no TOML.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"the file of points {no_toml(path, error)}") from error
    odd = [name for name, table in tables.items() if not isinstance(table, dict)]
    if odd or not tables:
        raise RecipeError(f"{path}: each point is a table, [{odd[0] if odd else 'name'}], with keys of a recipe in it")
    return {name: flatten(table) for name, table in tables.items()}


def summarise(sweep: Sweep, trials: Sequence[Trial]) -> dict[str, Any]:
    """Mean and standard deviation over the seeds of each point, as shares (0–1), beside every single trial."""
    results = [(trial, _result(sweep, trial)) for trial in trials]
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


def markdown(found: Mapping[str, Any]) -> str:
    """The table of a sweep: mean ± standard deviation in per cent."""
    columns = [name for name in COLUMNS if any(name in point["measured"] for point in found["points"])]
    lines = ["| | " + " | ".join(COLUMNS[name] for name in columns) + " |"]
    lines.append("| --- |" + " ---: |" * len(columns))
    for point in found["points"]:
        cells = [shown(point["measured"].get(name)) for name in columns]
        lines.append(f"| {point['name']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def shown(spread: Mapping[str, float] | None) -> str:
    """`91.20 ± 0.13`, in per cent; without the deviation for a single seed."""
    if spread is None:
        return "–"
    deviation = "" if spread["sd"] is None else f" ± {100 * spread['sd']:.2f}"
    return f"{100 * spread['mean']:.2f}{deviation}"


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    return {"mean": statistics.mean(values), "sd": statistics.stdev(values) if len(values) > 1 else None}


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(_short(one) for one in value.values())
    return " + ".join(_short(one) for one in value) if isinstance(value, list) else str(value)


def _result(sweep: Sweep, trial: Trial) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((trial.folder / RESULT).read_bytes())
    except (OSError, ValueError):
        return None
    return found if found.pop("key", None) == sweep.key(trial) else None


def _finished(sweep: Sweep, trials: Sequence[Trial]) -> list[Trial]:
    """Trials with a result whose stages are there, for the data, code, weights and engines of now."""
    found: list[Trial] = []
    loaded: dict[str, Any] = {}
    for trial in trials:
        if _result(sweep, trial) is None:
            continue
        # Heavy to import, and of use only where something has been tried before.
        from .pipeline import Pipeline
        from .stages import NotMadeError

        recipe = load_recipe(sweep.recipe, trial.changes)
        recipe = recipe.shortened() if sweep.quick else recipe
        steps, source = Pipeline(recipe, trial.folder, pool=sweep.pool, look=True), recipe.data.model_dump_json()
        try:
            if source not in loaded:
                loaded[source] = steps.data
            steps.data = loaded[source]
            _ = steps.student_alone, steps.student_distilled
            _ = steps.evaluation if sweep.evaluate else None
        except (NotMadeError, EdgestillError):  # what is wrong the trial says itself
            continue
        found.append(trial)
    return found


def _carry_out(sweep: Sweep, trials: Sequence[Trial], jobs: int | None) -> Iterator[tuple[Trial, str]]:
    if not trials:
        return
    if os.environ.get("RAY_ADDRESS"):
        from .sweep_ray import carry_out

        yield from carry_out(sweep, trials)
        return
    jobs = min(jobs or usable_cores(), len(trials))
    threads = str(max(1, usable_cores() // jobs))
    environment = {name: os.environ.get(name, threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(run_trial, sweep.command(trial), trial.folder, environment): trial for trial in trials}
        for future in as_completed(futures):
            yield futures[future], future.result()


def run_trial(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> str:
    """Run a trial's command; what it prints goes to `trial.log`.

    Returns:
        The last line that it printed, if it failed; else nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "trial.log"
    with open(log, "wb") as file:
        done = subprocess.run(
            list(command),
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            check=False,
        )
    if done.returncode == 0:
        return ""
    lines = log.read_text(errors="replace").strip().splitlines()
    return f"{lines[-1] if lines else f'exit code {done.returncode}'} (see {log})"
