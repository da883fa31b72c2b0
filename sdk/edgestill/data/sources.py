"""Loads a source by name: finds it, checks it, and splits it."""

import hashlib
import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from edgestill_runtime.processing import ImageProcessor, Processor

from ..errors import DataError, EdgestillError, check_kind, nearest, one_line
from ..progress import SILENT, Progress
from ..tasks import TASKS, Task, find_task
from ..tasks.labels import class_places, few
from .cutting import Cut, check_shares, cut
from .folders import WORDS, Kind, Skipped
from .formats import fashion_mnist, image_folder, parquet, tables
from .formats.table_files import ENDINGS
from .options import DataOptions
from .reading import (
    DecodedLater,
    Files,
    Listing,
    Part,
    Reading,
    check_made,
    check_statistics,
    fits_memory,
    for_each_channel,
    left_encoded,
    read_all,
    read_listing,
)
from .source_arrays import checked_source, statistics_of
from .types import (
    IMAGE_CLASSIFICATION,
    Calibration,
    Data,
    Identified,
    Images,
    ImageSource,
    Joined,
    Rows,
    Split,
    blocks_of,
    in_memory,
)

__all__ = [
    "Calibration", "Data", "ImageSource", "Images", "Reading", "Rows", "Split", "digest", "in_memory", "load_data",
    "open_source",
]  # fmt: skip

# Prefix of a source that reads files → its reader. Any other prefix is a Python module.
READERS: dict[str, Callable[[Path, Task, Progress], Listing]] = {
    "image-folder": lambda path, task, _: _list_folder(path, "image", task),
    "audio-folder": lambda path, task, _: _list_folder(path, "audio", task),
    "parquet": parquet.list_parquet,
}


def load_data(
    source: str = "fashion-mnist-mini",
    task: str | Task = "image-classification",
    options: DataOptions = DataOptions(),
    *,
    processor: Processor | None = None,
    classes: Sequence[str] = (),
    check: Callable[[tuple[str, ...], Kind], None] | None = None,
    progress: Progress = SILENT,
) -> Data:
    """Open a source and split it into train, calibration, validation and test.

    Cheap checks come first: an impossible split is refused before a photo or a recording is decoded.

    Args:
        source: see `edgestill.data`.
        task: the task of the targets: a name of `edgestill.tasks`, `module:Class`, or a `Task`.
        processor: of an existing model: photos and recordings are read with it instead of with `options`; mean and std
            are its own unless `options` state them.
        classes: class names of an existing model; targets are reordered to match.
        check: called with the classes and the kind of the samples before anything is decoded; raises if they do not
            fit.
        progress: gets a message about the split, and about every automatic choice.

    Raises:
        DataError: the source is unknown, damaged, or too small to split, or does not fit the task or the model.
        RecipeError: no such task.
    """
    check_kind(options, DataOptions, "options")
    task, reading = find_task(task), options.reading()
    check_shares(options)
    mean, std = check_statistics(options.mean, options.std)
    if processor is not None:
        if reading != Reading():
            raise DataError("the input format comes from a processor, or from image_size and similar options: give one")
        mean, std = (mean, std) if mean else (processor.mean, processor.std)
    listed = _for_model(find_source(source, reading, progress, task), processor, classes, task)
    if check is not None:
        check(listed.classes, _kind_of(listed))
    targets = {name: part.targets for name, part in listed.splits.items()}
    made = cut(targets, listed.classes, task, options, name=listed.name)
    more, left = ([], []) if options.unlabelled is None else unlabelled_files(Path(options.unlabelled), listed)
    for note in (*left, *listed.notes, *made.notes):
        progress.message(note)
    if isinstance(listed, ImageSource):
        opened = listed
    else:
        opened = read_listing(listed, reading, progress, processor, beside=len(more))
    for note in opened.notes[len(listed.notes) :]:  # of the decoding
        progress.message(note)
    opened = replace(opened, processor=processor or opened.processor)
    return _carry_out(made, opened, task, reading, options.seed, (mean, std), more, progress)


def _list_folder(path: Path, kind: Kind, task: Task) -> Listing:
    if not task.of_folders:
        return tables.list_tables(path, kind, task)
    if path.is_file() and path.suffix.lower() in ENDINGS:
        with_tables = ", ".join(name for name, kind in TASKS.items() if not kind.of_folders)
        raise DataError(
            f"{path} is a table, and {task.name} takes a folder for each class, or parquet; tables are for tasks such "
            f"as {with_tables}"
        )
    return image_folder.list_folder(path, kind)


