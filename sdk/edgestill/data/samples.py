"""Samples from files, for converting a model that was not trained with Edgestill.

samples.npz     images: uint8 or uint16 (N, H, W, C), with labels (N,) if known, and classes: text (C,) if named;
                or any other arrays (N, …), one for each input of the model, in the order of the file
folder          photos of any size, or recordings, in any subfolders; subfolders named like the classes give labels, and
                for other tasks than image classification a table beside the samples gives the targets
files           one photo or recording, or a list of them
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgestill_runtime import ImageProcessor, InputError
from edgestill_runtime.files import sha256_of_file
from edgestill_runtime.processing import Processor

from ..errors import DataError
from ..progress import SILENT, Progress
from ..tasks import Task
from ..tasks.labels import class_places, few, plain_labels, with_classes
from .folders import EXTENSIONS, WORDS, Kind, Skipped, samples_in
from .formats import tables
from .formats.image_folder import DEFAULT_SIZE
from .formats.npz import NpzSamples, read_npz
from .formats.table_files import ENDINGS
from .formats.table_finding import has_table
from .reading import Files, Listing, Part, Reading, for_each_channel, processor_for, read_all
from .types import Split


@dataclass(frozen=True)
class ImageOptions:
    """How samples are read where no processor says it.

    Args:
        image_size: side in pixels to which images are resized; of an `.npz`, their own size when None.
        mean, std: one number each for all channels, or three for RGB; recordings have one channel.
        channels: 1 for a grayscale model, 3 for RGB, to which images are converted; None: 3 where mean has three
            numbers, else as many as the images have.
    """

    image_size: int | None = None
    mean: Sequence[float] = ()
    std: Sequence[float] = ()
    channels: int | None = None


@dataclass(frozen=True)
class Samples:
    """Samples that were read.

    Args:
        images: uint8 (N, H, W, C), or None for models with other inputs; then `arrays` has one array for each.
        targets: (N, …), where they are known: of image classification int64 (N,). classes: names of what the outputs'
            last axis holds, where they are named.
        facts: plain data for the manifest.
        processor: how `images` were made from photos or recordings, so that a device does the same; its mean and std
            are those of the options, else 0 and 1. None for pixels without a stated mean, and without images.
        notes: automatic choices, one line each.
    """

    images: NDArray[np.uint8] | None
    arrays: tuple[NDArray[Any], ...]
    targets: NDArray[Any] | None
    classes: tuple[str, ...]
    facts: dict[str, Any]
    processor: Processor | None = None
    notes: tuple[str, ...] = ()

    def calibration(self, count: int) -> NDArray[np.uint8] | Sequence[NDArray[Any]]:
        """The first `count` samples, as input of `edgestill_converters.convert`."""
        return self.images[:count] if self.images is not None else [one[:count] for one in self.arrays]

    def gate_samples(self) -> Split | Sequence[NDArray[Any]]:
        """All samples, as input of `edgestill.gate.check_bundle`."""
        if self.images is None:
            return self.arrays
        return [self.images] if self.targets is None else Split(self.images, self.targets)


def read_samples(
    path: str | PathLike[str] | Sequence[str | PathLike[str]],
    options: ImageOptions = ImageOptions(),
    *,
    processor: Processor | None = None,
    classes: Sequence[str] = (),
    task: Task | None = None,
    progress: Progress = SILENT,
) -> Samples:
    """Read an `.npz`, a folder of photos or recordings, or files.

    Args:
        options: used where no `processor` is given.
        processor: how photos or recordings become pixels; when None, derived from the options and the samples.
        classes: the model's class names, in its order: subfolders of these names label what is in them, and labels of
            an `.npz` that are text, or numbers of classes that it names, become their numbers.
        task: what the targets are; with it they may also be called `targets` in an `.npz`. None: image classification,
            where labels are classes.

    Raises:
        DataError: nothing there, no samples, arrays of different lengths, or invalid targets.
    """
    several = [Path(one) for one in path] if not isinstance(path, (str, PathLike)) else [Path(path)]
    if len(several) == 1 and several[0].is_file() and several[0].suffix.lower() in (".npz", ".zip", ""):
        read = _from_npz(several[0], options, processor, tuple(classes), task)
    elif not several:
        raise DataError("no samples given; give a folder, files, or an .npz")
    else:
        read = _from_files(several, options, processor, tuple(classes), task, progress)
    for note in read.notes:
        progress.message(note)
    return read


def _from_npz(
    path: Path, options: ImageOptions, processor: Processor | None, names: tuple[str, ...], task: Task | None
) -> Samples:
    content = read_npz(path, ("labels",) if task is None else ("labels", "targets"))
    images = content.images
    colours: tuple[str, ...] = ()
    if images is not None:
        alike = images.dtype == np.uint8 and images.shape[3] in (1, 3)
        if processor is None and (options.image_size or options.mean or not alike):
            side = (options.image_size,) * 2 if options.image_size else images.shape[1:3]
            plain = 1 if images.shape[3] <= 2 else 3
            count = options.channels or max(plain, len(options.mean))
            processor = _normalized(Reading().images(side[0], side[1], count), options)
            colours = _grey_note(count, plain)
        if processor is not None:
            images = processor.pixels(images)
    if task is None or task.of_folders:
        targets, classes, notes = _labels(content, names or content.classes, str(path))
    else:
        targets, classes, notes = _targets(content, names, task, str(path))
    count = len(images) if images is not None else len(content.arrays[0])
    facts = {"name": f"npz:{path.name}", "digest": f"sha256:{sha256_of_file(path)}", "samples": count}
    return Samples(
        images, content.arrays, targets, classes, facts, processor if images is not None else None, (*notes, *colours)
    )


def _labels(
    content: NpzSamples, classes: tuple[str, ...], where: str
) -> tuple[NDArray[np.int64] | None, tuple[str, ...], tuple[str, ...]]:
    """Labels if they are classes; otherwise none, with a note."""
    if content.targets is None:
        return None, classes, ()
    array, kind = content.targets, f"{content.targets.dtype} {content.targets.shape}"
    try:
        plain = plain_labels(array, f"{where}: labels", len(content.classes or classes))
    except DataError as error:
        if array.dtype.kind not in "fiub" or array.ndim > 2:
            raise
        return None, classes, (f"labels {kind} are no classes, and no accuracy is measured: {error}",)
    if plain.dtype.kind == "U" and not classes:
        note = f"labels are text, and {where} has no `classes` that says which output is which: no accuracy is measured"
        return None, (), (note,)
    if plain.dtype.kind != "U":
        count = len(content.classes or classes)
        if plain.min() < 0 or (count and plain.max() >= count):
            most = f" to {count - 1}" if count else ""
            raise DataError(f"{where}: labels run from {plain.min()} to {plain.max()}, but classes from 0{most}")
        # Numbers do not define class names: only the model knows the order of its outputs.
        if content.classes in ((), classes):
            return plain, classes, ()
        plain = np.array(content.classes)[plain]  # file and model have different orders
    labels, names, notes = with_classes({"the file": plain}, classes, where)
    return labels["the file"], names, notes


def _targets(
    content: NpzSamples, names: tuple[str, ...], task: Task, where: str
) -> tuple[NDArray[Any] | None, tuple[str, ...], tuple[str, ...]]:
    """Targets of a task, their names in the model's order, and notes."""
    if content.targets is None:
        return None, names or content.classes, ()
    read = task.read_targets({"train": {"target": content.targets}}, content.classes or names, where)
    places = class_places(names, read.names)
    if places is None:
        return read.splits["train"], names or read.names, read.notes
    return task.reordered(read.splits["train"], places), names, read.notes


