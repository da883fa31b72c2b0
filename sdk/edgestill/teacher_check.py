"""Checks that a teacher is better than guessing: one pass over the validation split, before a student is trained.

Each task defines what counts as guessing: `Task.against_chance`.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from .cache import check_values
from .data import Data
from .errors import ModelError
from .prediction import outputs_of
from .processes import processes
from .progress import SILENT, Progress


@dataclass(frozen=True)
class TeacherCheck:
    """The result of the check.

    Args:
        images: number of images. quality, chance, near_chance, reason: as in `tasks.Guess`.
    """

    images: int
    quality: float
    chance: float
    near_chance: bool
    reason: str = ""


def refuse_guessing(
    teacher: nn.Module, data: Data, *, who: str = "teacher", progress: Progress = SILENT
) -> TeacherCheck | None:
    """Refuse a teacher that is near chance on validation data, or whose outputs are NaN or infinite.

    Returns:
        The result; None if no validation image has a target.

    Raises:
        ModelError: states its quality, and a possible cause.
    """
    known = data.validation.take(np.flatnonzero(data.task.labelled(data.validation.targets)))
    if not len(known):
        return None
    device, count = data.device_task, len(known)
    measure = device.measures[0]
    with progress.task(f"check the {who}", count) as task:
        outputs = outputs_of(teacher, known, data, processes().device)
        for values in outputs:
            check_values(torch.from_numpy(values), "of the validation split")
        guess = data.task.against_chance(device, outputs, known.targets)
        task.advance(count, quality=f"{measure.name} {measure.show(guess.quality)}")
    if guess.near:
        raise ModelError(
            f"the {who} reaches {measure.name} {measure.show(guess.quality)} on {count:,} validation images, guessing "
            f"{measure.show(guess.chance)}: a student would learn nothing from it. {guess.reason}Set mean, std and "
            f"image_size under [teacher] to what it was trained with, bring its {data.task.names_word} into the data's "
            "order, or train it; check = false under [teacher] (check_teacher=False) goes on all the same"
        )
    return TeacherCheck(count, guess.quality, guess.chance, guess.near, guess.reason)
