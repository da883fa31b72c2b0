"""What answers are worth: accuracy, agreement, confusion."""

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]
Labels = NDArray[np.int64]


def accuracy(logits: Logits, labels: Labels) -> float:
    """Share of samples, 0–1, whose largest logit is the label; logits (N, classes), labels (N,)."""
    return float((logits.argmax(1) == labels).mean())


def agreement(first: Logits, second: Logits) -> float:
    """Share of samples, 0–1, for which two models choose the same class."""
    return float((first.argmax(1) == second.argmax(1)).mean())


def standard_error(first: Logits, second: Logits, labels: Labels) -> float:
    """Standard error, 0–1, of the difference of two models' accuracies on the same samples.

    Paired: only samples on which exactly one of them is right count (McNemar 1947). It says what another test split
    might give, not what another seed of the training might.
    """
    differences = (first.argmax(1) == labels).astype(np.float64) - (second.argmax(1) == labels)
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
