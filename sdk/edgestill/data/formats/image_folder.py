"""A folder of photos or of recordings, a subfolder per class, as torchvision's `ImageFolder` reads it.

    PATH/cat/1.png …  PATH/dog/2.jpg …                        a fifth is cut off as test, by a hash of the file names
    PATH/train/cat/…  PATH/train/dog/…  PATH/test/cat/…  …    the user's own splits, by any of their usual names
    PATH/cat/…        PATH/dog/…        PATH/test/cat/…  …    the same, with the train split not in a folder of its own

A split's name is never a class; one with a number behind it (`val2017`) is a split where class folders are in it, and
a class elsewhere. Photos may have any size: they are brought to `image_size` × `image_size`.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...tasks.labels import almost_alike, few
from ..folders import EXTENSIONS, WORDS, Kind, Skipped, loose_files, samples_in, subfolders
from ..reading import Files, Listing, Part
from ..splits import TEST, TRAIN, VALIDATION, numbered_split_of, resembles_split, split_of

TEST_SHARE = 0.2
DEFAULT_SIZE = 64

_Found = dict[str, list[Path]]  # class → its files
# Words of folders that hold photos of all classes, and of those that hold what is marked in them.
_PICTURES = {"image", "images", "imgs", "jpegimages", "photos", "pictures"}
_MARKS = {
    "annotation", "annotations", "bboxes", "groundtruth", "label", "labels", "mask", "masks", "segmentation",
    "segmentationclass", "segmentationobject",
}  # fmt: skip
_OTHER_TASK = "Folders such as labels/ or masks/ belong to detection or segmentation; classes need a folder each"


def list_folder(folder: Path, kind: Kind = "image") -> Listing:
    """Find all samples of a folder; none is decoded.

    Raises:
        DataError: no such folder, no samples, one class, classes that differ between splits, or a folder that may be
            a class or a split.
    """
    if not folder.exists():
        raise DataError(f"{kind} folder {folder} does not exist")
    skipped = Skipped()
    folders = subfolders(folder, skipped)
    splits, second = _split_folders(folder, folders)
    others = [one for one in folders if one not in splits.values() and one not in second]
    loose_files(folder, kind, skipped)
    notes: list[str] = []
    if TRAIN in splits:
        files_by_split = {TRAIN: _classes(splits[TRAIN], kind, skipped)}
        files_by_split |= {
            name: _classes(place, kind, skipped, known=files_by_split[TRAIN])
            for name, place in splits.items()
            if name != TRAIN
        }
        notes += _beside(folder, splits, sorted([*others, *second]), kind)
        inner = [name for name in files_by_split[TRAIN] if split_of(name)]
        notes += [f"{splits[TRAIN]}: the folder {name}, named like a split, is read as a class" for name in inner]
    else:
        files_by_split = {TRAIN: _classes(folder, kind, skipped, others, splits)}
        files_by_split |= _splits_beside_classes(splits, files_by_split[TRAIN], kind, skipped, notes)
        notes += _beside(folder, splits, second, kind)
    notes += _same_inside(splits.get(TRAIN, folder), files_by_split[TRAIN])
    notes += _doubtful_names(splits.get(TRAIN, folder), files_by_split[TRAIN])
    if VALIDATION in files_by_split and TEST not in files_by_split:
        notes.append(
            f"there is no test split: {splits[VALIDATION].name} serves as test, and validation is cut from train"
        )
        files_by_split[TEST] = files_by_split.pop(VALIDATION)
    classes = tuple(sorted(files_by_split[TRAIN]))
    for name, part in files_by_split.items():
        _check_classes(folder, name, part, classes)
    if TEST not in files_by_split:
        files_by_split[TRAIN], files_by_split[TEST] = _cut_off_test(folder, files_by_split[TRAIN])
        if not any(files_by_split[TEST].values()):
            raise DataError(
                f"{folder} has one file in each of its {len(classes)} classes, and none to test with; it needs more"
            )
        count = sum(len(files) for files in files_by_split[TEST].values())
        notes.append(f"there is no test split: a fifth is set aside as one, {count:,} {WORDS[kind]}, by their names")
    notes.append(skipped.line(folder))
    return Listing(
        name=f"{kind}-folder:{folder.name or folder.resolve().name}",
        kind=kind,
        classes=classes,
        splits={
            name: _part(files_by_split[name], classes) for name in (TRAIN, VALIDATION, TEST) if name in files_by_split
        },
        size=DEFAULT_SIZE if kind == "image" else None,
        notes=tuple(note for note in notes if note),
        origin=str(folder),
        skipped={reason: len(paths) for reason, paths in skipped.reasons.items()},
    )


def list_files(folder: Path, kind: Kind = "image", skipped: Skipped | None = None) -> list[Path]:
    """All samples under a folder, in any subfolders, sorted.

    Raises:
        DataError: no such folder, or none in it.
    """
    skipped = Skipped() if skipped is None else skipped
    if not folder.exists():
        raise DataError(f"{kind} folder {folder} does not exist")
    subfolders(folder, Skipped())  # says what is wrong with the folder itself
    files = samples_in(folder, kind, skipped)
    if not files:
        raise DataError(_nothing(folder, folder, kind, skipped))
    return files


def _split_folders(folder: Path, folders: Sequence[Path]) -> tuple[dict[str, Path], list[Path]]:
    """The folders of the splits; and those with a number in their names that are left out for one without."""
    splits: dict[str, Path] = {}
    for one in folders:
        if split := split_of(one.name):
            if split in splits:
                raise DataError(
                    f"{folder} has two {split} splits, {splits[split].name} and {one.name}; keep one of them, or give "
                    "classes other names"
                )
            splits[split] = one
    exact = dict(splits)
    second = []
    for one, split in _numbered_splits(folders, exact).items():
        if split in exact:
            second.append(one)
        elif split in splits:
            raise DataError(
                f"{folder} has two {split} splits, {splits[split].name} and {one.name}; name the one that is meant "
                f"{split}, or, if they are classes, give them other names"
            )
        else:
            splits[split] = one
    return splits, second


def _numbered_splits(folders: Sequence[Path], exact: Mapping[str, Path]) -> dict[Path, str]:
    """Folders whose names are those of splits with a number, as classes' may be: splits have class folders in them.

    The classes are those of train, or, where there is no train, the folders beside it.
    """
    numbered = {one: split for one in folders if (split := numbered_split_of(one.name))}
    if not numbered:
        return {}
    splits = {split: [one] for split, one in exact.items()}
    for one, split in numbered.items():
        splits.setdefault(split, []).append(one)
    named = [one for places in splits.values() for one in places]
    inside = {one: {inner.name for inner in subfolders(one, Skipped())} for one in named}
    elsewhere = {name for split in (VALIDATION, TEST) for one in splits.get(split, []) for name in inside[one]}
    trains = [one for one in splits.get(TRAIN, []) if one not in numbered or len(inside[one]) > 1]
    sure = [one for one in trains if one not in numbered or inside[one] & elsewhere]
    if len(sure) < len(trains):
        # Where the folders beside it have the same ones in them, it is one of them, a class.
        beside = {inner.name for one in folders if one not in inside for inner in subfolders(one, Skipped())}
        trains = [one for one in trains if one in sure or not inside[one] & beside]
    classes = {name for one in trains for name in inside[one]} if trains else {one.name for one in folders}
    return {
        one: split
        for one, split in numbered.items()
        if (one in trains if split == TRAIN else inside[one] & (classes - {one.name}))
    }


def _classes(
    folder: Path, kind: Kind, skipped: Skipped, folders: Sequence[Path] | None = None,
    splits: Mapping[str, Path] | None = None, known: Collection[str] = (),
) -> _Found:  # fmt: skip
    """The class folders of a folder, and their files; known: the classes of train, of which a split may lack some."""
    if folders is None:
        folders = subfolders(folder, skipped)
        loose_files(folder, kind, skipped)
    if len(folders) < 2 and not (folders and folders[0].name in known):
        raise DataError(_no_classes(folder, kind, folders, splits or {}))
    alike = {split: one.name for one in folders if (split := resembles_split(one.name))}
    if TRAIN in alike and len(alike) > 1:
        raise DataError(
            f"{folder}: {' and '.join(alike.values())} may be splits or classes; name splits {' and '.join(alike)}, "
            "and classes otherwise"
        )
    marks = [one.name for one in folders if _words(one) & _MARKS]
    if marks and (pictures := [one.name for one in folders if one.name not in marks and _words(one) & _PICTURES]):
        raise DataError(
            f"{folder}: {pictures[0]} and {marks[0]} are no classes. {_OTHER_TASK}. If they are classes, give them "
            "other names"
        )
    files_by_class = {}
    for one in folders:
        if not one.name.isprintable():  # also names that are no UTF-8
            raise DataError(f"{folder}: the class folder {one.name!r} has a name that cannot be printed; rename it")
        files_by_class[one.name] = samples_in(one, kind, skipped)
        if not files_by_class[one.name]:
            raise DataError(_nothing(folder, one, kind, skipped))
    return files_by_class


def _words(folder: Path) -> set[str]:
    return set(re.split(r"[^a-z]+", folder.name.casefold()))


def _same_inside(folder: Path, files_by_class: _Found) -> list[str]:
    """A line where all classes have the same subfolders, and nothing beside them: those may be the classes."""
    inner: list[set[str]] = []
    for name, files in files_by_class.items():
        parts = [path.relative_to(folder / name).parts for path in files]
        if any(len(one) == 1 for one in parts):
            return []
        inner.append({one[0] for one in parts})
    shared = sorted(set.intersection(*inner))
    if len(shared) < 2:
        return []
    return [
        f"doubtful: {_few(files_by_class)} are read as the classes of {folder}, and each has the subfolders "
        f"{_few(shared)}. If those are the classes, name the splits {TRAIN}, {VALIDATION} and {TEST}, and bring folds "
        "together"
    ]


def _doubtful_names(folder: Path, files_by_class: _Found) -> list[str]:
    """Lines about classes that may be none, or one and the same, by their names."""
    lines = []
    words = {name: _words(Path(name)) for name in files_by_class}
    counts = Counter(word for one in words.values() for word in one)
    for name in files_by_class:
        word = "".join(letter for letter in name.casefold() if letter.isalpha())
        others = counts[word] - (word in words[name])  # of `mask` and `no_mask`, both are meant
        if word in _MARKS | _PICTURES and not others:
            lines.append(f"doubtful: {folder / name} is read as a class. If it is none, move it out of {folder}")
        elif numbered_split_of(name):
            lines.append(f"doubtful: {folder / name} is read as a class. If it is a split, name it without a number")
    return lines + almost_alike(files_by_class)


def _no_classes(folder: Path, kind: Kind, folders: Sequence[Path], splits: Mapping[str, Path]) -> str:
    has = f"one class folder ({folders[0].name})" if folders else "no class folders"
    text = f"{folder} has {has}; it needs a folder per class, two or more"
    if splits:
        return f"{text}. {', '.join(one.name for one in splits.values())}: splits, not classes, and none is train"
    loose = Skipped()
    loose_files(folder, kind, loose)
    if not folders and split_of(folder.name) and "outside of the class folders" in loose.reasons:
        return (
            f"{folder} holds {WORDS[kind]}, not a folder per class. If it is a split, it needs class folders in it; if "
            f"it is a class, give it another name: {folder.name!r} is read as a split"
        )
    inner = subfolders(folders[0], Skipped()) if folders else []
    nested = len(inner) > 1 or any(split_of(one.name) or numbered_split_of(one.name) for one in inner)
    return f"{text}. Is it {folders[0]} that you mean?" if nested else text


def _nothing(root: Path, folder: Path, kind: Kind, skipped: Skipped) -> str:
    text = f"{folder} has no {WORDS[kind]} ({', '.join(sorted(EXTENSIONS[kind]))})"
    here = Skipped()
    for reason, paths in skipped.reasons.items():
        here.reasons |= {reason: inside} if (inside := [one for one in paths if one.is_relative_to(folder)]) else {}
    if any(_words(one) & _MARKS for one in subfolders(root, Skipped())):
        text += f". {_OTHER_TASK}"
    other: Kind = "audio" if kind == "image" else "image"
    if any(reason in EXTENSIONS[other] for reason in here.reasons):
        text += f". It has {WORDS[other]}: read them with {other}-folder:{root}"
    return f"{text}; {line}" if (line := here.line(root)) else text


def _beside(folder: Path, splits: Mapping[str, Path], others: Sequence[Path], kind: Kind) -> list[str]:
    """Folders beside the splits: not read, which is worth a line where samples are in them."""
    counts = {one.name: len(samples_in(one, kind, Skipped())) for one in others}
    words = ", ".join(f"{name} ({count:,} {WORDS[kind]})" for name, count in counts.items() if count)
    names = ", ".join(one.name for one in splits.values())
    lines = [f"{folder}: {words} is not read: it lies beside the splits {names}"] if words else []
    for name, count in counts.items():
        split = resembles_split(name)
        if count and split and split not in splits:
            otherwise = "it is cut from train"
            if split == TEST:
                serves = f"{splits[VALIDATION].name} serves as test" if VALIDATION in splits else ""
                otherwise = serves or "a fifth of train is set aside as test"
            lines.append(f"doubtful: if {name} is the {split} split, name it {split}; without that {otherwise}")
    return lines


def _splits_beside_classes(
    splits: Mapping[str, Path], train: _Found, kind: Kind, skipped: Skipped, notes: list[str]
) -> dict[str, _Found]:
    """Splits that lie beside class folders: used where they have class folders in them, else named and left out."""
    by_split = {}
    for name, place in splits.items():
        inner = subfolders(place, Skipped())
        if {one.name for one in inner} & set(train):
            by_split[name] = _classes(place, kind, skipped, known=train)
            notes.append(f"{place.name}, beside the class folders {_few(train)}, is taken as the {name} split")
        else:
            count = len(samples_in(place, kind, Skipped()))
            notes.append(
                f"{place.name} is taken as a split, not as a class, and has no folder per class: its {count:,} "
                f"{WORDS[kind]} are not read. If it is a class, give it another name"
            )
    return by_split


def _check_classes(folder: Path, name: str, part: _Found, classes: Sequence[str]) -> None:
    if unknown := sorted(set(part) - set(classes)):
        lacking = sorted(set(classes) - set(part))
        also = f", and {name} lacks {few(lacking)}" if lacking else ""
        raise DataError(f"{folder}: train and {name} have different classes: train lacks {few(unknown)}{also}")


def _cut_off_test(folder: Path, files_by_class: _Found) -> tuple[_Found, _Found]:
    """(train, test): a fifth of all files, by a hash of their names, but never all of a class."""
    files = [(path, name) for name, paths in files_by_class.items() for path in paths]
    ranked = sorted(files, key=lambda item: _hash(item[0].relative_to(folder)))
    count = max(1, round(TEST_SHARE * len(ranked)))
    last = {name: path for path, name in ranked}  # the last of each class stays
    chosen = set([path for path, name in ranked if last[name] != path][:count])
    return tuple(
        {name: [path for path in paths if (path in chosen) == inside] for name, paths in files_by_class.items()}
        for inside in (False, True)
    )  # type: ignore[return-value]


def _hash(name: Path) -> bytes:
    return hashlib.sha256(name.as_posix().encode("utf-8", "surrogateescape")).digest()


def _part(files_by_class: _Found, classes: Sequence[str]) -> Part:
    places = {name: place for place, name in enumerate(classes)}
    files = sorted((path, places[name]) for name, paths in files_by_class.items() for path in paths)
    return Part(Files([path for path, _ in files]), np.array([label for _, label in files], dtype=np.int64))


def _few(names: Sequence[str] | Mapping[str, object]) -> str:
    return ", ".join(list(names)[:3]) + (", …" if len(names) > 3 else "")
