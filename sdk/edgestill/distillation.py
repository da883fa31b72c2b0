"""`distill`: teacher and data in, a trained student out.

    a teacher           its answers are cached (`cache.py`), or given live where an objective compares layers
    several teachers    combined: `average`, `confidence` or `choice`
    `"self"`            the moving average of the student's own weights
    None                the labels alone

`distill_generations` (born again) and `distill_together` (mutual learning) begin without a teacher.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Literal

from accelerate.utils import broadcast_object_list
from torch import nn

from .cache import cache_outputs
from .data import Augmentation, Data
from .data.augmentation import NO_AUGMENTATION
from .errors import ModelError
from .objectives import Objective
from .objectives.layers import check_layers
from .processes import processes
from .progress import SILENT, Progress
from .schedule import Schedule
from .teacher_check import refuse_guessing
from .teachers import (
    CachedTeacher,
    Combination,
    EmaTeacher,
    LiveTeacher,
    Teacher,
    Team,
    check_classes,
    identity_of_teacher,
)
from .training import check_objective, train

DEFAULT_SCHEDULE = Schedule(views=8)


@dataclass(frozen=True)
class Distilled:
    """A trained student (on the CPU, in eval mode; not the object that was given) and its log: one entry an epoch.

    Args:
        peers: the students that were trained beside it, if any.
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
    schedule: Schedule = DEFAULT_SCHEDULE,
    augmentation: Augmentation = NO_AUGMENTATION,
    combine: Combination = "average",
    live: bool = False,
    seed: int = 0,
    folder: Path | None = None,
    cache: Path | None = None,
    check_teacher: bool = True,
    label: str = "student distilled",
    progress: Progress = SILENT,
) -> Distilled:
    """Train a copy of `student` to answer like `teacher`; with `teacher=None`, the same from the labels alone.

    Args:
        teacher, student: (N, C, H, W) → outputs that fit the task of `data`: of a classifier logits (N, classes). Of
            several teachers the first is the one whose layers an objective on features compares with.
        objective: see `edgestill.objectives`; the task's usual one when None: of image classification DIST with a
            teacher, cross entropy without.
        epochs: short for a `schedule` with that many.
        schedule: its `views` is the number of augmented views that the teacher answers in advance. `views=0` is for a
            live teacher: a new view every epoch.
        combine: how several teachers become one; see `edgestill.teachers.Team`.
        live: run the teacher beside the student instead of caching its answers. Objectives on layers always do.
        folder: keeps the training's state and log; a killed training goes on there if the same call is made again:
            the same data, teacher and objective, and a student that begins with the same weights.
        cache: keeps the teacher's outputs, to be used again; a temporary folder when None.
        check_teacher: refuse a teacher that does no better than guessing on validation data; `chance.py` has the rule.

    Raises:
        ModelError: teacher or student are no models, have other classes than the data, or not the layers that the
            objective names; a teacher near chance.
        TrainingError: the loss is no longer a number.
    """
    if epochs is not None:
        schedule = replace(schedule, epochs=epochs, views=min(schedule.views, epochs))
    teachers = _teachers(teacher)
    if not isinstance(student, nn.Module):
        raise ModelError(f"the student is a torch.nn.Module, not {type(student).__name__}")
    objective = objective or data.task.default_objective("alone" if teacher is None else "teacher")
    check_objective(objective, data)
    if teacher is None and objective.needs_teacher:
        raise ValueError(f"{type(objective).__name__} needs a teacher, and there is none")
    check_classes(student, data, "student")
    data = data.labelled() if teacher is None else data
    for one in teachers:
        check_classes(one, data, "teacher")
    check_layers(student, [ours for ours, _ in objective.layers], "student")
    if check_teacher:
        for one in teachers:
            refuse_guessing(one, data, progress=progress)
    with _kept(cache) as outputs:
        layers, names = [theirs for _, theirs in objective.layers], data.task.outputs
        answering: Teacher | None = EmaTeacher(layers, names) if teacher == "self" else None
        if teachers:
            members: Sequence[Teacher] = (
                [
                    LiveTeacher(one, () if number else layers, data.processor, names)
                    for number, one in enumerate(teachers)
                ]
                if live or layers
                else cache_teachers(
                    teachers, data, schedule.views, outputs, augmentation=augmentation, progress=progress
                )
            )
            answering = members[0] if len(members) == 1 else Team(members, combine, data.task)
        trained = train(
            student, data, objective, schedule, teacher=answering, augmentation=augmentation, seed=seed, folder=folder,
            label=label, progress=progress,
        )  # fmt: skip
    return Distilled(trained.model, trained.history)


