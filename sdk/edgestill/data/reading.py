"""Encoded photos and recordings → pixels, by the processor that a device will use.

A format (`formats/`) lists what there is, as a `Listing`, and decodes nothing. `read_listing` makes an `ImageSource` of
it: all pixels in memory, or, where they are more than `MEMORY`, read when they are asked for.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgestill_runtime import AudioProcessor, ImageProcessor, InputError
from edgestill_runtime.processing import Processor
from edgestill_runtime.processing.audio import frames
from edgestill_runtime.processing.base import MAX_SIZE
from edgestill_runtime.processing.pictures import read_picture
from edgestill_runtime.processing.waves import HIGHEST_RATE, LOWEST_RATE

from ..errors import DataError
from ..progress import SILENT, Progress
from .folders import WORDS, Kind
from .heads import image_head
from .recordings import rate_of
from .types import ImageSource, Split

MEMORY = 4 << 30  # bytes of pixels
BANDS = 40
# Smallest and largest value of the keys that have limits, here and in a recipe.
LIMITS: dict[str, tuple[float, float]] = {
    "image_size": (1, MAX_SIZE), "ground": (0, 255), "fill": (0, 255), "rate": (LOWEST_RATE, HIGHEST_RATE),
    "seconds": (AudioProcessor.window, 3600),
}  # fmt: skip
_TURNED = (5, 6, 7, 8)  # orientations that exchange height and width


@dataclass(frozen=True)
class Reading:
    """How photos and recordings become pixels; the keys of `[data]`, see `edgestill_runtime.ImageProcessor`.

    Args:
        image_size: side in pixels. resize, filter, ground, fill: of images. rate, seconds: of recordings.
    """

    image_size: int | None = None
    resize: str = "crop"
    filter: str = "bilinear"
    ground: int = 255
    fill: int = 114
    rate: int | None = None
    seconds: float = 1.0

    def check(self) -> None:
        """Refuse invalid values, before anything is read.

        Raises:
            DataError: which.
        """
        for key in ("image_size", "ground", "fill", "rate"):
            if getattr(self, key) is not None and not isinstance(getattr(self, key), Integral):
                raise DataError(f"under [data]: {key} is a whole number, not {getattr(self, key)!r:.40}")
        if not isinstance(self.seconds, Real):
            raise DataError(f"under [data]: seconds is a number, not {self.seconds!r:.40}")
        for key, (least, most) in LIMITS.items():
            value = getattr(self, key)
            if value is not None and not least <= value <= most:  # also NaN
                raise DataError(f"under [data]: {key} must be {least} to {most}, not {value}")
        try:
            self.images(self.image_size or 8, self.image_size or 8)
            self.recordings(self.rate or 16000)
        except InputError as error:
            raise DataError(f"under [data]: {error}") from error

    def images(self, height: int, width: int, channels: int = 3) -> ImageProcessor:
        """The processor of images; mean and std are put in later."""
        plain = (0.0,) * channels, (1.0,) * channels
        return ImageProcessor(
            height, width, *plain, resize=self.resize, filter=self.filter, ground=self.ground, fill=self.fill
        )

    def recordings(self, rate: int) -> AudioProcessor:
        """The processor of recordings."""
        width = frames(rate, self.seconds, AudioProcessor.window, AudioProcessor.step)
        return AudioProcessor(BANDS, width, (0.0,), (1.0,), rate=rate, seconds=self.seconds)

    def only(self, kind: Kind | None, name: str, sized: bool = True) -> None:
        """Refuse what does not belong to a kind of data.

        Raises:
            DataError: the key, and what it is for.
        """
        usual = Reading()
        images, recordings = ("image_size", "resize", "filter", "ground", "fill"), ("rate", "seconds")
        if kind == "image" and not sized and self.image_size is not None:
            raise DataError(f"image_size is for image-folder:PATH and parquet:PATH only; {name!r} comes in one size")
        for key in recordings if kind == "image" else images:
            if getattr(self, key) != getattr(usual, key):
                raise DataError(f"{key} is for {'recordings' if kind == 'image' else 'images'} only; {name!r} has none")


def check_statistics(mean: Any, std: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Check mean and std: both empty, or both with 3 values (RGB) or 1 for all channels.

    Raises:
        DataError: one without the other, or invalid values.
    """
    checked = []
    for name, values in (("mean", mean), ("std", std)):
        try:
            numbers = np.array([] if isinstance(values, str) else values, dtype=float)
        except (TypeError, ValueError):
            numbers = np.array(np.nan)
        plain = numbers.ndim == 1 and len(numbers) in (0, 1, 3) and np.isfinite(numbers).all()
        if not plain or isinstance(values, str):
            raise DataError(f"{name} is a number for each channel, 1 or 3 of them, not {values!r:.40}")
        checked.append(tuple(numbers.tolist()))
    if any(value <= 0 for value in checked[1]):
        raise DataError(f"std must be greater than 0 in every channel, not {checked[1]}")
    if len(checked[0]) != len(checked[1]):
        raise DataError(
            f"mean and std belong together, 3 values (RGB) each, or 1 for all channels, not {len(checked[0])} and "
            f"{len(checked[1])}"
        )
    return checked[0], checked[1]


