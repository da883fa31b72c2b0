"""Trials on several hosts, through Ray Tune (extra: sweep). Used when `RAY_ADDRESS` is set, such as to `auto`.

Each trial is the same child process as on one host. The hosts see one folder, at the same path, and have Edgestill in
the same place; a trial takes one GPU where the cluster has any.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import MissingExtraError
from .sweep_plan import Sweep, Trial, run_trial


def carry_out(sweep: Sweep, trials: Sequence[Trial]) -> Iterator[tuple[Trial, str]]:
    """Run the trials on the cluster; yields each with what went wrong, or nothing."""
    try:
        import ray
        from ray import tune
    except ImportError as error:
        raise MissingExtraError("ray", "sweep") from error
    commands = [(sweep.command(trial), str(trial.folder.resolve())) for trial in trials]

    def trainable(config: dict[str, Any]) -> dict[str, Any]:
        command, folder = commands[config["trial"]]
        return {"failed": run_trial(command, Path(folder), {})}

    ray.init(address=os.environ["RAY_ADDRESS"], log_to_driver=False, ignore_reinit_error=True)
    resources = {"gpu": 1} if ray.cluster_resources().get("GPU") else {"cpu": 1}
    try:
        results = tune.Tuner(
            tune.with_resources(trainable, resources),
            param_space={"trial": tune.grid_search(list(range(len(trials))))},
            run_config=tune.RunConfig(name="ray", storage_path=str(sweep.folder.resolve()), verbose=0),
        ).fit()
        for result in results:
            number = result.config["trial"] if result.config else 0
            failed = str(result.error) if result.error else (result.metrics or {}).get("failed", "")
            yield trials[number], failed
    finally:
        ray.shutdown()
