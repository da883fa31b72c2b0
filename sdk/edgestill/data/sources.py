"""From the name of a source to data that is cut, checked and described."""

import hashlib
import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgestill_runtime.processing import ImageProcessor, Processor

from ..errors import DataError, nearest
from ..progress import SILENT, Progress

_BLOCK = 4096  # images that are read from disk at once


class Images(Protocol):
    """uint8 (N, H, W, C): an array, or something that reads rows when they are asked for, such as a `np.memmap`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, C)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8."""

    def __len__(self) -> int:
        """N."""

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]:
        """The images at `rows`, int64 (B,)."""


def in_memory(images: Images) -> TypeGuard[NDArray[np.uint8]]:
    """Whether images are an array in memory rather than read from disk."""
    return isinstance(images, np.ndarray) and not isinstance(images, np.memmap)


@runtime_checkable
class Identified(Protocol):
    """Images that can be told from others without being read."""

    def identity(self) -> bytes:
        """What is hashed instead of the pixels."""


@dataclass(frozen=True)
class Rows:
    """Some rows of images that stay where they are."""

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
        return np.asarray(self.images[self.rows[rows]])


@dataclass(frozen=True)
class Split:
    """Labelled images: `images` uint8 (N, H, W, C), `labels` int64 (N,) in 0…classes-1, or -1 where there is none."""

    images: Any  # `Images`; an array nearly always, and everything that asks for one gets one
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: NDArray[np.int64]) -> "Split":
        """The samples at `index`, in that order; images on disk stay there."""
        if in_memory(self.images):
            return Split(self.images[index], self.labels[index])
        base, rows = (
            (self.images.images, self.images.rows[index]) if isinstance(self.images, Rows) else (self.images, index)
        )
        return Split(Rows(base, rows), self.labels[index])

    def load(self) -> "Split":
        """The same with all images in memory."""
        return self if in_memory(self.images) else Split(self.images[np.arange(len(self))], self.labels)


@dataclass(frozen=True)
class ImageSource:
    """What a source gives: class names, a train split and a test split with images of one size.

    Args:
        mean, std: normalisation per channel in units of the pixel range; computed from the train split when empty.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    test: Split
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


@dataclass(frozen=True)
class Calibration:
    """Real images for choosing quantisation ranges, with all that a bundle has to know about its input and labels."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    processor: Processor
    data: dict[str, Any]


