"""What is in a source, before anything is trained: counts, sizes, formats, what is skipped, doubtful, or there twice.

Heads of files are read, and their bytes hashed; nothing is decoded unless it is asked for.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgestill_runtime.errors import reason
from edgestill_runtime.processing import Processor

from ..errors import DataError
from ..progress import SILENT, Progress
from .cutting import cut
from .heads import ImageHead, image_head
from .reading import DecodedLater, Files, Listing, Part, Reading, decode, processor_for
from .recordings import Head, head_of
from .sources import find_source, unlabelled_files
from .types import ImageSource, Split, blocks_of, rows_of

_IMBALANCE = 5  # times as many samples in one class as in another
_MOST_PROBLEMS = 5


@dataclass
class _Seen:
    """What was met on the way through all samples."""

    heads: list[ImageHead | Head] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    rates: Counter[int] = field(default_factory=Counter)  # of the train recordings
    # hash → (split, label, name) of each sample with that content
    places: dict[bytes, list[tuple[str, int, str]]] = field(default_factory=lambda: defaultdict(list))


@dataclass(frozen=True)
class Survey:
    """What was found.

    Args:
        facts: plain data, as `edgestill data --json` prints it; where `errors` are among it, a training would stop.
    """

    facts: dict[str, Any]
    found: ImageSource | Listing
    processor: Processor

    def examples(self, classes: int = 24, count: int = 8) -> list[tuple[str, NDArray[np.uint8]]]:
        """Some train images of some classes, as the model sees them: (class, uint8 (H, W, C)), class by class."""
        train = self.found.splits["train"]
        images = DecodedLater(train.samples, self.processor) if isinstance(train, Part) else train.images
        chosen = []
        for label, name in list(enumerate(self.found.classes))[:classes]:
            rows = np.flatnonzero(train.labels == label)
            rows = rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64)]
            for row in rows.tolist():
                try:
                    chosen += [(name, image) for image in rows_of(images, np.array([row]))]
                except DataError:  # a damaged one is among the errors
                    continue
        return chosen


def survey(
    source: str,
    reading: Reading | None = None,
    *,
    validation: float = 0.1,
    calibration: int = 256,
    seed: int = 0,
    labelled: int | None = None,
    unlabelled: str | Path | None = None,
    check: bool = False,
    progress: Progress = SILENT,
) -> Survey:
    """Look through a source.

    Args:
        reading: how photos and recordings become pixels.
        validation, calibration, seed, labelled, unlabelled: of the cut that a recipe would make; see `load_data`.
        check: decode every sample, to find damaged ones.

    Raises:
        DataError: the source is unknown, damaged as a whole, or its layout can mean several things.
    """
    reading = reading or Reading()
    found = find_source(source, reading, progress)
    kind = found.kind if isinstance(found, Listing) else "image"
    seen = _look(found, kind, progress)
    processor, more = _processor(found, reading, seen)
    extra, left, lost = _unlabelled(unlabelled, found, kind)
    parts = [part for part in (*found.splits.values(), extra) if isinstance(part, Part)]
    damaged = _decode_all(parts, processor, progress) if check else []
    labels = {name: part.labels for name, part in found.splits.items()}
    shares, thin, too_few = _shares(
        labels, found.classes, name=found.name, validation=validation, calibration=calibration, seed=seed,
        labelled=labelled,
    )  # fmt: skip
    facts: dict[str, Any] = {
        "source": source,
        "name": found.name,
        "kind": kind,
        "classes": list(found.classes),
        "splits": {name: _counts(part.labels, found.classes) for name, part in found.splits.items()},
        **_heads(seen.heads),
        "skipped": dict(found.skipped) if isinstance(found, Listing) else {},
        "input": {key: value for key, value in processor.to_json().items() if key not in ("mean", "std")},
        "cut": shares,
        "unlabelled": len(extra),
        "notes": [*found.notes, *more, *left, *_flips(kind, found.classes)],
        "errors": [
            *dict.fromkeys(seen.problems + lost + damaged),  # each once
            *_several_sizes(found, reading, seen.heads),
            *too_few,
        ],
        "warnings": [
            *thin,
            *_imbalance(labels["train"], found.classes),
            *_twice(seen.places, found.classes),
        ],
    }
    return Survey(facts, found, processor)


def _processor(found: ImageSource | Listing, reading: Reading, seen: _Seen) -> tuple[Processor, tuple[str, ...]]:
    if isinstance(found, Listing):
        if not seen.heads:
            raise DataError(f"nothing can be read: {seen.problems[0]}")
        return processor_for(found, reading, seen.rates)
    return found.processor or reading.images(*found.train.images.shape[1:]), ()


def _shares(
    labels: Mapping[str, NDArray[np.int64]], classes: Sequence[str], **arguments: Any
) -> tuple[dict[str, int] | None, Sequence[str], Sequence[str]]:
    """The sizes of the cut that a recipe would make, what is unusual about it, and why there is none."""
    try:
        made = cut(labels, classes, **arguments)
    except DataError as error:
        return None, (), (str(error),)
    held = labels.get("validation", made.validation)
    sizes = (len(made.train), made.calibration, len(held), len(labels["test"]))
    return dict(zip(("train", "calibration", "validation", "test"), sizes, strict=True)), made.notes[1:], ()


def _several_sizes(found: ImageSource | Listing, reading: Reading, heads: Sequence[ImageHead | Head]) -> list[str]:
    sizes = {(one.height, one.width) for one in heads if isinstance(one, ImageHead)}
    sized = not isinstance(found, Listing) or found.size or reading.image_size
    return [] if sized or len(sizes) < 2 else [f"images of {len(sizes):,} sizes: they need `image_size` under [data]"]


def _look(found: ImageSource | Listing, kind: str, progress: Progress) -> _Seen:
    seen = _Seen()
    total = sum(len(part) for part in found.splits.values())
    with progress.task("look through", total) as task:
        for split, part in found.splits.items():
            samples = _encoded(part, split, kind, seen) if isinstance(part, Part) else _arrays(part, seen)
            for label, (name, content) in zip(part.labels.tolist(), samples, strict=True):
                if content is not None:
                    seen.places[content].append((split, label, name))
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
    folder: str | Path | None, found: ImageSource | Listing, kind: str
) -> tuple[Part, Sequence[str], list[str]]:
    """The samples without a label, notes, and what is wrong with them."""
    files: list[Path] = []
    notes: list[str] = []
    seen = _Seen()
    if folder is not None:
        try:
            files, notes = unlabelled_files(Path(folder), found)
        except DataError as error:
            seen.problems.append(f"unlabelled: {error}")
    part = Part(Files(files), np.full(len(files), -1, np.int64))
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


def _counts(labels: NDArray[np.int64], classes: Sequence[str]) -> dict[str, Any]:
    counts = np.bincount(labels[labels >= 0], minlength=len(classes))
    return {"samples": len(labels), "classes": {name: int(count) for name, count in zip(classes, counts, strict=True)}}


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


def _imbalance(labels: NDArray[np.int64], classes: Sequence[str]) -> list[str]:
    counts = np.bincount(labels[labels >= 0], minlength=len(classes))
    most, least = int(counts.argmax()), int(counts.argmin())
    if not counts[least] or counts[most] < _IMBALANCE * counts[least]:
        return []
    return [
        f"imbalanced: {classes[most]} has {counts[most]:,} train samples, {classes[least]} {counts[least]:,}; "
        f"always answering {classes[most]} is right for {100 * counts[most] / counts.sum():.0f} % of them"
    ]


def _twice(places: Mapping[bytes, Sequence[tuple[str, int, str]]], classes: Sequence[str]) -> list[str]:
    """Lines about the same content in two splits, in two classes, and in one place."""
    kinds: dict[str, list[str]] = {"splits": [], "classes": [], "same": []}
    for found in places.values():
        if len(found) < 2:
            continue
        first = found[0]
        other_class = next((one for one in found if one[1] != first[1]), None)
        other_split = next((one for one in found if one[0] != first[0]), None)
        kind = "classes" if other_class else "splits" if other_split else "same"
        other = other_class or other_split or found[1]
        kinds[kind].append(f"{_place(first, classes)} = {_place(other, classes)}")
    texts = {
        "classes": "the same content has different labels",
        "splits": "the same content is in two splits, so that one is no test of the other",
        "same": "the same content is there more than once",
    }
    return [f"{texts[kind]}: {len(found):,}, such as {found[0]}" for kind, found in kinds.items() if found]


def _place(one: tuple[str, int, str], classes: Sequence[str]) -> str:
    split, label, name = one
    return f"{name} ({split}, {classes[label]})"


def _flips(kind: str, classes: Sequence[str]) -> list[str]:
    if kind == "image" and all(len(name) == 1 and name.isalnum() for name in classes):
        return [
            "the default augmentation mirrors images; digits and letters change their meaning then, so say "
            'augmentation = ["shift:2"] in the recipe'
        ]
    return []
