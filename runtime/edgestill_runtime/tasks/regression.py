"""Regression of one or several values per image: outputs are normalized values, which the task converts to units."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..tensor_spec import TensorSpec
from .base import Measure, Outputs, Scores, Task, for_columns, numbers_of, one_output, one_output_spec, refuse_unknown


class Value(NamedTuple):
    """A value in units of its target; `name` and `unit` may be empty."""

    name: str
    value: float
    unit: str


class Regression(Task):
    """Outputs: (N, values), normalized. Targets: float (N, values), in their own units.

    Settings:
        mean, std: of the targets: `value = mean + std · output`, so that values of very different size share the range
            of an int8 output; default 0 and 1.
        units: one text per value; default empty.
        tolerance: in units of the target, largest difference at which two predictions count as the same: one per value,
            or one for all; default 0.
    """

    name = "regression"
    measures = (Measure("R²", ""), Measure("MAE", "", higher_is_better=False))
    same_answer = "values within the tolerance"

    def __init__(
        self, labels: Sequence[str] = (), settings: Mapping[str, Any] | None = None, scores: Scores = "logits"
    ) -> None:
        super().__init__(labels, settings, scores)
        refuse_unknown(self.settings, ("mean", "std", "units", "tolerance"), self.name)
        count = len(self.labels)
        self.mean = numbers_of(self.settings, "mean", count, 0.0, -1e30)
        self.std = numbers_of(self.settings, "std", count, 1.0, 1e-30)
        self.tolerance = numbers_of(self.settings, "tolerance", count, 0.0, 0.0)
        units = self.settings.get("units") or [""] * count
        if not isinstance(units, (list, tuple)) or len(units) != count or not all(isinstance(u, str) for u in units):
            raise InputError(f"units is a text for each of {count} values, not {units!r:.60}")
        self.units = tuple(units)

    def check(self, outputs: Sequence[TensorSpec]) -> None:
        """See `Task.check`."""
        one_output_spec(outputs, self.labels, "values")

    def values(self, outputs: Outputs) -> NDArray[np.float64]:
        """Predicted values float64 (N, values), in units of the target."""
        numbers = one_output(outputs, "values")
        if self.labels and numbers.shape[1] != len(self.labels):
            raise InputError(f"outputs {numbers.shape} are no values of {', '.join(self.labels)}")
        mean, std = (for_columns(one, numbers.shape[1], name) for one, name in ((self.mean, "mean"), (self.std, "std")))
        return np.asarray(mean + std * numbers.astype(np.float64), np.float64)

    def answer(self, outputs: Outputs, **options: Any) -> list[list[Value]]:
        """For each sample one `Value` per label, in the order of the labels."""
        values = self.values(outputs)
        names = self.labels or tuple(map(str, range(values.shape[1])))
        units = self.units or ("",) * len(names)
        return [[Value(n, float(one), u) for n, one, u in zip(names, row, units, strict=True)] for row in values]

    def quality(self, outputs: Outputs, targets: NDArray[Any]) -> dict[str, float]:
        """R², the mean over values of `1 - Σ (x - y)² / Σ (y - mean(y))²`, and MAE, the mean of |x - y|.

        A value that is constant in the targets has no R² and is left out of the mean. NaN in an output counts as an
        infinite error: MAE = ∞, R² = -∞.
        """
        apart, spread = self._errors(outputs, targets)
        varies = spread > 0
        if not varies.any():
            raise InputError("the targets never vary: there is no R² of them")
        with np.errstate(invalid="ignore"):
            shares = 1 - np.square(apart).sum(axis=0)[varies] / spread[varies]
        return {"R²": float(shares.mean()), "MAE": float(np.abs(apart).mean())}

    def same(self, first: Outputs, second: Outputs) -> NDArray[np.bool_]:
        """Whether all values differ by at most the tolerance."""
        one, other = self.values(first), self.values(second)
        if one.shape != other.shape:
            raise InputError(f"outputs {one.shape} and {other.shape} cannot be compared")
        # A millionth more, so that a difference equal to the tolerance passes despite rounding.
        most = for_columns(self.tolerance, one.shape[1], "tolerance") * (1 + 1e-6)
        return np.asarray((np.abs(one - other) <= most).all(axis=1))

    def standard_error(self, first: Outputs, second: Outputs, targets: NDArray[Any]) -> float:
        """Standard error of the difference of R², paired over samples, with the variance of the targets fixed."""
        (one, spread), (other, _) = self._errors(first, targets), self._errors(second, targets)
        varies = spread > 0
        parts = ((np.square(one) - np.square(other))[:, varies] / spread[varies]).mean(axis=1)
        return float(parts.std() * np.sqrt(len(parts)))

    def details(self, outputs: Outputs, targets: NDArray[Any]) -> dict[str, Any]:
        """`per_class`: name of the value → its R², None if its targets are constant; `mae`: name → MAE."""
        apart, spread = self._errors(outputs, targets)
        names = self.labels or tuple(map(str, range(apart.shape[1])))
        squares = np.square(apart).sum(axis=0)
        return {
            "per_class": {
                name: float(1 - squares[place] / spread[place]) if spread[place] > 0 else None
                for place, name in enumerate(names)
            },
            "mae": {name: float(np.abs(apart[:, place]).mean()) for place, name in enumerate(names)},
        }

    def describe(self, answer: Any) -> str:
        """`width 12.3 mm, height 4.56 mm`."""
        return ", ".join(f"{one.name} {one.value:.4g} {one.unit}".strip() for one in answer)

    def _errors(self, outputs: Outputs, targets: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Errors (N, values), and each target's sum of squared deviations from its mean (values,)."""
        values = self.values(outputs)
        expected = np.asarray(targets, np.float64)
        if expected.ndim == 1:
            expected = expected[:, None]
        if values.shape != expected.shape or not len(values):
            raise InputError(f"outputs (N, values) need targets of that shape, not {values.shape} and {expected.shape}")
        apart = values - expected
        apart[np.isnan(apart)] = np.inf
        spread = np.square(expected - expected.mean(axis=0)).sum(axis=0)
        spread[expected.max(axis=0) == expected.min(axis=0)] = 0.0  # exactly, despite rounding of the mean
        return apart, spread
