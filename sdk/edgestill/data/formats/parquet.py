"""A folder of parquet files, as data hubs hand them out.

    train.parquet, test.parquet, validation.parquet, or in parts: train-00000-of-00002.parquet …; also in data/, or in a
    folder for each split

    image    PNG, JPEG, … as bytes, or {bytes, path} as Hugging Face writes it (`img` serves as well)
    audio    WAV, FLAC, … in the same way
    label    integers, or text; class names from the schema's metadata (`classes`, or Hugging Face's `ClassLabel`), else
             the labels themselves (`labels` serves as well). Other tasks find their own columns, as in a table

`EDGESTILL_DATA` is searched too when the folder is not a path of its own.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from edgestill_runtime.errors import reason

from ...errors import DataError, MissingExtraError
from ...progress import SILENT, Progress
from ...tasks import Task
from ...tasks.columns import TableColumns
from ..folders import Kind, hidden
from ..reading import Listing, Part
from ..splits import TEST, TRAIN, VALIDATION, shard_of, split_of

_COLUMNS: dict[Kind, tuple[str, ...]] = {"image": ("image", "img"), "audio": ("audio",)}


class Cells:
    """The samples of one split, encoded in memory.

    Args:
        column: of pyarrow. origins: the files, and how many rows come from each.
    """

    def __init__(self, column: Any, origins: Sequence[tuple[Path, int]], kind: Kind) -> None:
        self._column, self._origins, self._kind = column, list(origins), kind

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, row: int) -> bytes:
        cell = self._column[row].as_py()
        content = cell.get("bytes") if isinstance(cell, dict) else cell
        if not isinstance(content, bytes):
            what = "only a path" if isinstance(cell, dict) and cell.get("path") else f"no {self._kind}"
            raise DataError(f"{self.name(row)} has {what} in it; write the files' content into the column")
        return content

    def name(self, row: int) -> str:
        """The file, and the row in it."""
        for path, count in self._origins:
            if row < count:
                return f"{path}, row {row}"
            row -= count
        return f"row {row}"

    def identity(self) -> bytes:
        """A hash of all that is stored: it is in memory, and hashing is quick beside decoding."""
        hasher = hashlib.sha256()
        for row in range(len(self)):
            hasher.update(hashlib.sha256(self[row]).digest())
        return hasher.digest()


class Table:
    """The files of one split, and what their schema says.

    Args:
        targets: columns that are targets, where the train split has said which.
    """

    def __init__(self, files: Sequence[Path], task: Task, targets: Sequence[str] = ()) -> None:
        self._parquet = _pyarrow()
        self.files = list(files)
        self.schema = self._open(self.files[0]).schema_arrow
        self.kind, self.column = self._samples(task)
        self.others = _Columns([name for name in self.schema.names if name != self.column], self)
        self.targets = tuple(targets) or task.target_columns(self.others, str(self.files[0]))
        for file in self.files:
            other = self._open(file).schema_arrow
            if self.column not in other.names or not set(self.targets) <= set(other.names):
                raise DataError(f"{file} has other columns than {self.files[0]}: {', '.join(other.names)}")

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names from the metadata; empty without."""
        if len(self.targets) != 1:
            return ()
        metadata = self.schema.metadata or {}
        if b"classes" in metadata:
            return tuple(metadata[b"classes"].decode("utf-8", "replace").split(","))
        try:
            features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
            feature = features[self.targets[0]]
            feature = feature[0] if isinstance(feature, list) else feature
            names = feature.get("names") or feature.get("feature", {}).get("names") or ()
        except (ValueError, LookupError, TypeError, AttributeError):
            return ()
        return tuple(str(name) for name in (names.values() if isinstance(names, dict) else names))

    def read(self, progress: Progress, task: Task) -> tuple[Cells, TableColumns]:
        """Samples and columns of targets, as they are stored."""
        import pyarrow

        columns = [self.column, *self.targets]
        tables, origins = [], []
        with progress.task(f"open {self.files[0].stem}", len(self.files)) as bar:
            for file in self.files:
                tables.append(self._read(file, columns).select(columns))
                origins.append((file, tables[-1].num_rows))
                bar.advance()
        try:
            table = pyarrow.concat_tables(tables)
        except pyarrow.ArrowException as error:
            raise DataError(f"{self.files[0].parent}: its parts have columns of different types") from error
        samples = Cells(table[self.column], origins, self.kind)
        if task.of_folders and table[self.targets[0]].null_count:
            row = table[self.targets[0]].is_null().index(True).as_py()
            raise DataError(f"{samples.name(row)} has no label; remove it, or give it one")
        return samples, TableColumns({name: _plain(table[name]) for name in self.targets}, samples.name)

    def cells(self, name: str) -> Any:
        """One column alone, as it is stored."""
        import pyarrow

        try:
            parts = [self._read(file, [name]) for file in self.files]
            return _plain(pyarrow.concat_tables(parts)[name])
        except (pyarrow.ArrowException, KeyError) as error:
            raise DataError(f"{self.files[0].parent}: its parts have different columns {name!r}") from error

    def _samples(self, task: Task) -> tuple[Kind, str]:
        names = self.schema.names
        needed = "label, and image or audio" if task.of_folders else "image or audio"
        for kind, words in _COLUMNS.items():
            column = next((name for name in words if name in names), None)
            if column and (not task.of_folders or {"label", "labels"} & set(names)):
                return kind, column
        raise DataError(f"{self.files[0]} has the columns {', '.join(names)}; it needs {needed}")

    def _open(self, file: Path) -> Any:
        return _guarded(file, lambda: self._parquet.ParquetFile(file))

    def _read(self, file: Path, columns: Sequence[str]) -> Any:
        # Not `read_table`, which imports pandas where it is installed: four seconds.
        opened = self._open(file)
        return _guarded(file, lambda: opened.read(columns=list(columns)))


