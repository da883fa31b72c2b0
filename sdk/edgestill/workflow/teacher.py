"""The stages of a teacher: read or trained, checked, asked in advance, and evaluated."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgestill_runtime.files import write_bytes

from ..data import Augmentation, Data
from ..distillation import cache_teachers
from ..model_check import check_classes
from ..models import read_metadata
from ..options import TrainOptions
from ..outputs import write_outputs
from ..prediction import default_device, outputs_of
from ..processes import processes
from ..schedule import Schedule
from ..teacher_check import TeacherCheck, refuse_guessing
from ..training import train
from .checkpoints import load_any_teacher, new_model, save_trained, training_facts
from .inputs import AnyTeacher, GivenTeacher, NamedModel, TrainedModel
from .stage import Context, stage


@dataclass(frozen=True)
class GivenTeacherInputs:
    """A teacher that comes as a checkpoint, and the data that it will teach on."""

    teacher: GivenTeacher
    data: Data


@stage("teacher")
def read_teacher(inputs: GivenTeacherInputs, folder: Path, context: Context) -> None:
    """`model.safetensors`: the weights of the checkpoint, in Edgestill's format."""
    source = inputs.teacher
    # It was trained elsewhere; facts about its training may be missing.
    trained = read_metadata(source.checkpoint.path).get("trained", {})
    model = load_any_teacher(source, inputs.data, context.progress)
    save_trained(folder / "model.safetensors", model, source.model.name, inputs.data, context, trained)


@dataclass(frozen=True)
class TeacherTrainingInputs:
    """A teacher that is trained here, on labels."""

    model: NamedModel
    data: Data
    schedule: Schedule
    augmentation: Augmentation
    seed: int


@stage("teacher")
def train_teacher(inputs: TeacherTrainingInputs, folder: Path, context: Context) -> None:
    """`model.safetensors`, and the training's log in `metrics.jsonl`."""
    done = train(
        new_model(inputs.model, inputs.data, inputs.seed), inputs.data,
        inputs.data.task.default_objective("alone"),
        TrainOptions(inputs.schedule, inputs.augmentation, inputs.seed, folder, "teacher"), progress=context.progress,
    )  # fmt: skip
    trained = training_facts(inputs.seed)
    save_trained(folder / "model.safetensors", done.model, inputs.model.name, inputs.data, context, trained)


@dataclass(frozen=True)
class GivenTeachersCheckInputs:
    """Every teacher that comes as a checkpoint and is used."""

    teachers: tuple[GivenTeacher, ...]
    data: Data


@stage("teacher-check")
def check_given_teachers(inputs: GivenTeachersCheckInputs, folder: Path, context: Context) -> None:
    """`check.json`: quality of each teacher on validation data; one that is near chance is refused.

    Raises:
        ModelError: a teacher near chance, or one that does not fit the data.
    """
    checks = {}
    for source in inputs.teachers:
        teacher = load_any_teacher(source, inputs.data, context.progress)
        check_classes(teacher, inputs.data, "teacher")
        who = f"teacher {source.model.name}"
        checks[str(source.checkpoint.path)] = refuse_guessing(teacher, inputs.data, who=who, progress=context.progress)
    _write_checks(folder, checks)


@dataclass(frozen=True)
class TrainedTeacherCheckInputs:
    """A teacher that was trained here."""

    teacher: TrainedModel
    data: Data


@stage("trained-teacher-check")
def check_trained_teacher(inputs: TrainedTeacherCheckInputs, folder: Path, context: Context) -> None:
    """`check.json`: what the training left; a teacher that guesses is refused.

    Raises:
        ModelError: it is near chance.
    """
    teacher = load_any_teacher(inputs.teacher, inputs.data, context.progress)
    _write_checks(folder, {"teacher": refuse_guessing(teacher, inputs.data, progress=context.progress)})


def _write_checks(folder: Path, checks: dict[str, TeacherCheck | None]) -> None:
    if processes().is_main_process:
        plain: dict[str, Any] = {name: None if one is None else asdict(one) for name, one in checks.items()}
        write_bytes(folder / "check.json", (json.dumps(plain, indent=1) + "\n").encode())


@dataclass(frozen=True)
class TeacherOutputsInputs:
    """Teachers, and the augmented views that they answer.

    Args:
        teachers: at least one; the order counts. views: how many, ≥ 1.
    """

    teachers: tuple[AnyTeacher, ...]
    data: Data
    views: int
    augmentation: Augmentation


@stage("teacher-outputs")
def compute_teacher_outputs(inputs: TeacherOutputsInputs, folder: Path, context: Context) -> None:
    """`view-NNN.npy`: outputs of each augmented view; of several teachers, in a folder for each."""
    cache_teachers(
        [load_any_teacher(one, inputs.data, context.progress) for one in inputs.teachers], inputs.data, inputs.views,
        folder, augmentation=inputs.augmentation, progress=context.progress,
    )  # fmt: skip


@dataclass(frozen=True)
class TeacherEvaluationInputs:
    """A teacher, and the data with the test split."""

    teacher: TrainedModel
    data: Data


@stage("teacher-evaluation")
def evaluate_teacher(inputs: TeacherEvaluationInputs, folder: Path, context: Context) -> None:
    """`outputs.npz`: outputs for the test split; apart, because the trials of a sweep share it."""
    teacher = load_any_teacher(inputs.teacher, inputs.data, context.progress)
    outputs = outputs_of(teacher, inputs.data.test, inputs.data, default_device())
    write_outputs(folder / "outputs.npz", {"teacher": outputs})
