"""Any number of labels per image. Targets are uint8 (N, classes) of 0 and 1; a row of 255 if unlabelled."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from edgestill_runtime import Task as DeviceTask
from edgestill_runtime.tasks import Outputs as Arrays
from edgestill_runtime.tasks.multi_label_classification import MultiLabelClassification as Device

from ..errors import DataError, ModelError, OptionError
from ..objectives import Objective, Outputs
from ..objectives.base import teaching
from .base import Guess, Settings, Targets, Task
from .columns import Columns, is_identifier, names_of_columns
from .label_sets import holds_flags, labels_column, read_label_sets
from .labels import few

_NONE = 255
_THIN = 10  # samples of a label
_ERRORS = 3.0


class BinaryCrossEntropy(Objective):
    """Labels only: the mean over samples of `Σ_c` of `-y_c log σ(z_c) - (1 - y_c) log(1 - σ(z_c))`, over classes.

    Divided by the number of classes, so that a learning rate suits few classes and many; samples without labels count
    as 0.
    """

    needs_teacher = False
    assumes = "any labels a sample"

    def forward(self, student: Outputs, teacher: Outputs | None, targets: Tensor) -> Tensor:
        """See the class."""
        return binary_loss(student.logits, targets)


class BinaryKD(Objective):
    """Hinton's distillation for each class on its own, as multi-label logits distillation has it.

    `(1 - alpha) · BCE(z_s, y) + alpha · T² · mean over classes of KL(σ(z_t / T) ‖ σ(z_s / T))`, each σ as a
    distribution over present and absent: Yang et al. 2023, "Multi-Label Knowledge Distillation" (arXiv:2308.06453),
    its first term; T is Hinton's, 1 in the paper.

    Args:
        temperature: T > 0. alpha: share of the teacher, 0–1.
    """

    assumes = "any labels a sample"

    def __init__(self, temperature: float = 1.0, alpha: float = 0.9) -> None:
        super().__init__()
        if temperature <= 0 or not 0 <= alpha <= 1:
            raise OptionError(f"BinaryKD takes temperature > 0 and alpha in 0–1, not {temperature} and {alpha}")
        self.temperature = temperature
        self.alpha = alpha

    def forward(self, student: Outputs, teacher: Outputs | None, targets: Tensor) -> Tensor:
        """See the class."""
        ours, theirs = (one / self.temperature for one in (student.logits, teaching(teacher, self).logits))
        share = torch.sigmoid(theirs)
        # KL(p ‖ q) = cross entropy of both less the entropy of p, for present and absent together.
        apart = share * (F.logsigmoid(theirs) - F.logsigmoid(ours))
        apart = apart + (1 - share) * (F.logsigmoid(-theirs) - F.logsigmoid(-ours))
        soft = self.temperature**2 * apart.mean()
        return (1 - self.alpha) * binary_loss(student.logits, targets) + self.alpha * soft


def binary_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross entropy of logits (N, classes); rows of NaN, which have no labels, count as 0."""
    known = ~targets.isnan()
    each = F.binary_cross_entropy_with_logits(logits, torch.where(known, targets, 0.0), reduction="none")
    return (each * known).mean()


