"""One or several values per image. Targets are float32 (N, values) in their own units; NaN if unlabelled."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgestill_runtime import Task as DeviceTask
from edgestill_runtime.tasks import Outputs as Arrays
from edgestill_runtime.tasks.regression import Regression as Device

from ..errors import DataError, OptionError
from ..objectives import Objective, Outputs
from ..objectives.base import teaching
from .base import Guess, Settings, Targets, Task
from .columns import Columns, is_identifier, names_of_columns
from .labels import few
from .values import number_of_cell, read_values, share_of_numbers

_ERRORS = 3.0
_STRATA = 10
_TOLERANCE = 0.05  # of the standard deviation of a target
_THIN_VALIDATION, _THIN_TRAIN = 20, 50


class SquaredError(Objective):
    """Targets only: the mean over samples and values of `(z_s - y)²`, in units of the targets' standard deviation."""

    needs_teacher = False
    assumes = "values"

    def forward(self, student: Outputs, teacher: Outputs | None, targets: Tensor) -> Tensor:
        """See the class."""
        return squared_loss(student.logits, targets)


class RegressionKD(Objective):
    """`(1 - alpha) · mean (z_s - y)² + alpha · mean (z_s - z_t)²`: the teacher's values beside the targets.

    The imitation loss of Saputra et al. 2019, "Distilling Knowledge From a Deep Pose Regressor Network"
    (arXiv:1908.00858), without its weighting of samples by the teacher's error.

    Args:
        alpha: share of the teacher, 0–1.
    """

    assumes = "values"

    def __init__(self, alpha: float = 0.5) -> None:
        super().__init__()
        if not 0 <= alpha <= 1:
            raise OptionError(f"RegressionKD takes alpha in 0–1, not {alpha}")
        self.alpha = alpha

    def forward(self, student: Outputs, teacher: Outputs | None, targets: Tensor) -> Tensor:
        """See the class."""
        soft = (student.logits - teaching(teacher, self).logits).square().mean()
        return (1 - self.alpha) * squared_loss(student.logits, targets) + self.alpha * soft