def _from_files(
    paths: Sequence[Path], options: ImageOptions, processor: Processor | None, classes: tuple[str, ...],
    task: Task | None, progress: Progress,
) -> Samples:  # fmt: skip
    targets: NDArray[Any] | None = None
    listed = _tabled(paths, processor, task)
    if listed is not None and task is not None:
        kind = listed
        part, read, notes = tables.list_all(paths[0], kind, task, classes)
        targets, classes = part.targets, read.names
        files: list[Path] = []
    else:
        kind, files, notes = _list(paths, processor)
        part = Part(Files(files), np.zeros(len(files), np.int64))
        if task is not None and not task.of_folders:
            notes += (f"no table has the {task.targets_word} of the samples, so no quality is measured",)
    size = (options.image_size or DEFAULT_SIZE) if kind == "image" else None
    listing = Listing("samples", kind, (), {"train": part}, size=size, origin=str(paths[0]))
    if processor is None:
        processor, more = processor_for(listing, Reading(options.image_size))
        notes += more
        images, processor, more = _read_converted(part, kind, processor, options, progress)
        notes += more
    else:
        images, _ = read_all(part.samples, processor, progress, f"read {WORDS[kind]}")
    more = ()
    if len(paths) == 1 and (task is None or task.of_folders):
        targets, more = _labels_of_folders(paths[0], files, classes)
        classes = classes if targets is not None else ()
    name = paths[0].name or paths[0].resolve().name
    facts = {"name": f"folder:{name}" if paths[0].is_dir() else f"files:{name}", "samples": len(images)}
    return Samples(images, (), targets, classes, facts, processor, (*notes, *more))


