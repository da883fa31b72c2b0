"""Any number of labels per sample, in common notations → uint8 (N, labels) of 0 and 1, and the names of the labels.

    "sea; sky"     text, with ; or | between labels; with commas if the column has neither
    ["sea"]        a list of text, or of the numbers of labels; also written as text, as pandas does
    0 and 1        a column for each label, or an array (N, labels)

An empty cell is a sample without any label. Everything else is an error that names the sample.
"""

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .base import Targets
from .columns import Columns, order_of, place_of, refuse_empty, refuse_twice, shown
from .labels import almost_alike, few

_WORDS = ("labels", "label", "tags", "tag", "targets", "target", "classes", "categories", "keywords")
_BETWEEN = re.compile("[;|]")
_FLAGS = {"": 0, "0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
_MOST = 100  # more different labels than this, and than samples, are no labels
_Flags = tuple[NDArray[np.uint8], tuple[str, ...]]


def read_label_sets(splits: Mapping[str, Columns], names: Sequence[str], where: str) -> Targets:
    """Labels of all splits.

    Args:
        splits: columns by split, `train` among them. names: of the labels, where the data say them.

    Raises:
        DataError: cells that are no labels, or a label that train does not have; names the sample.
    """
    refuse_twice(names, where)
    for split, columns in splits.items():
        refuse_empty(columns, f"{where}: {split}")
    if _are_flags(splits["train"]):
        flags = {split: _flags(one, names, f"{where}: {split}") for split, one in splits.items()}
        return _of_flags(flags, order_of(names or flags["train"][1], flags["train"][1], where), where)
    name = labels_column(splits["train"]) or next(iter(splits["train"]))
    if lacking := [split for split, columns in splits.items() if name not in columns]:
        raise DataError(f"{where}: {lacking[0]} has no column {name}, where train has its labels")
    commas = not any(_BETWEEN.search(_text(cell)) for one in splits.values() for cell in one[name])
    rows, notes = {}, []
    for split, columns in splits.items():
        rows[split] = [
            _labels(cell, names, commas, place_of(columns, row, f"{where}: {split}"))
            for row, cell in enumerate(columns[name])
        ]
    if commas and any("," in text and text[:1] != "[" for text in map(_text, splits["train"][name])):
        notes.append(f"{where}: the text of {name} is read as labels with commas between them")
    known = tuple(names) or _vocabulary(rows["train"], where)
    problem = "are none of the labels" if names else "train does not have"
    targets = {
        split: _coded(part, known, f"{where}: {split} has labels that {problem}") for split, part in rows.items()
    }
    return Targets(targets, known, (*notes, *almost_alike(known)))


def labels_column(columns: Columns) -> str | None:
    """The column that is called labels, tags, or the like."""
    plain = {name.strip().casefold(): name for name in columns}
    return next((plain[word] for word in _WORDS if word in plain), None)


def holds_flags(cells: Any) -> bool:
    """Whether a column has nothing but 0 and 1, or true and false, and is not empty."""
    if isinstance(cells, np.ndarray) and cells.dtype.kind in "iufb":
        return cells.ndim == 1 and bool(np.isin(cells, (0, 1)).all())
    flags = [_flag(cell) for cell in cells]
    return None not in flags and any(cell not in (None, "") for cell in cells)


def _flag(cell: Any) -> int | None:
    """0 or 1; None for what is neither."""
    if getattr(cell, "ndim", None) == 0:  # of numpy, or a tensor
        cell = cell.item()
    if isinstance(cell, str):
        return _FLAGS.get(cell.strip().casefold())
    if cell is None:
        return 0
    return int(cell) if isinstance(cell, (bool, int, float)) and cell in (0, 1) else None


def _are_flags(columns: Columns) -> bool:
    """Whether labels are columns of 0 and 1 rather than a column of lists or text."""
    if len(columns) > 1:
        return labels_column(columns) is None
    ((name, cells),) = columns.items()
    if isinstance(cells, np.ndarray) and cells.dtype != object:
        return cells.ndim > 1 or (cells.dtype.kind in "iufb" and labels_column({name: cells}) is None)
    if not any(isinstance(cell, (list, tuple, np.ndarray)) for cell in cells):
        return labels_column({name: cells}) is None and holds_flags(cells)
    widths = {len(cell) if isinstance(cell, (list, tuple, np.ndarray)) and np.ndim(cell) else 0 for cell in cells}
    # Numbers of labels are different ones in each list, so lists of 0 and 1 of one length are no numbers.
    return len(widths) == 1 and min(widths) > 1 and all(_is_number_flag(one) for cell in cells for one in cell)


def _is_number_flag(one: Any) -> bool:
    return not isinstance(one, str) and one is not None and _flag(one) is not None


def _flags(columns: Columns, names: Sequence[str], where: str) -> _Flags:
    """uint8 (N, labels), and what the labels are called."""
    cells = next(iter(columns.values()))
    if isinstance(cells, np.ndarray) and cells.ndim > 2:
        raise DataError(f"{where}: labels of shape {cells.shape} are none; give 0 and 1, (N, labels)")
    if isinstance(cells, np.ndarray) and cells.dtype.kind in "iufb" and cells.ndim == 2 and len(columns) == 1:
        count = cells.shape[1]  # at once what is nearly always right
        if count and len(names) in (0, count) and np.isin(cells, (0, 1)).all():
            return cells.astype(np.uint8), tuple(names) or tuple(map(str, range(count)))
    listed = len(columns) == 1 and len(cells) and np.ndim(np.asarray(cells[0], object)) == 1
    labels = tuple(columns)
    if listed:
        labels = tuple(names) or tuple(map(str, range(len(cells[0]))))
    array = np.empty((len(cells), len(labels)), np.uint8)
    for row in range(len(cells)):
        values = cells[row] if listed else [one[row] for one in columns.values()]
        if listed and np.shape(values) != (len(labels),):
            count = "no list" if np.ndim(values) != 1 else f"{len(values)} columns"
            place = place_of(columns, row, where)
            raise DataError(f"{place} has {count} of 0 and 1, and there are {len(labels)} labels")
        for column, value in enumerate(values):
            flag = _flag(value)
            if flag is None:
                place = place_of(columns, row, where)
                raise DataError(f"{place}: {labels[column]} is {shown(value)}; columns of labels hold 0 and 1")
            array[row, column] = flag
    return array, labels


def _of_flags(tables: Mapping[str, _Flags], names: tuple[str, ...], where: str) -> Targets:
    refuse_twice(names, where)
    targets = {}
    for split, (array, columns) in tables.items():
        if sorted(columns) != sorted(names):
            raise DataError(f"{where}: {split} has other labels than train: {few(sorted(set(columns) ^ set(names)))}")
        targets[split] = array[:, [columns.index(name) for name in names]]
    if not targets["train"].any():
        raise DataError(f"{where}: no sample of train has any label")
    return Targets(targets, names, tuple(almost_alike(names)))


def _text(cell: Any) -> str:
    """The text of a cell; empty for what is none."""
    return cell.decode("utf-8", "replace") if isinstance(cell, bytes) else cell if isinstance(cell, str) else ""


def _labels(cell: Any, names: Sequence[str], commas: bool, place: str) -> list[str]:
    """The labels of a sample, each once."""
    if isinstance(cell, bytes):
        try:
            cell = cell.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{place}: labels are text in UTF-8, not {shown(cell)}") from error
    if isinstance(cell, np.ndarray):
        cell = cell.tolist()
    if cell is None:
        return []
    if isinstance(cell, str):
        text = cell.strip()
        if not (text.startswith("[") and text.endswith("]")):
            words = text.split(",") if commas else _BETWEEN.split(text)
            return list(dict.fromkeys(word.strip() for word in words if word.strip()))
        cell = _list_of_text(text, place)
    if not isinstance(cell, (list, tuple, set, frozenset)):
        raise DataError(f"{place}: labels are a list, or text such as 'sea; sky', not {shown(cell)}")
    return list(dict.fromkeys(_label(one, names, place) for one in cell))


def _list_of_text(text: str, place: str) -> list[Any]:
    """`['sea', 'sky']`, as pandas writes lists."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise DataError(f"{place}: {shown(text)} begins like a list and is none; write sea; sky") from error
    return list(value)


def _label(one: Any, names: Sequence[str], place: str) -> str:
    if isinstance(one, np.ndarray) and one.ndim == 0:
        one = one.item()
    if isinstance(one, (int, np.integer)) and not isinstance(one, bool):
        if one < 0 or (names and one >= len(names)):
            problem = f", and there are {len(names)} labels (0–{len(names) - 1})" if names else "; numbers run from 0"
            raise DataError(f"{place} has the label {one}{problem}")
        return names[int(one)] if names else str(one)
    if not isinstance(one, str) or not one.strip():
        raise DataError(f"{place}: a label is text, or the number of one, not {shown(one)}")
    return one.strip()


def _vocabulary(rows: Sequence[Sequence[str]], where: str) -> tuple[str, ...]:
    """The labels of train: numbers by their size, and then text."""
    labels = {label for row in rows for label in row}
    if not labels:
        raise DataError(f"{where}: no sample of train has any label")
    ordered = sorted(labels, key=lambda one: (not one.isdecimal(), len(one) if one.isdecimal() else 0, one))
    if len(labels) > max(_MOST, len(rows)):
        raise DataError(
            f"{where}: train has {len(labels):,} different labels for {len(rows):,} samples, such as {few(ordered)}; "
            "these are no labels"
        )
    return tuple(ordered)


def _coded(rows: Sequence[Sequence[str]], known: Sequence[str], wrong: str) -> NDArray[np.uint8]:
    places = {name: place for place, name in enumerate(known)}
    if unknown := sorted({label for row in rows for label in row if label not in places}):
        raise DataError(f"{wrong}: {few(unknown)}; leave them out, or give train a sample of each")
    flags = np.zeros((len(rows), len(known)), np.uint8)
    for place, row in enumerate(rows):
        flags[place, [places[label] for label in row]] = 1
    return flags
