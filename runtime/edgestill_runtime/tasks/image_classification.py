"""Classification with one label per image or recording: the output has a score per class."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..tensor_spec import TensorSpec
from .base import Measure, Outputs, Scores, Task, count_of, one_output, one_output_spec, refuse_unknown

Logits = NDArray[np.float32]
Labels = NDArray[np.int64]


class Prediction(NamedTuple):
    """A label and its probability, 0–1."""

    label: str
    score: float


class ImageClassification(Task):
    """Outputs: logits or probabilities (N, classes). Targets: class numbers int64 (N,)."""

    name = "image-classification"
    measures = (Measure("accuracy"),)
    activation = "softmax"
    same_answer = "the same class"
    options = ("top",)

    def __init__(
        self, labels: Sequence[str] = (), settings: Mapping[str, Any] | None = None, scores: Scores = "logits"
    ) -> None:
        super().__init__(labels, settings, scores)
        refuse_unknown(self.settings, (), self.name)

    def check(self, outputs: Sequence[TensorSpec]) -> None:
        """See `Task.check`."""
        one_output_spec(outputs, self.labels, "values")

    def answer(self, outputs: Outputs, **options: Any) -> list[list[Prediction]]:
        """Labels with probabilities, best first: softmax of the logits, or the model's own probabilities.

        Args:
            top: number of labels to return; None for all.
        """
        top = count_of(options.get("top"), "top")
        scores = one_output(outputs, "classes")
        if scores.shape[1] < 2:
            raise InputError(f"one value for a sample is no score for each of several classes: {scores.shape}")
        if self.scores == "logits":
            scores = softmax(scores)
        names = self.labels or tuple(map(str, range(scores.shape[1])))
        orders = np.argsort(-scores, axis=1, kind="stable")[:, :top]
        return [
            [Prediction(names[index], float(row[index])) for index in order]
            for row, order in zip(scores, orders, strict=True)
        ]

    def quality(self, outputs: Outputs, targets: NDArray[Any]) -> dict[str, float]:
        """Accuracy: see `accuracy`."""
        return {"accuracy": accuracy(one_output(outputs, "classes"), targets)}

    def same(self, first: Outputs, second: Outputs) -> NDArray[np.bool_]:
        """Whether both predict the same class."""
        return same_class(one_output(first, "classes"), one_output(second, "classes"))

    def standard_error(self, first: Outputs, second: Outputs, targets: NDArray[Any]) -> float:
        """See the function `standard_error`."""
        return standard_error(one_output(first, "classes"), one_output(second, "classes"), targets)

    def error_of(self, value: float, outputs: Outputs, targets: NDArray[Any]) -> float:
        """Standard error of a share of independent samples (binomial distribution)."""
        return float(np.sqrt(max(value * (1 - value), 0.0) / len(targets)))

    def details(self, outputs: Outputs, targets: NDArray[Any]) -> dict[str, Any]:
        """`per_class`: label → accuracy, None without samples; `confusion`: rows true, columns predicted classes."""
        logits = one_output(outputs, "classes")
        names = self.labels or tuple(map(str, range(logits.shape[1])))
        shares = accuracy_per_class(logits, targets)
        return {
            "per_class": {
                name: None if np.isnan(share) else float(share) for name, share in zip(names, shares, strict=True)
            },
            "confusion": confusion_matrix(logits, targets).tolist(),
        }

    def describe(self, answer: Any) -> str:
        """The best label."""
        return str(answer[0].label)


def softmax(logits: NDArray[Any]) -> Logits:
    """Probabilities float32 of logits (N, classes), each row summing to 1."""
    # float64: the last bit of a float32 exponential differs between CPUs and programming languages.
    with np.errstate(over="ignore"):  # a difference may overflow to -inf, whose exponential is 0
        powers = np.exp((logits - logits.max(axis=1, keepdims=True)).astype(np.float64))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def accuracy(logits: NDArray[Any], labels: NDArray[Any]) -> float:
    """Share of samples, 0–1, whose largest logit is the label's. Rows with NaN count as wrong.

    Args:
        logits: (N, classes). labels: class numbers (N,).

    Raises:
        InputError: no sample, or other shapes.
    """
    return float(_right(logits, labels).mean())


def same_class(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.bool_]:
    """bool (N,): whether two models predict the same class; False for rows with NaN.

    Raises:
        InputError: the logits are not both (N, classes), of the same shape.
    """
    if first.ndim != 2 or first.shape != second.shape:
        raise InputError(f"logits {first.shape} and {second.shape} cannot be compared")
    known = ~(np.isnan(first).any(1) | np.isnan(second).any(1))
    return np.asarray((first.argmax(1) == second.argmax(1)) & known)


def standard_error(first: NDArray[Any], second: NDArray[Any], labels: NDArray[Any]) -> float:
    """Standard error, 0–1, of the difference of two models' accuracies on the same samples.

    Paired: only samples that exactly one of them classifies correctly count (McNemar 1947). It covers the choice of the
    test split, not the seed of a training.
    """
    differences = _right(first, labels).astype(np.float64) - _right(second, labels)
    return float(differences.std() / np.sqrt(len(labels)))


def confusion_matrix(logits: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.int64]:
    """int64 (classes, classes): rows are true classes, columns predicted ones."""
    classes = logits.shape[1]
    return np.bincount(labels * classes + logits.argmax(1), minlength=classes * classes).reshape(classes, classes)


def accuracy_per_class(logits: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float64]:
    """float64 (classes,): accuracy on the samples of each class (its recall); NaN for a class without samples."""
    matrix = confusion_matrix(logits, labels)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.diag(matrix) / matrix.sum(1), np.float64)


def _right(logits: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.bool_]:
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise InputError(f"logits must be (N, classes) with labels (N,), not {logits.shape} and {labels.shape}")
    if not len(labels):
        raise InputError("there is no sample: an accuracy of nothing is no number")
    return np.asarray((logits.argmax(1) == labels) & ~np.isnan(logits).any(1))
