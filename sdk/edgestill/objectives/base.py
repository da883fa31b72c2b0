"""Base classes of objectives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor, nn

from ..errors import OptionError


@dataclass(frozen=True)
class Outputs:
    """Outputs and features of a model for a batch.

    Args:
        tensors: float32 (N, …) by the names that the task defines; a single tensor is called `logits`.
        features: outputs of layers, by layer name: maps (N, C, H, W), tokens (N, T, C) or vectors (N, C).
    """

    tensors: Mapping[str, Tensor]
    features: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.tensors, Tensor):
            object.__setattr__(self, "tensors", {"logits": self.tensors})

    @property
    def logits(self) -> Tensor:
        """The first tensor: of most tasks the only one."""
        return next(iter(self.tensors.values()))


class Objective(nn.Module):
    """A differentiable scalar to minimise. A custom objective is a subclass with a `forward`.

    Attributes:
        needs_teacher: whether it needs a teacher.
        layers: pairs (student's layer, teacher's layer), named as in `named_modules()`, whose outputs it compares.
        assumes: the kind of targets that it uses: the `assumes` of the tasks that it fits. Empty: it fits every
            task.
    """

    assumes: ClassVar[str] = ""
    needs_teacher: bool = True
    layers: tuple[tuple[str, str], ...] = ()

    def bind(self, student: Outputs, teacher: Outputs | None) -> None:
        """Get one batch before training starts, and create projectors for its shapes if needed."""

    def forward(self, student: Outputs, teacher: Outputs | None, targets: Tensor) -> Tensor:
        """Loss of a batch, averaged over its samples.

        Args:
            student, teacher: outputs for the same views; the teacher's carry no gradient.
            targets: float32 (N, …), as the task encodes them: for image classification (N, classes), one-hot labels,
                blended by mixup; zeros if unlabelled.
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


def assumes_of(objective: Objective) -> set[str]:
    """What an objective, or each part of a sum, assumes of the targets."""
    parts = [part for part in objective.modules() if isinstance(part, Objective)]
    return {part.assumes for part in parts}


def teaching(teacher: Outputs | None, objective: Objective) -> Outputs:
    """The teacher's outputs, or an error that names the objective without a teacher."""
    if teacher is None:
        raise OptionError(f"{type(objective).__name__} needs a teacher's outputs")
    return teacher
