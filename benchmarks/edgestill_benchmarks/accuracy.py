"""What answers are worth: accuracy, agreement, confusion."""

import numpy as np
from numpy.typing import NDArray

from edgestill_runtime import InputError

Logits = NDArray[np.float32]
Labels = NDArray[np.int64]


def accuracy(logits: Logits, labels: Labels) -> float:
    """Share of samples, 0–1, whose largest logit is the label; logits (N, classes), labels (N,). NaN is never right.

    Raises:
        InputError: no sample, or other shapes: there is nothing that it would be the accuracy of.
    """
    return float(_right(logits, labels).mean())


def agreement(first: Logits, second: Logits) -> float:
    """Share of samples, 0–1, for which two models choose the same class; one that answers NaN chooses none.

    Raises:
        InputError: no sample, or logits of other shapes than (N, classes), the same for both.
    """
    _check(first, second[..., 0] if second.ndim == 2 else second)
    if first.shape != second.shape:
        raise InputError(f"logits {first.shape} and {second.shape} cannot be compared")
    known = ~(np.isnan(first).any(1) | np.isnan(second).any(1))
    return float(((first.argmax(1) == second.argmax(1)) & known).mean())


def standard_error(first: Logits, second: Logits, labels: Labels) -> float:
    """Standard error, 0–1, of the difference of two models' accuracies on the same samples.

    Paired: only samples on which exactly one of them is right count (McNemar 1947). It says what another test split
    might give, not what another seed of the training might.
    """
    differences = _right(first, labels).astype(np.float64) - _right(second, labels)
    return float(differences.std() / np.sqrt(len(labels)))


def confusion_matrix(logits: Logits, labels: Labels) -> NDArray[np.int64]:
    """int64 (classes, classes): row the true class, column the chosen one."""
    classes = logits.shape[1]
    return np.bincount(labels * classes + logits.argmax(1), minlength=classes * classes).reshape(classes, classes)


def accuracy_per_class(logits: Logits, labels: Labels) -> NDArray[np.float64]:
    """float64 (classes,): share of each class's samples that are recognised; NaN for a class without samples."""
    matrix = confusion_matrix(logits, labels)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.diag(matrix) / matrix.sum(1), np.float64)


def _right(logits: Logits, labels: Labels) -> NDArray[np.bool_]:
    _check(logits, labels)
    return np.asarray((logits.argmax(1) == labels) & ~np.isnan(logits).any(1))


def _check(logits: Logits, labels: NDArray[np.generic]) -> None:
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise InputError(f"logits must be (N, classes) with labels (N,), not {logits.shape} and {labels.shape}")
    if not len(labels):
        raise InputError("there is no sample: an accuracy of nothing is no number")
