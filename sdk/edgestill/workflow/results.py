"""Builds `results.json`, `samples.npz` and `report.html` from the finished stages."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from edgestill_benchmarks.results import SCHEMA_VERSION, Results, check_results
from edgestill_runtime import Bundle, Manifest, Task
from edgestill_runtime.files import atomic_file, write_bytes

from ..budget import retained
from ..data import Data
from ..errors import MissingExtraError
from ..outputs import Outputs

SAMPLES = 24


@dataclass(frozen=True)
class ModelOutputs:
    """Facts about the teacher or a student.

    Args:
        model: its name. size: `parameters` and `macs`. trained: `seed` and `cuda`, None if not recorded.
        history: the training's log, one entry per epoch; empty for a teacher with a checkpoint.
    """

    model: str
    size: Mapping[str, int]
    trained: Mapping[str, Any]
    history: list[dict[str, float]]


@dataclass(frozen=True)
class RunOutputs:
    """Inputs for the results of a run.

    Args:
        folder: of the run; graphs and samples are written into it.
        recipe: as plain data, with `name` and `seed`; quick: it was shortened.
        data: with the test split, and the task.
        models: by `teacher`, `student_alone` and `student_distilled`.
        outputs: for the test split, by these names and the files'.
        bundle: the finished one. gate: `gate.json`. measurement: `measurement.json`.
    """

    folder: Path
    recipe: Mapping[str, Any]
    quick: bool
    data: Data
    models: Mapping[str, ModelOutputs]
    outputs: Mapping[str, Outputs]
    bundle: Bundle
    gate: Mapping[str, Any]
    measurement: Mapping[str, Any]

    @property
    def task(self) -> Task:
        """The device part of the task."""
        return self.data.device_task

    def quality(self, name: str) -> dict[str, float]:
        """On the test split, of a model or a file."""
        return self.task.quality(self.outputs[name], self.data.test.targets)


def assemble(run: RunOutputs) -> Results:
    """Collect the measurements of all stages in the format of `results.json`."""
    task, bundle, measured, targets = run.task, run.bundle, run.measurement, run.data.test.targets
    main = task.measures[0].name
    teacher, alone, distilled = (_trained(run, name) for name in ("teacher", "student_alone", "student_distilled"))
    deployed = _quantized(bundle.manifest)
    return {
        "schema_version": SCHEMA_VERSION,
        "name": run.recipe["name"],
        "quick": run.quick,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": run.recipe["seed"],
        "recipe": dict(run.recipe),
        "task": describe_task(task),
        "data": run.data.describe() | {"labels": list(run.data.classes)},
        "teacher": teacher,
        "student_alone": alone,
        "student_distilled": distilled,
        "retained": retained(distilled["quality"][main], teacher["quality"][main]),
        "gain": distilled["quality"][main] - alone["quality"][main],
        "gain_standard_error": task.standard_error(
            run.outputs["student_distilled"], run.outputs["student_alone"], targets
        ),
        "compression": teacher["parameters"] / distilled["parameters"],
        "files": [_file(run, name, teacher["quality"][main]) for name in bundle.manifest.models],
        "agreement": bundle.manifest.agreement,
        "agreements": {
            f"{first} · {second}": task.agreement(run.outputs[first], run.outputs[second])
            for first, second in combinations(bundle.manifest.models, 2)
        },
        "details": {
            name: task.details(run.outputs[name], targets) for name in ("teacher", "student_distilled", *deployed)
        },
        "curves": {name: one.history for name, one in run.models.items()},
        "conversion": {
            "quantization": bundle.manifest.training["quantization"],
            "gate": dict(run.gate),
        },
        "bundle": bundle.digest(),
        "machine": measured["machine"] | {"cuda": distilled["cuda"]},
        "warnings": measured["warnings"],
        "versions": dict(bundle.manifest.versions),
        **_keep_samples(run),
    }


def describe_task(task: Task) -> dict[str, Any]:
    """Facts about a task for reports, as plain data."""
    return {
        "name": task.name,
        "measures": [asdict(one) for one in task.measures],
        "same_answer": task.same_answer,
        "settings": dict(task.settings),
    }


def write_results(folder: Path, results: Results) -> Results:
    """Check against the schema, write `results.json`, draw `report.html`."""
    try:
        from edgestill_benchmarks.report import write_report
    except ImportError as error:
        raise MissingExtraError(str(error.name), "report") from error
    check_results(results)
    write_bytes(folder / "results.json", (json.dumps(results, indent=2, ensure_ascii=False) + "\n").encode())
    write_report(folder)
    return results


def _quantized(manifest: Manifest) -> list[str]:
    """The quantized file of each engine that has one; if there is none, the files to deploy."""
    files = [manifest.find(engine, "quantized") for engine in manifest.engines]
    return [name for name in files if name is not None] or list(manifest.deployable().values())


def _trained(run: RunOutputs, name: str) -> dict[str, Any]:
    model = run.models[name]
    return {"model": model.model, "quality": run.quality(name), **model.size, **model.trained}


def _file(run: RunOutputs, name: str, teacher: float) -> dict[str, Any]:
    """One file of the bundle: what it is, how good, and how fast."""
    entry, quality = run.bundle.manifest.models[name], run.quality(name)
    return {
        "engine": entry.engine,
        "precision": entry.precision,
        "path": f"{run.bundle.path.name}/{name}",
        "bytes": run.bundle.size(name),
        "exporter": entry.exporter,
        "quality": quality,
        "retained": retained(quality[run.task.measures[0].name], teacher),
        "inside": _look_inside(run, name),
        **_measured(run.measurement, name),
    }


def _look_inside(run: RunOutputs, name: str) -> dict[str, Any] | None:
    """Summary of `edgestill inspect` for a file, with its picture in `graphs/`; None if there is no inspector."""
    from edgestill_converters.inspection import can_inspect, draw, inspect_bytes

    engine = run.bundle.manifest.models[name].engine
    if not can_inspect(engine):
        return None
    seen = inspect_bytes(run.bundle.read_model(name), engine, name)
    picture = f"graphs/{name}.svg"
    write_bytes(run.folder / picture, draw(seen).encode())
    return {
        "delegated_macs": seen.delegated_macs,
        "pieces": seen.partitions,
        "conversions": seen.conversions,
        "transposes": seen.transposes,
        "picture": picture,
    }


def _measured(measurement: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Measurements of one file, with the smallest number of threads first."""
    measured = next(one for one in measurement["files"] if one["file"] == name)
    first = measured["threads"][0]
    return {
        "runtime": first["engine"],
        "latency_ms": first["latency_ms"],
        **{key: measured[key] for key in ("threads", "cold_start_ms", "memory", "profile")},
    }


