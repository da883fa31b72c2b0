"""One label per image or recording. Targets are int64 (N,) in 0…classes-1, or -1 for no label."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from edgestill_runtime import Task as DeviceTask
from edgestill_runtime.tasks import Outputs as Arrays
from edgestill_runtime.tasks.image_classification import ImageClassification as Device

from ..errors import DataError, ModelError
from ..objectives import DIST, CrossEntropy, HintonKD, MutualLearning, Objective, Outputs
from ..objectives.response import ONE_CLASS
from .base import Guess, Settings, Targets, Task
from .columns import Columns, only_column
from .labels import plain_labels, with_classes

_THIN_VALIDATION, _THIN_TRAIN = 20, 10  # samples a class
_IMBALANCE = 5  # times as many samples in one class as in another
_ERRORS = 3.0
_WEAK, _GOOD = 0.15, 0.5


class ImageClassification(Task):
    """Softmax over classes."""

    device = Device
    assumes = ONE_CLASS
    names_word = "classes"
    targets_word = "labels"
    of_folders = True
    least_names = 2

    def read_targets(self, splits: Mapping[str, Columns], names: Sequence[str], where: str) -> Targets:
        """Whole numbers, text, booleans or one-hot rows; see `labels.py`."""
        raw = {
            split: plain_labels(only_column(columns, where), f"{where}: {split}", len(names))
            for split, columns in splits.items()
        }
        labels, classes, notes = with_classes(raw, names, where)
        return Targets(labels, classes, notes)

    def find_columns(self, columns: Columns, where: str) -> tuple[str, ...]:
        """The column called label or labels.

        Raises:
            DataError: there is none.
        """
        if column := next((name for name in ("label", "labels") if name in columns), None):
            return (column,)
        raise DataError(f"{where} has the columns {', '.join(columns)}; it needs label")

    def labelled(self, targets: NDArray[Any]) -> NDArray[np.bool_]:
        """Labels ≥ 0."""
        return np.asarray(targets >= 0)

    def without(self, targets: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[Any]:
        """-1 for the others."""
        return np.where(known, targets, -1)

    def unknown(self, count: int, names: Sequence[str]) -> NDArray[Any]:
        """-1."""
        return np.full(count, -1, np.int64)

    def strata(self, targets: NDArray[Any]) -> NDArray[np.int64]:
        """The classes."""
        return np.asarray(targets, np.int64)

    def reordered(self, targets: NDArray[Any], places: NDArray[np.int64]) -> NDArray[Any]:
        """The same classes with other numbers."""
        return np.where(targets >= 0, places[targets], -1)

    def text(self, target: Any, names: Sequence[str]) -> str:
        """The class."""
        return names[int(target)] if int(target) >= 0 else "none"

    def thin(self, targets: NDArray[Any], names: Sequence[str], word: str) -> list[str]:
        """Classes without a sample, and fewer than 20 samples a class to validate with, or 10 to train with."""
        notes, count = [], len(targets)
        if without := [names[label] for label in range(len(names)) if not (targets == label).any()]:
            listed = ", ".join(without[:5]) + (", …" if len(without) > 5 else "")
            notes.append(f"{word} has no sample of {'the class' if len(without) == 1 else 'the classes'} {listed}")
        if word == "validation" and count < _THIN_VALIDATION * len(names):
            notes.append(
                f"thin: {count} validation samples for {len(names)} classes; one of them is {100 / count:.1f} points "
                "of accuracy. Collect more, or raise `validation` under [data]"
            )
        if word == "train" and count < _THIN_TRAIN * len(names):
            notes.append(f"thin: {count} train samples for {len(names)} classes; collect more")
        return notes

    def summary(self, targets: NDArray[Any], names: Sequence[str]) -> dict[str, Any]:
        """`classes`: name → samples."""
        counts = np.bincount(targets[targets >= 0], minlength=len(names))
        return {"classes": {name: int(count) for name, count in zip(names, counts, strict=True)}}

    def warnings(self, targets: NDArray[Any], names: Sequence[str]) -> list[str]:
        """Classes of very different size."""
        counts = np.bincount(targets[targets >= 0], minlength=len(names))
        most, least = int(counts.argmax()), int(counts.argmin())
        if not counts[least] or counts[most] < _IMBALANCE * counts[least]:
            return []
        return [
            f"imbalanced: {names[most]} has {counts[most]:,} train samples, {names[least]} {counts[least]:,}; always "
            f"predicting {names[most]} is right for {100 * counts[most] / counts.sum():.0f} % of them"
        ]

    def advice(self, kind: str, names: Sequence[str]) -> list[str]:
        """Digits and letters must not be flipped."""
        if kind == "image" and all(len(name) == 1 and name.isalnum() for name in names):
            return [
                "the default augmentation flips images, which changes the meaning of digits and letters, so set "
                'augmentation = ["shift:2"] in the recipe'
            ]
        return []

    def encode(self, targets: NDArray[Any], names: Sequence[str], settings: Settings) -> NDArray[np.float32]:
        """One-hot rows; zeros where there is no label."""
        rows = np.zeros((len(targets), len(names)), np.float32)
        known = np.flatnonzero(targets >= 0)
        rows[known, targets[known]] = 1
        return rows

    def default_objective(self, method: str) -> Objective:
        """DIST from a teacher; for born-again, labels and teacher with equal weights; see each class."""
        made: dict[str, Objective] = {
            "alone": CrossEntropy(),
            "generations": HintonKD(temperature=1.0, alpha=0.5),
            "together": MutualLearning(),
            "int8": HintonKD(temperature=2.0, alpha=0.9),
        }
        return made.get(method) or DIST()

    def combine(self, members: Sequence[Outputs], targets: Tensor, method: str) -> Outputs:
        """Log probabilities; see `combine`."""
        together = combine(torch.stack([one.logits for one in members]), targets, method)
        return Outputs({"logits": together}, members[0].features)

    def check_outputs(self, outputs: Outputs, names: Sequence[str], who: str, data: str, learning: bool) -> None:
        """Also refuses probabilities, as the objectives need logits."""
        super().check_outputs(outputs, names, who, data, learning)
        logits = outputs.logits.detach()
        if learning and bool((logits >= 0).all()) and abs(float(logits.sum()) - 1) < 1e-4:
            raise ModelError(
                f"the {who} outputs probabilities (none below 0, sum 1), and the objective would apply a second "
                "softmax: remove its last softmax, or wrap it in a module whose forward is "
                "`return self.model(images).clamp_min(1e-12).log()`"
            )

    def right(self, device: DeviceTask, outputs: Arrays, targets: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether the predicted class is the target."""
        return np.asarray(outputs[0].argmax(1) == targets)

    def against_chance(self, device: DeviceTask, outputs: Arrays, targets: NDArray[Any]) -> Guess:
        """See `guess`; adds a hint from the predicted classes."""
        chosen = outputs[0].argmax(1)
        guessed = guess(chosen, targets)
        names = device.labels or tuple(map(str, range(outputs[0].shape[1])))
        reason = _look(chosen, targets, names) if guessed.near else ""
        return Guess(guessed.quality, guessed.chance, guessed.near, reason)

    def fitting_targets(self, targets: Any, shapes: Sequence[tuple[int, ...]]) -> tuple[NDArray[Any] | None, str]:
        """Whole numbers (N,) or (N, 1), or one-hot rows."""
        labels = np.asarray(targets)
        if len(shapes) != 1:
            return None, f"the model has {len(shapes)} outputs, and labels do not state which one they are for"
        shape = shapes[0]
        if len(shape) != 2 or shape[1] < 2:
            return None, f"the model's output {shape[1:]} for a sample is not one score per class"
        if labels.shape[:1] != shape[:1]:
            return None, f"there are {labels.shape[0] if labels.ndim else 0} labels for {shape[0]} samples"
        scores = labels.dtype.kind == "f" and labels.ndim == 2 and labels.shape == shape
        if labels.dtype.kind not in "iub" and not scores:
            return None, f"the labels are {labels.dtype}, and a class is a whole number"
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.ndim == 2 and labels.shape == shape:
            if not (np.isin(labels, (0, 1)).all() and (labels.sum(1) == 1).all()):
                return None, "the labels have none, or more than one, class per sample"
            labels = labels.argmax(1)
        if labels.ndim != 1:
            return None, f"the labels have shape {labels.shape}; give one class per sample, (N,)"
        whole = labels.astype(np.int64)
        if len(whole) and not (whole.min() >= 0 and whole.max() < shape[1]):
            return None, f"the labels go from {whole.min()} to {whole.max()}, and the model has {shape[1]} classes"
        return whole, ""


