"""Checks of user-provided arrays: images of one size, targets of the task, names; and their mean and std."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import DataError, one_line
from ..tasks import Task
from .types import ImageSource, Split, blocks_of, in_memory

_ENOUGH = 4096  # images on disk that are read for their mean


def checked_source(source: ImageSource, task: Task) -> ImageSource:
    """The same with images (N, H, W, C) and the targets of a task."""
    names = _names(source)
    for name, part in {"train": source.train, "test": source.test, **source.splits}.items():
        if not isinstance(part, Split):
            raise DataError(f"{source.name}: {name} must be an edgestill.Split, not {type(part).__name__}")
    splits = {name: _with_axes(source.name, name, split) for name, split in source.splits.items()}
    for name, split in splits.items():
        try:
            count = len(split.targets)
        except TypeError:  # no array, or one without axes
            count = 0
        if count != split.images.shape[0]:
            many = split.images.shape[0]
            raise DataError(f"{source.name}: {name} has {many} images and {count} {task.targets_word}")
    if task.columns:
        raise DataError(f"`columns` under [task_options] is for tables and parquet; {source.name} gives one array")
    read = task.read_targets({name: {"target": split.targets} for name, split in splits.items()}, names, source.name)
    task.check_names(read.names, source.name)
    shapes = {name: tuple(split.images.shape[1:]) for name, split in splits.items()}
    for name, shape in shapes.items():
        if shape != shapes["train"]:
            raise DataError(
                f"{source.name}: train images are {shapes['train']}, {name} images {shape}; both need one size"
            )
    if source.processor is not None and source.processor.image_shape != shapes["train"]:
        raise DataError(
            f"{source.name}: its processor makes pixels {source.processor.image_shape}, but it has {shapes['train']}"
        )
    made = {name: Split(split.images, read.splits[name]) for name, split in splits.items()}
    return replace(
        source, classes=read.names, train=made["train"], test=made["test"], validation=made.get("validation"),
        notes=(*source.notes, *read.notes),
    )  # fmt: skip


def _names(source: ImageSource) -> tuple[str, ...]:
    classes: Any = source.classes
    names = tuple(classes) if isinstance(classes, (Sequence, np.ndarray)) and not isinstance(classes, str) else (None,)
    if not all(isinstance(name, str) for name in names):
        raise DataError(f'{source.name}: classes must be names, such as ("cat", "dog"), not {classes!r:.40}')
    return tuple(str(name) for name in names)


def _with_axes(source: str, name: str, split: Split) -> Split:
    images: Any = split.images
    if isinstance(images, (list, tuple)) or type(images).__module__.partition(".")[0] == "torch":
        try:
            images = np.asarray(images)
        except Exception as error:  # rows of several sizes; a tensor that is on a GPU
            raise DataError(f"{source}: {name} images make no array: {one_line(error)}") from error
    lacks = [part for part in ("shape", "dtype", "__len__", "__getitem__") if not hasattr(images, part)]
    if lacks:
        raise DataError(
            f"{source}: {name} images must be an array, or an object that gives rows as `edgestill.Images` says; "
            f"{type(images).__name__} has no {', '.join(lacks)}"
        )
    if isinstance(images, np.ndarray) and images.ndim == 3:
        images = images[..., None]  # grayscale without a channel axis
    shape = tuple(images.shape)
    if images.dtype == np.uint8 and len(shape) == 4 and shape[3] in (1, 3) and 0 not in shape[1:]:
        return Split(images, _as_array(split.targets, f"{source}: {name}"))
    hint = ""
    if images.dtype == np.uint8 and len(shape) == 4 and shape[1] in (1, 3):
        hint = "; its channels must be the last axis: give images.transpose(0, 2, 3, 1)"
    elif np.dtype(images.dtype).kind == "f":
        hint = "; round 255 · x where its values run from 0 to 1"
    elif images.dtype == np.uint16:
        hint = "; give (images >> 8).astype(numpy.uint8) where they use all 16 bits"
    elif len(shape) == 4 and shape[3] in (2, 4):
        hint = "; lay what is transparent over a ground first"
    raise DataError(f"{source}: {name} images must be uint8 (N, H, W, 1 or 3), not {images.dtype} {shape}{hint}")


def _as_array(targets: Any, where: str) -> Any:
    """Convert to an array if possible, such as a tensor; lists stay unchanged."""
    if isinstance(targets, (np.ndarray, list, tuple)) or not hasattr(targets, "__array__"):
        return targets
    try:
        return np.asarray(targets)
    except Exception as error:  # a tensor that is on a GPU, or needs a gradient
        raise DataError(f"{where}: its targets make no array: {one_line(error)}") from error


def statistics_of(split: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel in units of the pixel range, rounded to 4 digits.

    Of images on disk, some thousand are enough.
    """
    images = split.images
    rows = None if in_memory(images) else np.arange(0, len(split), len(split) // _ENOUGH + 1)
    counts = np.zeros((images.shape[3], 256), np.int64)
    for block in blocks_of(images, rows):
        for channel, count in enumerate(counts):
            count += np.bincount(block[..., channel].ravel(), minlength=256)
    values = np.arange(256) / 255.0
    means = [float((count * values).sum() / count.sum()) for count in counts]
    deviations = [
        float(np.sqrt((count * (values - mean) ** 2).sum() / count.sum()))
        for count, mean in zip(counts, means, strict=True)
    ]
    return tuple(round(mean, 4) for mean in means), tuple(round(max(value, 1e-3), 4) for value in deviations)
