"""Does a file keep its budget of accuracy, and are there enough samples to tell?

A difference of two accuracies on the same samples has a standard error (McNemar 1947: only samples on which one of the
two is right count). Two of them on either side are what a verdict needs:

    kept        the loss and two standard errors are within the budget
    missed      the loss less two standard errors is beyond it
    undecided   anything between: as many samples as these cannot tell
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgestill_benchmarks import accuracy, standard_error
from edgestill_runtime import EdgestillError

Verdict = Literal["kept", "missed", "undecided"]
CERTAINTY = 2.0
"""Standard errors that a difference must be away from the budget for a verdict."""
MOST_SAMPLES = 10_000_000


@dataclass(frozen=True)
class Loss:
    """How much accuracy a file loses against the float model on the same samples.

    Args:
        drop: 0–1; below 0 for a file that is better. standard_error: 0–1, at least one sample's worth.
        samples: how many were compared.
    """

    drop: float
    standard_error: float
    samples: int

    def verdict(self, budget: float) -> Verdict:
        """What the samples tell about a budget, 0–1."""
        margin = CERTAINTY * self.standard_error
        # A share of samples is a whole number of them; the last digit of a difference is not.
        if self.drop + margin <= budget + 1e-9:
            return "kept"
        return "missed" if self.drop - margin > budget + 1e-9 else "undecided"

    def excess(self, budget: float) -> float:
        """Beyond the budget and one standard error, 0–1; 0 within them."""
        return max(0.0, self.drop - budget - self.standard_error - 1e-9)

    def samples_needed(self, budget: float) -> int:
        """How many samples would tell, were the loss what it seems; rounded up to two digits."""
        distance = max(abs(budget - self.drop), 1e-9)
        needed = self.samples * (CERTAINTY * self.standard_error / distance) ** 2
        needed = min(max(needed, CERTAINTY / max(budget, 1e-9)), MOST_SAMPLES)
        unit: int = 10 ** max(math.ceil(math.log10(needed)) - 2, 0)
        return math.ceil(needed / unit) * unit

    def __str__(self) -> str:
        word = "below" if self.drop >= 0 else "above"
        return f"{100 * abs(self.drop):.2f} ± {100 * self.standard_error:.2f} points {word}"


def check_shares(**shares: float | None) -> None:
    """Refuse what is no share of samples, by its name; None is fine.

    Raises:
        EdgestillError: one is below 0, above 1 or NaN.
    """
    for name, value in shares.items():
        if value is not None and not 0 <= value <= 1:
            raise EdgestillError(f"{name} is a share of samples from 0 to 1 (0.01 is one point), not {value}")


def measure_loss(reference: NDArray[Any], logits: NDArray[Any], labels: NDArray[Any]) -> Loss:
    """Compare logits (N, classes) of a float model and of a file on labels (N,), N ≥ 1."""
    drop = accuracy(reference, labels) - accuracy(logits, labels)
    # Where no sample changed sides the formula gives 0, but one more sample might.
    return Loss(drop, max(standard_error(reference, logits, labels), 1 / len(labels)), len(labels))


def loss_of_shares(reference: float, share: float, samples: int) -> Loss:
    """The same where only the float model's accuracy is known, not its answers: as of independent samples."""
    variance = reference * (1 - reference) + share * (1 - share)
    return Loss(reference - share, max(math.sqrt(variance / samples), 1 / samples), samples)


def fitting_labels(labels: Any, outputs: int, shape: tuple[int, ...]) -> tuple[NDArray[np.int64] | None, str | None]:
    """Labels that accuracy can be measured with, or the reason why it cannot.

    Args:
        labels: of N samples: whole numbers (N,) or (N, 1), or one-hot (N, classes).
        outputs: how many outputs the model has. shape: of the first one for N samples.

    Returns:
        int64 (N,) and None, or None and the reason.
    """
    given = np.asarray(labels)
    if outputs != 1:
        return None, f"the model has {outputs} outputs, and labels say of none which it is for"
    if len(shape) != 2 or shape[1] < 2:
        return None, f"the model's output {shape[1:]} for a sample is no score a class"
    if given.shape[:1] != shape[:1]:
        return None, f"there are {given.shape[0] if given.ndim else 0} labels for {shape[0]} samples"
    if given.dtype.kind not in "iub" and not (given.dtype.kind == "f" and given.ndim == 2 and given.shape == shape):
        return None, f"the labels are {given.dtype}, and a class is a whole number"
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if given.ndim == 2 and given.shape == shape:
        if not (np.isin(given, (0, 1)).all() and (given.sum(1) == 1).all()):
            return None, "the labels have no, or more than one, class a sample"
        given = given.argmax(1)
    if given.ndim != 1:
        return None, f"the labels have shape {given.shape}; give one class a sample, (N,)"
    whole = given.astype(np.int64)
    if len(whole) and not (whole.min() >= 0 and whole.max() < shape[1]):
        return None, f"the labels go from {whole.min()} to {whole.max()}, and the model has {shape[1]} classes"
    return whole, None
