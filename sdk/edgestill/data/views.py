"""Augmented views that can be looked up: view v of sample i is the same image in every process, every time.

All randomness of a view is drawn at once from (seed, view), so a view depends neither on the batch nor on the order
nor on the process. That lets the teacher answer a view once, into a cache, and the student meet exactly that view
later ("consistent teaching", Beyer et al. 2022, arXiv:2106.05237), and lets a killed training go on bit for bit.

Images that fit stay on the training device as uint8. Others (`Images` that are read from disk, see `types.py`) come
through workers that read ahead. Either way they are transformed on the device, a batch at a time.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from edgestill_runtime.processing import Processor

from ..errors import DataError
from .augmentation import NO_AUGMENTATION, Augmentation, check_augmentation
from .types import Images, in_memory, rows_of

WORKERS = 2


class Views:
    """A split, to be read in augmented batches on the training device.

    Args:
        images: uint8 (N, H, W, C). targets: float32 (N, …), as `Data.encoded` makes them; None: nothing is learnt.
        workers: processes that read ahead, where the images are not in memory; 0: none.

    Raises:
        DataError: an augmentation that would change what a recording means.
    """

    def __init__(
        self,
        images: Images,
        targets: NDArray[np.float32] | None,
        processor: Processor,
        augmentation: Augmentation = NO_AUGMENTATION,
        seed: int = 0,
        device: torch.device | str = "cpu",
        workers: int = WORKERS,
    ) -> None:
        check_augmentation(augmentation, processor.kind)
        self._augmentation = augmentation
        self._seed = seed
        self._device = torch.device(device)
        self._workers = workers
        self._images = images
        self._resident = self._hold(images) if in_memory(images) else None
        self._table = torch.from_numpy(processor.table()).to(self._device)
        known = np.empty((len(images), 0), np.float32) if targets is None else targets
        self._targets = torch.from_numpy(known).to(self._device)
        self._height, self._width = images.shape[1:3]
        self._drawn: tuple[int, dict[str, Tensor]] | None = None

    def __len__(self) -> int:
        return len(self._targets)

    def batch(self, view: int, index: Tensor) -> tuple[Tensor, Tensor]:
        """Samples `index` (int64 (B,), on the CPU) of one view.

        Returns:
            images float32 (B, C, H, W), channels last in memory, and targets float32 (B, …): those of blended samples
            are blended alike.
        """
        (batch,) = self.batches(view, [index], workers=0)
        return batch

    def batches(
        self, view: int, indices: Sequence[Tensor], workers: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """One batch after the other, as `batch` gives it; images that are not in memory are prefetched."""
        plan = self._draw(view)
        batches = [self._with_partners(plan, index) for index in indices]
        for index, rows, (pixels, places) in zip(indices, batches, self._read(batches, workers), strict=True):
            count = len(index)
            images, targets = self._render(plan, index, pixels, places[:count]), self._targets[index.to(self._device)]
            if len(rows) > count:
                partner = rows[count:]
                weight = plan["weight"][index].to(self._device)
                other = self._render(plan, partner, pixels, places[count:])
                images = torch.lerp(other, images, weight[:, None, None, None])
                other_targets = self._targets[partner.to(self._device)]
                targets = torch.lerp(other_targets, targets, weight.reshape(-1, *[1] * (targets.ndim - 1)))
            yield images, targets

    def _hold(self, images: Images) -> Tensor:
        return self._pad(torch.from_numpy(np.ascontiguousarray(images)).to(self._device))

    def _pad(self, pixels: Tensor) -> Tensor:
        margin = self._augmentation.shift
        return F.pad(pixels, (0, 0, margin, margin, margin, margin)) if margin else pixels

    def _with_partners(self, plan: dict[str, Tensor], index: Tensor) -> Tensor:
        return torch.cat([index, plan["partner"][index]]) if "partner" in plan else index

    def _read(self, batches: Sequence[Tensor], workers: int | None) -> Iterator[tuple[Tensor, Tensor]]:
        """For each batch padded pixels on the device, and where in them each of its samples is."""
        if self._resident is not None:
            for rows in batches:
                yield self._resident, rows.to(self._device)
            return
        loader = DataLoader(
            _Reader(self._images, batches),
            batch_size=None,
            num_workers=min(self._workers if workers is None else workers, len(batches)),
            pin_memory=self._device.type == "cuda",
        )
        for pixels in loader:
            if isinstance(pixels, DataError):  # raised here, it keeps its one line; a worker would add its own stack
                raise pixels
            yield self._pad(pixels.to(self._device, non_blocking=True)), torch.arange(len(pixels), device=self._device)

    def _draw(self, view: int) -> dict[str, Tensor]:
        """The random choices of one view for all samples; the last view drawn is kept."""
        if self._drawn is not None and self._drawn[0] == view:
            return self._drawn[1]
        augmentation, count = self._augmentation, len(self)
        generator = np.random.default_rng([self._seed, 1, view])
        # Every choice is always drawn, so that switching one off does not change the others.
        flips = generator.random(count) < augmentation.flip
        shifts = generator.integers(0, 2 * augmentation.shift + 1, (count, 2))
        centres = generator.integers(0, (self._height, self._width), (count, 2))
        partners = generator.permutation(count)
        weights = generator.beta(augmentation.mixup or 1.0, augmentation.mixup or 1.0, count)
        plan = {"flip": torch.from_numpy(flips), "shift": torch.from_numpy(shifts), "centre": torch.from_numpy(centres)}
        if augmentation.mixup:
            # At least half of each blend is the sample itself, so that every sample keeps its own views.
            plan["weight"] = torch.from_numpy(np.maximum(weights, 1 - weights).astype(np.float32))
            plan["partner"] = torch.from_numpy(partners)
        self._drawn = (view, plan)
        return plan

    def _render(self, plan: dict[str, Tensor], index: Tensor, pixels: Tensor, places: Tensor) -> Tensor:
        """Samples `index`, whose pixels are at `places` of the padded `pixels`."""
        shift, flip = plan["shift"][index].to(self._device), plan["flip"][index].to(self._device)
        across = torch.arange(self._width, device=self._device).expand(len(index), -1)
        across = torch.where(flip[:, None], self._width - 1 - across, across) + shift[:, 1:]
        down = torch.arange(self._height, device=self._device) + shift[:, :1]
        pixels = pixels[places[:, None, None], down[:, :, None], across[:, None, :]]
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


class _Reader(Dataset[Tensor | DataError]):
    """Batches of raw pixels, read by a worker."""

    def __init__(self, images: Images, batches: Sequence[Tensor]) -> None:
        self._images, self._batches = images, batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int) -> Tensor | DataError:
        try:
            return torch.from_numpy(rows_of(self._images, self._batches[number].numpy()))
        except DataError as error:
            return error
