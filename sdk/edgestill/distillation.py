"""`distill`: trains a student from a teacher and data.

    a teacher           its outputs are cached (`cache.py`), or computed live if an objective compares layers
    several teachers    combined: `average`, `confidence` or `choice`
    `"self"`            the moving average of the student's own weights
    None                labels only: the baseline student

`distill_born_again` and `distill_mutual` start without a teacher.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from tempfile import mkdtemp
from typing import Literal

from accelerate.utils import broadcast_object_list
from torch import nn

from .cache import cache_outputs
from .data import Augmentation, Data
from .data.augmentation import NO_AUGMENTATION
from .errors import ModelError, OptionError, check_kind
from .model_check import check_classes
from .objectives import Objective
from .objectives.layers import check_layers
from .options import DistillOptions, TrainOptions
from .processes import processes
from .progress import SILENT, Progress
from .teacher_check import refuse_guessing
from .teachers import (
    CachedTeacher,
    EmaTeacher,
    LiveTeacher,
    Teacher,
    TeacherEnsemble,
    identity_of_teacher,
)
from .training import check_objective, train


@dataclass(frozen=True)
class Distilled:
    """A trained student (a copy, on the CPU, in eval mode) and its log: one entry per epoch.

    Args:
        peers: the other students of mutual learning, if any.
    """

    student: nn.Module
    history: list[dict[str, float]]
    peers: tuple[nn.Module, ...] = ()


def distill(
    teacher: nn.Module | Sequence[nn.Module] | Literal["self"] | None,
    student: nn.Module,
    data: Data,
    *,
    objective: Objective | None = None,
    epochs: int | None = None,
    options: DistillOptions = DistillOptions(),
    progress: Progress = SILENT,
) -> Distilled:
    """Train a copy of `student` to match the outputs of `teacher`; with `teacher=None`, train it on labels only.

    Args:
        teacher, student: (N, C, H, W) → outputs that fit the task of `data`; for a classifier, logits (N, classes).
            With several teachers, an objective on features uses the layers of the first.
        objective: see `edgestill.objectives`; None: the task's default. For image classification that is DIST with a
            teacher, cross entropy without.
        epochs: shorthand for `options` with a schedule of that many epochs.

    Raises:
        ModelError: teacher or student is not a model, its classes differ from the data's, it lacks a layer that the
            objective names, or the teacher is near chance.
        TrainingError: the loss became NaN or infinite.
    """
    check_kind(options, DistillOptions, "options")
    if epochs is not None:
        views = min(options.schedule.views, epochs)
        options = replace(options, schedule=replace(options.schedule, epochs=epochs, views=views))
    teachers = _teachers(teacher)
    if not isinstance(student, nn.Module):
        raise ModelError(f"the student is a torch.nn.Module, not {type(student).__name__}")
    objective = objective or data.task.default_objective("alone" if teacher is None else "teacher")
    check_objective(objective, data)
    if teacher is None and objective.needs_teacher:
        raise OptionError(f"{type(objective).__name__} needs a teacher, but there is none")
    check_classes(student, data, "student")
    data = data.labelled() if teacher is None else data
    for one in teachers:
        check_classes(one, data, "teacher")
    check_layers(student, [ours for ours, _ in objective.layers], "student")
    if options.check_teacher:
        for one in teachers:
            refuse_guessing(one, data, progress=progress)
    with _cache_folder(options.cache) as cache:
        if teacher == "self":
            source: Teacher | None = EmaTeacher([theirs for _, theirs in objective.layers], data.task.outputs)
        else:
            source = _teacher_outputs(teachers, data, objective, options, cache, progress)
        trained = train(student, data, objective, options, teacher=source, progress=progress)
    return Distilled(trained.model, trained.history)


def _teacher_outputs(
    teachers: Sequence[nn.Module], data: Data, objective: Objective, options: DistillOptions, cache: Path,
    progress: Progress,
) -> Teacher | None:  # fmt: skip
    """The source of the teachers' outputs: a cache, or the teachers themselves; None without a teacher."""
    layers = [theirs for _, theirs in objective.layers]
    if options.live or layers:
        members: Sequence[Teacher] = [
            LiveTeacher(one, () if number else layers, data.processor, data.task.outputs)
            for number, one in enumerate(teachers)
        ]
    elif teachers:
        members = cache_teachers(
            teachers, data, options.schedule.views, cache, augmentation=options.augmentation, progress=progress
        )
    else:
        return None
    if len(members) <= 1:
        return members[0] if members else None
    return TeacherEnsemble(members, options.combine, data.task)


