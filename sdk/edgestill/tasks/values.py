"""Numbers from tables and arrays → float32 (N, values).

Accepted: columns of numbers, also as text with a decimal point; one column of lists of numbers, all of one length; an
array (N,) or (N, values). Everything else is an error that names the sample: an empty cell, NaN, an infinity, a
boolean, text, and what a 32-bit number cannot hold.
"""

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .columns import Columns, order_of, place_of, refuse_empty, refuse_twice, shown

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)


def read_values(columns: Columns, names: Sequence[str], where: str) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """float32 (N, values), and what they are called.

    Args:
        names: of the values; the columns' own, or numbers for a column of lists, when empty.

    Raises:
        DataError: which sample has no number, or another count of them than the first.
    """
    refuse_empty(columns, where)
    read = {name: _column(columns, name, where) for name in columns}
    if len(read) > 1 and (lists := [name for name, array in read.items() if array.ndim > 1]):
        raise DataError(f"{where}: {lists[0]} has lists of numbers, and there are other columns; take one or the other")
    if names and len(read) > 1:
        read = {name: read[name] for name in order_of(names, tuple(read), where)}
    array = np.column_stack(list(read.values()))
    value_names = tuple(read) if next(iter(read.values())).ndim == 1 else tuple(map(str, range(array.shape[1])))
    if names and len(names) != array.shape[1]:
        raise DataError(f"{where}: {len(names)} names for {array.shape[1]} values")
    value_names = tuple(names) or value_names
    refuse_twice(value_names, where)
    odd = np.argwhere(~np.isfinite(array))
    if len(odd):
        row, place = odd[0]
        raise DataError(
            f"{place_of(columns, int(row), where)}: {value_names[place]} is {array[row, place]}, which is no value; "
            "remove it, or give it one"
        )
    return _as_float32(array, value_names, where), value_names


def _as_float32(array: NDArray[np.float64], names: Sequence[str], where: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        made = array.astype(np.float32)
    if not np.isfinite(made).all():
        raise DataError(f"{where}: {np.abs(array).max():g} is too large for a 32-bit number; give it in another unit")
    for name, before, after in zip(names, array.T, made.T, strict=True):
        if np.ptp(before) > 0 and np.ptp(after) == 0:
            raise DataError(
                f"{where}: the values of {name} are all the same as 32-bit numbers, {after[0]:g}; subtract what they "
                "have in common, or give them in another unit"
            )
    return made


def _column(columns: Columns, name: str, where: str) -> NDArray[np.float64]:
    """float64 (N,), or (N, values) of a column of lists."""
    cells = columns[name]
    if isinstance(cells, np.ma.MaskedArray):  # what is masked is not known
        cells = np.ma.filled(cells.astype(np.float64), np.nan)
    if isinstance(cells, np.ndarray) and cells.dtype.kind in "iuf":
        if cells.ndim > 2 or 0 in cells.shape[1:]:
            raise DataError(f"{where}: a sample has one value, or a list of them, not an array {cells.shape[1:]}")
        return np.asarray(cells, np.float64)
    rows = [_values(cell, name, columns, row, where) for row, cell in enumerate(cells)]
    first = _count(rows[0])
    for row, values in enumerate(rows):
        if (count := _count(values)) != first:
            place = place_of(columns, row, where)
            raise DataError(f"{place}: {name} has {count}, and the first sample {first}; each needs as many")
    return np.array(rows, np.float64)


def _count(values: Any) -> str:
    return f"a list of {len(values)}" if isinstance(values, list) else "one number"


def _values(cell: Any, name: str, columns: Columns, row: int, where: str) -> float | list[float]:
    """A cell of a column: a number, or a list of them."""
    if isinstance(cell, (list, tuple, np.ndarray)) and np.ndim(np.asarray(cell, object)):
        if len(cell) and not any(isinstance(one, (list, tuple, dict)) for one in cell) and np.ndim(cell) == 1:
            return [_value(one, name, columns, row, where) for one in cell]
        raise DataError(f"{place_of(columns, row, where)}: {name} is one value, or a list of them, not {shown(cell)}")
    return _value(cell, name, columns, row, where)


def _value(cell: Any, name: str, columns: Columns, row: int, where: str) -> float:
    number = number_of_cell(cell)
    if number is not None:
        return number
    place = place_of(columns, row, where)
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        raise DataError(f"{place}: {name} is empty; give it a value, or remove the row")
    decimal = isinstance(cell, str) and number_of_cell(cell.replace(",", ".")) is not None
    hint = "; write a decimal point" if decimal else ""
    raise DataError(f"{place}: {name} is {shown(cell)}, and values are numbers{hint}")


def number_of_cell(cell: Any) -> float | None:
    """A number of any notation that is accepted; None for everything else, such as booleans."""
    if getattr(cell, "ndim", None) == 0:  # of numpy, or a tensor
        cell = cell.item()
    if isinstance(cell, str):
        # `float` also takes 1_000, and digits of other scripts.
        return float(cell) if _NUMBER.fullmatch(cell.strip()) else None
    if isinstance(cell, (bool, np.bool_)) or not isinstance(cell, (Real, Decimal)):
        return None
    try:
        return float(cell)
    except (OverflowError, ValueError):  # integers of more than 300 digits; signaling NaN
        return math.inf


def share_of_numbers(cells: Any) -> tuple[float, float]:
    """Shares, 0–1, of numbers and of lists of numbers among the cells that are not empty."""
    if isinstance(cells, np.ndarray) and cells.dtype.kind in "iuf":
        return float(cells.ndim == 1), float(cells.ndim == 2)
    filled = [cell for cell in cells if cell is not None and not (isinstance(cell, str) and not cell.strip())]
    numbers = sum(number_of_cell(cell) is not None for cell in filled)
    lists = sum(
        isinstance(cell, (list, tuple, np.ndarray))
        and np.ndim(np.asarray(cell, object)) == 1
        and all(number_of_cell(one) is not None for one in cell)
        for cell in filled
    )
    return numbers / max(len(filled), 1), lists / max(len(filled), 1)