def for_each_channel(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """One number is that of every channel: it does not say that a model is one of grey images."""
    return tuple(values) * channels if len(values) == 1 else tuple(values)


class Encoded(Protocol):
    """Photos or recordings as they are stored."""

    def __len__(self) -> int:
        """N."""

    def __getitem__(self, row: int) -> Path | bytes:
        """A file, or its content."""

    def name(self, row: int) -> str:
        """For messages."""

    def identity(self) -> bytes:
        """Tells them from others without reading them."""


class Files:
    """Files of their own."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> Path:
        return self.paths[row]

    def name(self, row: int) -> str:
        """The path."""
        return str(self.paths[row])

    def identity(self) -> bytes:
        """Last two parts of each file's name and its size: decoding all of them would take as long as an epoch."""
        names = "\0".join(f"{'/'.join(path.parts[-2:])} {path.stat().st_size}" for path in self.paths)
        return names.encode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class Part:
    """A split, encoded."""

    samples: Encoded
    targets: NDArray[Any]

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class Listing:
    """The samples of a source, before anything is decoded.

    Args:
        splits: `train`, `test`, and `validation` if the source has its own.
        size: default side in pixels of images; None: they must all have one size.
        notes: automatic choices, one line each. origin: for messages.
    """

    name: str
    kind: Kind
    classes: tuple[str, ...]
    splits: Mapping[str, Part]
    size: int | None = None
    notes: tuple[str, ...] = ()
    origin: str = ""
    skipped: Mapping[str, int] = field(default_factory=dict)


class DecodedLater:
    """Images that stay encoded: uint8 (N, H, W, C), decoded when they are asked for.

    Args:
        exact: as of `decode`.
    """

    def __init__(self, samples: Encoded, processor: Processor, exact: bool = False) -> None:
        # Pixels do not depend on mean and std: the same photos are the same to a model that brings its own.
        plain = (0.0,) * processor.channels, (1.0,) * processor.channels
        self._samples, self._exact = samples, exact
        self._processor = replace(processor, mean=plain[0], std=plain[1])
        self.shape = (len(samples), *processor.image_shape)
        self.dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        images = np.empty((len(rows), *self.shape[1:]), np.uint8)
        for place, row in enumerate(rows.tolist()):
            images[place] = decode(self._samples, row, self._processor, self._exact)[0]
        return images

    def identity(self) -> bytes:
        """What is stored, and what is done to it."""
        return self._samples.identity() + b"\0" + repr(self._processor.to_json()).encode()


def decode(samples: Encoded, row: int, processor: Processor, exact: bool = False) -> tuple[NDArray[np.uint8], bool]:
    """One sample: uint8 (H, W, C), and whether it is grey as it is stored.

    Args:
        exact: refuse an image that would have to be resized.

    Raises:
        DataError: it cannot be decoded; names it.
    """
    try:
        source: Any = samples[row]
        if not isinstance(processor, ImageProcessor):
            return processor.pixels(source)[0], True
        picture = read_picture(source)
        if exact:
            _refuse_size(samples.name(row), upright_size(picture), processor)
        return processor.pixels(picture)[0], _is_grey(picture.pixels)
    except InputError as error:
        name, text = samples.name(row), str(error)
        # Of bytes the processor knows no name.
        raise DataError(f"{text if name in text else f'{name}: {text}'}; repair or remove it") from error


def _refuse_size(name: str, size: tuple[int, int], processor: Processor) -> None:
    height, width = size
    if size != (processor.height, processor.width):
        raise DataError(
            f"{name} has {height}×{width} pixels, the first one {processor.height}×{processor.width}: images of "
            "several sizes; give `image_size` under [data]"
        )


def fits_memory(processor: Processor, count: int) -> bool:
    """Whether the pixels of so many samples are held in memory."""
    return int(np.prod(processor.image_shape)) * count <= MEMORY


def left_encoded(count: int, kind: Kind) -> str:
    """A note about samples that are not held in memory."""
    room = f"{MEMORY >> 30} GB of memory"
    return f"{count:,} {WORDS[kind]} stay encoded and are read while training: they are too many for {room}"


def read_all(
    samples: Encoded, processor: Processor, progress: Progress = SILENT, label: str = "read", exact: bool = False
) -> tuple[NDArray[np.uint8], bool]:
    """All of them: uint8 (N, H, W, C), and whether all are grey as they are stored."""
    images = np.empty((len(samples), *processor.image_shape), dtype=np.uint8)
    grey = True
    with progress.task(label, len(samples)) as task:
        for row in range(len(samples)):
            images[row], one = decode(samples, row, processor, exact)
            grey = grey and one
            task.advance()
    return images, grey


def read_listing(
    listing: Listing, reading: Reading, progress: Progress = SILENT, fixed: Processor | None = None, beside: int = 0
) -> ImageSource:
    """Decode a listing, or defer decoding if it does not fit into memory.

    Args:
        fixed: the processor of an existing model; derived from the listing when None.
        beside: number of other samples, such as unlabelled ones, that need memory too.

    Raises:
        DataError: a sample that cannot be decoded, or images of several sizes and no `image_size`.
    """
    processor, notes = (fixed, ()) if fixed is not None else processor_for(listing, reading)
    exact = fixed is None and listing.kind == "image" and listing.size is None and reading.image_size is None
    count = sum(len(part) for part in listing.splits.values())
    splits = {}
    if not fits_memory(processor, count + beside):
        if exact:
            _compare_sizes(listing, processor, progress)
        for name, part in listing.splits.items():
            splits[name] = Split(DecodedLater(part.samples, processor, exact), part.targets)
        notes = (*notes, left_encoded(count, listing.kind))
    else:
        grey = True
        for name, part in listing.splits.items():
            label = f"read {name} {WORDS[listing.kind]}"
            images, one = read_all(part.samples, processor, progress, label, exact)
            splits[name] = Split(images, part.targets)
            grey = grey and one
        if grey and fixed is None and processor.channels == 3:
            processor = replace(processor, mean=(0.0,), std=(1.0,))
            splits = {name: Split(split.images[..., :1].copy(), split.targets) for name, split in splits.items()}
    return ImageSource(
        listing.name, listing.classes, splits["train"], splits["test"], validation=splits.get("validation"),
        processor=processor, notes=(*listing.notes, *notes),
    )  # fmt: skip


def _compare_sizes(listing: Listing, processor: Processor, progress: Progress) -> None:
    """Refuse images of several sizes by their headers, as they are not decoded before training."""
    with progress.task("compare sizes", sum(len(part) for part in listing.splits.values())) as task:
        for part in listing.splits.values():
            for row in range(len(part)):
                name = part.samples.name(row)
                head = image_head(part.samples[row], name)
                _refuse_size(name, (head.height, head.width), processor)
                task.advance()


def check_made(source: ImageSource, required: Processor) -> None:
    """Refuse decoded pixels in another format than the model's.

    Raises:
        DataError: states the differences.
    """
    made, shape = source.processor, tuple(source.train.images.shape[1:])
    if shape != required.image_shape:
        raise DataError(
            f"the model takes {required.image_shape} (height, width, channels), and {source.name} gives {shape}; give "
            "photos or recordings, which are read as the model takes them, or pixels of that size; or say the model's "
            "own size, mean and std, if they are others"
        )
    if made is None:
        return
    theirs, ours = replace(made, mean=required.mean, std=required.std).to_json(), required.to_json()
    if different := [name for name in ours if theirs[name] != ours[name]]:
        listed = ", ".join(f"{name} {theirs[name]} instead of {ours[name]}" for name in different)
        raise DataError(f"{source.name} makes its pixels differently from the model's training: {listed}")


def processor_for(
    listing: Listing, reading: Reading, rates: Mapping[int, int] | None = None
) -> tuple[Processor, tuple[str, ...]]:
    """The processor of a listing, in colour, and notes.

    Args:
        rates: how many of the train recordings have which rate; looked at here when None.
    """
    reading.only(listing.kind, listing.origin or listing.name)
    train = listing.splits["train"].samples
    if listing.kind == "audio":
        return _for_recordings(listing, reading, rates)
    size = reading.image_size or listing.size
    if size is not None:
        return reading.images(size, size), ()
    try:
        return reading.images(*upright_size(read_picture(train[0]))), ()
    except InputError as error:
        raise DataError(f"{train.name(0)}: {error}; repair or remove it") from error


def upright_size(picture: Any) -> tuple[int, int]:
    """(height, width) of a picture as it is seen."""
    height, width = picture.pixels.shape[:2]
    return (width, height) if picture.orientation in _TURNED else (height, width)


def _for_recordings(
    listing: Listing, reading: Reading, counts: Mapping[int, int] | None
) -> tuple[Processor, tuple[str, ...]]:
    if reading.rate is not None:
        return reading.recordings(reading.rate), ()
    train = listing.splits["train"].samples
    rates = counts or Counter(rate_of(train[row], train.name(row)) for row in range(len(train)))
    rate = min(rates, key=lambda one: (-rates[one], -one))
    others = ", ".join(f"{count:,} of {one:,} Hz" for one, count in sorted(rates.items()) if one != rate)
    notes = (f"the model's rate is {rate:,} Hz, as most recordings have; resampled: {others}",) if others else ()
    try:
        return reading.recordings(rate), notes
    except InputError as error:
        raise DataError(f"{listing.origin or listing.name}: {error}; give `rate` or `seconds` under [data]") from error


def _is_grey(pixels: NDArray[Any]) -> bool:
    if pixels.shape[2] < 3:
        return True
    if pixels.dtype == np.uint16:
        pixels = pixels >> 8
    return bool((pixels[..., :1] == pixels[..., :3]).all())
