"""The stages that export the student and evaluate the files on validation data."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgestill_converters import ConversionOptions
from edgestill_runtime import Bundle, open_bundle
from edgestill_runtime.files import write_bytes

from ..conversion import describe_model
from ..data import Augmentation, Data
from ..gate import check_bundle
from ..options import TrainOptions
from ..quantization import Budget, Method, Precision, quantize
from ..schedule import Schedule
from .checkpoints import load_any_teacher, load_student
from .inputs import TrainedModel
from .stage import Context, Finished, stage

BUNDLE = "student.edge"


@dataclass(frozen=True)
class ConversionInputs:
    """A student, and options of its conversion.

    Args:
        data: with its calibration split. samples: how many of it calibrate.
        quantize, precision, max_drop: as of `Budget`. schedule: of a training with fake quantization.
        teacher: whom a training with fake quantization learns from; None: the float student itself.
        augmentation, seed: of that training.
        facts: how the student was made, for the manifest.
        packages: the versions of what makes the files. targets: the backends that make them.
    """

    student: TrainedModel
    data: Data
    samples: int
    quantize: Method
    precision: Precision
    max_drop: float
    schedule: Schedule
    teacher: TrainedModel | None
    augmentation: Augmentation
    seed: int
    facts: Mapping[str, Any]
    packages: Mapping[str, str | None]
    targets: tuple[str, ...]


@stage("conversion")
def convert_student(inputs: ConversionInputs, folder: Path, context: Context) -> None:
    """`student.edge`: the four files, not yet measured; the exporters' log.

    Raises:
        EdgestillError: as of `edgestill.quantization.quantize`.
    """
    student = load_student(inputs.student, inputs.data)
    calibration = inputs.data.calibration(inputs.samples)
    teacher = None
    if inputs.teacher is not None:
        teacher = load_any_teacher(inputs.teacher, inputs.data, context.progress)
    log = folder / "conversion.log"
    train = TrainOptions(inputs.schedule, inputs.augmentation, inputs.seed, label="train in int8")
    budget = Budget(inputs.quantize, inputs.precision, inputs.max_drop, inputs.samples, train, teacher)
    with context.capture(log):
        quantize(
            student, inputs.data, folder / BUNDLE, budget, ConversionOptions(inputs.targets, log=log),
            description=describe_model(student, calibration, "student", inputs.facts), overwrite=True,
            progress=context.progress,
        )  # fmt: skip


def converted_bundle(conversion: Finished) -> Bundle:
    """The bundle of a finished conversion; its quality and name are not final."""
    return open_bundle(conversion.folder / BUNDLE)


@dataclass(frozen=True)
class GateInputs:
    """Converted files, and the limits of the gate.

    Args:
        max_drop, min_agreement: 0–1, see `check_bundle`.
        engines: that run the files here, with their versions. machine: whose latencies are compared.
    """

    conversion: Finished
    data: Data
    max_drop: float
    min_agreement: float
    engines: Mapping[str, str]
    machine: Mapping[str, Any]


@stage("gate")
def judge_files(inputs: GateInputs, folder: Path, context: Context) -> None:
    """`gate.json`: the results of the files on validation data, in the engines of this machine; the engines' log."""
    with context.capture(folder / "gate.log"):
        gate = check_bundle(
            converted_bundle(inputs.conversion), inputs.data.validation, max_drop=inputs.max_drop,
            min_agreement=inputs.min_agreement, task=inputs.data.task,
        )  # fmt: skip
    write_bytes(folder / "gate.json", (json.dumps(gate.to_json(), indent=2) + "\n").encode())
