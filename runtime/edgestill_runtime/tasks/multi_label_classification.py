"""Classification with any number of labels per image: the output has an independent score per class (sigmoid)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..tensor_spec import TensorSpec
from .base import (
    Measure,
    Outputs,
    Scores,
    Task,
    count_of,
    for_columns,
    number_of,
    numbers_of,
    one_output,
    one_output_spec,
    refuse_unknown,
)
from .image_classification import Prediction


class MultiLabelClassification(Task):
    """Outputs: logits or probabilities (N, classes). Targets: 0 or 1, (N, classes).

    Settings:
        thresholds: smallest probability, 0–1, at which a label is predicted: one per class, or one for all; default
            0.5.
    """

    name = "multi-label-classification"
    measures = (Measure("mAP"), Measure("macro F1"))
    activation = "sigmoid"
    same_answer = "the same labels"
    options = ("top", "threshold")

    def __init__(
        self, labels: Sequence[str] = (), settings: Mapping[str, Any] | None = None, scores: Scores = "logits"
    ) -> None:
        super().__init__(labels, settings, scores)
        refuse_unknown(self.settings, ("thresholds",), self.name)
        self.thresholds = numbers_of(self.settings, "thresholds", len(self.labels), 0.5, 0.0)
        if self.thresholds.max(initial=0) > 1:
            raise InputError(f"thresholds are probabilities from 0 to 1, not {self.thresholds.max():g}")

    def check(self, outputs: Sequence[TensorSpec]) -> None:
        """See `Task.check`."""
        one_output_spec(outputs, self.labels, "values")

    def answer(self, outputs: Outputs, **options: Any) -> list[list[Prediction]]:
        """Labels whose probability is at least their threshold, best first; may be empty.

        Args:
            top: largest number of labels; None for all.
            threshold: for all classes, 0–1, instead of the bundle's; 0 returns every label.
        """
        top, threshold = count_of(options.get("top"), "top"), options.get("threshold")
        scores = self._probabilities(outputs)
        least = self._least(scores)
        if threshold is not None:
            least = np.full_like(least, number_of(threshold, "threshold", 0, 1))
        names = self.labels or tuple(map(str, range(scores.shape[1])))
        orders, predicted = np.argsort(-scores, axis=1, kind="stable"), scores >= least
        return [
            [Prediction(names[index], float(row[index])) for index in order if chosen[index]][:top]
            for row, order, chosen in zip(scores, orders, predicted, strict=True)
        ]

    def quality(self, outputs: Outputs, targets: NDArray[Any]) -> dict[str, float]:
        """mAP and macro F1: means over the classes with positive samples. NaN ranks last and predicts no label."""
        scores, expected = self._compared(outputs, targets)
        there = expected.any(axis=0)
        if not there.any():
            raise InputError("no sample has any label: there is nothing to measure")
        precisions = average_precision(scores[:, there], expected[:, there])
        return {"mAP": float(precisions.mean()), "macro F1": float(self._f1(scores, expected)[there].mean())}

    def same(self, first: Outputs, second: Outputs) -> NDArray[np.bool_]:
        """Whether both predict exactly the same labels."""
        one, other = self._probabilities(first), self._probabilities(second)
        if one.shape != other.shape:
            raise InputError(f"outputs {one.shape} and {other.shape} cannot be compared")
        known = ~(np.isnan(one).any(1) | np.isnan(other).any(1))
        return np.asarray(((one >= self._least(one)) == (other >= self._least(one))).all(axis=1) & known)

    def details(self, outputs: Outputs, targets: NDArray[Any]) -> dict[str, Any]:
        """`per_class`: label → average precision, None for a class without positive samples."""
        scores, expected = self._compared(outputs, targets)
        names = self.labels or tuple(map(str, range(scores.shape[1])))
        found = average_precision(scores, expected)
        return {"per_class": {n: None if np.isnan(one) else float(one) for n, one in zip(names, found, strict=True)}}

    def describe(self, answer: Any) -> str:
        """The labels, or `none`."""
        return ", ".join(one.label for one in answer) or "none"

    def _least(self, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        """float64 (classes,): the threshold of each column."""
        return for_columns(self.thresholds, scores.shape[1], "thresholds")

    def _probabilities(self, outputs: Outputs) -> NDArray[np.float32]:
        values = one_output(outputs, "classes")
        return sigmoid(values) if self.scores == "logits" else np.asarray(values, np.float32)

    def _compared(self, outputs: Outputs, targets: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        scores = self._probabilities(outputs)
        if scores.shape != np.shape(targets) or not len(scores):
            raise InputError(f"outputs (N, classes) need targets of that shape, not {scores.shape} and {targets.shape}")
        return scores, np.asarray(targets) > 0.5

    def _f1(self, scores: NDArray[np.float32], expected: NDArray[np.bool_]) -> NDArray[np.float64]:
        """float64 (classes,): 2 · TP / (predicted + expected); 0 if a class is neither predicted nor expected."""
        predicted = scores >= self._least(scores)
        right, both = (predicted & expected).sum(axis=0), predicted.sum(axis=0) + expected.sum(axis=0)
        return np.asarray(2 * right / np.maximum(both, 1), np.float64)


def sigmoid(logits: NDArray[Any]) -> NDArray[np.float32]:
    """Probabilities float32 of logits of any shape, `1 / (1 + exp(-x))`."""
    # float64: see `softmax`.
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-np.asarray(logits, np.float64))), np.float32)


def average_precision(scores: NDArray[Any], expected: NDArray[np.bool_]) -> NDArray[np.float64]:
    """float64 (classes,): the area under each class's precision–recall curve, as a sum of steps.

    `Σ_n (R_n - R_{n-1}) · P_n` over the distinct scores in descending order, as in scikit-learn's
    `average_precision_score`. NaN for a class without positive samples.

    Args:
        scores: (N, classes); NaN ranks last. expected: bool (N, classes).
    """
    count, classes = scores.shape
    found = np.full(classes, np.nan)
    ranked = np.where(np.isnan(scores), -np.inf, scores)
    for column in range(classes):
        order = np.argsort(-ranked[:, column], kind="stable")
        hits = expected[order, column]
        if not hits.any():
            continue
        values = ranked[order, column]
        last = np.append(values[1:] != values[:-1], True)  # the last sample of each distinct score
        right = np.cumsum(hits)[last]
        precision, recall = right / (np.arange(1, count + 1)[last]), right / hits.sum()
        found[column] = float((np.diff(recall, prepend=0.0) * precision).sum())
    return found