def _carry_out(
    made: Cut, source: ImageSource, task: Task, reading: Reading, seed: int,
    statistics: tuple[Sequence[float], Sequence[float]], unlabelled: Sequence[Path], progress: Progress,
) -> Data:  # fmt: skip
    """Split the samples as planned."""
    train = source.train.take(made.train)
    calibration = source.train.take(made.train[: made.calibration])
    defaults = (source.mean, source.std) if source.mean else statistics_of(train)
    mean, std = statistics if statistics[0] else defaults
    processor = source.processor or reading.images(*source.train.images.shape[1:])
    mean, std = (for_each_channel(values, processor.channels) for values in (mean, std))
    if len(mean) != processor.channels or len(std) != processor.channels:
        count = processor.channels
        raise DataError(
            f"{source.name} has {count} channels; `mean` and `std` need {count} values each, or one for all of them"
        )
    train = Split(train.images, made.targets)
    known = made.targets[task.labelled(made.targets)]
    extra = [_read_unlabelled(unlabelled, source, processor, progress)] if unlabelled else []
    for images in extra:
        joined = np.concatenate if in_memory(train.images) and in_memory(images) else Joined
        without = task.unknown(len(images), source.classes)
        train = Split(joined([train.images, images]), np.concatenate([train.targets, without]))
    return Data(
        name=source.name,
        classes=source.classes,
        train=train,
        calibration_split=calibration.load(),
        validation=(source.validation or source.train.take(made.validation)).load(),
        test=source.test.load(),
        processor=replace(processor, mean=tuple(mean), std=tuple(std)),
        digest=digest(source, *extra),
        seed=seed,
        notes=(*made.notes, *source.notes),
        task=task,
        task_settings=task.settings(known, source.classes),
    )


def _read_unlabelled(files: Sequence[Path], source: ImageSource, processor: Processor, progress: Progress) -> Images:
    """Images without a label: in memory if all images fit, else decoded later."""
    samples, held = Files(files), all(in_memory(part.images) for part in source.splits.values())
    if held and fits_memory(processor, len(files) + sum(len(part) for part in source.splits.values())):
        return read_all(samples, processor, progress, "read unlabelled")[0]
    progress.message(f"unlabelled: {left_encoded(len(files), _kind(processor))}")
    return DecodedLater(samples, processor)


def open_source(
    source: str,
    *,
    image_size: int | None = None,
    reading: Reading | None = None,
    processor: Processor | None = None,
    classes: Sequence[str] = (),
    task: str | Task = "image-classification",
    progress: Progress = SILENT,
) -> ImageSource:
    """Read a source without splitting it further. See `edgestill.data` for the names.

    Args:
        reading: how photos and recordings become pixels; `image_size` is shorthand for `Reading(image_size)`.
        processor, classes, task: of an existing model; see `load_data`.
    """
    chosen, task = reading or Reading(image_size), find_task(task)
    listed = _for_model(find_source(source, chosen, progress, task), processor, classes, task)
    return listed if isinstance(listed, ImageSource) else read_listing(listed, chosen, progress, processor)


def find_source(
    source: str, reading: Reading, progress: Progress = SILENT, task: Task = IMAGE_CLASSIFICATION
) -> ImageSource | Listing:
    """Find and check a source; photos and recordings are not decoded yet.

    Raises:
        DataError: the source is unknown or damaged, its targets do not fit the task, or an option does not apply to its
            kind.
    """
    reading.check()
    if not isinstance(source, str):
        raise DataError(f"a data source is named in text, such as image-folder:PATH, not {source!r:.40}")
    fixed: dict[str, Callable[[], ImageSource]] = {
        "fashion-mnist-mini": fashion_mnist.load_mini,
        "fashion-mnist": lambda: fashion_mnist.load(progress),
    }
    kind, colon, rest = source.partition(":")
    if kind in READERS and colon:
        if not rest:
            raise DataError(f"{source!r} names no folder: {kind}:PATH")
        try:
            place = Path(rest).expanduser()
        except RuntimeError as error:
            raise DataError(f"{source!r}: there is no user {rest.partition('/')[0]} on this machine") from error
        listing = READERS[kind](place, task, progress)
        reading.only(listing.kind, source)
        task.check_names(listing.classes, listing.name)
        return listing
    if source in fixed:
        reading.only("image", source, sized=False)
        return checked_source(fixed[source](), task)
    if source and (Path(source).is_dir() or Path(source).is_file()):
        raise DataError(f"{source!r} is a path; add its kind: {_guess(Path(source))}:{source}")
    if colon:
        opened = checked_source(_call(kind, rest, READERS), task)
        reading.only("image" if not opened.processor else _kind(opened.processor), source, sized=False)
        return opened
    known = [*fixed, *(f"{name}:PATH" for name in READERS), "module:function"]
    raise DataError(f"unknown data source {source!r}{nearest(source, known)}")


