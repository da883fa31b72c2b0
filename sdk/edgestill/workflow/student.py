"""The stages of a student: the baseline, trained on labels only, and one stage for each method of distillation.

A recipe takes one of those ways; all of them leave `model.safetensors` and `metrics.jsonl` in `student-distilled`.
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from .. import distillation
from ..data import Augmentation, Data
from ..objectives import Objective, create_objective
from ..options import DistillOptions
from ..processes import processes
from ..schedule import Schedule
from ..teachers import Combination
from .checkpoints import load_any_teacher, new_model, save_trained, training_facts
from .inputs import AnyTeacher, NamedModel, NamedObjective
from .stage import Context, Finished, stage


@dataclass(frozen=True)
class StudentInputs:
    """Inputs that all students share: the same initial weights, views and schedule."""

    model: NamedModel
    data: Data
    schedule: Schedule
    augmentation: Augmentation
    seed: int


@stage("student-alone")
def train_baseline(inputs: StudentInputs, folder: Path, context: Context) -> None:
    """The baseline student, trained on labels only."""
    options = replace(_options(inputs, folder), label="baseline student")
    done = distillation.distill(None, _new(inputs), inputs.data, options=options, progress=context.progress)
    _save(folder, done.student, inputs, context)


@dataclass(frozen=True)
class BaselineInputs:
    """The finished baseline."""

    baseline: Finished


@stage("student-distilled")
def copy_baseline(inputs: BaselineInputs, folder: Path, context: Context) -> None:
    """`method = "alone"`: without distillation the baseline is the student."""
    _copy(inputs.baseline.folder, folder, "model.safetensors", "metrics.jsonl")


@dataclass(frozen=True)
class TaughtInputs:
    """A student and its teachers.

    Args:
        teachers: at least one; the first is the one whose layers an objective compares with.
        outputs: the stage with their cached outputs; None if they run during training.
        live: they run during training although their outputs could be cached.
    """

    student: StudentInputs
    objective: NamedObjective | None
    teachers: tuple[AnyTeacher, ...]
    outputs: Finished | None
    combine: Combination
    live: bool


@stage("student-distilled")
def distill_from_teachers(inputs: TaughtInputs, folder: Path, context: Context) -> None:
    """`method = "teacher"`."""
    student = inputs.student
    teachers = [load_any_teacher(one, student.data, context.progress) for one in inputs.teachers]
    options = replace(
        _options(student, folder), combine=inputs.combine, live=inputs.live,
        cache=None if inputs.outputs is None else inputs.outputs.folder,
        check_teacher=False,  # done by a separate stage
    )  # fmt: skip
    objective = _objective(inputs.objective, student.data)
    done = distillation.distill(
        teachers, _new(student), student.data, objective=objective, options=options, progress=context.progress
    )
    _save(folder, done.student, student, context)


@dataclass(frozen=True)
class SelfTaughtInputs:
    """A student that learns from the moving average of its own weights."""

    student: StudentInputs
    objective: NamedObjective | None


@stage("student-distilled")
def distill_from_itself(inputs: SelfTaughtInputs, folder: Path, context: Context) -> None:
    """`method = "self"`."""
    student = inputs.student
    objective = _objective(inputs.objective, student.data)
    options = _options(student, folder)
    done = distillation.distill(
        "self", _new(student), student.data, objective=objective, options=options, progress=context.progress
    )
    _save(folder, done.student, student, context)


@dataclass(frozen=True)
class GenerationsInputs:
    """Born-again students: each is distilled from the previous one.

    Args:
        generations: number of distilled generations, ≥ 1.
    """

    student: StudentInputs
    objective: NamedObjective | None
    generations: int


@stage("student-distilled")
def distill_born_again(inputs: GenerationsInputs, folder: Path, context: Context) -> None:
    """`method = "generations"`, born-again: the last generation is the student."""
    student, cache = inputs.student, folder / "teacher-outputs"
    done = distillation.distill_born_again(
        lambda number: _new(student, number), student.data, inputs.generations,
        objective=_objective(inputs.objective, student.data),
        options=replace(_options(student, folder), cache=cache), progress=context.progress,
    )[-1]  # fmt: skip
    _copy(folder / f"generation-{inputs.generations}", folder, "metrics.jsonl")
    if processes().is_main_process:
        shutil.rmtree(cache)
    _save(folder, done.student, student, context)


@dataclass(frozen=True)
class MutualInputs:
    """Students of mutual learning; the first is the result.

    Args:
        peers: the others, at least one.
    """

    student: StudentInputs
    objective: NamedObjective | None
    peers: tuple[NamedModel, ...]


@stage("student-distilled")
def distill_mutually(inputs: MutualInputs, folder: Path, context: Context) -> None:
    """`method = "together"`, mutual learning; the peers are saved as `peer-1.safetensors` and so on."""
    student = inputs.student
    peers = [_new(student, number, peer) for number, peer in enumerate(inputs.peers, start=1)]
    done = distillation.distill_mutual(
        [_new(student), *peers], student.data, objective=_objective(inputs.objective, student.data),
        options=replace(_options(student, folder), label=f"mutual learning, {len(peers) + 1} students"),
        progress=context.progress,
    )  # fmt: skip
    for number, (peer, model) in enumerate(zip(inputs.peers, done.peers, strict=True), start=1):
        _save(folder, model, student, context, f"peer-{number}.safetensors", peer)
    _save(folder, done.student, student, context)


def _new(inputs: StudentInputs, number: int = 0, model: NamedModel | None = None) -> nn.Module:
    """A student with fresh weights; those of another `number` differ."""
    return new_model(model or inputs.model, inputs.data, inputs.seed + 1000 * number)


def _options(inputs: StudentInputs, folder: Path) -> DistillOptions:
    """Options that all methods share."""
    return DistillOptions(inputs.schedule, inputs.augmentation, inputs.seed, folder)


def _objective(named: NamedObjective | None, data: Data) -> Objective | None:
    """None: the task's default for the method."""
    return None if named is None else create_objective(named.tables, data.task.objectives)


def _save(
    folder: Path, model: nn.Module, inputs: StudentInputs, context: Context, file: str = "model.safetensors",
    named: NamedModel | None = None,
) -> None:  # fmt: skip
    name = (named or inputs.model).name
    save_trained(folder / file, model, name, inputs.data, context, training_facts(inputs.seed))


def _copy(source: Path, target: Path, *files: str) -> None:
    if processes().is_main_process:
        for file in files:
            shutil.copy(source / file, target)
