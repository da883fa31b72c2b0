"""Augmented views that can be looked up: view v of sample i is the same picture for everybody, every time.

All randomness of a view is drawn at once from (seed, view), so a view depends neither on the batch nor on the order
nor on the process. That lets the teacher answer a view once, into a cache, and the student meet exactly that view
later ("consistent teaching", Beyer et al. 2022, arXiv:2106.05237), and lets a killed training go on bit for bit.
The pixels stay uint8 on the training device and are transformed there, a batch at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from edgestill_runtime.preprocess import Preprocessing

from ..errors import DataError, nearest
from .sources import Split


@dataclass(frozen=True)
class Augmentation:
    """What may happen to an image. The zero of each field leaves it out.

    Args:
        flip: mirror left to right with this probability, 0–1.
        shift: move by up to this many pixels in each direction; what appears at the border is black.
        cutout: blacken a square of this side in pixels at a random place (DeVries & Taylor 2017, arXiv:1708.04552).
        mixup: blend with another image, weight from Beta(mixup, mixup) (Zhang et al. 2018, arXiv:1710.09412).
    """

    flip: float = 0.0
    shift: int = 0
    cutout: int = 0
    mixup: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.flip <= 1:
            raise DataError(f"flip is a probability between 0 and 1, not {self.flip}")
        if min(self.shift, self.cutout, self.mixup) < 0:
            raise DataError("shift, cutout and mixup must not be negative")

    @classmethod
    def parse(cls, names: Sequence[str]) -> "Augmentation":
        """From a recipe: `["flip", "shift:2", "cutout:8", "mixup:0.2"]`; a bare name takes a usual value."""
        usual = {"flip": 0.5, "shift": 2, "cutout": 8, "mixup": 0.2}
        types = {field.name: field.type for field in fields(cls)}
        chosen = {}
        for entry in names:
            name, colon, value = entry.partition(":")
            if name not in usual:
                raise DataError(f"unknown augmentation {name!r}{nearest(name, usual)}")
            try:
                chosen[name] = (int if types[name] is int else float)(value) if colon else usual[name]
            except ValueError as error:
                raise DataError(f"augmentation {entry!r}: {value!r} is not a number") from error
        return cls(**chosen)  # type: ignore[arg-type]


NO_AUGMENTATION = Augmentation()


class Views:
    """A split on the training device, to be read in augmented batches.

    Args:
        split: images uint8 (N, H, W, C) and labels.
        classes: number of classes, the width of the targets.
    """

    def __init__(
        self,
        split: Split,
        classes: int,
        preprocessing: Preprocessing,
        augmentation: Augmentation = NO_AUGMENTATION,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self._augmentation = augmentation
        self._seed = seed
        self._device = torch.device(device)
        margin = augmentation.shift
        pixels = np.pad(split.images, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
        self._pixels = torch.from_numpy(np.ascontiguousarray(pixels)).to(self._device)
        self._table = torch.from_numpy(preprocessing.table()).to(self._device)
        self._targets = torch.nn.functional.one_hot(torch.from_numpy(split.labels), classes).float().to(self._device)
        self._height, self._width = split.images.shape[1:3]
        self._drawn: tuple[int, dict[str, Tensor]] | None = None

    def __len__(self) -> int:
        return len(self._targets)

    def batch(self, view: int, index: Tensor) -> tuple[Tensor, Tensor]:
        """Samples `index` (int64 (B,), on the CPU) of one view.

        Returns:
            images float32 (B, C, H, W), channels last in memory, and targets float32 (B, classes), rows summing to 1.
        """
        plan = self._draw(view)
        images, targets = self._render(plan, index), self._targets[index.to(self._device)]
        if "partner" in plan:
            partner = plan["partner"][index]
            weight = plan["weight"][index].to(self._device)
            images = torch.lerp(self._render(plan, partner), images, weight[:, None, None, None])
            targets = torch.lerp(self._targets[partner.to(self._device)], targets, weight[:, None])
        return images, targets

    def _draw(self, view: int) -> dict[str, Tensor]:
        """The random choices of one view for all samples; the last view drawn is kept."""
        if self._drawn is not None and self._drawn[0] == view:
            return self._drawn[1]
        wanted, count = self._augmentation, len(self)
        generator = np.random.default_rng([self._seed, 1, view])
        # Every choice is always drawn, so that switching one off does not change the others.
        flips = generator.random(count) < wanted.flip
        shifts = generator.integers(0, 2 * wanted.shift + 1, (count, 2))
        centres = generator.integers(0, (self._height, self._width), (count, 2))
        partners = generator.permutation(count)
        weights = generator.beta(wanted.mixup or 1.0, wanted.mixup or 1.0, count)
        plan = {"flip": torch.from_numpy(flips), "shift": torch.from_numpy(shifts), "centre": torch.from_numpy(centres)}
        if wanted.mixup:
            # At least half of each blend is the sample itself, so that every sample keeps its own views.
            plan["weight"] = torch.from_numpy(np.maximum(weights, 1 - weights).astype(np.float32))
            plan["partner"] = torch.from_numpy(partners)
        self._drawn = (view, plan)
        return plan

    def _render(self, plan: dict[str, Tensor], index: Tensor) -> Tensor:
        shift, flip = plan["shift"][index].to(self._device), plan["flip"][index].to(self._device)
        across = torch.arange(self._width, device=self._device).expand(len(index), -1)
        across = torch.where(flip[:, None], self._width - 1 - across, across) + shift[:, 1:]
        down = torch.arange(self._height, device=self._device) + shift[:, :1]
        pixels = self._pixels[index.to(self._device)[:, None, None], down[:, :, None], across[:, None, :]]
        if self._augmentation.cutout:
            pixels = pixels.masked_fill(self._hole(plan["centre"][index].to(self._device))[..., None], 0)
        channels = [values[pixels[..., channel].long()] for channel, values in enumerate(self._table)]
        # (B, H, W, C) seen as (B, C, H, W): channels last without a copy.
        return torch.stack(channels, dim=-1).permute(0, 3, 1, 2)

    def _hole(self, centre: Tensor) -> Tensor:
        """bool (B, H, W): inside the cut-out square."""
        side = self._augmentation.cutout
        rows = torch.arange(self._height, device=self._device) - centre[:, :1] + side // 2
        columns = torch.arange(self._width, device=self._device) - centre[:, 1:] + side // 2
        return ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[:, None, :]
