"""One table in a file: CSV or TSV, JSON, or JSON Lines → rows of cells by column, and where each row stands.

    labels.csv      a header, then a row a line; `,` `;` tab or `|` between cells, `"` around cells that need it
    labels.json     [{"file": "1.jpg", "age": 31}, …], or {"1.jpg": 31, …}, or {"1.jpg": {"age": 31}, …}
    labels.jsonl    {"file": "1.jpg", "age": 31} a line

Text is UTF-8, or UTF-16 with its mark. Cells of a CSV are text; what they mean is the task's business.
"""

import codecs
import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgestill_runtime.errors import reason

from ...errors import DataError
from ...tasks.labels import few

ENDINGS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson")
TARGET = "target"
"""Column of what a JSON file has for each file, where that is no object."""
_DELIMITERS = ",;\t|"
# Names of columns that hold the file of a sample, in this order, without spaces, `_` and `-`.
_FILE_WORDS = (
    "file", "filename", "filepath", "files", "path", "image", "imagefile", "imagefilename", "imagename", "imagepath",
    "img", "imgname", "imgpath", "photo", "picture", "audio", "audiofile", "audiofilename", "audioname", "audiopath",
    "recording", "sound", "wav", "sample", "name", "imageid", "audioid", "id",
)  # fmt: skip


