"""Does a teacher know anything? One pass over the validation split, before a student spends hours on learning from it.

`chance.py` says what counts as guessing.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .cache import check_logits
from .chance import against_chance
from .data import Data
from .errors import ModelError
from .prediction import predict
from .processes import processes
from .progress import SILENT, Progress


@dataclass(frozen=True)
class TeacherCheck:
    """What was found.

    Args:
        images: how many. accuracy, chance, near_chance: as in `chance.Chance`.
        reason: what its answers look like, where that tells something; may be empty.
    """

    images: int
    accuracy: float
    chance: float
    near_chance: bool
    reason: str = ""


def judge(answers: NDArray[np.int64], labels: NDArray[np.int64], classes: tuple[str, ...]) -> TeacherCheck:
    """Judge answers, class numbers (N,), against labels (N,)."""
    found = against_chance(answers, labels)
    reason = _look(answers, labels, classes) if found.near else ""
    return TeacherCheck(found.samples, found.accuracy, found.chance, found.near, reason)


def refuse_guessing(
    teacher: nn.Module, data: Data, *, who: str = "teacher", progress: Progress = SILENT
) -> TeacherCheck | None:
    """Refuse a teacher that is near chance on validation data, or answers no numbers.

    Returns:
        What was found; None where no validation image has a label.

    Raises:
        ModelError: says how it did, and why that might be.
    """
    labelled = data.validation.take(np.flatnonzero(data.validation.labels >= 0))
    if not len(labelled):
        return None
    with progress.task(f"check the {who}", len(labelled)) as task:
        logits = predict(teacher, labelled, data, processes().device)
        check_logits(torch.from_numpy(logits), "of the validation split")
        found = judge(logits.argmax(1), labelled.labels, data.classes)
        task.advance(len(labelled), accuracy=found.accuracy)
    if found.near_chance:
        raise ModelError(
            f"the {who} is right on {100 * found.accuracy:.1f} % of {found.images:,} validation images, guessing on "
            f"{100 * found.chance:.1f} %: a student would learn nothing from it. {found.reason}Set mean, std and "
            "image_size under [teacher] to what it was trained with, bring its classes into the data's order, or train "
            "it; check = false under [teacher] (check_teacher=False) goes on all the same"
        )
    return found


def _look(answers: NDArray[np.int64], labels: NDArray[np.int64], classes: tuple[str, ...]) -> str:
    """What answers that are near chance look like."""
    number = len(classes)
    met = np.zeros((number, number), np.int64)
    np.add.at(met, (labels, answers), 1)
    largest = int(np.bincount(answers).argmax())
    share = float((answers == largest).mean())
    if share > 0.9:
        return f"It answers {classes[largest]!r} for {100 * share:.0f} % of them, as with pixel values it never saw. "
    # Each label with the answer that it meets most: high where only the order of the classes is another.
    if met.max(axis=1).sum() > max(0.5, 3 / number) * len(labels) and len(set(met.argmax(axis=1))) > number / 2:
        return "Its answers fit the labels in another order of the classes. "
    return ""