def _for_model(
    source: ImageSource | Listing, processor: Processor | None, classes: Sequence[str], task: Task
) -> ImageSource | Listing:
    """The same source with the classes in a model's order.

    Raises:
        DataError: its classes, kind of samples or pixels do not fit the model.
    """
    if processor is not None:
        if _kind_of(source) != processor.kind:
            raise DataError(f"{source.name} has {WORDS[_kind_of(source)]}, the model takes {processor.kind}")
        if isinstance(source, ImageSource):
            check_made(source, processor)
    try:
        places = class_places(classes, source.classes)
    except DataError as error:
        raise DataError(f"{source.name} does not fit the model: {error}") from error
    if places is None or (places == np.arange(len(places))).all():
        return source
    names, notes = tuple(classes), (*source.notes, f"the classes are reordered to match the model: {few(classes)}")
    if isinstance(source, Listing):
        parts = {name: Part(part.samples, task.reordered(part.targets, places)) for name, part in source.splits.items()}
        return replace(source, classes=names, splits=parts, notes=notes)
    made = {name: Split(split.images, task.reordered(split.targets, places)) for name, split in source.splits.items()}
    return replace(
        source, classes=names, train=made["train"], test=made["test"], validation=made.get("validation"), notes=notes
    )


def digest(source: ImageSource, *more: Images) -> str:
    """`sha256:…` over names, shapes, pixels and targets of all splits, and over further images."""
    hasher = hashlib.sha256("\0".join(source.classes).encode())
    splits = [source.train, source.test] + ([source.validation] if source.validation else [])
    for split in splits:
        hasher.update(str(tuple(split.images.shape)).encode())
        _add_images(hasher, split.images)
        kind = "<f4" if split.targets.dtype.kind == "f" else "<i8"
        hasher.update(np.ascontiguousarray(split.targets.astype(kind)).data)
    for images in more:
        _add_images(hasher, images)
    return f"sha256:{hasher.hexdigest()}"


def _add_images(hasher: Any, images: Images) -> None:
    if isinstance(images, Identified):
        hasher.update(images.identity())
        return
    for block in blocks_of(images):
        hasher.update(np.ascontiguousarray(block).data)


def unlabelled_files(folder: Path, source: ImageSource | Listing) -> tuple[list[Path], list[str]]:
    """The files of a folder of unlabelled samples, of the same kind as a source, and notes.

    Raises:
        DataError: no such folder, or none in it.
    """
    skipped = Skipped()
    files = image_folder.list_files(folder, _kind_of(source), skipped)
    line = skipped.line(folder)
    return files, [f"unlabelled: {line}"] if line else []


def _kind_of(source: ImageSource | Listing) -> Kind:
    return source.kind if isinstance(source, Listing) else _kind(source.processor)


def _kind(processor: Processor | None) -> Kind:
    return "image" if processor is None or isinstance(processor, ImageProcessor) else "audio"


def _guess(path: Path) -> str:
    if path.is_file():
        return "image-folder"
    if any(path.rglob("*.parquet")):
        return "parquet"
    return "audio-folder" if any(path.rglob("*.wav")) or any(path.rglob("*.flac")) else "image-folder"


def _call(module: str, function: str, kinds: Iterable[str]) -> ImageSource:
    try:
        factory = getattr(importlib.import_module(module), function)
    except EdgestillError:
        raise
    except Exception as error:  # the import runs user code
        close = get_close_matches(module, kinds, n=1)
        hint = f"; did you mean {close[0]}:{function}?" if close else ""
        raise DataError(f"data source {module}:{function} cannot be imported: {one_line(error)}{hint}") from error
    if not callable(factory):
        raise DataError(f"{module}:{function} must be a function, not {type(factory).__name__}")
    try:
        source = factory()
    except EdgestillError:
        raise
    except Exception as error:  # user code
        raise DataError(f"data source {module}:{function} failed: {one_line(error)}") from error
    if not isinstance(source, ImageSource):
        raise DataError(f"{module}:{function} must return an edgestill.ImageSource, not {type(source).__name__}")
    return source