def _teachers(teacher: object) -> list[nn.Module]:
    """The teacher argument as a list of models; empty for None and `"self"`."""
    if teacher is None or (isinstance(teacher, str) and teacher == "self"):
        return []
    members = list(teacher) if isinstance(teacher, Sequence) and not isinstance(teacher, str) else [teacher]
    models = [one for one in members if isinstance(one, nn.Module)]
    if not members or len(models) < len(members):
        odd = next((one for one in members if not isinstance(one, nn.Module)), teacher)
        raise ModelError(f'a teacher is a torch.nn.Module, several of them, "self" or None, not {odd!r:.40}')
    return models


def cache_teachers(
    teachers: Sequence[nn.Module],
    data: Data,
    views: int,
    folder: Path,
    *,
    augmentation: Augmentation = NO_AUGMENTATION,
    progress: Progress = SILENT,
) -> list[CachedTeacher]:
    """Compute the outputs of each teacher in advance; several teachers get a folder each. See `edgestill.cache`."""
    if views < 1:
        raise OptionError(
            "schedule.views must be at least 1: the teacher's outputs for that many views are computed in advance"
        )
    folders = [folder / f"teacher-{number}" for number in range(len(teachers))] if len(teachers) > 1 else [folder]
    return [
        CachedTeacher(
            cache_outputs(one, data, views, place, augmentation=augmentation, progress=progress),
            identity_of_teacher(one),
        )
        for one, place in zip(teachers, folders, strict=True)
    ]


def distill_born_again(
    create: Callable[[int], nn.Module],
    data: Data,
    generations: int = 2,
    *,
    objective: Objective | None = None,
    options: DistillOptions = DistillOptions(),
    progress: Progress = SILENT,
) -> list[Distilled]:
    """Furlanello et al. 2018, "Born-Again Neural Networks" (arXiv:1805.04770): each generation teaches the next.

    Args:
        create: makes the student of a generation, counted from 0; generation 0 is trained on labels only.
        generations: number of generations that are distilled from the previous one, ≥ 1.
        objective: of the distilled generations; None: the task's default, labels and teacher with equal weights.
        options: its folder and its cache get a subfolder for each generation.

    Returns:
        All generations, generation 0 first.
    """
    if generations < 1:
        raise OptionError(f"generations must be at least 1, not {generations}")
    done: list[Distilled] = []
    for number in range(generations + 1):
        name = f"generation-{number}"
        own = replace(
            options,
            folder=None if options.folder is None else Path(options.folder) / name,
            cache=None if options.cache is None else Path(options.cache) / name,
            check_teacher=False,  # it was trained here, on the same pixels
            label=f"born-again {number}",
        )
        distilled_by = objective or data.task.default_objective("generations")
        done.append(
            distill(
                done[-1].student if done else None, create(number), data, objective=distilled_by if done else None,
                options=own, progress=progress,
            )
        )  # fmt: skip
    return done


def distill_mutual(
    students: Sequence[nn.Module],
    data: Data,
    *,
    objective: Objective | None = None,
    options: TrainOptions | None = None,
    progress: Progress = SILENT,
) -> Distilled:
    """Mutual learning: train two or more students that learn from each other's outputs.

    See `edgestill.objectives.MutualLearning`.

    Returns:
        The first student, with the others as `peers`.
    """
    if len(students) < 2:
        raise OptionError(f"mutual learning needs two or more students, not {len(students)}")
    for student in students:
        check_classes(student, data, "student")
    first, *others = students
    objective = objective or data.task.default_objective("together")
    if options is None:
        options = DistillOptions(label=f"mutual learning, {len(students)} students")
    trained = train(first, data.labelled(), objective, options, peers=others, progress=progress)
    return Distilled(trained.model, trained.history, trained.peers)


@contextmanager
def _cache_folder(cache: str | PathLike[str] | None) -> Iterator[Path]:
    """The folder for the teacher's outputs; without one, a temporary folder that all processes share."""
    if cache is not None:
        yield Path(cache)
        return
    state = processes()
    names = [mkdtemp(prefix="edgestill-") if state.is_main_process else ""]
    broadcast_object_list(names)
    try:
        yield Path(names[0])
        state.wait_for_everyone()
    finally:
        if state.is_main_process:
            shutil.rmtree(names[0], ignore_errors=True)
