"""The stages that read the test split, and those that measure time: after all choices are made."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgestill_benchmarks import Rule, benchmark_bundle, open_models
from edgestill_runtime.files import write_bytes

from ..data import Data
from ..errors import EdgestillError
from ..outputs import Outputs, read_outputs, write_outputs
from ..prediction import default_device, outputs_of
from .checkpoints import load_student
from .conversion import converted_bundle
from .inputs import TrainedModel
from .stage import Context, Finished, stage


@dataclass(frozen=True)
class EvaluationInputs:
    """All models and files to be evaluated.

    Args:
        teacher: its finished evaluation. conversion: the files.
        engines: that run the files here, with their versions.
    """

    teacher: Finished
    baseline: TrainedModel
    student: TrainedModel
    conversion: Finished
    data: Data
    engines: Mapping[str, str]


@stage("evaluation")
def evaluate(inputs: EvaluationInputs, folder: Path, context: Context) -> None:
    """`logits.npz`: outputs of teacher, students and every file for the test split.

    Raises:
        EdgestillError: no engine is installed for a file.
    """
    data = inputs.data
    outputs = read_outputs(inputs.teacher.folder / "outputs.npz")
    students = {"student_alone": inputs.baseline, "student_distilled": inputs.student}
    bundle = converted_bundle(inputs.conversion)
    total = len(students) + len(bundle.manifest.models)
    with context.progress.task("evaluate on test", total) as task, context.capture(folder / "evaluation.log"):
        for name, student in students.items():
            outputs[name] = outputs_of(load_student(student, data), data.test, data, default_device())
            task.advance(1, quality=_shown(data, outputs[name]))
        opened = open_models(bundle)
        for name, loaded in opened.items():
            with loaded:
                outputs[name] = loaded.outputs_of([data.test.images])
            task.advance(1, quality=_shown(data, outputs[name]))
    if missing := bundle.manifest.models.keys() - opened.keys():
        raise EdgestillError(f"no engine is installed for {', '.join(sorted(missing))}; see `edgestill doctor`")
    write_outputs(folder / "logits.npz", outputs)


def _shown(data: Data, outputs: Outputs) -> str:
    """The main measure as text."""
    task = data.device_task
    main = task.measures[0]
    return f"{main.name} {main.show(task.quality(outputs, data.test.targets)[main.name])}"


def read_test_outputs(evaluation: Finished) -> dict[str, Outputs]:
    """Outputs for the test split by `teacher`, `student_alone`, `student_distilled` and the files' names."""
    return read_outputs(evaluation.folder / "logits.npz")


@dataclass(frozen=True)
class MeasurementInputs:
    """Converted files, and the settings of the measurement.

    Args:
        threads: numbers of threads. min_calls, min_seconds: at least, for each file and number.
        engines: that run the files here, with their versions. machine: identifies this machine.
    """

    conversion: Finished
    threads: tuple[int, ...]
    min_calls: int
    min_seconds: float
    engines: Mapping[str, str]
    machine: Mapping[str, Any]


@stage("measurement")
def measure_files(inputs: MeasurementInputs, folder: Path, context: Context) -> None:
    """`measurement.json`: every file at each number of threads, cold start, memory; see `benchmark_bundle`."""
    rule = Rule(min_calls=inputs.min_calls, min_seconds=inputs.min_seconds)
    with context.progress.task("measure", 0) as task:
        measured = benchmark_bundle(
            converted_bundle(inputs.conversion),
            inputs.threads,
            rule,
            on_progress=lambda doing, share: task.advance(1, doing=doing),
        )
    write_bytes(folder / "measurement.json", (json.dumps(measured, indent=2) + "\n").encode())
