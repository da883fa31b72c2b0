"""What every task has on the device: answers from outputs, how good they are, and when two answers are the same."""

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
"""Real numbers as `Model.outputs_of` gives them: one array (N, …) for each output of a model."""
Scores = Literal["logits", "probabilities"]
RESAMPLES = 200


@dataclass(frozen=True)
class Measure:
    """A number that says how good outputs are.

    Args:
        name: in manifests and reports, such as `accuracy`.
        unit: shown behind it; `%` for a share 0–1, which is shown times 100.
        higher_is_better: its direction.
    """

    name: str
    unit: str = "%"
    higher_is_better: bool = True

    def show(self, value: float) -> str:
        """For people: `91.30 %`, `0.412 mm`."""
        return f"{100 * value:.2f} %" if self.unit == "%" else f"{value:.4g} {self.unit}".rstrip()


class Task(ABC):
    """What the outputs of a model mean.

    The first of `measures` is the one that decides: budgets, the gate and the retained quality speak of it. It has no
    unit, 1 is perfect, and higher is better.

    Args:
        labels: names of what the last axis of the outputs holds; empty where nobody gave any.
        settings: of the task, as the manifest has them; each task says which it knows.
        scores: `logits`, or `probabilities` where the model itself ends in a softmax or sigmoid.

    Raises:
        InputError: settings that are unknown, or not as they must be.
    """

    name: ClassVar[str]
    """The word for it in a manifest."""
    measures: ClassVar[tuple[Measure, ...]] = ()
    activation: ClassVar[str] = ""
    """What makes probabilities of logits, `softmax` or `sigmoid`; empty for outputs that are neither."""
    same_answer: ClassVar[str] = ""
    """What `agreement` counts, for messages: `the same class`."""
    options: ClassVar[tuple[str, ...]] = ()
    """What `answer` takes beside outputs, and `Model.predict` passes on."""

    def __init__(
        self, labels: Sequence[str] = (), settings: Mapping[str, Any] | None = None, scores: Scores = "logits"
    ) -> None:
        self.labels = tuple(labels)
        self.settings = dict(settings or {})
        self.scores = scores

    @classmethod
    def main(cls) -> Measure | None:
        """The measure that decides; None for a task that has none."""
        return cls.measures[0] if cls.measures else None

    @abstractmethod
    def check(self, outputs: Sequence[TensorSpec]) -> None:
        """Refuse outputs that this task can make nothing of.

        Raises:
            ValueError: says what they are, and what is needed.
        """

    @abstractmethod
    def answer(self, outputs: Outputs, **options: Any) -> list[Any]:
        """Of each sample what `Model.predict` returns.

        Args:
            options: see `options`.

        Raises:
            InputError: an option with a value that makes no sense.
        """

    @abstractmethod
    def quality(self, outputs: Outputs, targets: NDArray[Any]) -> dict[str, float]:
        """Name of each measure → its value.

        Args:
            targets: what is right, (N, …), as the task's data have it.

        Raises:
            InputError: no sample, or shapes that do not belong together.
        """

    @abstractmethod
    def same(self, first: Outputs, second: Outputs) -> NDArray[np.bool_]:
        """bool (N,): the samples for which two models give the same answer; one that answers NaN gives none.

        Raises:
            InputError: shapes that differ.
        """

    def agreement(self, first: Outputs, second: Outputs) -> float:
        """Share of samples, 0–1, for which two models give the same answer.

        Raises:
            InputError: no sample, or shapes that differ.
        """
        same = self.same(first, second)
        if not len(same):
            raise InputError("there is no sample: an agreement of nothing is no number")
        return float(same.mean())

    def standard_error(self, first: Outputs, second: Outputs, targets: NDArray[Any]) -> float:
        """Standard error of the difference of two models' main measure on the same samples.

        It says what another choice of samples might give, not what another seed of a training might. Here by a paired
        bootstrap of 200 resamples (Efron & Tibshirani 1993, chapter 8); a task whose measure is a mean over samples
        has a formula.
        """
        return float(np.std([one - other for one, other in self._resampled((first, second), targets)]))

    def error_of(self, value: float, outputs: Outputs, targets: NDArray[Any]) -> float:
        """Standard error of the main measure of one model that reaches `value` on such samples as these.

        Args:
            outputs: of that model, or of one like it.
        """
        return float(np.std(self._resampled((outputs,), targets)))

    def _resampled(self, sides: Sequence[Outputs], targets: NDArray[Any]) -> list[tuple[float, ...]]:
        """The main measure of each side on resamples; those of which there is none are left out."""
        name, generator, count = self.measures[0].name, np.random.default_rng(0), len(targets)
        found = []
        for _ in range(RESAMPLES):
            rows = generator.integers(0, count, count)
            with suppress(InputError):  # no label in any of them, say
                found.append(tuple(
                    self.quality([part[rows] for part in side], targets[rows])[name] for side in sides
                ))  # fmt: skip
        return found or [(0.0,) * len(sides)]

    def details(self, outputs: Outputs, targets: NDArray[Any]) -> dict[str, Any]:
        """What a report shows beside the measures, as plain data: `per_class` (label → main measure) and the like."""
        return {}

    def describe(self, answer: Any) -> str:
        """One answer of `answer`, in a few words."""
        return str(answer)

    def plain(self, answer: Any) -> list[dict[str, Any]]:
        """One answer of `answer` as rows of plain data, for the device's command line; numbers of 4 digits or more."""
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
        what: the columns hold, for the message.

    Raises:
        InputError: there are several, or one of another shape.
    """
    if len(outputs) != 1 or np.ndim(outputs[0]) != 2:
        shapes = ", ".join(str(np.shape(one)) for one in outputs)
        raise InputError(f"one output (N, {what}) is needed, not {shapes or 'none'}")
    return np.asarray(outputs[0])


def one_output_spec(specs: Sequence[TensorSpec], labels: Sequence[str], what: str) -> None:
    """Refuse outputs of a file other than one whose last axis has a value for each label.

    Raises:
        ValueError: as `Task.check`.
    """
    count = len(labels)
    if count and (len(specs) != 1 or specs[0].shape[-1:] != (count,)):
        raise ValueError(f"{count} labels need one output whose last axis has as many {what}")


def count_of(value: Any, name: str) -> int | None:
    """An option that is a number of things, 1 or more, or None.

    Raises:
        InputError: it is something else.
    """
    if value is None:
        return None
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= 1:
        return int(value)
    raise InputError(f"{name} must be at least 1, not {value!r:.40}")


def number_of(value: Any, name: str, least: float, most: float) -> float:
    """A number within limits.

    Raises:
        InputError: it is something else.
    """
    plain = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not plain or not least <= value <= most:
        raise InputError(f"{name} must be a number from {least:g} to {most:g}, not {value!r:.40}")
    return float(value)


def numbers_of(settings: Mapping[str, Any], name: str, count: int, default: float, least: float) -> NDArray[Any]:
    """A setting that is a list of numbers, one for each of `count` values; one number stands for all of them.

    Raises:
        InputError: it is something else; says what.
    """
    value = settings.get(name)
    values = [default if value is None else value] if not isinstance(value, (list, tuple)) else list(value)
    if len(values) == 1 and count > 1:
        values = values * count
    if len(values) != count and count:
        raise InputError(f"{name} has {len(values)} numbers for {count} values; give one for each, or one for all")
    return np.array([number_of(one, name, least, 1e30) for one in values], np.float64)


def for_columns(numbers: NDArray[Any], columns: int, name: str) -> NDArray[Any]:
    """Of so many columns, the number of each. Without labels nobody knew how many there would be.

    Raises:
        InputError: as `numbers_of`.
    """
    if len(numbers) not in (1, columns):
        raise InputError(f"{name} has {len(numbers)} numbers for {columns} values; give one for each, or one for all")
    return np.broadcast_to(numbers, (columns,))


def refuse_unknown(settings: Mapping[str, Any], known: Sequence[str], task: str) -> None:
    """Refuse settings that a task has not.

    Raises:
        InputError: names one, and those that there are.
    """
    if unknown := sorted(settings.keys() - set(known)):
        raise InputError(f"{task} has no setting {unknown[0]!r:.60}; it has {', '.join(known) or 'none'}")