@dataclass(frozen=True)
class Data:
    """A source, cut. `calibration_split` is never trained on; `test` is read once, at the end.

    The train split may hold samples without a label (-1): a teacher's answers are all that is learnt from those.
    `seed` is that of the cut, and of the augmented views: whoever trains on this data meets the same pictures.
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

    def calibration(self, samples: int = 256) -> Calibration:
        """The first `samples` images of the calibration split.

        Raises:
            DataError: fewer than `samples` were set aside.
        """
        if not 0 < samples <= len(self.calibration_split):
            raise DataError(
                f"{samples} calibration images asked for, but {len(self.calibration_split)} were set aside; "
                "set `calibration` under [data] to at least that many"
            )
        part = self.calibration_split.take(np.arange(samples))
        return Calibration(part.images, part.labels, self.classes, self.processor, self.describe())

    def labelled(self) -> "Data":
        """The same without the samples that have no label; the others are repeated until there are as many again.

        So a student that learns from labels alone takes as many steps in an epoch as one that learns from everything,
        and each repetition is augmented in its own way.
        """
        with_label = np.flatnonzero(self.train.labels >= 0)
        if len(with_label) == len(self.train):
            return self
        if len(with_label) == 0:
            raise DataError(f"{self.name} has no labelled train images; a student alone has nothing to learn from")
        return replace(self, train=self.train.take(np.resize(with_label, len(self.train))))

    def describe(self) -> dict[str, Any]:
        """Name, digest and sizes, as plain data for manifests and results."""
        unlabelled = int((self.train.labels < 0).sum())
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


def load_data(
    source: str = "fashion-mnist-mini",
    *,
    validation: float = 0.1,
    calibration: int = 256,
    seed: int = 0,
    image_size: int | None = None,
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
    labelled: int | None = None,
    unlabelled: Path | None = None,
    progress: Progress = SILENT,
) -> Data:
    """Open a source and cut it.

    Args:
        source: see `edgestill.data`.
        validation: share of the train split, 0–0.5, for choosing hyper-parameters.
        calibration: images of the train split set aside for quantisation.
        seed: of the cut and of the augmented views; the same seed gives the same on every machine.
        image_size: side in pixels to which a folder's images are resized; sources of one size take none.
        mean, std: normalisation per channel; the source's own when empty.
        labelled: how many train images keep their label, the classes in proportion; None: all.
        unlabelled: a folder of images without labels, in any subfolders, to learn from as well.

    Raises:
        DataError: the source is unknown, damaged, or too small for the cut.
    """
    opened = open_source(source, image_size=image_size, progress=progress)
    _check(opened)
    train, held_out, checked = _cut(opened, validation, calibration, seed)
    statistics = (opened.mean, opened.std) if opened.mean else _statistics(train)
    if labelled is not None:
        train = _forget_labels(train, labelled, len(opened.classes))
    extra = []
    if unlabelled is not None:
        extra = [_read_unlabelled(unlabelled, train.images.shape[1:], progress)]
        without = np.full(len(extra[0]), -1, np.int64)
        train = Split(np.concatenate([train.load().images, *extra]), np.concatenate([train.labels, without]))
    chosen_mean, chosen_std = (mean or statistics[0], std or statistics[1])
    height, width, channels = train.images.shape[1:]
    if len(chosen_mean) != channels or len(chosen_std) != channels:
        raise DataError(f"{opened.name} has {channels} channels; `mean` and `std` need {channels} values each")
    return Data(
        name=opened.name,
        classes=opened.classes,
        train=train,
        calibration_split=held_out.load(),
        validation=checked.load(),
        test=opened.test.load(),
        processor=ImageProcessor(height, width, tuple(chosen_mean), tuple(chosen_std)),
        digest=digest(opened, *extra),
        seed=seed,
    )


def open_source(source: str, *, image_size: int | None = None, progress: Progress = SILENT) -> ImageSource:
    """Read a source as it is, uncut. See `edgestill.data` for the names."""
    from . import fashion_mnist, image_folder, parquet

    fixed: dict[str, Callable[[], ImageSource]] = {
        "fashion-mnist-mini": fashion_mnist.load_mini,
        "fashion-mnist": lambda: fashion_mnist.load(progress),
    }
    kind, colon, rest = source.partition(":")
    if kind == "parquet" and colon and image_size is None:
        return parquet.load(Path(rest), progress)
    if kind == "image-folder" and colon:
        return image_folder.load(Path(rest), image_size, progress)
    if image_size is not None:
        raise DataError(f"image_size applies to image-folder:PATH only; {source!r} comes in one size")
    if source in fixed:
        return fixed[source]()
    if colon:
        return _call(kind, rest)
    known = [*fixed, "image-folder:PATH", "parquet:PATH", "module:function"]
    raise DataError(f"unknown data source {source!r}{nearest(source, known)}")


def digest(source: ImageSource, *more: NDArray[np.uint8]) -> str:
    """`sha256:…` over class names, shapes, pixels and labels of both splits, and over further images."""
    hasher = hashlib.sha256("\0".join(source.classes).encode())
    for split in (source.train, source.test):
        hasher.update(str(split.images.shape).encode())
        if isinstance(split.images, Identified):
            hasher.update(split.images.identity())
        else:
            for start in range(0, len(split), _BLOCK):
                hasher.update(np.ascontiguousarray(split.images[start : start + _BLOCK]).data)
        hasher.update(np.ascontiguousarray(split.labels.astype("<i8")).data)
    for images in more:
        hasher.update(np.ascontiguousarray(images).data)
    return f"sha256:{hasher.hexdigest()}"


def _forget_labels(train: Split, count: int, classes: int) -> Split:
    if not classes <= count <= len(train):
        raise DataError(
            f"labelled = {count}: between {classes} (one a class) and {len(train)} train images can keep theirs"
        )
    labels = train.labels.copy()
    labels[count:] = -1  # the cut has dealt the classes out in proportion, so the first `count` hold all of them
    return Split(train.images, labels)


def _read_unlabelled(folder: Path, shape: tuple[int, ...], progress: Progress) -> NDArray[np.uint8]:
    from .image_folder import list_images, read_images

    height, width, channels = shape
    if height != width:
        raise DataError(f"unlabelled images can be read for square images alone, not for {height}×{width}")
    return read_images(list_images(folder), height, progress, channels)


def _call(module: str, function: str) -> ImageSource:
    try:
        factory = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise DataError(f"data source {module}:{function} cannot be imported: {error}") from error
    source = factory()
    if not isinstance(source, ImageSource):
        raise DataError(f"{module}:{function} must return an edgestill.ImageSource, not {type(source).__name__}")
    return source


def _check(source: ImageSource) -> None:
    if len(source.classes) < 2:
        raise DataError(f"{source.name} has {len(source.classes)} class; a classifier needs at least two")
    for word, split in (("train", source.train), ("test", source.test)):
        shape, labels = split.images.shape, split.labels
        if split.images.dtype != np.uint8 or len(shape) != 4 or shape[3] not in (1, 3):
            raise DataError(
                f"{source.name}: {word} images must be uint8 (N, H, W, 1 or 3), not {split.images.dtype} {shape}"
            )
        if len(labels) != shape[0] or len(labels) == 0:
            raise DataError(f"{source.name}: {word} has {shape[0]} images and {len(labels)} labels")
        if labels.min() < 0 or labels.max() >= len(source.classes):
            raise DataError(
                f"{source.name}: {word} labels run from {labels.min()} to {labels.max()}, "
                f"but there are {len(source.classes)} classes (0–{len(source.classes) - 1})"
            )
    if source.train.images.shape[1:] != source.test.images.shape[1:]:
        raise DataError(
            f"{source.name}: train images are {source.train.images.shape[1:]}, test images "
            f"{source.test.images.shape[1:]}; both need one size"
        )


def _cut(source: ImageSource, validation: float, calibration: int, seed: int) -> tuple[Split, Split, Split]:
    """(train, calibration, validation), disjoint, each with the classes in the source's proportions."""
    if not 0 < validation <= 0.5:
        raise DataError(f"validation is a share of the train split between 0 and 0.5, not {validation}")
    labels = source.train.labels
    order = np.random.default_rng([seed, 0]).permutation(len(labels))
    # Deal out class by class, so that any stretch of `dealt` holds the classes in proportion.
    rank = np.empty(len(labels))
    for label in range(len(source.classes)):
        of_class = order[labels[order] == label]
        rank[of_class] = (np.arange(len(of_class)) + 0.5) / max(len(of_class), 1)
    dealt = np.lexsort((order.argsort(), rank))
    checked = round(validation * len(labels))
    left = len(labels) - checked - calibration
    if calibration < 1 or left < len(source.classes):
        raise DataError(
            f"{source.name} has {len(labels)} train images: too few for {checked} validation and {calibration} "
            "calibration images; lower `validation` or `calibration` under [data]"
        )
    return (
        source.train.take(dealt[checked + calibration :]),
        source.train.take(dealt[checked : checked + calibration]),
        source.train.take(dealt[:checked]),
    )


def _statistics(split: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel in units of the pixel range, rounded to 4 digits.

    Of images on disk, some thousand are enough.
    """
    images = (
        split.images if in_memory(split.images) else split.images[np.arange(0, len(split), len(split) // _BLOCK + 1)]
    )
    counts = [np.bincount(images[..., channel].ravel(), minlength=256) for channel in range(images.shape[3])]
    values = np.arange(256) / 255.0
    means = [float((count * values).sum() / count.sum()) for count in counts]
    deviations = [
        float(np.sqrt((count * (values - mean) ** 2).sum() / count.sum()))
        for count, mean in zip(counts, means, strict=True)
    ]
    return tuple(round(mean, 4) for mean in means), tuple(round(max(value, 1e-3), 4) for value in deviations)
