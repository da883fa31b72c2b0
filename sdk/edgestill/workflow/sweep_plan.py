"""The trials of a sweep: points with seeds, each run as a command in a separate process.

A point is a set of changes to the recipe, a trial a point with a seed. `sweep.py` runs them here, `sweep_ray.py` on
several hosts.
"""

import hashlib
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from ..errors import RecipeError
from ..file_kinds import no_toml
from ..recipe import Recipe, flatten, load_recipe
from ..version import __version__

Changes = Mapping[str, Any]
RESULT = "result.json"  # of a trial, in its folder


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
    """The plan of a sweep.

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
        trials = []
        for (point, changes), seed in product(self.points.items(), self.seeds):
            changed = {**changes, "seed": seed}
            load_recipe(self.recipe, changed)
            mark = hashlib.sha256(json.dumps(changed, sort_keys=True, default=str).encode()).hexdigest()[:12]
            trials.append(Trial(point, seed, changed, self.folder / "trials" / mark))
        return trials

    def recipe_of(self, trial: Trial) -> Recipe:
        """The recipe with the trial's changes.

        Raises:
            RecipeError: a change that the recipe does not allow.
        """
        recipe = load_recipe(self.recipe, trial.changes)
        return recipe.shortened() if self.quick else recipe

    def command(self, trial: Trial) -> list[str]:
        """The command of a trial, on any host with access to the folder."""
        job = {
            "recipe": str(self.recipe.resolve()),
            "changes": dict(trial.changes),
            "pool": str(self.pool.resolve()),
            "folder": str(trial.folder.resolve()),
            "evaluate": self.evaluate,
            "quick": self.quick,
            "key": self.key(trial),
        }
        return [sys.executable, "-m", "edgestill.workflow.sweep_trial", json.dumps(job)]

    def key(self, trial: Trial) -> str:
        """Key of a trial's request; other dependencies are in the keys of its stages."""
        facts = [__version__, self.recipe.read_text(encoding="utf-8"), dict(trial.changes), self.evaluate, self.quick]
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


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


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(_short(one) for one in value.values())
    return " + ".join(_short(one) for one in value) if isinstance(value, list) else str(value)


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
