"""Columns of targets as data formats return them, and helpers that all tasks use."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import DataError, OptionError
from .labels import few

Columns = Mapping[str, Any]
"""The cells of a split's samples by the name of the column: N cells each."""


class TableColumns(dict[str, Any]):
    """Columns whose samples have a place that a message can name, such as a line of a file.

    Args:
        columns: by name, N cells each. place: number of a sample → `labels.csv, line 7`.
    """

    def __init__(self, columns: Columns, place: Callable[[int], str]) -> None:
        super().__init__(columns)
        self.place = place


def place_of(columns: Columns, row: int, where: str) -> str:
    """The place of a sample, for messages."""
    return columns.place(row) if isinstance(columns, TableColumns) else f"{where}, sample {row}"


def shown(cell: Any) -> str:
    """A cell for a message, in one short line."""
    return f"{' '.join(repr(cell).split()):.40}"


def only_column(columns: Columns, where: str, names: tuple[str, ...] = ("label", "labels")) -> Any:
    """The cells of the one column that is the target.

    Raises:
        DataError: several columns, none of which has one of these names.
    """
    for name in (*names, "target", "targets"):
        if name in columns:
            return columns[name]
    if len(columns) == 1:
        return next(iter(columns.values()))
    raise DataError(f"{where} has the columns {', '.join(columns)}; call the one that is the target {names[0]}")


def names_of_columns(columns: Any) -> tuple[str, ...]:
    """The option `columns` of a task: names, each once.

    Raises:
        ValueError: it is something else.
    """
    names = (columns,) if isinstance(columns, str) else columns
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) and name for name in names):
        raise OptionError(f'columns are names of columns, such as ["age", "height"], not {columns!r:.60}')
    if len(set(names)) < len(names):
        raise OptionError(f"columns names {max(names, key=names.count)!r} twice")
    return tuple(names)


def is_identifier(column: str) -> bool:
    """Whether a column counts or names rows, by its name, so that it is no target."""
    word = column.strip().casefold()
    return word in ("", "#", "id", "idx", "index", "row", "fold", "unnamed: 0") or word.endswith(("_id", " id", "-id"))


def refuse_empty(columns: Columns, where: str) -> None:
    """Refuse a split without samples, or without any column.

    Raises:
        DataError: says which.
    """
    if not columns:
        raise DataError(f"{where} has no column of targets")
    if any(len(cells) == 0 for cells in columns.values()):
        raise DataError(f"{where} is empty; it needs at least one sample")


def order_of(names: Sequence[str], columns: Sequence[str], where: str) -> tuple[str, ...]:
    """Names that are known already, as the order of columns.

    Raises:
        DataError: the columns are others.
    """
    if sorted(names) != sorted(columns):
        raise DataError(f"{where} has columns for {few(columns)}, and {few(names)} are known; they must be the same")
    return tuple(names)


def refuse_twice(names: Sequence[str], where: str) -> None:
    """Refuse names that are there twice.

    Raises:
        DataError: which.
    """
    if len(set(names)) < len(names):
        raise DataError(f"{where}: the name {max(names, key=list(names).count)!r} is there twice")
