"""Does a teacher know anything? One pass over the validation split, before a student spends hours on learning from it.

Of n validation images it classifies a share `a` as labelled. Guessing with the same frequencies of answers would reach
`e = Σ p_c q_c` (p: shares of the labels, q: shares of its answers), so a teacher that always names the largest class
counts as guessing, however large that class is. With `k = (a - e) / (1 - e)` (Cohen's kappa) and standard errors from
the binomial distribution, a teacher is near chance when both hold:

    a is within 3 standard errors of e,  or  a < 2 e and k < 0.15
    k is below 0.5 also at the upper end of 3 standard errors: there were enough images to tell
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .cache import check_logits
from .data import Data
from .errors import ModelError
from .prediction import predict
from .processes import processes
from .progress import SILENT, Progress

_ERRORS = 3.0
_WEAK, _GOOD = 0.15, 0.5


@dataclass(frozen=True)
class TeacherCheck:
    """What was found.

    Args:
        images: how many. accuracy, chance: shares 0–1, `a` and `e` of above. near_chance: the verdict.
        reason: what its answers look like, where that tells something; may be empty.
    """

    images: int
    accuracy: float
    chance: float
    near_chance: bool
    reason: str = ""


def judge(answers: NDArray[np.int64], labels: NDArray[np.int64], classes: tuple[str, ...]) -> TeacherCheck:
    """Judge answers, class numbers (N,), against labels (N,)."""
    count, number = len(labels), len(classes)
    shares = [np.bincount(one, minlength=number)[:number] / count for one in (labels, answers)]
    right, chance = float((answers == labels).mean()), float((shares[0] * shares[1]).sum())
    if chance >= 1:  # one class alone
        return TeacherCheck(count, right, chance, near_chance=False)
    kappa = (right - chance) / (1 - chance)
    by_chance = np.sqrt(chance * (1 - chance) / count)
    unsure = np.sqrt(max(right * (1 - right), chance * (1 - chance)) / count) / (1 - chance)
    guessing = right - chance < _ERRORS * by_chance or (right < 2 * chance and kappa < _WEAK)
    near = bool(guessing and kappa + _ERRORS * unsure < _GOOD)
    return TeacherCheck(count, right, chance, near, _look(answers, labels, classes) if near else "")


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
