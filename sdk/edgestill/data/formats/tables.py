"""A folder of samples with a table beside them that says their targets; see `table_files.py` for what a table is.

    PATH/labels.csv  PATH/…                               one table of any name: `split` is a column of it, or the files
                                                          lie in train/ and test/, or a fifth is cut off as test
    PATH/train.csv   PATH/test.csv  PATH/…                one for each split: also labels_train.json, validation.jsonl …
    PATH/train/metadata.csv  PATH/test/metadata.csv  …    one in the folder of each split
    PATH/ages.csv                                         named itself, where there are several

Paths in a table are relative to its folder. A file may be named without its subfolders and without its ending, as long
as that fits one file only.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...tasks import Targets, Task
from ...tasks.columns import TableColumns
from ...tasks.labels import few
from ..folders import WORDS, Kind
from ..reading import Files, Listing, Part
from ..splits import TEST, TRAIN, VALIDATION, split_of
from .image_folder import DEFAULT_SIZE, TEST_SHARE
from .table_files import Table
from .table_finding import FoundTables, Row, find_tables

_SPLIT = "split"


def list_tables(place: Path, kind: Kind, task: Task) -> Listing:
    """Find all samples that a table names; none is decoded.

    Args:
        place: a folder with a table in it, or the table itself.

    Raises:
        DataError: no table or several, one that cannot be read, files that are there twice, or cells that are no
            targets; names table, line and column.
    """
    tables = find_tables(place, kind, task)
    folder, rows, notes = tables.folder, tables.rows, tables.notes
    if "" in rows:
        rows = _by_split(rows[""], folder, notes) or rows
    if VALIDATION in rows and TEST not in rows:
        notes.append("there is no test split: validation serves as test, and validation is cut from train")
        rows[TEST] = rows.pop(VALIDATION)
    columns = _target_columns(tables, task)
    read = task.read_targets({split or TRAIN: _cells(part, columns) for split, part in rows.items()}, (), str(place))
    parts = {split or TRAIN: _part(part, read.splits[split or TRAIN]) for split, part in rows.items()}
    if TEST not in parts:
        parts = _cut_off_test(folder, parts[TRAIN], task, notes, kind)
    name = folder.name or folder.resolve().name
    return Listing(
        name=f"{kind}-folder:{name}/{place.name}" if place.is_file() else f"{kind}-folder:{name}",
        kind=kind,
        classes=read.names,
        splits={split: parts[split] for split in (TRAIN, VALIDATION, TEST) if split in parts},
        size=DEFAULT_SIZE if kind == "image" else None,
        notes=tuple(note for note in (*notes, *read.notes, *tables.left()) if note),
        origin=str(place),
        skipped={reason: len(paths) for reason, paths in tables.skipped.reasons.items()},
    )


def list_all(place: Path, kind: Kind, task: Task, names: Sequence[str] = ()) -> tuple[Part, Targets, tuple[str, ...]]:
    """All samples that tables name, of whatever split; their targets and names; and notes.

    Args:
        names: of a model that is there already, for its outputs.

    Raises:
        DataError: as `list_tables`.
    """
    tables = find_tables(place, kind, task)
    columns = _target_columns(tables, task)
    rows = [row for part in tables.rows.values() for row in part]
    read = task.read_targets({TRAIN: _cells(rows, columns)}, names, str(place))
    return _part(rows, read.splits[TRAIN]), read, (*tables.notes, *read.notes, *tables.left())


def _by_split(rows: Sequence[Row], folder: Path, notes: list[str]) -> dict[str, list[Row]]:
    """The rows of one table by split: of its column `split`, or of the folders that the files lie in; else nothing."""
    table = rows[0][1]
    column = _split_column(table)
    if column is not None:
        words = table.column(column)
        splits = [split_of(words[row]) if isinstance(words[row], str) else None for _, _, row in rows]
        if None in splits:
            _, _, row = rows[splits.index(None)]
            raise DataError(f"{table.place(row)}: {column} is {words[row]!r:.40}; it is train, validation or test")
    else:
        inside = [path.relative_to(folder).parts for path, _, _ in rows]
        splits = [split_of(parts[0]) if len(parts) > 1 else None for parts in inside]
        if not any(splits):
            return {}
        if None in splits:
            path, _, _ = rows[splits.index(None)]
            raise DataError(
                f"{folder}: some files of {table.title} lie in folders of splits, and {path.relative_to(folder)} does "
                "not; say the split of each in a column `split`"
            )
        notes.append(f"{table.title}: the splits are the folders that the files lie in")
    rows_by_split: dict[str, list[Row]] = {}
    for split, one in zip(splits, rows, strict=True):
        rows_by_split.setdefault(str(split), []).append(one)
    if TRAIN not in rows_by_split:
        raise DataError(f"{table.path} has no row of the split train, but of {', '.join(rows_by_split)}")
    return rows_by_split


def _split_column(table: Table) -> str | None:
    return next((name for name in table.columns if name.strip().casefold() == _SPLIT and name != table.file), None)


def _target_columns(tables: FoundTables, task: Task) -> tuple[str, ...]:
    """The columns of train that are targets, with a line about those that are not."""
    table = tables.tables[TRAIN if TRAIN in tables.tables else ""]
    aside = (table.file, _split_column(table))
    columns = {name: table.column(name) for name in table.columns if name not in aside}
    chosen = task.target_columns(columns, str(table.path))
    tables.notes.extend(task.columns_note(chosen, columns, table.title))
    return chosen


def _cells(rows: Sequence[Row], columns: Sequence[str]) -> TableColumns:
    for table in {table.path: table for _, table, _ in rows}.values():
        if lacking := [name for name in columns if name not in table.columns]:
            raise DataError(f"{table.path} has no column {lacking[0]!r}, which train has; it has {few(table.columns)}")
    cells = {name: [table.cell(row, name) for _, table, row in rows] for name in columns}
    return TableColumns(cells, lambda number: rows[number][1].place(rows[number][2]))


def _part(rows: Sequence[Row], targets: NDArray[Any]) -> Part:
    return Part(Files([path for path, _, _ in rows]), targets)


def _cut_off_test(folder: Path, train: Part, task: Task, notes: list[str], kind: Kind) -> dict[str, Part]:
    """A fifth of all files as test, by a hash of their names, but never all of a stratum."""
    assert isinstance(train.samples, Files)
    names = [path.relative_to(folder).as_posix().encode("utf-8", "surrogateescape") for path in train.samples.paths]
    order = np.array(sorted(range(len(names)), key=lambda row: hashlib.sha256(names[row]).digest()), np.int64)
    strata = task.strata(train.targets)[order]
    last = len(order) - 1 - np.unique(strata[::-1], return_index=True)[1]
    chosen = np.delete(order, last)[: max(1, round(TEST_SHARE * len(order)))]
    if not len(chosen):
        raise DataError(f"{folder} has {len(order)} {WORDS[kind]} with a row, and none to test with; it needs more")
    notes.append(f"there is no test split: a fifth is set aside as one, {len(chosen):,} {WORDS[kind]}, by their names")
    parts = {}
    for split, rows in ((TRAIN, np.setdiff1d(order, chosen)), (TEST, np.sort(chosen))):
        parts[split] = Part(Files([train.samples.paths[row] for row in rows]), train.targets[rows])
    return parts
