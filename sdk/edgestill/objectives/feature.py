"""Objectives on features: on outputs of inner layers. Maps (N, C, H, W); tokens of a transformer become maps.

Heights and widths that differ are averaged to the smaller; channels that differ are bridged by a projector, which is
made when training starts, trained with the student and left out of the result.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import OptionError
from .base import Objective, Outputs, teaching
from .layers import as_map, parse_layers, same_size

Layers = Sequence[str | Sequence[str]]


class FitNets(Objective):
    """Romero et al. 2015, "FitNets: Hints for Thin Deep Nets" (arXiv:1412.6550).

    Σ over layers of the mean of `(r(F_s) - F_t)²` over all values, where r is a 1×1 convolution if the channels differ
    and nothing if they do not. The paper trains on hints first and on labels then; here both go together by weights.

    Args:
        layers: pairs [student's, teacher's].
    """

    def __init__(self, layers: Layers) -> None:
        super().__init__()
        self.layers = parse_layers(layers, "FitNets")
        self.projectors = nn.ModuleList()

    def bind(self, student: Outputs, teacher: Outputs | None) -> None:
        """Make the 1×1 convolutions."""
        self.projectors = nn.ModuleList()
        for ours, theirs in _pairs(self, student, teacher):
            inputs, outputs = ours.shape[1], theirs.shape[1]
            alike = inputs == outputs
            self.projectors.append(nn.Identity() if alike else nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, student: Outputs, teacher: Outputs | None, targets: Tensor) -> Tensor:
        losses = [
            F.mse_loss(*same_size(projector(ours), theirs))
            for projector, (ours, theirs) in zip(self.projectors, _pairs(self, student, teacher), strict=True)
        ]
        return torch.stack(losses).sum()


class AttentionTransfer(Objective):
    """Zagoruyko & Komodakis 2017, "Paying More Attention to Attention" (arXiv:1612.03928).

    Σ over layers of the mean over samples of `‖ Q_s / ‖Q_s‖ - Q_t / ‖Q_t‖ ‖²`, where `Q = Σ_c |F_c|^power` is a map of
    one channel, seen as a vector: where the model looks, not what it sees. So no projector is needed.

    Args:
        layers: pairs [student's, teacher's]. power: ≥ 1; the paper's is 2.
    """

    def __init__(self, layers: Layers, power: float = 2.0) -> None:
        super().__init__()
        if power < 1:
            raise OptionError(f"AttentionTransfer takes power ≥ 1, not {power}")
        self.layers = parse_layers(layers, "AttentionTransfer")
        self.power = power

    def forward(self, student: Outputs, teacher: Outputs | None, targets: Tensor) -> Tensor:
        losses = []
        for pair in _pairs(self, student, teacher):
            ours, theirs = (self._attention(features) for features in same_size(*pair))
            losses.append((ours - theirs).square().sum(1).mean())
        return torch.stack(losses).sum()

    def _attention(self, features: Tensor) -> Tensor:
        return F.normalize(features.abs().pow(self.power).sum(1).flatten(1), dim=1)


class ReviewKD(Objective):
    """Chen et al. 2021, "Distilling Knowledge via Knowledge Review" (arXiv:2104.09044).

    From the last layer to the first, the student's features are fused with those of the deeper layers already seen
    (a 1×1 convolution, two attention maps that weigh both, a 3×3 convolution to the teacher's channels) and compared
    with the teacher's by HCL: the mean squared difference at full size and averaged to 4×4, 2×2 and 1×1, weighted
    1, ½, ¼, ⅛ over their sum. So a teacher's early layers also teach the student's later ones.

    Args:
        layers: pairs [student's, teacher's] from the first to the last.
        width: channels of the fusion, ≥ 1.
    """

    def __init__(self, layers: Layers, width: int = 64) -> None:
        super().__init__()
        if width < 1:
            raise OptionError(f"ReviewKD takes width ≥ 1, not {width}")
        self.layers = parse_layers(layers, "ReviewKD")
        self.width = width
        self.fusions = nn.ModuleList()

    def bind(self, student: Outputs, teacher: Outputs | None) -> None:
        """Make the fusions, the last layer's first."""
        self.fusions = nn.ModuleList()
        for number, (ours, theirs) in enumerate(reversed(_pairs(self, student, teacher))):
            self.fusions.append(_Fusion(ours.shape[1], self.width, theirs.shape[1], first=number == 0))

    def forward(self, student: Outputs, teacher: Outputs | None, targets: Tensor) -> Tensor:
        losses, deeper = [], None
        for fusion, (ours, theirs) in zip(self.fusions, reversed(_pairs(self, student, teacher)), strict=True):
            fused, deeper = fusion(ours, deeper)
            losses.append(hierarchical_context_loss(*same_size(fused, theirs)))
        return torch.stack(losses).sum()


class _Fusion(nn.Module):
    """Attention-based fusion of a layer's features with those of the deeper layers."""

    def __init__(self, inputs: int, width: int, outputs: int, first: bool) -> None:
        super().__init__()
        self.reduce = nn.Sequential(nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width))
        self.weigh = None if first else nn.Sequential(nn.Conv2d(2 * width, 2, 1), nn.Sigmoid())
        self.expand = nn.Sequential(nn.Conv2d(width, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, features: Tensor, deeper: Tensor | None) -> tuple[Tensor, Tensor]:
        reduced = self.reduce(features)
        if self.weigh is not None and deeper is not None:
            raised = F.interpolate(deeper, size=reduced.shape[2:], mode="nearest")
            weights = self.weigh(torch.cat([reduced, raised], dim=1))
            reduced = reduced * weights[:, :1] + raised * weights[:, 1:]
        return self.expand(reduced), reduced


def hierarchical_context_loss(first: Tensor, second: Tensor) -> Tensor:
    """ReviewKD's HCL of two maps of one shape."""
    loss, total, weight = F.mse_loss(first, second), 1.0, 1.0
    for side in (4, 2, 1):
        if min(first.shape[2:]) > side:
            weight /= 2
            one, other = (F.adaptive_avg_pool2d(part, side) for part in (first, second))
            loss = loss + weight * F.mse_loss(one, other)
            total += weight
    return loss / total


def _pairs(objective: Objective, student: Outputs, teacher: Outputs | None) -> list[tuple[Tensor, Tensor]]:
    """(student's map, teacher's map) for each pair of layers."""
    theirs = teaching(teacher, objective).features
    return [(as_map(student.features[one]), as_map(theirs[other])) for one, other in objective.layers]
