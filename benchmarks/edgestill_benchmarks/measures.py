"""The measures of a run's task, and how tables and texts show their values."""

from typing import Any

from edgestill_runtime.tasks import Measure

Task = dict[str, Any]
"""`task` of `results.json`."""


def measures_of(task: Task) -> tuple[Measure, ...]:
    """All measures of a task; the first is the main one."""
    return tuple(Measure(**one) for one in task["measures"])


def main_measure(task: Task) -> Measure:
    """The measure of budgets, the retained quality and every chart; its best value is 1."""
    return measures_of(task)[0]


def title(measure: Measure) -> str:
    """The name at the beginning of a heading: `Accuracy`, `mAP`, `R²`."""
    # A name with a capital in it is a fixed spelling of the field.
    return measure.name[:1].upper() + measure.name[1:] if measure.name.islower() else measure.name


def with_unit(measure: Measure) -> str:
    """The name at the head of a column of bare numbers: `accuracy, %`, `R²`."""
    return f"{measure.name}, {measure.unit}" if measure.unit else measure.name


def difference(measure: Measure, value: float, sign: bool = True) -> str:
    """A difference of two values without its unit.

    `+1.30`, which is percentage points, of a share; `+0.0130` of another measure.

    Args:
        sign: write that of a positive value too.
    """
    mark = "+" if sign else ""
    if measure.unit == "%":
        return f"{100 * value:{mark}.2f}"
    # As many decimals for a difference as for its standard error, which is smaller.
    return f"{value:{mark}.4f}" if abs(value) < 10 else f"{value:{mark}.5g}"


def difference_unit(measure: Measure) -> str:
    """The unit of differences: `points` for a share; empty for a number without unit."""
    return "points" if measure.unit == "%" else measure.unit
