"""One trial of a sweep, in a separate process: `python -m edgestill.workflow.sweep_trial JOB`, the job as JSON."""

import json
import statistics
import sys
from functools import partial
from pathlib import Path
from typing import Any

from edgestill_runtime.files import write_bytes

from ..budget import retained
from ..errors import EdgestillError
from ..log_progress import LogProgress
from ..recipe import load_recipe
from .binding import Made
from .checkpoints import read_history
from .conversion import converted_bundle
from .evaluation import read_test_outputs
from .graph import ends_of_trial, make
from .plan import Plan, prepare
from .run import context_of, size_of_student
from .store import Store
from .sweep_plan import RESULT


def main() -> None:
    """Train, evaluate on validation data, and, if requested, convert and evaluate on test; write `result.json`."""
    job = json.loads(sys.argv[1])
    recipe = load_recipe(job["recipe"], job["changes"])
    recipe = recipe.shortened() if job["quick"] else recipe
    progress = LogProgress(partial(print, flush=True))
    try:
        plan = prepare(recipe, progress=progress)
        store = Store(Path(job["pool"]), pooled=True)
        made = make(plan, store, context_of(plan, progress), ends_of_trial(recipe, job["evaluate"]))
        result = trained(made) | (evaluated(plan, made) if job["evaluate"] else {})
    except EdgestillError as error:
        sys.exit(f"error: {error}")
    write_bytes(Path(job["folder"]) / RESULT, json.dumps({"key": job["key"], **result}, indent=1).encode())


def trained(made: Made) -> dict[str, Any]:
    """Results of the trainings on validation data, by the task's main measure; times in seconds."""
    alone, distilled = read_history(made["student-alone"]), read_history(made["student-distilled"])
    measured: dict[str, Any] = {
        "validation_alone": alone[-1]["validation"],
        "validation_distilled": distilled[-1]["validation"],
        "seconds_alone": _seconds(alone),
        "seconds_distilled": _seconds(distilled),
        "images_per_second": distilled[-1]["images_per_second"],
    }
    measured["validation_gain"] = measured["validation_distilled"] - measured["validation_alone"]
    return measured


def evaluated(plan: Plan, made: Made) -> dict[str, Any]:
    """Results of the evaluation on the test split, by the task's main measure."""
    task, targets = plan.data.device_task, plan.data.test.targets
    main, outputs = task.measures[0].name, read_test_outputs(made["evaluation"])
    test = {name: task.quality(arrays, targets)[main] for name, arrays in outputs.items()}
    files = converted_bundle(made["conversion"]).manifest.deployable().values()
    measured: dict[str, Any] = {"test_alone": test["student_alone"], "test_distilled": test["student_distilled"]}
    measured |= {"test_teacher": test["teacher"], "test_int8": min(test[name] for name in files)}
    share = retained(measured["test_int8"], test["teacher"])
    measured |= {"retained": share, "parameters": size_of_student(plan.recipe, plan.data)["parameters"]}
    measured["files"] = {name: test[name] for name in files}
    return measured


def _seconds(history: list[dict[str, float]]) -> float:
    """Time of a training without interruptions: epochs times their median."""
    return len(history) * statistics.median(entry["seconds"] for entry in history)


if __name__ == "__main__":
    main()
