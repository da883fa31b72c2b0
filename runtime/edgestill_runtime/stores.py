"""Read access to a bundle's files in a folder or a zip: list their names, and read one.

`zipfile` is imported only for a zip: a device that opens folders starts faster without it.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from .engines import family_of_path
from .errors import BundleFormatError, raised_by, reason
from .files import atomic_file
from .manifest import FILE_PATH, MANIFEST, MAX_DEPTH, MAX_FILES, MAX_PATH

if TYPE_CHECKING:
    from zipfile import ZipInfo


_LOCAL_ENTRY = b"PK\x03\x04"  # signature of a local file header in a zip (APPNOTE.TXT 4.3.7)


class UnusableError(Exception):
    """A file that exists, but cannot be read as a file of a bundle."""


class Store(Protocol):
    """The files of a bundle, in a folder or a zip."""

    def names(self) -> list[str]:
        """Paths of all files, with `/`. BundleFormatError for an entry that a bundle may not contain."""

    def read(self, name: str, most: int | None) -> bytes:
        """Content of a file. KeyError if missing, UnusableError if unreadable or larger than `most` bytes."""


def open_store(path: Path) -> Store:
    """The folder or zip at a path; BundleFormatError if it is neither."""
    if path.is_dir():
        return _Folder(path)
    if path.is_file():
        starts = _starts_like_a_zip(path)
        import zipfile

        if zipfile.is_zipfile(path):
            return _Zip(path, starts)
        if starts:
            raise _cut_off(path)
    if not path.exists():
        raise BundleFormatError(f"{path} does not exist")
    bare = "; it is a bare model file, which `load` and `python -m edgestill_runtime` run by itself"
    hint = bare if family_of_path(path) else ""
    raise BundleFormatError(f"{path} is neither a bundle directory nor a bundle zip{hint}")


def _starts_like_a_zip(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_LOCAL_ENTRY)) == _LOCAL_ENTRY
    except OSError as error:
        if not raised_by(error):
            raise
        raise BundleFormatError(f"{path} cannot be read: {reason(error)}") from error


def _cut_off(path: Path) -> BundleFormatError:
    return BundleFormatError(
        f"{path} starts like a zip bundle, but is cut off or damaged: its directory at the end is missing or does not "
        "fit; copy the bundle again"
    )


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> list[str]:
        with os.scandir(self._path) as entries:
            found = {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}
        if MANIFEST not in found:  # not a bundle: skip the other checks
            return [name for name, plain in found.items() if plain]
        files = [name for name, plain in found.items() if plain]
        odd: list[str] = []
        for name in found.keys() - set(files):
            _look_below(self._path, name, files, odd)
        if odd:
            raise BundleFormatError(
                f"{self._path} holds what is no plain file (a link, an empty folder): {', '.join(sorted(odd))}"
            )
        return files

    def read(self, name: str, most: int | None) -> bytes:
        # Refuse links, also ones created since `names` was called; do not block on a named pipe.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            with open(_open_below(self._path, name, flags), "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise UnusableError(f"{name} is no plain file")
                if most is not None and status.st_size > most:
                    raise UnusableError(f"{name} is larger than {most} bytes")
                return file.read(-1 if most is None else most + 1)
        except FileNotFoundError as error:
            raise KeyError(name) from error
        except OSError as error:
            raise UnusableError(f"{name} cannot be read: {reason(error)}") from error


def _look_below(root: Path, name: str, files: list[str], odd: list[str]) -> None:
    """Add the paths of regular files below `name` to `files`, and of links, empty folders and the like to `odd`."""
    kind = os.lstat(root / name).st_mode
    opened = stat.S_ISDIR(kind) and name.count("/") < MAX_DEPTH
    inside = sorted(one.name for one in (root / name).iterdir()) if opened else []
    if stat.S_ISREG(kind):
        files.append(name)
    elif not inside:
        odd.append(name)
    for one in inside:
        _look_below(root, f"{name}/{one}", files, odd)


def _open_below(root: Path, name: str, flags: int) -> int:
    """Open a file for reading, following no link in its path."""
    *folders, last = name.split("/")
    if not folders or os.open not in os.supports_dir_fd:
        return os.open(root / name, flags)
    directory = os.open(root, os.O_RDONLY)
    try:
        for folder in folders:
            below = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY, dir_fd=directory)
            os.close(directory)
            directory = below
        return os.open(last, flags, dir_fd=directory)
    finally:
        os.close(directory)


class _Zip:
    """Files must be stored uncompressed, so none is larger than the archive (no zip bombs)."""

    def __init__(self, path: Path, starts: bool) -> None:
        """`starts`: whether the file starts with an entry, so nothing was prepended to the zip."""
        import zipfile

        self._path, self._starts, self._zipfile, self._errors = path, starts, zipfile, zip_errors()

    def names(self) -> list[str]:
        try:
            with self._zipfile.ZipFile(self._path) as archive:
                entries = archive.infolist()
        except self._errors as error:
            if self._starts and isinstance(error, self._zipfile.BadZipFile):
                raise _cut_off(self._path) from error
            raise BundleFormatError(f"{self._path} is a damaged zip: {reason(error)}; copy the bundle again") from error
        # In a truncated zip, the last directory may be that of a zip inside it (golden.npz).
        if self._starts and all(entry.header_offset for entry in entries):
            raise _cut_off(self._path)
        if len(entries) > MAX_FILES + 2:
            raise BundleFormatError(f"{self._path} has {len(entries)} entries; a bundle has at most {MAX_FILES + 2}")
        seen: set[str] = set()
        for entry in entries:
            if fault := self._refusal(entry, seen):
                raise BundleFormatError(f"{self._path}: entry {entry.filename!r:.120} {fault}")
            seen.add(entry.filename)
        return list(seen)

    def _refusal(self, entry: "ZipInfo", seen: set[str]) -> str | None:
        # orig_filename: the name in the archive, before Python truncates it at a zero byte.
        if not FILE_PATH.fullmatch(entry.orig_filename) or len(entry.orig_filename) > MAX_PATH:
            return "is no name of a file in a bundle: no empty folders, no absolute or parent paths"
        if entry.filename in seen:
            return "is there twice"
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            return "is no plain file (a link?)"
        if entry.flag_bits & 1:
            return "is encrypted"
        if entry.compress_type != self._zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            return "is compressed; a bundle stores its files as they are (zip -0)"
        return None

    def read(self, name: str, most: int | None) -> bytes:
        try:
            with self._zipfile.ZipFile(self._path) as archive:
                size = archive.getinfo(name).file_size
                if most is not None and size > most:
                    raise UnusableError(f"{name} is larger than {most} bytes")
                if size > self._path.stat().st_size:
                    raise UnusableError(f"{name} says it is larger than the archive")
                return archive.read(name)
        except KeyError:
            raise
        except self._errors as error:
            raise UnusableError(f"{name} cannot be read: {reason(error)}") from error


def zip_errors() -> tuple[type[Exception], ...]:
    """Exceptions that the standard library raises for damaged or malicious archives."""
    import zipfile

    return zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError, OSError, OverflowError


def write_zip(path: Path, contents: Mapping[str, bytes], replace: bool) -> None:
    """Write files as an uncompressed zip, atomically; the same files always make the same bytes.

    Raises:
        StorageError: see `atomic_file`.
    """
    import zipfile

    with atomic_file(path, replace=replace) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name)  # without a time
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