def _tabled(paths: Sequence[Path], processor: Processor | None, task: Task | None) -> Kind | None:
    """The kind of the samples listed in a table, if the task needs a table and there is one."""
    if task is None or task.of_folders or len(paths) != 1 or not paths[0].exists():
        return None
    path = paths[0]
    if path.suffix.lower() not in ENDINGS and not (path.is_dir() and has_table(path)):
        return None
    return _list([path if path.is_dir() else path.parent], processor)[0]


def _read_converted(
    part: Part, kind: Kind, processor: Processor, options: ImageOptions, progress: Progress
) -> tuple[NDArray[np.uint8], Processor, tuple[str, ...]]:
    """Samples read without a user's processor, the processor that was used, and notes."""
    label = f"read {WORDS[kind]}"
    if not isinstance(processor, ImageProcessor):
        processor = _normalized(processor, options)
        return read_all(part.samples, processor, progress, label)[0], processor, ()
    count = options.channels or 3
    processor = Reading().images(processor.height, processor.width, count)
    images, grey = read_all(part.samples, processor, progress, label)
    if options.channels is None and grey and len(options.mean) < 3:
        count, images = 1, images[..., :1].copy()
        processor = Reading().images(processor.height, processor.width, count)
    return images, _normalized(processor, options), _grey_note(count, 1 if grey else 3)


def _grey_note(channels: int, own: int) -> tuple[str, ...]:
    """A note where RGB images are converted to grayscale."""
    return (
        ("the images have 3 channels and the model takes 1: they are converted to grayscale",) if channels < own else ()
    )


def _list(paths: Sequence[Path], processor: Processor | None) -> tuple[Kind, list[Path], tuple[str, ...]]:
    """The kind of the samples, their files, and notes about skipped files."""
    kinds: tuple[Kind, ...] = ("image", "audio")
    if processor is not None:
        kinds = ("audio",) if processor.kind == "audio" else ("image",)
    files_by_kind: dict[Kind, list[Path]] = {}
    lines: dict[Kind, tuple[str, ...]] = {}
    for kind in kinds:
        skipped, files = Skipped(), []
        for path in paths:
            if not path.exists():
                raise DataError(f"{path} does not exist; give a folder of photos or recordings, files, or an .npz")
            if path.is_dir():
                files += samples_in(path, kind, skipped)
            elif path.suffix.lower() in EXTENSIONS[kind] or (len(kinds) == 1 and len(paths) == 1):
                files.append(path)
            else:
                skipped.add(path.suffix.lower() or "without an ending", path)
        files_by_kind[kind] = files
        line = skipped.line(paths[0] if paths[0].is_dir() else paths[0].parent)
        lines[kind] = (line,) if line else ()
    kind = max(kinds, key=lambda one: len(files_by_kind[one]))
    if not files_by_kind[kind]:
        line = "".join(f"; {line}" for line in lines[kind])
        words = " or ".join(WORDS[one] for one in kinds)
        raise DataError(f"{paths[0]} has no {words} that can be read, and is no .npz{line}")
    return kind, files_by_kind[kind], lines[kind]


def _labels_of_folders(
    folder: Path, files: Sequence[Path], classes: Sequence[str]
) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """Labels if every file is in a subfolder named like a class."""
    if not classes or not folder.is_dir():
        return None, ()
    names = [file.relative_to(folder).parts[0] if file.parent != folder else "" for file in files]
    unknown = sorted(set(names) - set(classes))
    if not unknown:
        return np.array([classes.index(name) for name in names], dtype=np.int64), ()
    if unknown == [""]:  # no subfolders
        return None, ()
    shown = ", ".join(repr(name) if name else "the folder itself" for name in unknown[:3])
    return None, (
        f"the subfolders give no labels, and no accuracy is measured: {shown}{', …' * (len(unknown) > 3)} "
        f"{'is' if len(unknown) == 1 else 'are'} none of the classes {few(classes)}",
    )


def _normalized(processor: Processor, options: ImageOptions) -> Processor:
    """The same processor with the mean and std of the options, where they have any."""
    mean, std = options.mean, options.std
    if not mean and not std:
        return processor
    if processor.kind == "audio" and len(mean) != 1:
        raise DataError(f"recordings have one channel: mean and std are one number each, not {len(mean)}")
    try:
        mean, std = for_each_channel(mean, processor.channels), for_each_channel(std, processor.channels)
        return replace(processor, mean=mean, std=std)
    except InputError as error:
        raise DataError(f"mean and std cannot be used: {error}") from error