def _teachers(given: object) -> list[nn.Module]:
    """The models that were given as teacher: none for None and `"self"`."""
    if given is None or (isinstance(given, str) and given == "self"):
        return []
    members = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    models = [one for one in members if isinstance(one, nn.Module)]
    if not members or len(models) < len(members):
        odd = next((one for one in members if not isinstance(one, nn.Module)), given)
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
    """Let each teacher answer in advance; of several, each has a folder of its own. See `edgestill.cache`."""
    if views < 1:
        raise ValueError("schedule.views must be at least 1: the teacher answers that many views in advance")
    folders = [folder / f"teacher-{number}" for number in range(len(teachers))] if len(teachers) > 1 else [folder]
    return [
        CachedTeacher(
            cache_outputs(one, data, views, place, augmentation=augmentation, progress=progress),
            identity_of_teacher(one),
        )
        for one, place in zip(teachers, folders, strict=True)
    ]


def distill_generations(
    create: Callable[[int], nn.Module],
    data: Data,
    generations: int = 2,
    *,
    objective: Objective | None = None,
    schedule: Schedule = DEFAULT_SCHEDULE,
    augmentation: Augmentation = NO_AUGMENTATION,
    seed: int = 0,
    folder: Path | None = None,
    cache: Path | None = None,
    progress: Progress = SILENT,
) -> list[Distilled]:
    """Furlanello et al. 2018, "Born-Again Neural Networks" (arXiv:1805.04770): each generation teaches the next.

    Args:
        create: the student of a generation, counted from 0; the first learns from the labels alone.
        generations: how many are taught by an earlier one, ≥ 1.
        objective: of the taught ones; the task's usual one when None: labels and teacher in equal parts.
        folder, cache: get a folder for each generation.

    Returns:
        All of them, the untaught first.
    """
    if generations < 1:
        raise ValueError(f"generations must be at least 1, not {generations}")
    done: list[Distilled] = []
    for number in range(generations + 1):
        done.append(
            distill(
                done[-1].student if done else None,
                create(number),
                data,
                objective=(objective or data.task.default_objective("generations")) if done else None,
                schedule=schedule,
                augmentation=augmentation,
                seed=seed,
                folder=folder and folder / f"generation-{number}",
                cache=cache and cache / f"generation-{number}",
                check_teacher=False,  # it comes from here, and saw the same pixels
                label=f"generation {number}",
                progress=progress,
            )
        )
    return done


def distill_together(
    students: Sequence[nn.Module],
    data: Data,
    *,
    objective: Objective | None = None,
    schedule: Schedule = DEFAULT_SCHEDULE,
    augmentation: Augmentation = NO_AUGMENTATION,
    seed: int = 0,
    folder: Path | None = None,
    progress: Progress = SILENT,
) -> Distilled:
    """Train two or more students that teach each other; see `edgestill.objectives.MutualLearning`.

    Returns:
        The first, with the others as `peers`.
    """
    if len(students) < 2:
        raise ValueError(f"mutual learning takes two or more students, not {len(students)}")
    for student in students:
        check_classes(student, data, "student")
    first, *others = students
    objective = objective or data.task.default_objective("together")
    trained = train(
        first, data.labelled(), objective, schedule, peers=others, augmentation=augmentation, seed=seed,
        folder=folder, label=f"{len(students)} students together", progress=progress,
    )  # fmt: skip
    return Distilled(trained.model, trained.history, trained.peers)


@contextmanager
def _kept(cache: Path | None) -> Iterator[Path]:
    """The folder for a teacher's outputs; without one, a temporary folder that all processes share."""
    if cache is not None:
        yield cache
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
