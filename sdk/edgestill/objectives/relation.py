"""Objectives on relations: not what a model says of a sample, but how the samples of a batch lie to each other.

Sizes need not agree, so there are no projectors. Without `layers` the logits are compared; with them, each layer's
output.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import Objective, Outputs, teaching
from .layers import as_map, as_vector, parse_layers

Layers = Sequence[str | Sequence[str]]


class RKD(Objective):
    """Park et al. 2019, "Relational Knowledge Distillation" (arXiv:1904.05068), by distance and by angle.

    Of a batch's vectors e (features are averaged over positions):
    `distance · mean over pairs i ≠ j of huber(d_s - d_t)`, `d = ‖e_i - e_j‖ / mean of it over all pairs`, and
    `angle · mean over triples of huber(a_s - a_t)`, `a = cos of the angle at e_j between e_i and e_k`,
    with huber(x) = x²/2 up to |x| = 1 and |x| - ½ beyond.

    Args:
        distance, angle: weights ≥ 0; the paper's are 25 and 50 beside a cross entropy of weight 1.
        layers: pairs [student's, teacher's]; the logits when empty.
    """

    def __init__(self, distance: float = 25.0, angle: float = 50.0, layers: Layers = ()) -> None:
        super().__init__()
        if min(distance, angle) < 0:
            raise ValueError("RKD takes distance, angle ≥ 0")
        self.distance = distance
        self.angle = angle
        self.layers = parse_layers(layers, "RKD") if layers else ()

    def forward(self, student: Outputs, teacher: Outputs | None, targets: Tensor) -> Tensor:
        losses = []
        for pair in _compared(self, student, teacher):
            ours, theirs = (as_vector(features) for features in pair)
            losses.append(
                self.distance * F.smooth_l1_loss(_distances(ours), _distances(theirs))
                + self.angle * F.smooth_l1_loss(_angles(ours), _angles(theirs))
            )
        return torch.stack(losses).sum()


class SimilarityPreserving(Objective):
    """Tung & Mori 2019, "Similarity-Preserving Knowledge Distillation" (arXiv:1907.09682).

    `‖ G_s - G_t ‖² / N²` (Frobenius), where the rows of G are those of `Q Qᵀ`, scaled to length 1, and Q is the batch
    of features with each sample as one long row, (N, C·H·W): the same pairs of samples shall look alike to both.

    Args:
        layers: pairs [student's, teacher's]; the logits when empty.
    """

    def __init__(self, layers: Layers = ()) -> None:
        super().__init__()
        self.layers = parse_layers(layers, "SimilarityPreserving") if layers else ()

    def forward(self, student: Outputs, teacher: Outputs | None, targets: Tensor) -> Tensor:
        losses = []
        for pair in _compared(self, student, teacher):
            ours, theirs = (_similarities(as_map(features).flatten(1)) for features in pair)
            losses.append(F.mse_loss(ours, theirs))
        return torch.stack(losses).sum()


def _compared(objective: Objective, student: Outputs, teacher: Outputs | None) -> list[tuple[Tensor, Tensor]]:
    said = teaching(teacher, objective)
    if not objective.layers:
        return [(student.logits, said.logits)]
    return [(student.features[one], said.features[other]) for one, other in objective.layers]


def _distances(vectors: Tensor) -> Tensor:
    """Distances (N·(N-1),) of all ordered pairs, in units of their mean."""
    apart = ~torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    squares = (vectors[:, None] - vectors[None]).square().sum(2)[apart]
    lengths = squares.clamp_min(1e-12).sqrt()
    return lengths / lengths.mean()


def _angles(vectors: Tensor) -> Tensor:
    """Cosines (N, N, N): at vertex j, between the directions to i and to k."""
    directions = F.normalize(vectors[None] - vectors[:, None], dim=2, eps=1e-6)
    return directions @ directions.transpose(1, 2)


def _similarities(rows: Tensor) -> Tensor:
    return F.normalize(rows @ rows.T, dim=1)
