"""Sweeps: one recipe with some of its values varied, each with several seeds, in parallel processes.

Trials share their stages (`store.py`), so a teacher, its outputs and a baseline student are made once for all that need
them. A trial that has finished is not run again while its stages are those that it would use now: data, code, weights
and engines are looked at each time. One that was killed goes on with its next epoch.

    trials run in child processes here, or, where there are several hosts, through Ray Tune (`sweep_ray.py`)
"""

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from edgestill_benchmarks import usable_cores
from edgestill_runtime.files import write_bytes

from ..data import Data
from ..errors import EdgestillError
from ..progress import SILENT, Progress
from . import sweep_ray
from .graph import ends_of_trial, make
from .plan import make_plan, read_data
from .stage import Context
from .store import NotMadeError, Store
from .sweep_plan import RESULT, Sweep, Trial, run_trial
from .sweep_summary import markdown, read_result, summarize


def run_sweep(sweep: Sweep, jobs: int | None = None, progress: Progress = SILENT) -> dict[str, Any]:
    """Run all unfinished trials, and collect the results.

    Args:
        jobs: processes at the same time; one a core when None. Through Ray, the cluster decides.

    Returns:
        Plain data, as it is written to `sweep.json`; see `summarize`.

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
                (trial.folder / RESULT).unlink(missing_ok=True)  # outdated
            else:
                result = read_result(sweep, trial) or {}
                task.advance(
                    1, trial=trial.name, validation=f"validation {result.get('validation_distilled', 0.0):.4f}"
                )
    summary = summarize(sweep, trials)
    write_bytes(sweep.folder / "sweep.json", (json.dumps(summary, indent=2, ensure_ascii=False) + "\n").encode())
    write_bytes(sweep.folder / "sweep.md", markdown(summary).encode())
    if failed:
        raise EdgestillError(f"{len(failed)} of {len(trials)} trials failed; {failed[0]}")
    return summary


def _finished(sweep: Sweep, trials: Sequence[Trial]) -> list[Trial]:
    """Trials with a result whose stages are there, for the current data, code, weights and engines."""
    finished: list[Trial] = []
    loaded: dict[str, Data] = {}
    for trial in trials:
        if read_result(sweep, trial) is None:
            continue
        recipe = sweep.recipe_of(trial)
        source = recipe.data.model_dump_json()
        try:
            if source not in loaded:
                loaded[source] = read_data(recipe)
            plan = make_plan(recipe, loaded[source])
            ends = ends_of_trial(recipe, sweep.evaluate)
            make(plan, Store(sweep.pool, pooled=True, look=True), Context(), ends)
        except (NotMadeError, EdgestillError):  # the trial itself reports the error
            continue
        finished.append(trial)
    return finished


def _carry_out(sweep: Sweep, trials: Sequence[Trial], jobs: int | None) -> Iterator[tuple[Trial, str]]:
    if not trials:
        return
    if os.environ.get("RAY_ADDRESS"):
        yield from sweep_ray.carry_out(sweep, trials)
        return
    jobs = min(jobs or usable_cores(), len(trials))
    threads = str(max(1, usable_cores() // jobs))
    environment = {name: os.environ.get(name, threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(run_trial, sweep.command(trial), trial.folder, environment): trial for trial in trials}
        for future in as_completed(futures):
            yield futures[future], future.result()
