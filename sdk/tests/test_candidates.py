"""One rule for everything that was tried: quality, then fewer layers in float, then what is simpler."""

import pytest

from edgestill.budget import Loss
from edgestill.candidates import Candidate, best

BUDGET = 0.003


def candidate(method, drop, kept=0, error=0.001):
    names = tuple(f"conv_{number}" for number in range(kept))
    return Candidate(method, None, 0.9 - drop, Loss(drop, error, 1000), names)


@pytest.mark.parametrize(
    ("tried", "chosen"),
    [
        # Worse than what training gave: float layers do not replace it.
        ([("ptq", 0.05), ("qat", 0.008), ("mixed", 0.02, 4)], "qat"),
        # Within the budget, and the others are not.
        ([("ptq", 0.05), ("qat", 0.008), ("mixed", 0.002, 4)], "mixed"),
        # Both are within it: fewer layers in float.
        ([("ptq", 0.05), ("mixed a", 0.0, 4), ("mixed b", 0.003, 1)], "mixed b"),
        ([("qat", 0.003), ("mixed", -0.01, 1)], "qat"),
        # Alike: what was tried first, the simpler one.
        ([("ptq", 0.002), ("qat", 0.002)], "ptq"),
        ([("ptq", 0.002), ("qat", 0.001)], "qat"),
        # None within it: nearest to it.
        ([("ptq", 0.05), ("qat", 0.08), ("mixed", 0.04, 9)], "mixed"),
        ([("ptq", 0.05)], "ptq"),
    ],
)
def test_the_best_is_kept(tried, chosen):
    assert best([candidate(*one) for one in tried], BUDGET).method == chosen


def test_a_loss_that_its_error_explains_is_within_the_budget():
    assert candidate("ptq", 0.008, error=0.006).within(BUDGET)
    assert not candidate("ptq", 0.008, error=0.004).within(BUDGET)
