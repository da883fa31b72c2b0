"""Which tables lie in a folder of samples, for which splits, and which sample each of their rows means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import DataError
from ...tasks import Task
from ...tasks.labels import few
from ..folders import WORDS, Kind, Skipped, hidden, samples_in, subfolders
from ..splits import TRAIN, numbered_split_of, resembles_split, split_of
from .sample_finder import SampleFinder
from .table_files import ENDINGS, Table, read_table

Row = tuple[Path, Table, int]
"""A sample, and the row that says its target."""


@dataclass(frozen=True)
class FoundTables:
    """What lies in a folder: by split, `""` where one table is there for all."""

    folder: Path
    kind: Kind
    tables: Mapping[str, Table]
    rows: dict[str, list[Row]]
    files: Sequence[Path]
    skipped: Skipped
    notes: list[str]

    def left(self) -> list[str]:
        """Lines about files that are not read."""
        named = {path for part in self.rows.values() for path, _, _ in part}
        lines = [self.skipped.line(self.folder)]
        if left := [path.relative_to(self.folder).as_posix() for path in self.files if path not in named]:
            verb = "has" if len(left) == 1 else "have"
            lines.append(f"{len(left):,} {WORDS[self.kind]} {verb} no row in a table and are not read: {few(left, 3)}")
        return [line for line in lines if line]


def find_tables(place: Path, kind: Kind, task: Task) -> FoundTables:
    """The tables, and the samples that their rows name."""
    if not place.exists():
        raise DataError(f"{kind} folder {place} does not exist")
    folder = place.parent if place.is_file() else place
    notes: list[str] = []
    places = _named(place) if place.is_file() else _tables_of_splits(folder, kind, task, notes)
    skipped = Skipped()
    finder, files = _finder(folder, kind, skipped, [one.path for one in places.values()])
    tables = {split: read_table(one.path, str(one.path.relative_to(folder))) for split, one in places.items()}
    rows = {split: _match(table, places[split].roots, finder, notes) for split, table in tables.items()}
    _refuse_shared(rows)
    return FoundTables(folder, kind, tables, rows, files, skipped, notes)


def has_table(folder: Path) -> bool:
    """Whether a table lies in a folder, or in that of a split in it."""
    splits = [one for one in subfolders(folder, Skipped()) if split_of(one.name)]
    return any(_tables_in(one) for one in (folder, *splits))


@dataclass(frozen=True)
class _Place:
    """A table, and the folders that its paths may begin in."""

    path: Path
    roots: tuple[Path, ...]


def _named(table: Path) -> dict[str, _Place]:
    if table.suffix.lower() not in ENDINGS:
        raise DataError(f"{table} is no table; its name ends in {', '.join(ENDINGS)}. Or give the folder it lies in")
    return {"": _Place(table, (table.parent,))}


def _tables_of_splits(folder: Path, kind: Kind, task: Task, notes: list[str]) -> dict[str, _Place]:
    """Split → its table; `""` for one table of all."""
    folders = {split: one for one in subfolders(folder, Skipped()) if (split := split_of(one.name))}
    general: list[Path] = []
    splits: dict[str, Path] = {}
    for one in _tables_in(folder):
        split = split_of(one.stem) or numbered_split_of(one.stem) or resembles_split(one.stem)
        if split is None:
            general.append(one)
        elif split in splits:
            raise DataError(f"{folder} has two tables for {split}: {splits[split].name} and {one.name}; keep one")
        else:
            splits[split] = one
    if TRAIN in splits:
        if general:
            notes.append(f"{few([one.name for one in general])} is not read: there is a table for each split")
        return {
            split: _Place(one, (*([folders[split]] if split in folders else []), folder))
            for split, one in splits.items()
        }
    if splits:
        raise DataError(
            f"{folder} has a table for {', '.join(splits)} ({few([one.name for one in splits.values()])}) and none for "
            "train; call it train.csv, or give one table with a column `split`"
        )
    if len(general) > 1:
        raise DataError(
            f"{folder} has several tables: {few([one.name for one in general])}; name the one that is meant, "
            f"{kind}-folder:{general[0]}"
        )
    return {"": _Place(general[0], (folder,))} if general else _inside_splits(folder, folders, kind, task)


def _inside_splits(folder: Path, folders: Mapping[str, Path], kind: Kind, task: Task) -> dict[str, _Place]:
    tables_by_split = {split: _tables_in(one) for split, one in folders.items()}
    for split, tables in tables_by_split.items():
        if len(tables) > 1:
            raise DataError(f"{folders[split]} has several tables: {few([one.name for one in tables])}; keep one")
    if not tables_by_split.get(TRAIN):
        raise DataError(
            f"{folder} has no table of {task.targets_word}: {task.name} needs one beside the {WORDS[kind]}, such as "
            f"labels.csv, with a header and a row for each: file,{task.targets_word}"
        )
    return {split: _Place(tables[0], (folders[split],)) for split, tables in tables_by_split.items() if tables}


def _tables_in(folder: Path) -> list[Path]:
    subfolders(folder, Skipped())  # says what is wrong with the folder itself
    entries = sorted(folder.iterdir())
    return [one for one in entries if one.suffix.lower() in ENDINGS and one.is_file() and not hidden(one.name)]


def _finder(folder: Path, kind: Kind, skipped: Skipped, tables: Sequence[Path]) -> tuple[SampleFinder, list[Path]]:
    files = samples_in(folder, kind, skipped)
    if not files:
        line = skipped.line(folder)
        raise DataError(f"{folder} has no {WORDS[kind]} in it" + (f"; {line}" if line else ""))
    for reason in list(skipped.reasons):  # tables that are read
        skipped.reasons[reason] = [path for path in skipped.reasons[reason] if path not in tables]
        if not skipped.reasons[reason]:
            del skipped.reasons[reason]
    return SampleFinder(folder, files), files


def _match(table: Table, roots: Sequence[Path], finder: SampleFinder, notes: list[str]) -> list[Row]:
    """The rows whose files are there, in the order of the files."""
    row_of_path: dict[Path, int] = {}
    missing = []
    for row, name in enumerate(table.column(table.file)):
        if isinstance(name, int) and not isinstance(name, bool):
            name = str(name)
        if not isinstance(name, str):
            raise DataError(f"{table.place(row)}: {table.file} names a file as text, not {name!r:.40}")
        path = finder.find(name, roots, table.place(row))
        if path is None:
            missing.append(f"{table.lines[row]} ({name.strip():.60})")
        elif path in row_of_path:
            before = table.lines[row_of_path[path]]
            place = table.place(row)
            raise DataError(f"{place} names {name.strip():.60}, as {before} does; say all of a sample in one row")
        else:
            row_of_path[path] = row
    if not row_of_path:
        raise DataError(f"no file that {table.path} names is there: {few(missing, 3)}; paths begin in {roots[0]}")
    if missing:
        verb = "names" if len(missing) == 1 else "name"
        notes.append(f"{table.title}: {len(missing):,} of its rows {verb} no file that is there: {few(missing, 3)}")
    return [(path, table, row_of_path[path]) for path in sorted(row_of_path)]


def _refuse_shared(rows: Mapping[str, Sequence[Row]]) -> None:
    """Refuse a sample that two splits have."""
    seen: dict[Path, str] = {}
    for part in rows.values():
        for path, table, row in part:
            if path in seen:
                raise DataError(f"{path} is in two splits, {seen[path]} and {table.place(row)}; keep one of them")
            seen[path] = table.place(row)
