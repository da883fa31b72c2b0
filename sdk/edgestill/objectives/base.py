"""The face that all objectives share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Outputs:
    """What a model said of a batch.

    Args:
        logits: float32 (N, classes).
        features: by layer name, what that layer gave: maps (N, C, H, W), tokens (N, T, C) or vectors (N, C).
    """

    logits: Tensor
    features: Mapping[str, Tensor] = field(default_factory=dict)


class Objective(nn.Module):
    """A differentiable scalar to minimise. One of your own is a subclass with a `forward`.

    Attributes:
        needs_teacher: whether it is of no use without a teacher.
        layers: pairs (student's layer, teacher's layer), named as in `named_modules()`, whose outputs it compares.
    """

    needs_teacher: bool = True
    layers: tuple[tuple[str, str], ...] = ()

    def bind(self, student: Outputs, teacher: Outputs | None) -> None:
        """See one batch before training starts, and make the projectors that its shapes call for, if any."""

    def forward(self, student: Outputs, teacher: Outputs | None, targets: Tensor) -> Tensor:
        """Loss of a batch, averaged over its samples.

        Args:
            student, teacher: outputs for the same views; the teacher's carry no gradient.
            targets: float32 (N, classes): one-hot labels, or their blend under mixup; zeros where there is no label.
        """
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """Class and settings, as plain data."""
        own = {name: value for name, value in vars(self).items() if not name.startswith("_") and name != "training"}
        parts = {name: part.describe() for name, part in self.named_children() if isinstance(part, Objective)}
        return {"kind": type(self).__name__, **own, **parts}


class WeightedSum(Objective):
    """Σ weight · objective."""

    def __init__(self, terms: Sequence[tuple[float, Objective]]) -> None:
        super().__init__()
        self.weights = tuple(weight for weight, _ in terms)
        for number, (_, objective) in enumerate(terms):
            self.add_module(str(number), objective)
        self.needs_teacher = any(objective.needs_teacher for _, objective in terms)
        self.layers = tuple(dict.fromkeys(pair for _, objective in terms for pair in objective.layers))

    @property
    def terms(self) -> list[tuple[float, Objective]]:
        """Weights and objectives."""
        return list(zip(self.weights, self.children(), strict=True))  # type: ignore[arg-type]

    def bind(self, student: Outputs, teacher: Outputs | None) -> None:
        """Each of its objectives."""
        for _, objective in self.terms:
            objective.bind(student, teacher)

    def forward(self, student: Outputs, teacher: Outputs | None, targets: Tensor) -> Tensor:
        losses: list[Tensor] = [weight * objective(student, teacher, targets) for weight, objective in self.terms]
        return sum(losses[1:], start=losses[0])


def teaching(teacher: Outputs | None, objective: Objective) -> Outputs:
    """The teacher's outputs, or an error that says which objective lacks a teacher."""
    if teacher is None:
        raise ValueError(f"{type(objective).__name__} needs a teacher's outputs")
    return teacher