def squared_loss(values: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error of (N, values); NaN, where there is no target, counts as 0."""
    known = ~targets.isnan()
    return ((values - torch.where(known, targets, 0.0)).square() * known).mean()


class Regression(Task):
    """Values, learnt with mean 0 and standard deviation 1 (of train), and given in units of the target.

    Args:
        tolerance: in units of the target, largest difference of two predictions that count as equal: one for each
            value, or one for all; a twentieth of the target's standard deviation when None.
        units: of the values, for display; one for all, or one for each.
        columns: of a table that are the values, in this order; all columns of numbers when empty.
    """

    device = Device
    assumes = "values"
    outputs = ("values",)
    objectives: ClassVar[Mapping[str, type[Objective]]] = {"squared-error": SquaredError, "regression-kd": RegressionKD}
    names_word = "values"
    targets_word = "values"
    augmentations = ()  # a value may be one of place, size or direction

    def __init__(
        self,
        tolerance: float | Sequence[float] | None = None,
        units: str | Sequence[str] = "",
        columns: str | Sequence[str] = (),
    ) -> None:
        values = tolerance if isinstance(tolerance, (list, tuple)) else [0.0 if tolerance is None else tolerance]
        numbers = [number_of_cell(one) if not isinstance(one, str) else None for one in values]
        if not numbers or any(one is None or not 0 <= one < math.inf for one in numbers):
            raise OptionError(f"tolerance is a number from 0 on, in units of the target, not {tolerance!r:.60}")
        texts = [units] if isinstance(units, str) else units
        if not isinstance(texts, (list, tuple)) or not all(isinstance(one, str) for one in texts):
            raise OptionError(f"units is a text, or a text for each value, not {units!r:.60}")
        self._tolerance = [] if tolerance is None else [float(one) for one in numbers if one is not None]
        self._units = units
        self.columns = names_of_columns(columns)

    def read_targets(self, splits: Mapping[str, Columns], names: Sequence[str], where: str) -> Targets:
        """A column of numbers for each value, or one column of lists of numbers."""
        read = {split: read_values(columns, names, f"{where}: {split}") for split, columns in splits.items()}
        known = read["train"][1]
        for split, (_, names_of_split) in read.items():
            if names_of_split != known:
                raise DataError(
                    f"{where}: train has the values {', '.join(known)}, {split} has {', '.join(names_of_split)}"
                )
        return Targets({split: array for split, (array, _) in read.items()}, known)

    def find_columns(self, columns: Columns, where: str) -> tuple[str, ...]:
        """All columns of numbers except row numbers; else the only column of lists of numbers.

        A column is numeric if most of its cells are numbers; the other cells are then refused with their line.
        """
        shares = {name: share_of_numbers(cells) for name, cells in columns.items() if not is_identifier(name)}
        numeric = tuple(name for name, (numbers, _) in shares.items() if numbers > 0.5)
        lists = tuple(name for name, (_, lists) in shares.items() if lists > 0.5)
        if not numeric and len(lists) != 1:
            listed = f"it has {few(list(columns))}" if columns else "it has no other column than that of the files"
            raise DataError(
                f"{where} has no column of numbers: {listed}; name those that are meant with `columns` under "
                "[task_options]"
            )
        return numeric or lists

    def labelled(self, targets: NDArray[Any]) -> NDArray[np.bool_]:
        """Rows of numbers."""
        return np.asarray(~np.isnan(targets).any(axis=1))

    def without(self, targets: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[Any]:
        """NaN for the others."""
        return np.where(known[:, None], targets, np.float32(np.nan))

    def unknown(self, count: int, names: Sequence[str]) -> NDArray[Any]:
        """NaN."""
        return np.full((count, len(names)), np.nan, np.float32)

    def strata(self, targets: NDArray[Any]) -> NDArray[np.int64]:
        """Deciles of the first value."""
        ranks = np.argsort(np.argsort(targets[:, 0], kind="stable"), kind="stable")
        count = min(_STRATA, max(1, len(targets) // 2))
        return np.asarray(ranks * count // max(len(targets), 1), np.int64)

    def reordered(self, targets: NDArray[Any], places: NDArray[np.int64]) -> NDArray[Any]:
        """Columns in another order."""
        made = np.empty_like(targets)
        made[:, places] = targets
        return made

    def text(self, target: Any, names: Sequence[str]) -> str:
        """The values, or `none`."""
        if np.isnan(target).any():
            return "none"
        return ", ".join(f"{name} {float(one):.4g}" for name, one in zip(names, target, strict=True))

    def thin(self, targets: NDArray[Any], names: Sequence[str], word: str) -> list[str]:
        """Fewer than 20 samples to validate with, or 50 to train with."""
        count = len(targets)
        if word == "validation" and count < _THIN_VALIDATION:
            return [f"thin: {count} validation samples; collect more, or raise `validation` under [data]"]
        return [f"thin: {count} train samples; collect more"] if word == "train" and count < _THIN_TRAIN else []

    def check_measurable(self, targets: NDArray[Any], word: str) -> None:
        """Values that never vary have no R²."""
        if len(targets) == 1:
            raise DataError(f"the {word} split has one sample, so there is no R² of it; give more samples")
        if len(targets) and (targets == targets[0]).all():
            raise DataError(f"the values of the {word} split never vary, so there is no R² of them; give other samples")

    def summary(self, targets: NDArray[Any], names: Sequence[str]) -> dict[str, Any]:
        """`values`: name → least, mean, most, standard deviation."""
        known = targets[self.labelled(targets)].astype(np.float64)
        if not len(known):
            return {"values": {}}
        return {
            "values": {
                name: {
                    "least": float(column.min()), "mean": float(column.mean()), "most": float(column.max()),
                    "std": float(column.std()),
                }
                for name, column in zip(names, known.T, strict=True)
            }
        }  # fmt: skip

    def warnings(self, targets: NDArray[Any], names: Sequence[str]) -> list[str]:
        """Values that never vary."""
        known = targets[self.labelled(targets)]
        fixed = [name for name, column in zip(names, known.T, strict=True) if len(column) and np.ptp(column) == 0]
        return [f"{', '.join(fixed)} never varies in train: there is nothing to learn of it"] if fixed else []

    def settings(self, targets: NDArray[Any], names: Sequence[str]) -> dict[str, Any]:
        """Mean and standard deviation of the targets, the tolerance, and the units."""
        numbers = targets.astype(np.float64)
        std = np.maximum(numbers.std(axis=0), 1e-12)
        std[np.ptp(numbers, axis=0) == 0] = 1.0
        tolerance = self._tolerance or (_TOLERANCE * std).tolist()
        units = [self._units] * len(names) if isinstance(self._units, str) else list(self._units)
        return {"mean": numbers.mean(axis=0).tolist(), "std": std.tolist(), "tolerance": tolerance, "units": units}

    def conversion_settings(self, targets: NDArray[Any], names: Sequence[str]) -> dict[str, Any]:
        """Its outputs are the values themselves: mean 0 and standard deviation 1."""
        return self.settings(targets, names) | {"mean": [0.0] * len(names), "std": [1.0] * len(names)}

    def other_outputs(self, trained: Settings, own: Settings) -> str:
        """The outputs of a model are in standard deviations of the targets that it was trained on."""
        odd = [name for name in ("mean", "std") if not np.allclose(trained.get(name, 0), own.get(name, 0), rtol=1e-6)]
        if not odd:
            return ""
        return (
            f"it was trained on values of {odd[0]} {trained.get(odd[0])}, these data have {own.get(odd[0])}, so a "
            "student would learn values on the wrong scale"
        )

    def encode(self, targets: NDArray[Any], names: Sequence[str], settings: Settings) -> NDArray[np.float32]:
        """`(target - mean) / std`."""
        mean, std = (np.asarray(settings[name], np.float64) for name in ("mean", "std"))
        return ((targets - mean) / std).astype(np.float32)

    def default_objective(self, method: str) -> Objective:
        """Targets only, or targets and the teacher's values."""
        return SquaredError() if method == "alone" else RegressionKD(alpha=0.9 if method == "int8" else 0.5)

    def right(self, device: DeviceTask, outputs: Arrays, targets: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether the values are within the tolerance of their target."""
        values = [[one.value for one in prediction] for prediction in device.answer(outputs)]
        tolerance = np.asarray(device.settings.get("tolerance", 0.0), np.float64)
        return np.asarray((np.abs(np.array(values) - targets) <= tolerance).all(axis=1))

    def against_chance(self, device: DeviceTask, outputs: Arrays, targets: NDArray[Any]) -> Guess:
        """Guessing always predicts the mean, whose R² is 0."""
        quality = device.quality(outputs, targets)["R²"]
        if not np.isfinite(quality):
            return Guess(quality, 0.0, near=True)
        mean, std = (np.asarray(device.settings.get(key, default), np.float64) for key, default in
                     (("mean", 0.0), ("std", 1.0)))  # fmt: skip
        constant = [np.broadcast_to((targets.mean(axis=0) - mean) / std, outputs[0].shape)]
        error = device.standard_error(outputs, constant, targets)
        return Guess(quality, 0.0, bool(quality < _ERRORS * error))