def _keep_samples(run: RunOutputs) -> dict[str, Any]:
    """Write `samples.npz`: some test images with the outputs of teacher and students, errors first.

    Returns:
        `samples`, its name, and `shown`, each sample's target and predictions as text.
    """
    test, task, names = run.data.test, run.task, run.data.classes
    int8 = _quantized(run.bundle.manifest)[-1]
    who = {"teacher": "teacher", "student": "student_distilled", "int8": int8}
    right = run.data.task.right(task, run.outputs[int8], test.targets)
    generator = np.random.default_rng([run.recipe["seed"], 3])
    wrong, fine = np.flatnonzero(~right), np.flatnonzero(right)
    half = min(SAMPLES // 2, len(wrong))
    chosen = np.concatenate([
        generator.choice(wrong, half, replace=False),
        generator.choice(fine, min(SAMPLES - half, len(fine)), replace=False),
    ])  # fmt: skip
    outputs = {short: tuple(one[chosen] for one in run.outputs[name]) for short, name in who.items()}
    arrays: dict[str, Any] = {short: values[0] for short, values in outputs.items()}
    with atomic_file(run.folder / "samples.npz") as part, open(part, "wb") as file:
        np.savez_compressed(file, images=test.images[chosen], targets=test.targets[chosen], **arrays)
    predictions = {short: [task.describe(one) for one in task.answer(values)] for short, values in outputs.items()}
    shown = [
        {
            "truth": run.data.task.text(test.targets[row], names),
            **{short: texts[place] for short, texts in predictions.items()},
            "right": bool(right[row]),
        }
        for place, row in enumerate(chosen.tolist())
    ]
    return {"samples": "samples.npz", "shown": shown}
