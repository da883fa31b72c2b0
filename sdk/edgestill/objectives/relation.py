"""Objectives on relations: distances and similarities between the samples of a batch.

Sizes need not agree, so there are no projectors. Without `layers` the logits are compared; with them, each layer's
output.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..errors import OptionError
from .base import Objective, Outputs, teaching
from .layers import as_map, as_vector, parse_layers

Layers = Sequence[str | Sequence[str]]
MOST_VALUES = 1 << 24  # of one tensor, when angles are compared


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
            raise OptionError("RKD takes distance, angle ≥ 0")
        self.distance = distance
        self.angle = angle
        self.layers = parse_layers(layers, "RKD") if layers else ()

    def forward(self, student: Outputs, teacher: Outputs | None, targets: Tensor) -> Tensor:
        losses = []
        for pair in _compared(self, student, teacher):
            ours, theirs = (_precise(as_vector(features)) for features in pair)
            if self.distance:
                losses.append(self.distance * F.smooth_l1_loss(_distances(ours), _distances(theirs)))
            if self.angle:
                losses.append(self.angle * _angle_loss(ours, theirs))
        if not losses:
            return 0 * student.logits.sum()
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
    outputs = teaching(teacher, objective)
    if not objective.layers:
        return [(student.logits, outputs.logits)]
    return [(student.features[one], outputs.features[other]) for one, other in objective.layers]


def _precise(vectors: Tensor) -> Tensor:
    """At least float32: distances in half precision are too coarse, and not supported on every device."""
    return vectors.float() if vectors.dtype in (torch.float16, torch.bfloat16) else vectors


def _distances(vectors: Tensor) -> Tensor:
    """Distances (N·(N-1),) of all ordered pairs, in units of their mean."""
    apart = ~torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    # Not by matrix multiplication, which loses all precision for vectors that are close.
    lengths = torch.cdist(vectors, vectors, compute_mode="donot_use_mm_for_euclid_dist")[apart]
    return lengths / lengths.mean().clamp_min(1e-12)


def _angle_loss(ours: Tensor, theirs: Tensor) -> Tensor:
    """Mean over all triples of huber(a_s - a_t); in chunks of vertices to save memory."""
    count, width = len(ours), max(len(ours), ours.shape[1], theirs.shape[1])
    vertices = max(1, MOST_VALUES // (count * width))
    if vertices >= count:
        return _angle_losses(ours, theirs, 0, count) / count**3
    # Each part is recomputed in the backward pass to save memory (checkpointing).
    parts = [
        checkpoint(_angle_losses, ours, theirs, start, start + vertices, use_reentrant=False)
        for start in range(0, count, vertices)
    ]
    return torch.stack(parts).sum() / count**3


def _angle_losses(ours: Tensor, theirs: Tensor, start: int, end: int) -> Tensor:
    """Sum over the triples whose vertex is one of start…end-1."""
    return F.smooth_l1_loss(_angles(ours, start, end), _angles(theirs, start, end), reduction="sum")


def _angles(vectors: Tensor, start: int, end: int) -> Tensor:
    """Cosines (vertices, N, N): at vertex j, between the directions to i and to k."""
    directions = F.normalize(vectors[None] - vectors[start:end, None], dim=2, eps=1e-6)
    return directions @ directions.transpose(1, 2)


def _similarities(rows: Tensor) -> Tensor:
    return F.normalize(rows @ rows.T, dim=1)
