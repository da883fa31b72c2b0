"""Whether a file stays within its budget of the task's main measure, and whether the samples suffice to decide.

A difference of two models' measure on the same samples has a standard error (`edgestill_runtime.Task.standard_error`).
Two of them on either side are what a verdict needs:

    kept        the loss and two standard errors are within the budget
    missed      the loss less two standard errors is beyond it
    undecided   anything between: as many samples as these cannot tell
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from edgestill_runtime import EdgestillError, Task
from edgestill_runtime.tasks import Outputs

Verdict = Literal["kept", "missed", "undecided"]
CERTAINTY = 2.0
"""Standard errors that a difference must be away from the budget for a verdict."""
MOST_SAMPLES = 10_000_000


@dataclass(frozen=True)
class Loss:
    """Loss of the main measure of a file against the float model on the same samples.

    Args:
        drop: 0–1; below 0 for a file that is better. standard_error: 0–1, at least one sample's worth.
        samples: how many were compared.
    """

    drop: float
    standard_error: float
    samples: int

    def verdict(self, budget: float) -> Verdict:
        """The verdict for a budget, 0–1."""
        margin = CERTAINTY * self.standard_error
        # Differences of shares have rounding errors in the last digit.
        if self.drop + margin <= budget + 1e-9:
            return "kept"
        return "missed" if self.drop - margin > budget + 1e-9 else "undecided"

    def excess(self, budget: float) -> float:
        """How far the loss exceeds the budget plus one standard error, 0–1; 0 if within."""
        return max(0.0, self.drop - budget - self.standard_error - 1e-9)

    def samples_needed(self, budget: float) -> int:
        """Number of samples that would suffice for a verdict on the measured loss; rounded up to two digits."""
        distance = max(abs(budget - self.drop), 1e-9)
        needed = self.samples * (CERTAINTY * self.standard_error / distance) ** 2
        needed = min(max(needed, CERTAINTY / max(budget, 1e-9)), MOST_SAMPLES)
        unit: int = 10 ** max(math.ceil(math.log10(needed)) - 2, 0)
        return math.ceil(needed / unit) * unit

    def __str__(self) -> str:
        word = "below" if self.drop >= 0 else "above"
        return f"{100 * abs(self.drop):.2f} ± {100 * self.standard_error:.2f} points {word}"


def retained(value: float, teacher: float) -> float:
    """Share of the teacher's main measure; 0 where that is 0 or less (an R²), of which a share means nothing."""
    return value / teacher if teacher > 0 else 0.0


def check_shares(**shares: float | None) -> None:
    """Check that named values are shares, 0–1, or None.

    Raises:
        EdgestillError: one is below 0, above 1 or NaN.
    """
    for name, value in shares.items():
        if value is not None and not 0 <= value <= 1:
            raise EdgestillError(f"{name} is a share from 0 to 1 (0.01 is one point), not {value}")


def measure_loss(task: Task, reference: Outputs, outputs: Outputs, targets: NDArray[Any]) -> Loss:
    """Compare outputs of a float model and a file for the same samples, N ≥ 1, by the main measure of their task."""
    name = task.measures[0].name
    drop = task.quality(reference, targets)[name] - task.quality(outputs, targets)[name]
    # If no prediction changed, the error is 0, but one more sample might change.
    return Loss(drop, max(task.standard_error(reference, outputs, targets), 1 / len(targets)), len(targets))


def unpaired_loss(task: Task, reference: float, value: float, outputs: Outputs, targets: NDArray[Any]) -> Loss:
    """The same if only the float model's main measure is known, not its outputs: as for independent samples."""
    errors = [task.error_of(one, outputs, targets) for one in (reference, value)]
    return Loss(reference - value, max(math.hypot(*errors), 1 / len(targets)), len(targets))
