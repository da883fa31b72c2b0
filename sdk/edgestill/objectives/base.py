"""The face that all objectives share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class Outputs:
    """What a model said of a batch: `logits` float32 (N, classes)."""

    logits: Tensor


class Objective(Protocol):
    """A differentiable scalar to minimise."""

    needs_teacher: bool

    def __call__(self, student: Outputs, teacher: Outputs | None, targets: Tensor) -> Tensor:
        """Loss of a batch, averaged over its samples.

        Args:
            student, teacher: outputs for the same views; the teacher's carry no gradient.
            targets: float32 (N, classes), rows summing to 1: one-hot labels, or their blend under mixup.
        """


class WeightedSum:
    """Σ weight · objective."""

    def __init__(self, terms: Sequence[tuple[float, Objective]]) -> None:
        self.terms = tuple(terms)
        self.needs_teacher = any(objective.needs_teacher for _, objective in self.terms)

    def __call__(self, student: Outputs, teacher: Outputs | None, targets: Tensor) -> Tensor:
        losses = [weight * objective(student, teacher, targets) for weight, objective in self.terms]
        return sum(losses[1:], start=losses[0])


def logits_of(teacher: Outputs | None, objective: Objective) -> Tensor:
    """The teacher's logits, or an error that says which objective lacks a teacher."""
    if teacher is None:
        raise ValueError(f"{type(objective).__name__} needs a teacher's outputs")
    return teacher.logits
