"""Data types of this package: images, splits, sources, and data split for training."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgestill_runtime import Task as DeviceTask
from edgestill_runtime.processing import Processor

from ..errors import DataError, EdgestillError, one_line
from ..tasks import ImageClassification, Task

IMAGE_CLASSIFICATION: Task = ImageClassification()
_BLOCK = 64 << 20  # bytes of pixels that are processed at once


class Images(Protocol):
    """uint8 (N, H, W, C): an array, or an object that reads rows on demand, such as a `np.memmap`.

    Objects other than arrays are always indexed with unique rows in ascending order, so an HDF5 data set works too.
    They are pickled, or inherited by a fork, for the worker processes that prefetch.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, C)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8."""

    def __len__(self) -> int:
        """N."""

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]:
        """The images at `rows`, int64 (B,), ascending."""


def in_memory(images: Images) -> TypeGuard[NDArray[np.uint8]]:
    """Whether images are an array in memory rather than read from disk."""
    return isinstance(images, np.ndarray) and not isinstance(images, np.memmap)


def rows_of(images: Images, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The images at `rows`, in any order, with repetitions.

    Raises:
        DataError: a custom `Images` object failed, or returned another shape or dtype.
    """
    if isinstance(images, np.ndarray):
        return np.asarray(images[rows])
    shape = tuple(images.shape[1:])
    if not len(rows):
        return np.empty((0, *shape), np.uint8)
    ascending, places = np.unique(rows, return_inverse=True)
    try:
        values = np.asarray(images[ascending])
    except EdgestillError:
        raise
    except Exception as error:  # of the user's own code
        raise DataError(f"{type(images).__name__} returned no rows: {one_line(error)}") from error
    if values.shape != (len(ascending), *shape) or values.dtype != np.uint8:
        raise DataError(
            f"{type(images).__name__} states images of shape {shape}, but returned {values.dtype} {values.shape} "
            f"for {len(ascending)} of them; it must return uint8 {(len(ascending), *shape)}"
        )
    return values if len(ascending) == len(rows) and (ascending == rows).all() else values[places]


def blocks_of(images: Images, rows: NDArray[np.int64] | None = None) -> Iterator[NDArray[np.uint8]]:
    """The images at ascending `rows` (all when None), in blocks of about 64 MB."""
    chosen = np.arange(len(images), dtype=np.int64) if rows is None else rows
    count = rows_at_once(images)
    for start in range(0, len(chosen), count):
        yield rows_of(images, chosen[start : start + count])


def rows_at_once(images: Images) -> int:
    """Number of images in about 64 MB."""
    return max(1, _BLOCK // max(1, int(np.prod(images.shape[1:]))))


@runtime_checkable
class Identified(Protocol):
    """Images with an identity that needs no reading."""

    def identity(self) -> bytes:
        """Bytes that are hashed instead of the pixels."""


@dataclass(frozen=True)
class Rows:
    """A view of some rows, without a copy."""

    images: Images
    rows: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, C)."""
        return (len(self.rows), *self.images.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8."""
        return self.images.dtype

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]:
        return rows_of(self.images, self.rows[rows])


class Joined:
    """Several `Images` concatenated, without a copy."""

    def __init__(self, parts: Sequence[Images]) -> None:
        self._parts = list(parts)
        self._starts = np.cumsum([0, *(len(part) for part in parts)])
        self.shape = (int(self._starts[-1]), *parts[0].shape[1:])
        self.dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        joined = np.empty((len(rows), *self.shape[1:]), np.uint8)
        for part, start, end in zip(self._parts, self._starts, self._starts[1:], strict=False):
            here = (rows >= start) & (rows < end)
            joined[here] = rows_of(part, rows[here] - start)
        return joined


@dataclass(frozen=True)
class Split:
    """Samples with their targets.

    Args:
        images: uint8 (N, H, W, C). targets: (N, …), as the task defines them: for image classification int64 (N,) in
            0…classes-1, or -1 for no label.
    """

    images: Any  # `Images`; nearly always an array
    targets: NDArray[Any]

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, index: NDArray[np.int64]) -> "Split":
        """The samples at `index`, in that order; images on disk are not read."""
        if in_memory(self.images):
            return Split(self.images[index], self.targets[index])
        base, rows = (
            (self.images.images, self.images.rows[index]) if isinstance(self.images, Rows) else (self.images, index)
        )
        return Split(Rows(base, rows), self.targets[index])

    def load(self) -> "Split":
        """The same with all images in memory."""
        if in_memory(self.images):
            return self
        images = np.empty(tuple(self.images.shape), np.uint8)
        # In storage order, one block at a time.
        order = np.argsort(self.images.rows) if isinstance(self.images, Rows) else np.arange(len(self))
        count = rows_at_once(self.images)
        for start in range(0, len(order), count):
            rows = order[start : start + count]
            images[rows] = rows_of(self.images, rows)
        return Split(images, self.targets)


