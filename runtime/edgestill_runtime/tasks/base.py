"""The interface of a task on the device: predictions from outputs, quality measures, and agreement of two models."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..tensor_spec import TensorSpec

Outputs = Sequence[NDArray[Any]]
"""Dequantized outputs as `Model.outputs_of` returns them: one array (N, …) per output."""
Scores = Literal["logits", "probabilities"]
RESAMPLES = 200


@dataclass(frozen=True)
class Measure:
    """A quality measure.

    Args:
        name: in manifests and reports, such as `accuracy`.
        unit: shown after the value; `%` for a share 0–1, which is shown times 100.
        higher_is_better: whether larger values are better.
    """

    name: str
    unit: str = "%"
    higher_is_better: bool = True

    def show(self, value: float) -> str:
        """The value as text: `91.30 %`, `0.412 mm`."""
        return f"{100 * value:.2f} %" if self.unit == "%" else f"{value:.4g} {self.unit}".rstrip()


class Task(ABC):
    """What the outputs of a model mean.

    The first of `measures` is the main one: budgets, the gate and the retained quality use it. It has no unit, 1 is
    perfect, and higher is better.

    Args:
        labels: names of the entries of the outputs' last axis; empty if unknown.
        settings: of the task, as in the manifest; see the class of each task.
        scores: `logits`, or `probabilities` if the model itself ends in a softmax or sigmoid.

    Raises:
        InputError: a setting is unknown or invalid.
    """

    name: ClassVar[str]
    """Its name in a manifest."""
    measures: ClassVar[tuple[Measure, ...]] = ()
    activation: ClassVar[str] = ""
    """The function from logits to probabilities, `softmax` or `sigmoid`; empty if the outputs are neither."""
    same_answer: ClassVar[str] = ""
    """What `agreement` counts, for messages: `the same class`."""
    options: ClassVar[tuple[str, ...]] = ()
    """Names of the keyword arguments of `answer`, which `Model.predict` passes on."""

    def __init__(
        self, labels: Sequence[str] = (), settings: Mapping[str, Any] | None = None, scores: Scores = "logits"
    ) -> None:
        self.labels = tuple(labels)
        self.settings = dict(settings or {})
        self.scores = scores

    @classmethod
    def main(cls) -> Measure | None:
        """The main measure; None for a task without measures."""
        return cls.measures[0] if cls.measures else None

    @abstractmethod
    def check(self, outputs: Sequence[TensorSpec]) -> None:
        """Refuse a model whose outputs do not fit this task.

        Raises:
            ValueError: states the outputs found, and those required.
        """

    @abstractmethod
    def answer(self, outputs: Outputs, **options: Any) -> list[Any]:
        """One prediction per sample, as `Model.predict` returns it.

        Args:
            options: see `options`.

        Raises:
            InputError: an option has an invalid value.
        """

    @abstractmethod
    def quality(self, outputs: Outputs, targets: NDArray[Any]) -> dict[str, float]:
        """Name of each measure → its value.

        Args:
            targets: ground truth (N, …); see the class of the task.

        Raises:
            InputError: no sample, or shapes that do not match.
        """

    @abstractmethod
    def same(self, first: Outputs, second: Outputs) -> NDArray[np.bool_]:
        """bool (N,): whether two models have the same prediction; False for outputs with NaN.

        Raises:
            InputError: the shapes differ.
        """

    def agreement(self, first: Outputs, second: Outputs) -> float:
        """Share of samples, 0–1, for which two models have the same prediction.

        Raises:
            InputError: no sample, or the shapes differ.
        """
        same = self.same(first, second)
        if not len(same):
            raise InputError("there is no sample: an agreement of nothing is no number")
        return float(same.mean())

    def standard_error(self, first: Outputs, second: Outputs, targets: NDArray[Any]) -> float:
        """Standard error of the difference of two models' main measure on the same samples.

        It covers the choice of samples, not the seed of a training. This is a paired bootstrap with 200 resamples
        (Efron & Tibshirani 1993, chapter 8); tasks whose measure is a mean over samples use a formula instead.
        """
        return float(np.std([one - other for one, other in self._resampled((first, second), targets)]))

    def error_of(self, value: float, outputs: Outputs, targets: NDArray[Any]) -> float:
        """Standard error of one model's main measure `value` on these samples.

        Args:
            outputs: of that model, or of a similar one.
        """
        return float(np.std(self._resampled((outputs,), targets)))

    def _resampled(self, sides: Sequence[Outputs], targets: NDArray[Any]) -> list[tuple[float, ...]]:
        """The main measure of each side on bootstrap resamples; resamples without a measure are left out."""
        name, generator, count = self.measures[0].name, np.random.default_rng(0), len(targets)
        found = []
        for _ in range(RESAMPLES):
            rows = generator.integers(0, count, count)
            with suppress(InputError):  # for example if no sample has a label
                found.append(tuple(
                    self.quality([part[rows] for part in side], targets[rows])[name] for side in sides
                ))  # fmt: skip
        return found or [(0.0,) * len(sides)]

    def details(self, outputs: Outputs, targets: NDArray[Any]) -> dict[str, Any]:
        """Further results for a report, as plain data: `per_class` (label → main measure) and the like."""
        return {}

    def describe(self, answer: Any) -> str:
        """One prediction of `answer` as a short text."""
        return str(answer)

    def plain(self, answer: Any) -> list[dict[str, Any]]:
        """One prediction of `answer` as rows of plain data, for the command line; numbers are rounded."""
        return [{name: _rounded(value) for name, value in one._asdict().items()} for one in answer]


def _rounded(value: Any) -> Any:
    return (
        float(f"{value:.6g}")
        if isinstance(value, float) and abs(value) >= 1
        else (round(value, 4) if isinstance(value, float) else value)
    )


def one_output(outputs: Outputs, what: str) -> NDArray[Any]:
    """The only output, (N, columns).

    Args:
        what: the columns, for the message.

    Raises:
        InputError: there are several outputs, or it has another shape.
    """
    if len(outputs) != 1 or np.ndim(outputs[0]) != 2:
        shapes = ", ".join(str(np.shape(one)) for one in outputs)
        raise InputError(f"one output (N, {what}) is needed, not {shapes or 'none'}")
    return np.asarray(outputs[0])


def one_output_spec(specs: Sequence[TensorSpec], labels: Sequence[str], what: str) -> None:
    """Require one output whose last axis has a value for each label; without labels anything is accepted.

    Raises:
        ValueError: as `Task.check`.
    """
    count = len(labels)
    if count and (len(specs) != 1 or specs[0].shape[-1:] != (count,)):
        raise ValueError(f"{count} labels need one output whose last axis has as many {what}")


def count_of(value: Any, name: str) -> int | None:
    """An optional integer option, 1 or more, or None.

    Raises:
        InputError: another value.
    """
    if value is None:
        return None
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= 1:
        return int(value)
    raise InputError(f"{name} must be at least 1, not {value!r:.40}")


def number_of(value: Any, name: str, least: float, most: float) -> float:
    """A number from `least` to `most`, as a float.

    Raises:
        InputError: another value.
    """
    plain = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not plain or not least <= value <= most:
        raise InputError(f"{name} must be a number from {least:g} to {most:g}, not {value!r:.40}")
    return float(value)


def numbers_of(settings: Mapping[str, Any], name: str, count: int, default: float, least: float) -> NDArray[Any]:
    """A setting with one number per value, float64 (count,); a single number is used for all of them.

    Raises:
        InputError: another length, or an invalid number.
    """
    value = settings.get(name)
    values = [default if value is None else value] if not isinstance(value, (list, tuple)) else list(value)
    if len(values) == 1 and count > 1:
        values = values * count
    if len(values) != count and count:
        raise InputError(f"{name} has {len(values)} numbers for {count} values; give one for each, or one for all")
    return np.array([number_of(one, name, least, 1e30) for one in values], np.float64)


def for_columns(numbers: NDArray[Any], columns: int, name: str) -> NDArray[Any]:
    """`numbers` broadcast to (columns,). Needed without labels, when `numbers_of` does not know the count.

    Raises:
        InputError: another length.
    """
    if len(numbers) not in (1, columns):
        raise InputError(f"{name} has {len(numbers)} numbers for {columns} values; give one for each, or one for all")
    return np.broadcast_to(numbers, (columns,))


def refuse_unknown(settings: Mapping[str, Any], known: Sequence[str], task: str) -> None:
    """Refuse settings that a task does not have.

    Raises:
        InputError: there is one; the message lists the known ones.
    """
    if unknown := sorted(settings.keys() - set(known)):
        raise InputError(f"{task} has no setting {unknown[0]!r:.60}; it has {', '.join(known) or 'none'}")