class _Columns(Mapping[str, Any]):
    """Columns that are read when somebody looks at them."""

    def __init__(self, names: Sequence[str], table: Table) -> None:
        self._names, self._table = list(names), table

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        return self._table.cells(name)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _plain(column: Any) -> Any:
    """An array; a list of what has lists or nothing in it, which tasks look at cell by cell."""
    import pyarrow

    if pyarrow.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.to_pylist() if pyarrow.types.is_nested(column.type) or column.null_count else column.to_numpy()


def list_parquet(folder: Path, task: Task, progress: Progress = SILENT) -> Listing:
    """Find and open all splits; no sample is decoded.

    Raises:
        DataError: no such folder or file, other columns, an empty split, or labels that are none.
    """
    place, files = _find(folder)
    notes = []
    if TRAIN not in files:
        raise DataError(f"{place} has no train.parquet")
    if TEST not in files and VALIDATION in files:
        notes.append("there is no test split: validation serves as test, and validation is cut from train")
        files[TEST] = files.pop(VALIDATION)
    if TEST not in files:
        raise DataError(f"{place} has no test.parquet or validation.parquet")
    train = Table(files[TRAIN], task)
    same = () if task.of_folders else train.targets
    tables = {TRAIN: train} | {split: Table(files[split], task, same) for split in (VALIDATION, TEST) if split in files}
    for split, table in tables.items():
        if table.kind != train.kind:
            raise DataError(f"{place}: train has {train.kind}, {split} has {table.kind}; both need the same")
        if table.classes and table.classes != train.classes:
            raise DataError(f"{place}: train and {split} name or order their classes differently")
    read = {split: table.read(progress, task) for split, table in tables.items()}
    targets = task.read_targets({split: columns for split, (_, columns) in read.items()}, train.classes, str(place))
    if not task.of_folders:
        notes += task.columns_note(train.targets, train.others, train.files[0].name)
    elif any(
        len(one) > 1
        for _, columns in read.values()
        for cells in columns.values()
        if isinstance(cells, list)
        for one in cells[:1]
    ):
        notes.append("the labels are lists and read as one-hot: the place of the 1 is the class")
    splits = {split: Part(samples, targets.splits[split]) for split, (samples, _) in read.items()}
    name = place.name or place.resolve().name
    return Listing(name, train.kind, targets.names, splits, notes=(*notes, *targets.notes), origin=str(place))


def _find(folder: Path) -> tuple[Path, dict[str, list[Path]]]:
    places = [folder]
    if not folder.is_absolute() and (root := os.environ.get("EDGESTILL_DATA")):
        places.append(Path(root) / folder)
    for place in places:
        if place.is_file():
            raise DataError(f"{place} is a file; give the folder that it lies in, with train.parquet and test.parquet")
        for inner in (place, place / "data"):
            if files := _files(inner):
                return place, files
    tried = " or ".join(str(place) for place in places)
    raise DataError(f"no train.parquet in {tried}; EDGESTILL_DATA is searched too")


def _files(folder: Path) -> dict[str, list[Path]]:
    """Split → its files, in order; also those in a folder for each split."""
    files_by_split: dict[str, list[Path]] = {}
    limits: dict[str, int] = {}
    try:
        entries = sorted(folder.iterdir()) if folder.is_dir() else []
        for entry in entries:
            if hidden(entry.name):
                continue
            split, total = split_of(entry.name), None
            if entry.is_dir() and split:
                files_by_split.setdefault(split, []).extend(sorted(entry.glob("*.parquet")))
            elif entry.suffix.lower() == ".parquet":
                split, total = shard_of(entry.stem)
                if split:
                    files_by_split.setdefault(split, []).append(entry)
            if split and total:
                limits[split] = total
    except OSError as error:
        raise DataError(f"the folder {folder} cannot be read: {reason(error).lower()}") from error
    for split, total in limits.items():
        if len(files_by_split[split]) != total:
            raise DataError(
                f"{folder} has {len(files_by_split[split])} of the {total} parts of {split}; fetch the others"
            )
    return {split: files for split, files in files_by_split.items() if files}


def _guarded(file: Path, action: Any) -> Any:
    from pyarrow import ArrowException

    try:
        return action()
    except FileNotFoundError as error:
        raise DataError(f"{file} does not exist") from error
    except PermissionError as error:
        raise DataError(f"{file} cannot be read: permission denied") from error
    except (OSError, ArrowException) as error:
        raise DataError(f"{file} cannot be read as parquet: it is damaged, or something else{_what(file)}") from error


def _what(file: Path) -> str:
    try:
        head = file.open("rb").read(64)
    except OSError:
        return ""
    if not head:
        return " (it is empty)"
    if head.startswith(b"version https://git-lfs"):
        return " (it is a Git LFS pointer; fetch the file itself with `git lfs pull`)"
    return " (it is text)" if head.isascii() and not head.startswith(b"PAR1") else ""


def _pyarrow() -> Any:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "distill") from error
    return parquet
