"""Does a classifier know anything, or does it guess?

Of n samples it classifies a share `a` as labelled. Guessing with the same frequencies of answers would reach
`e = Σ p_c q_c` (p: shares of the labels, q: shares of its answers), so a model that always names the largest class
counts as guessing, however large that class is. With `k = (a - e) / (1 - e)` (Cohen's kappa) and standard errors from
the binomial distribution, it is near chance when both hold:

    a is within 3 standard errors of e,  or  a < 2 e and k < 0.15
    k is below 0.5 also at the upper end of 3 standard errors: there were enough samples to tell
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ERRORS = 3.0
_WEAK, _GOOD = 0.15, 0.5


@dataclass(frozen=True)
class Chance:
    """What was found.

    Args:
        samples: how many. accuracy, chance: shares 0–1, `a` and `e` of above. near: the verdict.
    """

    samples: int
    accuracy: float
    chance: float
    near: bool


def against_chance(answers: NDArray[np.int64], labels: NDArray[np.int64]) -> Chance:
    """Judge answers, class numbers (N,), against labels (N,)."""
    count, number = len(labels), int(max(answers.max(), labels.max())) + 1
    shares = [np.bincount(one, minlength=number) / count for one in (labels, answers)]
    right, chance = float((answers == labels).mean()), float((shares[0] * shares[1]).sum())
    if chance >= 1:  # one class alone
        return Chance(count, right, chance, near=False)
    kappa = (right - chance) / (1 - chance)
    by_chance = np.sqrt(chance * (1 - chance) / count)
    unsure = np.sqrt(max(right * (1 - right), chance * (1 - chance)) / count) / (1 - chance)
    guessing = right - chance < _ERRORS * by_chance or (right < 2 * chance and kappa < _WEAK)
    return Chance(count, right, chance, bool(guessing and kappa + _ERRORS * unsure < _GOOD))
