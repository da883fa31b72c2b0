"""Labels in common notations → int64 from 0, and the names of the classes.

Accepted, as the meaning is clear: whole numbers (also as floats), text, booleans, a column (N, 1), and one-hot
rows. Everything else is an error; nothing is rounded.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

_MOST_CLASSES = 100  # more different values than this, and than half of the samples, are no classes
_LIMIT = 2**63
# Between letters or digits, and not the sign of a number: `hot_dog`, `x -1`.
_JOINT = re.compile(r"(?<=[^\W_])(?![\s_]+-\d)[\s_-]+(?=[^\W_])")


def plain_labels(values: Any, where: str, classes: int = 0) -> NDArray[Any]:
    """One label a sample: int64 (N,) or text (N,).

    Args:
        values: an array, or anything that numpy makes one of. where: for messages, such as `mine: train`.
        classes: how many are named, as many as one-hot rows have columns; 0: not known.

    Raises:
        DataError: several labels a sample, numbers that are not whole or too large, or none at all (None, NaN,
            empty text).
    """
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of several lengths
        raise DataError(f"{where}: each sample needs one label, not lists of several lengths") from error
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2:
        return _of_one_hot(array, where, classes)
    if array.ndim != 1:
        raise DataError(f"{where}: labels must be one a sample, (N,), not of shape {array.shape}")
    if array.dtype.kind in "OSU":
        return _text(array, where)
    return _numbers(array, where)


def _text(array: NDArray[Any], where: str) -> NDArray[Any]:
    whole = all(isinstance(one, (int, np.integer)) for one in array)
    if array.dtype.kind == "O" and len(array) and whole:
        return _numbers(_of_python(array, where), where)
    words = [one.decode("utf-8", "replace") if isinstance(one, bytes) else one for one in array.tolist()]
    for row, word in enumerate(words):
        if word is None or word == "" or (isinstance(word, float) and word != word):
            raise DataError(f"{where}, sample {row} has no label; remove it, or give it one")
        if not isinstance(word, str):
            raise DataError(f"{where}, sample {row}: a label is text or a whole number, not {word!r:.40}")
    return np.array(words, dtype=np.str_)


def _of_python(array: NDArray[Any], where: str) -> NDArray[np.int64]:
    for row, number in enumerate(array):
        if not -_LIMIT <= number < _LIMIT:
            raise _too_large(where, row, number)
    return array.astype(np.int64)


def _too_large(where: str, row: int, number: Any) -> DataError:
    return DataError(f"{where}, sample {row} has the label {number}, more than 64 bits hold: no number of a class")


def _numbers(array: NDArray[Any], where: str) -> NDArray[np.int64]:
    if array.dtype.kind not in "iufb":
        raise DataError(f"{where}: labels must be whole numbers or text, not {array.dtype}")
    if array.dtype.kind == "f":
        odd = np.flatnonzero(~np.isfinite(array) | (array != np.round(array)))
        if len(odd):
            row = int(odd[0])
            if np.isnan(array[row]):
                raise DataError(f"{where}, sample {row} has no label (NaN); remove it, or give it one")
            raise DataError(
                f"{where}, sample {row} has the label {array[row]:g}: a class is a whole number or text. A quantity to "
                "be estimated is no class"
            )
    if array.dtype.kind in "uf":  # signed ones fit
        wide = array.astype(np.float64) if array.dtype.kind == "f" else array.astype(np.uint64)
        large = np.flatnonzero(wide >= _LIMIT if wide.dtype.kind == "u" else np.abs(wide) >= _LIMIT)
        if len(large):
            raise _too_large(where, int(large[0]), array[large[0]])
    return array.astype(np.int64)


def _of_one_hot(array: NDArray[Any], where: str, classes: int) -> NDArray[np.int64]:
    plain = array.dtype.kind in "iufb" and bool(((array == 0) | (array == 1)).all())
    if not plain:
        raise DataError(
            f"{where}: labels of shape {array.shape} are read where each row is one-hot (one 1, else 0); give the "
            "number of the class instead, (N,)"
        )
    ones = (array == 1).sum(axis=1)
    odd = np.flatnonzero(ones != 1)
    if len(odd):
        row = int(odd[0])
        raise DataError(
            f"{where}, sample {row} has {ones[row]} classes of {array.shape[1]}: a classifier learns exactly one a "
            "sample"
        )
    if classes and array.shape[1] != classes:
        raise DataError(f"{where}: one-hot labels have {array.shape[1]} columns, but there are {classes} classes")
    return np.asarray(array.argmax(axis=1), np.int64)


def with_classes(
    labels: Mapping[str, NDArray[Any]], classes: Sequence[str] = (), where: str = ""
) -> tuple[dict[str, NDArray[np.int64]], tuple[str, ...], tuple[str, ...]]:
    """The labels of all splits in 0…classes-1.

    Args:
        labels: by split, as `plain_labels` gives them. classes: the names; found in the train labels when empty:
            numbers from 0 without a gap are their own names, other numbers and text become classes in order.

    Returns:
        labels by split, the names, and notes about automatic changes.

    Raises:
        DataError: an empty split, a label that is no class, text beside numbers, or so many values that they are none.
    """
    kinds = {array.dtype.kind for array in labels.values()}
    for split, array in labels.items():
        if not len(array):
            raise DataError(f"{where}: {split} is empty; it needs at least one sample")
    if len(kinds) > 1:
        raise DataError(f"{where}: labels are text in one split and numbers in another; use one of them")
    if duplicates := sorted(name for name, count in Counter(classes).items() if count > 1):
        raise DataError(f"{where}: the class name {duplicates[0]!r} is there twice")
    text = kinds == {"U"}
    negative = {} if text else {split: array for split, array in labels.items() if array.min() < 0}
    for split, array in negative.items():
        row = int(np.argmin(array))
        raise DataError(
            f"{where}: {split}, sample {row} has the label {array[row]}; labels run from 0. Samples without a label go "
            "into a folder of their own, `unlabelled` under [data]"
        )
    if classes and not text:
        return (
            {split: _checked(array, len(classes), f"{where}: {split}") for split, array in labels.items()},
            tuple(classes),
            (),
        )
    known = list(classes) if classes else _found(labels["train"], where)
    problem = f"are none of the classes {few(classes)}" if classes else "train does not have"
    coded = {
        split: _coded(array, known, f"{where}: {split} has labels that {problem}") for split, array in labels.items()
    }
    names = tuple(str(value) for value in known)
    gaps = not text and names != tuple(str(number) for number in range(len(names)))
    notes = [f"the labels {few(names)} become classes of these names"] if gaps else []
    return coded, names, (*notes, *almost_alike(names))


def class_places(trained: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64] | None:
    """Positions of the classes of some data among those that a model was trained on: int64 (C,), by class of the data.

    Returns:
        None if one of the two has no names, or only numbers as default names.

    Raises:
        DataError: they are not the same classes.
    """
    if not (_named(trained) and _named(classes)):
        return None
    if sorted(trained) != sorted(classes):
        others = sorted(set(classes) ^ set(trained))
        raise DataError(
            f"the model was trained on the classes {few(trained)}, the data has {few(classes)}: {few(others)} "
            f"{'is' if len(others) == 1 else 'are'} on one side only"
        )
    return np.array([list(trained).index(name) for name in classes], dtype=np.int64)


def _named(classes: Sequence[str]) -> bool:
    return list(classes) != [str(number) for number in range(len(classes))]


def _checked(array: NDArray[np.int64], count: int, where: str) -> NDArray[np.int64]:
    if array.max() >= count:
        raise DataError(
            f"{where} labels run from {array.min()} to {array.max()}, but there are {count} classes (0–{count - 1})"
        )
    return array


def _found(array: NDArray[Any], where: str) -> list[Any]:
    values: list[Any] = np.unique(array).tolist()
    if len(values) > _MOST_CLASSES and len(values) > len(array) / 2:
        raise DataError(
            f"{where}: train has {len(values):,} different labels for {len(array):,} samples, such as "
            f"{few(values)}; these are no classes"
        )
    return values


def _coded(array: NDArray[Any], known: Sequence[Any], wrong: str) -> NDArray[np.int64]:
    places = {value: place for place, value in enumerate(known)}
    values = array.tolist()
    if unknown := sorted({value for value in values if value not in places}):
        raise DataError(f"{wrong}: {few([str(one) for one in unknown])}")
    return np.array([places[value] for value in values], dtype=np.int64)


def almost_alike(names: Iterable[str]) -> list[str]:
    """A line for each group of class names that differ in nothing but case, and in what joins their words.

    Space, `_` and `-` join words where they stand between letters or digits; elsewhere they are a part of the name, as
    in -1 and A-.
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        plain = unicodedata.normalize("NFKC", name).casefold()
        groups.setdefault(_JOINT.sub(" ", plain.strip()), []).append(name)
    return [
        f"doubtful: {few([repr(one) for one in group])} are read as {len(group)} classes, and their names differ only "
        "in how they are written. If they are one class, bring them together"
        for group in groups.values()
        if len(group) > 1
    ]


def few(values: Sequence[Any], most: int = 5) -> str:
    """Names for a message: all of them, or the first ones and the last."""
    words = [str(value) for value in values]
    return ", ".join(words) if len(words) <= most else f"{', '.join(words[: most - 1])}, … {words[-1]}"