@dataclass(frozen=True)
class Table:
    """What a file holds.

    Args:
        title: for messages. file: the column that names the samples' files. columns: all of them. rows: cells, in the
            order of the columns. lines: where each row stands: `line 7`, `entry 3`.
    """

    path: Path
    title: str
    file: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    lines: list[str]

    def column(self, name: str) -> list[Any]:
        """The cells of a column."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]

    def cell(self, row: int, name: str) -> Any:
        """One cell."""
        return self.rows[row][self.columns.index(name)]

    def place(self, row: int) -> str:
        """A row, for messages: `labels.csv, line 7`."""
        return f"{self.title}, {self.lines[row]}"


def read_table(path: Path, title: str = "") -> Table:
    """Read a table.

    Args:
        title: for messages; the file's name when empty.

    Raises:
        DataError: it cannot be read, is none of these, has no rows, or no column that names files; says which line.
    """
    text = _text(path)
    if not text.strip():
        raise DataError(f"{path} is empty; it needs a header and a row for each sample")
    if path.suffix.lower() in (".csv", ".tsv"):
        columns, rows, lines = _csv(path, text)
    else:
        columns, rows, lines = _of_objects(path, _json_lines if path.suffix.lower() != ".json" else _json, text)
    if not rows:
        raise DataError(f"{path} has no rows; it needs one for each sample")
    return Table(path, title or path.name, _file_column(path, columns), columns, rows, lines)


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason(error).lower()}") from error
    if content.startswith(b"version https://git-lfs"):
        raise DataError(f"{path} is a Git LFS pointer; fetch the file itself with `git lfs pull`")
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if wide else "utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = 1 + content[: error.start].count(b"\n")
        raise DataError(f"{path}, line {line} is no text in UTF-8; save the table as UTF-8") from error
    if "\0" in text:
        raise DataError(f"{path}, line {1 + text[: text.index(chr(0))].count(chr(10))} has a zero byte: it is no text")
    return text


def _csv(path: Path, text: str) -> tuple[tuple[str, ...], list[tuple[Any, ...]], list[str]]:
    first = next(line for line in text.split("\n") if line.strip()).strip("\r")
    delimiter = max(_DELIMITERS, key=lambda one: _columns_with(first, one))
    lines_with_cells = _csv_rows(path, text, delimiter)
    _, header = next(lines_with_cells)
    columns = [cell.strip() for cell in header]
    rows, lines = [], []
    for line, cells in lines_with_cells:
        if len(cells) != len(columns):
            raise DataError(
                f'{path}, line {line} has {len(cells)} cells, and the header {len(columns)}; put " around a cell with '
                f"{_shown(delimiter)} in it"
            )
        rows.append(tuple(cells))
        lines.append(f"line {line}")
    # Spreadsheets leave columns without anything in them at the right.
    used = [n for n, name in enumerate(columns) if name or any(row[n].strip() for row in rows)]
    columns = [columns[n] for n in used]
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise DataError(f"{path}: two columns are called {twice[0]!r}; give each a name of its own")
    return tuple(columns), [tuple(row[n] for n in used) for row in rows], lines


def _columns_with(header: str, delimiter: str) -> tuple[bool, int]:
    """How well a delimiter divides a header: whether one of its cells names files, and how many there are."""
    try:
        (cells,) = csv.reader([header], delimiter=delimiter)
    except (csv.Error, ValueError):
        return False, 0
    return any(_plain(cell) in _FILE_WORDS for cell in cells), len(cells)


def _csv_rows(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, with the line on which each begins."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f'{path}, line {line} is no line of a CSV: {error}; look for a " that is never closed'
        ) from error


def _json(path: Path, text: str) -> list[tuple[str, Any]]:
    """(place, object) of each entry."""
    parsed = _parsed(text, str(path))
    if isinstance(parsed, list):
        return [(f"entry {number}", one) for number, one in enumerate(parsed, 1)]
    if not isinstance(parsed, dict):
        raise DataError(f"{path} is {_kind(parsed)}; it needs a list of objects, or an object of files")
    entries = []
    for name, target in parsed.items():
        inner = target if isinstance(target, dict) else {TARGET: target}
        if isinstance(target, list) and any(isinstance(one, dict) for one in target):
            raise DataError(
                f"{path}: {name!r} is a list of objects; a table is that list itself, or an object from each file to "
                "its target"
            )
        if "file" in inner:
            raise DataError(f"{path}: the entry {name!r} has a `file` in it, and is named by a file itself; keep one")
        entries.append((f"entry {name!r}", {"file": name, **inner}))
    return entries


def _json_lines(path: Path, text: str) -> list[tuple[str, Any]]:
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    return [(f"line {number}", _parsed(line, f"{path}, line {number}")) for number, line in lines]


def _of_objects(
    path: Path, entries_of: Callable[[Path, str], list[tuple[str, Any]]], text: str
) -> tuple[tuple[str, ...], list[tuple[Any, ...]], list[str]]:
    entries = entries_of(path, text)
    for place, one in entries:
        if not isinstance(one, dict):
            raise DataError(f"{path}, {place} is {_kind(one)}; it needs an object with a `file` and its target")
    columns = tuple(dict.fromkeys(name for _, one in entries for name in one))
    # What an object lacks is an empty cell.
    return columns, [tuple(one.get(name) for name in columns) for _, one in entries], [place for place, _ in entries]


def _parsed(text: str, where: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            raise DataError(f"{where}: {max(names, key=names.count)!r} is there twice; keep one of them")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        place = where if ", line " in where else f"{where}, line {error.lineno}"
        raise DataError(f"{place} is no JSON: {error.msg} at column {error.colno}") from error
    except (RecursionError, ValueError) as error:  # nested too deep; integers of too many digits
        raise DataError(f"{where} is no JSON that can be read: {str(error).partition(';')[0]}") from error


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _file_column(path: Path, columns: Sequence[str]) -> str:
    plain = {_plain(name): name for name in reversed(columns)}
    column = next((plain[word] for word in _FILE_WORDS if word in plain), None)
    if column is None:
        raise DataError(
            f"{path} has the columns {few(columns)}, and none of them names the samples: call the one with the files "
            "`file`; a CSV begins with a line of names"
        )
    return column


def _plain(name: str) -> str:
    return name.strip().casefold().replace("_", "").replace(" ", "").replace("-", "")


def _shown(delimiter: str) -> str:
    return "a tab" if delimiter == "\t" else delimiter