def combine(logits: Tensor, targets: Tensor, method: str) -> Tensor:
    """Logits (teachers, N, classes) → log probabilities (N, classes); see `edgestill.teachers.TeacherEnsemble`."""
    log_probs = F.log_softmax(logits, dim=2)
    entropy = -(log_probs.exp() * log_probs).sum(2)
    if method == "choice":
        labelled = targets.sum(1) > 0
        score = torch.where(labelled, (targets * log_probs).sum(2), -entropy)
        chosen = score.argmax(0)
        return log_probs[chosen, torch.arange(len(chosen), device=chosen.device)]
    weights = torch.softmax(-entropy, dim=0) if method == "confidence" else torch.full_like(entropy, 1 / len(logits))
    return torch.logsumexp(log_probs + weights.log()[:, :, None], dim=0)


def guess(predictions: NDArray[np.int64], labels: NDArray[np.int64]) -> Guess:
    """Whether a classifier is better than guessing: its predictions, class numbers (N,), against labels (N,).

    Its accuracy on n samples is `a`. Guessing with the same class frequencies would have the accuracy
    `e = Σ p_c q_c` (p: shares of the labels, q: shares of the predictions), so a model that always predicts the
    largest class counts as guessing, however large that class is. With `k = (a - e) / (1 - e)` (Cohen's kappa) and
    standard errors from the binomial distribution, it is near chance when both hold:

        a is within 3 standard errors of e,  or  a < 2 e and k < 0.15
        k is below 0.5 also at the upper end of 3 standard errors: there were enough samples to tell
    """
    count, number = len(labels), int(max(predictions.max(), labels.max())) + 1
    shares = [np.bincount(one, minlength=number) / count for one in (labels, predictions)]
    right, chance = float((predictions == labels).mean()), float((shares[0] * shares[1]).sum())
    if chance >= 1:  # a single class
        return Guess(right, chance, near=False)
    kappa = (right - chance) / (1 - chance)
    by_chance = np.sqrt(chance * (1 - chance) / count)
    unsure = np.sqrt(max(right * (1 - right), chance * (1 - chance)) / count) / (1 - chance)
    guessing = right - chance < _ERRORS * by_chance or (right < 2 * chance and kappa < _WEAK)
    return Guess(right, chance, bool(guessing and kappa + _ERRORS * unsure < _GOOD))


def _look(predictions: NDArray[np.int64], labels: NDArray[np.int64], classes: Sequence[str]) -> str:
    """A hint about the cause, for predictions that are near chance."""
    number = len(classes)
    met = np.zeros((number, number), np.int64)
    np.add.at(met, (labels, predictions), 1)
    largest = int(np.bincount(predictions).argmax())
    share = float((predictions == largest).mean())
    if share > 0.9:
        return f"It predicts {classes[largest]!r} for {100 * share:.0f} % of them, as for pixel values it never saw. "
    # The most frequent prediction of each label: high if only the order of the classes differs.
    if met.max(axis=1).sum() > max(0.5, 3 / number) * len(labels) and len(set(met.argmax(axis=1))) > number / 2:
        return "Its predictions fit the labels in another order of the classes. "
    return ""
