"""`distill`: teacher and data in, a trained student out."""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import nn

from .data import Augmentation, Data
from .data.augmentation import NO_AUGMENTATION
from .objectives import DIST, CrossEntropy, Objective
from .progress import SILENT, Progress
from .teachers import cache_logits, check_classes
from .training import Schedule, train

DEFAULT_SCHEDULE = Schedule(views=8)


@dataclass(frozen=True)
class Distilled:
    """A trained student (on the CPU, in eval mode) and its log: one entry an epoch."""

    student: nn.Module
    history: list[dict[str, float]]


def distill(
    teacher: nn.Module | None,
    student: nn.Module,
    data: Data,
    *,
    objective: Objective | None = None,
    epochs: int | None = None,
    schedule: Schedule = DEFAULT_SCHEDULE,
    augmentation: Augmentation = NO_AUGMENTATION,
    seed: int = 0,
    folder: Path | None = None,
    cache: Path | None = None,
    label: str = "student distilled",
    progress: Progress = SILENT,
) -> Distilled:
    """Train `student` to answer like `teacher`; with `teacher=None`, the same training from the labels alone.

    Args:
        teacher, student: (N, C, H, W) → logits (N, classes), with the classes of `data`.
        objective: see `edgestill.objectives`; DIST with a teacher, cross entropy without, when None.
        epochs: short for a `schedule` with that many.
        schedule: its `views` is the number of augmented views that the teacher answers in advance.
        folder: keeps the training's state and log; a killed training goes on there.
        cache: keeps the teacher's outputs, to be used again; a temporary folder when None.

    Raises:
        ModelError: teacher or student have other classes than the data.
    """
    if epochs is not None:
        schedule = replace(schedule, epochs=epochs, views=min(schedule.views, epochs))
    if teacher is not None and schedule.views < 1:
        raise ValueError("schedule.views must be at least 1: the teacher answers that many views in advance")
    check_classes(student, data, "student")
    objective = objective or (CrossEntropy() if teacher is None else DIST())
    with TemporaryDirectory() as temporary:
        logits = []
        if teacher is not None:
            check_classes(teacher, data, "teacher")
            logits = cache_logits(
                teacher,
                data,
                schedule.views,
                cache or Path(temporary),
                augmentation=augmentation,
                seed=seed,
                progress=progress,
            )
        trained = train(
            student,
            data,
            objective,
            schedule,
            augmentation=augmentation,
            teacher_logits=logits,
            seed=seed,
            folder=folder,
            label=label,
            progress=progress,
        )
    return Distilled(trained.model, trained.history)
