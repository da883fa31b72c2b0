"""What is in a source, before anything is trained: counts, sizes, formats, what is skipped, doubtful, or there twice.

Heads of files are read, and their bytes hashed; nothing is decoded unless it is asked for.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgestill_runtime.errors import reason
from edgestill_runtime.processing import Processor

from ..errors import DataError
from ..progress import SILENT, Progress
from ..tasks import Task, find_task
from .cutting import cut
from .heads import ImageHead, image_head
from .options import DataOptions
from .reading import DecodedLater, Files, Listing, Part, Reading, decode, processor_for
from .recordings import Head, head_of
from .sources import find_source, unlabelled_files
from .types import IMAGE_CLASSIFICATION, ImageSource, Split, blocks_of, rows_of

_Place = tuple[str, Any, str]  # split, target, name


@dataclass
class _Seen:
    """Statistics collected from all samples."""

    heads: list[ImageHead | Head] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    rates: Counter[int] = field(default_factory=Counter)  # of the train recordings
    places: dict[bytes, list[_Place]] = field(default_factory=lambda: defaultdict(list))  # by a hash of the content


@dataclass(frozen=True)
class SourceInspection:
    """The result of an inspection.

    Args:
        facts: plain data, as `edgestill data --json` prints it; where `errors` are among it, a training would stop.
    """

    facts: dict[str, Any]
    source: ImageSource | Listing
    processor: Processor
    task: Task = IMAGE_CLASSIFICATION

    def examples(self, groups: int = 24, count: int = 8) -> list[list[tuple[str, NDArray[np.uint8]]]]:
        """Some train images as the model sees them, with their targets as text: (text, uint8 (H, W, C)).

        Args:
            groups: of samples of the same class, or of what else the task keeps in proportion. count: in each.
        """
        train = self.source.splits["train"]
        images = DecodedLater(train.samples, self.processor) if isinstance(train, Part) else train.images
        strata = self.task.strata(train.targets)
        chosen = []
        for stratum in np.unique(strata)[:groups]:
            rows = np.flatnonzero(strata == stratum)
            rows = rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64)]
            group = []
            for row in rows.tolist():
                try:
                    (image,) = rows_of(images, np.array([row]))
                except DataError:  # a damaged one is among the errors
                    continue
                group.append((self.task.text(train.targets[row], self.source.classes), image))
            chosen += [group] if group else []
        return chosen


def inspect_source(
    source: str,
    task: str | Task = IMAGE_CLASSIFICATION,
    options: DataOptions = DataOptions(),
    *,
    check: bool = False,
    progress: Progress = SILENT,
) -> SourceInspection:
    """Inspect a source.

    Args:
        task, options: as of `load_data`; mean and std are not used.
        check: decode every sample, to find damaged ones.

    Raises:
        DataError: the source is unknown, damaged as a whole, or its layout can mean several things.
    """
    reading, task = options.reading(), find_task(task)
    opened = find_source(source, reading, progress, task)
    kind = opened.kind if isinstance(opened, Listing) else "image"
    seen = _look(opened, kind, progress)
    processor, more = _processor(opened, reading, seen)
    extra, left, lost = _unlabelled(options.unlabelled, opened, kind, task)
    parts = [part for part in (*opened.splits.values(), extra) if isinstance(part, Part)]
    damaged = _decode_all(parts, processor, progress) if check else []
    targets = {name: part.targets for name, part in opened.splits.items()}
    shares, thin, too_few = _shares(targets, opened.classes, task, options, opened.name)
    facts: dict[str, Any] = {
        "source": source,
        "name": opened.name,
        "kind": kind,
        "task": task.name,
        "classes": list(opened.classes),
        "splits": {
            name: {"samples": len(part), **task.summary(part.targets, opened.classes)}
            for name, part in opened.splits.items()
        },
        **_heads(seen.heads),
        "skipped": dict(opened.skipped) if isinstance(opened, Listing) else {},
        "input": {key: value for key, value in processor.to_json().items() if key not in ("mean", "std")},
        "cut": shares,
        "unlabelled": len(extra),
        "notes": [*opened.notes, *more, *left, *task.advice(kind, opened.classes)],
        "errors": [
            *dict.fromkeys(seen.problems + lost + damaged),  # each once
            *_several_sizes(opened, reading, seen.heads),
            *too_few,
        ],
        "warnings": [
            *thin,
            *task.warnings(targets["train"], opened.classes),
            *_twice(seen.places, task, opened.classes),
        ],
    }
    return SourceInspection(facts, opened, processor, task)


def _processor(source: ImageSource | Listing, reading: Reading, seen: _Seen) -> tuple[Processor, tuple[str, ...]]:
    if isinstance(source, Listing):
        if not seen.heads:
            raise DataError(f"nothing can be read: {seen.problems[0]}")
        return processor_for(source, reading, seen.rates)
    return source.processor or reading.images(*source.train.images.shape[1:]), ()


def _shares(
    targets: Mapping[str, NDArray[Any]], classes: Sequence[str], task: Task, options: DataOptions, name: str
) -> tuple[dict[str, int] | None, Sequence[str], Sequence[str]]:
    """The sizes of the cut that a recipe would make, what is unusual about it, and why there is none."""
    try:
        made = cut(targets, classes, task, options, name=name)
    except DataError as error:
        return None, (), (str(error),)
    held = targets.get("validation", made.validation)
    sizes = (len(made.train), made.calibration, len(held), len(targets["test"]))
    return dict(zip(("train", "calibration", "validation", "test"), sizes, strict=True)), made.notes[1:], ()


def _several_sizes(source: ImageSource | Listing, reading: Reading, heads: Sequence[ImageHead | Head]) -> list[str]:
    sizes = {(one.height, one.width) for one in heads if isinstance(one, ImageHead)}
    sized = not isinstance(source, Listing) or source.size or reading.image_size
    return [] if sized or len(sizes) < 2 else [f"images of {len(sizes):,} sizes: they need `image_size` under [data]"]


def _look(source: ImageSource | Listing, kind: str, progress: Progress) -> _Seen:
    seen = _Seen()
    total = sum(len(part) for part in source.splits.values())
    with progress.task("look through", total) as task:
        for split, part in source.splits.items():
            samples = _encoded(part, split, kind, seen) if isinstance(part, Part) else _arrays(part, seen)
            for target, (name, content) in zip(part.targets, samples, strict=True):
                if content is not None:
                    seen.places[content].append((split, target, name))
                task.advance()
    return seen


def _encoded(part: Part, split: str, kind: str, seen: _Seen) -> Iterator[tuple[str, bytes | None]]:
    for row in range(len(part)):
        name = part.samples.name(row)
        try:
            source = part.samples[row]
            head = image_head(source, name) if kind == "image" else head_of(source, name)
            seen.heads.append(head)
            if split == "train" and isinstance(head, Head):
                seen.rates[head.rate] += 1
            yield name, _hash(source, name)
        except DataError as error:
            seen.problems.append(str(error))
            yield name, None


def _arrays(split: Split, seen: _Seen) -> Iterator[tuple[str, bytes]]:
    height, width, channels = split.images.shape[1:]
    seen.heads += [ImageHead(height, width, "array", "grey" if channels == 1 else "RGB", False)] * len(split)
    row = 0
    for block in blocks_of(split.images):
        for image in block:
            yield f"sample {row}", hashlib.blake2b(image.tobytes(), digest_size=16).digest()
            row += 1


def _hash(source: Path | bytes, name: str) -> bytes:
    try:
        if isinstance(source, bytes):
            return hashlib.blake2b(source, digest_size=16).digest()
        with source.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
    except OSError as error:
        raise DataError(f"{name} cannot be read: {reason(error)}") from error


def _unlabelled(
    folder: str | PathLike[str] | None, source: ImageSource | Listing, kind: str, task: Task
) -> tuple[Part, Sequence[str], list[str]]:
    """The samples without a label, notes, and what is wrong with them."""
    files: list[Path] = []
    notes: list[str] = []
    seen = _Seen()
    if folder is not None:
        try:
            files, notes = unlabelled_files(Path(folder), source)
        except DataError as error:
            seen.problems.append(f"unlabelled: {error}")
    part = Part(Files(files), task.unknown(len(files), source.classes))
    for _ in _encoded(part, "unlabelled", kind, seen):
        pass
    return part, notes, seen.problems


def _decode_all(parts: Sequence[Part], processor: Processor, progress: Progress) -> list[str]:
    problems = []
    with progress.task("decode", sum(len(part) for part in parts)) as task:
        for part in parts:
            for row in range(len(part)):
                try:
                    decode(part.samples, row, processor)
                except DataError as error:
                    problems.append(str(error))
                task.advance()
    return problems


def _heads(heads: Sequence[ImageHead | Head]) -> dict[str, Any]:
    images = [one for one in heads if isinstance(one, ImageHead)]
    sounds = [one for one in heads if isinstance(one, Head)]
    facts: dict[str, Any] = {"formats": dict(Counter(one.format for one in heads).most_common())}
    if images:
        by_area = sorted(images, key=lambda one: (one.height * one.width, one.height))
        facts["sizes"] = {
            word: [one.height, one.width]
            for word, one in (
                ("smallest", by_area[0]),
                ("median", by_area[len(by_area) // 2]),
                ("largest", by_area[-1]),
            )
        }
        facts["modes"] = dict(Counter(one.mode for one in images).most_common())
        facts["turned"] = sum(one.turned for one in images)
    if sounds:
        lengths = sorted(one.seconds for one in sounds)
        facts["rates"] = {str(rate): count for rate, count in Counter(one.rate for one in sounds).most_common()}
        facts["channels"] = {str(count): many for count, many in Counter(one.channels for one in sounds).most_common()}
        facts["seconds"] = {
            "shortest": round(lengths[0], 3),
            "median": round(lengths[len(lengths) // 2], 3),
            "longest": round(lengths[-1], 3),
        }
    return facts


def _twice(places: Mapping[bytes, Sequence[_Place]], task: Task, names: Sequence[str]) -> list[str]:
    """Messages about duplicates across splits, with different targets, and within a split."""
    kinds: dict[str, list[str]] = {"splits": [], "targets": [], "same": []}
    for duplicates in places.values():
        if len(duplicates) < 2:
            continue
        first = duplicates[0]
        other_target = next((one for one in duplicates if not np.array_equal(one[1], first[1])), None)
        other_split = next((one for one in duplicates if one[0] != first[0]), None)
        kind = "targets" if other_target else "splits" if other_split else "same"
        other = other_target or other_split or duplicates[1]
        kinds[kind].append(f"{_place(first, task, names)} = {_place(other, task, names)}")
    texts = {
        "targets": f"the same content has different {task.targets_word}",
        "splits": "the same content is in two splits, so that one is no test of the other",
        "same": "the same content is there more than once",
    }
    return [
        f"{texts[kind]}: {len(duplicates):,}, such as {duplicates[0]}"
        for kind, duplicates in kinds.items()
        if duplicates
    ]


def _place(one: _Place, task: Task, names: Sequence[str]) -> str:
    split, target, name = one
    return f"{name} ({split}, {task.text(target, names)})"