class MultiLabelClassification(Task):
    """Sigmoid for each class.

    Args:
        thresholds: probability, 0–1, from which a label is predicted: one for all, or one for each class.
        columns: of a table that hold the labels: one of lists or text, or one of 0 and 1 for each label; found by their
            names and what is in them when empty.
    """

    device = Device
    assumes = "any labels a sample"
    objectives: ClassVar[Mapping[str, type[Objective]]] = {
        "binary-cross-entropy": BinaryCrossEntropy,
        "binary-kd": BinaryKD,
    }
    names_word = "labels"
    targets_word = "labels"

    def __init__(self, thresholds: float | Sequence[float] = 0.5, columns: str | Sequence[str] = ()) -> None:
        values: Sequence[Any] = thresholds if isinstance(thresholds, (list, tuple)) else [thresholds]
        plain = all(isinstance(one, (int, float)) and not isinstance(one, bool) and 0 <= one <= 1 for one in values)
        if not values or not plain:
            raise OptionError(f"thresholds are probabilities from 0 to 1, not {thresholds!r:.60}")
        self._thresholds = [float(one) for one in values]
        self.columns = names_of_columns(columns)

    def read_targets(self, splits: Mapping[str, Columns], names: Sequence[str], where: str) -> Targets:
        """A column of lists or of text such as `sea; sky`, or one column of 0 and 1 for each label."""
        return read_label_sets(splits, names, where)

    def find_columns(self, columns: Columns, where: str) -> tuple[str, ...]:
        """A column called labels, tags or similar; else all columns of 0 and 1; else the only column.

        Raises:
            DataError: there are several others.
        """
        if column := labels_column(columns):
            return (column,)
        flags = tuple(name for name, cells in columns.items() if not is_identifier(name) and holds_flags(cells))
        if not flags and len(columns) != 1:
            listed = f"it has {few(list(columns))}" if columns else "it has no other column than that of the files"
            raise DataError(
                f"{where} has no column of labels: {listed}; call it `labels`, give a column of 0 and 1 for each "
                "label, or name those that are meant with `columns` under [task_options]"
            )
        return flags or tuple(columns)

    def labelled(self, targets: NDArray[Any]) -> NDArray[np.bool_]:
        """Rows of 0 and 1."""
        return np.asarray((targets != _NONE).all(axis=1))

    def without(self, targets: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[Any]:
        """Rows of 255 for the others."""
        return np.where(known[:, None], targets, _NONE).astype(np.uint8)

    def unknown(self, count: int, names: Sequence[str]) -> NDArray[Any]:
        """Rows of 255."""
        return np.full((count, len(names)), _NONE, np.uint8)

    def strata(self, targets: NDArray[Any]) -> NDArray[np.int64]:
        """The rarest label of each sample; samples without labels form one group."""
        rarest_first = np.argsort((targets == 1).sum(axis=0), kind="stable")
        there = targets[:, rarest_first] == 1
        return np.asarray(np.where(there.any(axis=1), there.argmax(axis=1), targets.shape[1]), np.int64)

    def reordered(self, targets: NDArray[Any], places: NDArray[np.int64]) -> NDArray[Any]:
        """Columns in another order."""
        made = np.empty_like(targets)
        made[:, places] = targets
        return made

    def text(self, target: Any, names: Sequence[str]) -> str:
        """The labels, or `none`."""
        return ", ".join(name for name, one in zip(names, target, strict=True) if one == 1) or "none"

    def thin(self, targets: NDArray[Any], names: Sequence[str], word: str) -> list[str]:
        """Labels that few samples have."""
        counts = (targets == 1).sum(axis=0)
        without = [name for name, count in zip(names, counts, strict=True) if not count]
        scarce = [f"{name} ({count})" for name, count in zip(names, counts, strict=True) if 0 < count < _THIN]
        notes = [f"{word} has no sample of {few(without)}"] if without else []
        return notes + ([f"thin: {word} has fewer than {_THIN} samples of {few(scarce)}"] if scarce else [])

    def check_measurable(self, targets: NDArray[Any], word: str) -> None:
        """Without any label there is no average precision."""
        if not (targets == 1).any():
            raise DataError(f"no sample of the {word} split has any label, so there is no mAP; give other samples")

    def summary(self, targets: NDArray[Any], names: Sequence[str]) -> dict[str, Any]:
        """`classes`: name → samples; `without`: samples that have no label at all."""
        counts = (targets == 1).sum(axis=0)
        return {
            "classes": {name: int(count) for name, count in zip(names, counts, strict=True)},
            "without": int((targets == 0).all(axis=1).sum()),
        }

    def warnings(self, targets: NDArray[Any], names: Sequence[str]) -> list[str]:
        """Labels that every sample has, and samples that all have exactly one."""
        known = targets[self.labelled(targets)]
        if not len(known):
            return []
        always = [name for name, column in zip(names, known.T, strict=True) if (column == 1).all()]
        lines = [f"every train sample has {few(always)}: there is nothing to learn of it"] if always else []
        if len(names) > 1 and ((known == 1).sum(axis=1) == 1).all():
            lines.append("every train sample has exactly one label: image-classification is the task for that")
        return lines

    def settings(self, targets: NDArray[Any], names: Sequence[str]) -> dict[str, Any]:
        """The thresholds."""
        return {"thresholds": self._thresholds}

    def encode(self, targets: NDArray[Any], names: Sequence[str], settings: Settings) -> NDArray[np.float32]:
        """0 and 1; rows of NaN where there are no labels."""
        return np.where(targets == _NONE, np.float32(np.nan), targets).astype(np.float32)

    def default_objective(self, method: str) -> Objective:
        """Labels only, or labels and the teacher's probabilities of each class."""
        return BinaryCrossEntropy() if method == "alone" else BinaryKD(alpha=0.5 if method == "generations" else 0.9)

    def combine(self, members: Sequence[Outputs], targets: Tensor, method: str) -> Outputs:
        """The logit of the mean probability of each class."""
        if method != "average":
            return super().combine(members, targets, method)
        share = torch.sigmoid(torch.stack([one.logits for one in members]).double()).mean(0)
        return Outputs({"logits": torch.logit(share, eps=1e-7).float()}, members[0].features)

    def check_outputs(self, outputs: Outputs, names: Sequence[str], who: str, data: str, learning: bool) -> None:
        """Also refuses a model that ends in a sigmoid, as the objective applies one."""
        super().check_outputs(outputs, names, who, data, learning)
        made_by = getattr(outputs.logits.grad_fn, "name", lambda: "")()
        if learning and "Sigmoid" in made_by:
            raise ModelError(
                f"the {who} ends in a sigmoid, and would be given a second one: remove it; losses and bundles take "
                "logits"
            )

    def against_chance(self, device: DeviceTask, outputs: Arrays, targets: NDArray[Any]) -> Guess:
        """Guessing reaches, in each class, the share of samples that have the label."""
        there = targets.any(axis=0)
        constant = [np.zeros_like(outputs[0])]
        quality = device.quality(outputs, targets)["mAP"]
        chance = float(targets[:, there].mean())
        error = device.standard_error(outputs, constant, targets)
        return Guess(quality, chance, bool(quality - chance < _ERRORS * error))