@dataclass(frozen=True)
class ImageSource:
    """A source of data: names, a train split and a test split with images of one size.

    Targets may have any form that the task reads: labels as text, one-hot rows or booleans.

    Args:
        classes: names along the last axis of the outputs: of classes, labels or values.
        mean, std: normalization per channel in units of the pixel range; computed from the train split when empty.
        validation: the source's own; split off from train when None.
        processor: how the pixels were made from photos or recordings, so that a device does the same; its mean and std
            are ignored. None: the pixels came as arrays of one size, and a device crops.
        notes: messages for users of the source, one line each.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    test: Split
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    validation: Split | None = None
    processor: Processor | None = None
    notes: tuple[str, ...] = ()

    @property
    def splits(self) -> dict[str, Split]:
        """The splits that exist, by name."""
        splits_by_name = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in splits_by_name.items() if split is not None}


@dataclass(frozen=True)
class Calibration:
    """Real samples for calibration, with the metadata that a bundle needs about inputs and outputs.

    Args:
        images: uint8 (N, H, W, C); for models with other inputs one array for each, and no processor.
    """

    images: Any
    targets: NDArray[Any]
    classes: tuple[str, ...]
    processor: Processor | None
    data: dict[str, Any]
    task: str = "image-classification"
    task_settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Data:
    """A source split for training. `test` is read once, at the end; `calibration_split` is a subset of `train`.

    The train split may hold samples without a target; for those only the teacher's outputs are used.
    `processor` converts any photo (or recording) into the pixels of these splits. `seed` is that of the split and of
    the augmented views, so every training on this data uses the same views. `notes` are the messages of `load_data`.
    `task` defines the targets, and `task_settings` are the settings of its device part.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    calibration_split: Split
    validation: Split
    test: Split
    processor: Processor
    digest: str
    seed: int = 0
    notes: tuple[str, ...] = ()
    task: Task = IMAGE_CLASSIFICATION
    task_settings: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def device_task(self) -> DeviceTask:
        """The device part of the task: decodes outputs, measures quality, and compares predictions."""
        return self.task.on_device(self.classes, self.task_settings)

    def encoded(self, split: Split) -> NDArray[np.float32]:
        """Targets of a split as the objectives need them, float32 (N, …)."""
        return self.task.encode(split.targets, self.classes, self.task_settings)

    def calibration(self, samples: int = 256) -> Calibration:
        """The first `samples` of the calibration split, or all of it if it has fewer.

        Raises:
            DataError: `samples` is below 1.
        """
        if samples < 1:
            raise DataError(f"{samples} calibration samples requested; at least one is needed")
        part = self.calibration_split.take(np.arange(min(samples, len(self.calibration_split))))
        return Calibration(
            part.images, part.targets, self.classes, self.processor, self.describe(), self.task.name, self.task_settings
        )

    def labelled(self) -> "Data":
        """A copy without unlabelled samples; labelled samples are repeated to keep the size of the train split.

        So the baseline student has as many steps per epoch as the distilled student. Each repetition is augmented
        differently.
        """
        known = np.flatnonzero(self.task.labelled(self.train.targets))
        if len(known) == len(self.train):
            return self
        if len(known) == 0:
            raise DataError(f"{self.name} has no labelled train images; the baseline student needs labels")
        return replace(self, train=self.train.take(np.resize(known, len(self.train))))

    def learnt_from(self) -> dict[str, Any]:
        """What a training depends on, as plain data: `describe` without the calibration split, and the task."""
        described = {name: value for name, value in self.describe().items() if name != "calibration"}
        return described | {"task": self.task.name, "task_settings": dict(self.task_settings)}

    def describe(self) -> dict[str, Any]:
        """Name, digest and sizes, as plain data for manifests and results."""
        unlabelled = int((~self.task.labelled(self.train.targets)).sum())
        return {
            "name": self.name,
            "digest": self.digest,
            "seed": self.seed,
            "train": len(self.train),
            "calibration": len(self.calibration_split),
            "validation": len(self.validation),
            "test": len(self.test),
            **({"unlabelled": unlabelled} if unlabelled else {}),
        }
