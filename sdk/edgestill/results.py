"""From the stages of a run to `results.json`, `samples.npz` and `report.html`."""

import json
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgestill_benchmarks import accuracy, accuracy_per_class, agreement, confusion_matrix, standard_error
from edgestill_benchmarks.results import SCHEMA_VERSION, Results, check_results
from edgestill_runtime.files import atomic_file, write_bytes

from .errors import MissingExtraError

if TYPE_CHECKING:
    from .pipeline import Pipeline

SAMPLES = 24


def assemble(steps: "Pipeline") -> Results:
    """Gather what the stages have measured; makes the stages that are missing."""
    logits, labels, bundle = steps.test_logits, steps.data.test.labels, steps.bundle
    teacher, alone, distilled = (_trained(steps, name) for name in ("teacher", "student_alone", "student_distilled"))
    measured = json.loads((steps.measurement.folder / "measurement.json").read_text())
    deployed = list(bundle.manifest.deployable().values())
    files = []
    for name, entry in bundle.manifest.models.items():
        file = steps.folder / bundle.path.name / name
        files.append(
            {
                "engine": entry.engine,
                "precision": entry.precision,
                "path": file.relative_to(steps.folder).as_posix(),
                "bytes": bundle.files[name].bytes,
                "exporter": entry.exporter,
                "accuracy": accuracy(logits[name], labels),
                "retained": _retained(accuracy(logits[name], labels), teacher),
                "inside": _look_inside(steps, name),
                **_of_file(measured, name),
            }
        )
    return {
        "schema_version": SCHEMA_VERSION,
        "name": steps.recipe.name,
        "quick": steps.recipe.quick,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": steps.recipe.seed,
        "recipe": json.loads(steps.recipe.model_dump_json()),
        "data": steps.data.describe() | {"classes": list(steps.data.classes)},
        "teacher": teacher,
        "student_alone": alone,
        "student_distilled": distilled,
        "retained": _retained(distilled["accuracy"], teacher),
        "gain": distilled["accuracy"] - alone["accuracy"],
        "gain_standard_error": standard_error(logits["student_distilled"], logits["student_alone"], labels),
        "compression": teacher["parameters"] / distilled["parameters"],
        "files": files,
        "agreement": bundle.manifest.agreement,
        "agreements": {
            f"{first} · {second}": agreement(logits[first], logits[second])
            for first, second in combinations(bundle.manifest.models, 2)
        },
        "per_class": {
            name: [None if np.isnan(share) else share for share in accuracy_per_class(logits[name], labels).tolist()]
            for name in ("teacher", "student_distilled", *deployed)
        },
        "confusion": confusion_matrix(logits[deployed[-1]], labels).tolist(),
        "curves": {
            name: steps.history(stage)
            for name, stage in (
                ("teacher", steps.teacher),
                ("student_alone", steps.student_alone),
                ("student_distilled", steps.student_distilled),
            )
        },
        "conversion": {
            "quantisation": bundle.manifest.training["quantisation"],
            "gate": json.loads((steps.gate.folder / "gate.json").read_text()),
        },
        "bundle": bundle.digest(),
        "machine": measured["machine"] | {"cuda": distilled["cuda"]},
        "warnings": measured["warnings"],
        "versions": dict(bundle.manifest.versions),
        "samples": _keep_samples(steps),
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


def _trained(steps: "Pipeline", name: str) -> dict[str, Any]:
    logits, labels = steps.test_logits[name], steps.data.test.labels
    table = steps.recipe.teacher if name == "teacher" else steps.recipe.student
    found = {"model": table.model, "accuracy": accuracy(logits, labels), **steps.size(name.partition("_")[0])}
    return found | steps.trained_as(getattr(steps, name))


def _retained(share: float, teacher: dict[str, Any]) -> float:
    """Of the teacher's accuracy; 0 where that is 0 and there is nothing to keep."""
    return share / teacher["accuracy"] if teacher["accuracy"] else 0.0


def _look_inside(steps: "Pipeline", name: str) -> dict[str, Any]:
    """What `edgestill inspect` would say of a file, in short; its picture goes into `graphs/`."""
    from edgestill_converters.inspection import draw, inspect_bytes

    seen = inspect_bytes(steps.bundle.read(name), steps.bundle.manifest.models[name].engine, name)
    picture = f"graphs/{name}.svg"
    write_bytes(steps.folder / picture, draw(seen).encode())
    facts = ("delegated_macs", "pieces", "conversions", "transposes")
    return {**{fact: getattr(seen, fact) for fact in facts}, "picture": picture}


def _of_file(measured: dict[str, Any], name: str) -> dict[str, Any]:
    """What was measured of one file, its smallest number of threads first."""
    found = next(one for one in measured["files"] if one["file"] == name)
    first = found["threads"][0]
    return {
        "runtime": first["engine"],
        "latency_ms": first["latency_ms"],
        **{key: found[key] for key in ("threads", "cold_start_ms", "memory", "profile")},
    }


def _keep_samples(steps: "Pipeline") -> str:
    """Write `samples.npz`: some test images with the logits of teacher and students, mistakes first."""
    test, logits = steps.data.test, steps.test_logits
    student = logits[list(steps.bundle.manifest.deployable().values())[-1]]
    wrong = np.flatnonzero(student.argmax(1) != test.labels)
    right = np.flatnonzero(student.argmax(1) == test.labels)
    generator = np.random.default_rng([steps.recipe.seed, 3])
    half = min(SAMPLES // 2, len(wrong))
    chosen = np.concatenate(
        [
            generator.choice(wrong, half, replace=False),
            generator.choice(right, min(SAMPLES - half, len(right)), replace=False),
        ]
    )
    with atomic_file(steps.folder / "samples.npz") as part, open(part, "wb") as file:
        np.savez_compressed(
            file,
            images=test.images[chosen],
            labels=test.labels[chosen],
            teacher=logits["teacher"][chosen],
            student=logits["student_distilled"][chosen],
            int8=student[chosen],
        )
    return "samples.npz"
