"""One trial of a sweep, in a process of its own: `python -m edgestill.sweep_trial JOB`, the job as JSON."""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from edgestill_benchmarks import accuracy
from edgestill_runtime.files import write_bytes

from .cli.console import TerminalProgress
from .errors import EdgestillError
from .pipeline import Pipeline
from .recipe import load_recipe


def main() -> None:
    """Train, judge on validation data, and, if asked for, convert and judge on test; write `result.json`."""
    job = json.loads(sys.argv[1])
    recipe = load_recipe(job["recipe"], job["changes"])
    recipe = recipe.shortened() if job["quick"] else recipe
    folder = Path(job["folder"])
    try:
        steps = Pipeline(recipe, folder, progress=TerminalProgress(), pool=Path(job["pool"]))
        steps.check()
        result = measure(steps, job["evaluate"])
    except EdgestillError as error:
        sys.exit(f"error: {error}")
    write_bytes(folder / "result.json", json.dumps({"key": job["key"], **result}, indent=1).encode())


def measure(steps: Pipeline, evaluate: bool) -> dict[str, Any]:
    """What the trial found, as shares (0–1); training times in seconds."""
    alone, distilled = steps.history(steps.student_alone), steps.history(steps.student_distilled)
    found: dict[str, Any] = {
        "validation_alone": alone[-1]["validation_accuracy"],
        "validation_distilled": distilled[-1]["validation_accuracy"],
        "seconds_alone": _seconds(alone),
        "seconds_distilled": _seconds(distilled),
        "images_per_second": distilled[-1]["images_per_second"],
    }
    found["validation_gain"] = found["validation_distilled"] - found["validation_alone"]
    if evaluate:
        labels = steps.data.test.labels
        test = {name: accuracy(logits, labels) for name, logits in steps.test_logits.items()}
        found |= {"test_alone": test["student_alone"], "test_distilled": test["student_distilled"]}
        files = steps.bundle_files().values()
        found |= {"test_teacher": test["teacher"], "test_int8": min(test[name] for name in files)}
        retained = found["test_int8"] / test["teacher"] if test["teacher"] else 0.0
        found |= {"retained": retained, "parameters": steps.size("student")["parameters"]}
        found["files"] = {name: test[name] for name in files}
    return found


def _seconds(history: list[dict[str, float]]) -> float:
    """Time of a training without its pauses: epochs times their median."""
    return len(history) * statistics.median(entry["seconds"] for entry in history)


if __name__ == "__main__":
    main()
