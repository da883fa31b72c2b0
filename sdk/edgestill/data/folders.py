"""Finds samples in folders, with a message about files that are skipped.

Hidden files and folders are not read, nor what systems leave beside them (`__MACOSX`, `@eaDir`). Links are followed;
one that leads back into a folder it lies in is not. What a file is, is told by its first bytes as well as by its name.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from edgestill_runtime.errors import reason

from ..errors import DataError

Kind = Literal["image", "audio"]
EXTENSIONS: dict[Kind, frozenset[str]] = {
    "image": frozenset(
        {".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
    ),
    "audio": frozenset({".aif", ".aiff", ".au", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".wave"}),
}
WORDS: dict[Kind, str] = {"image": "images", "audio": "recordings"}
_JUNK = {"__macosx", "@eadir", "thumbs.db", "desktop.ini", "$recycle.bin", "system volume information"}
_IMAGES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"II+\0", b"MM\0*", b"MM\0+", b"RIFF")
_HEAD = 64


class Skipped:
    """Files and folders that are not read, by reason."""

    def __init__(self) -> None:
        self.reasons: dict[str, list[Path]] = {}

    def add(self, reason: str, path: Path) -> None:
        """Count one file."""
        self.reasons.setdefault(reason, []).append(path)

    @property
    def count(self) -> int:
        """Number of skipped files."""
        return sum(len(paths) for paths in self.reasons.values())

    def line(self, root: Path) -> str:
        """`not read: 3 .txt (a.txt, b.txt, …), 1 empty (cat/7.jpg)`; empty where nothing was skipped."""
        parts = []
        for word, paths in sorted(self.reasons.items(), key=lambda item: -len(item[1])):
            names = ", ".join(_relative(path, root) for path in sorted(paths)[:2]) + (", …" if len(paths) > 2 else "")
            parts.append(f"{len(paths):,} {word} ({names})")
        return f"not read: {'; '.join(parts)}" if parts else ""


def subfolders(folder: Path, skipped: Skipped) -> list[Path]:
    """The folders in a folder, sorted, without hidden ones.

    Raises:
        DataError: it is not there, no folder, or may not be read.
    """
    folders = []
    for entry in _entries(folder):
        if not entry.is_dir():
            continue
        if hidden(entry.name):
            skipped.add("hidden", entry)
        else:
            folders.append(entry)
    return folders


def samples_in(folder: Path, kind: Kind, skipped: Skipped) -> list[Path]:
    """All files of a kind under a folder, in any subfolders, sorted.

    Raises:
        DataError: a folder that is not there or may not be read.
    """
    return sorted(path for path in _walk(folder, skipped, ()) if _is_sample(path, kind, skipped))


def loose_files(folder: Path, kind: Kind, skipped: Skipped) -> None:
    """Count the files that lie in a folder itself, where only class folders are read."""
    for entry in _entries(folder):
        if entry.is_file():
            inside = entry.suffix.lower() in EXTENSIONS[kind] and not hidden(entry.name)
            skipped.add("outside of the class folders" if inside else _reason(entry), entry)


def hidden(name: str) -> bool:
    """Whether a name is that of a hidden or system file."""
    return name.startswith(".") or name.casefold() in _JUNK


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError as error:
        raise DataError(f"{folder} does not exist") from error
    except NotADirectoryError as error:
        raise DataError(f"{folder} is a file, not a folder") from error
    except OSError as error:
        raise DataError(f"the folder {folder} cannot be read: {reason(error).lower()}") from error


def _walk(folder: Path, skipped: Skipped, above: tuple[str, ...]) -> Iterator[Path]:
    here = os.path.realpath(folder)
    if here in above:
        skipped.add("links that lead back to a folder they lie in", folder)
        return
    for entry in _entries(folder):
        if hidden(entry.name):
            skipped.add("hidden", entry)
        elif entry.is_dir():
            yield from _walk(entry, skipped, (*above, here))
        else:
            yield entry


def _is_sample(path: Path, kind: Kind, skipped: Skipped) -> bool:
    if path.suffix.lower() not in EXTENSIONS[kind]:
        skipped.add(_reason(path), path)
        return False
    if not path.is_file():
        skipped.add("links to nothing" if path.is_symlink() else "no plain files", path)
        return False
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason(error).lower()}") from error
    wrong = _not_by_content(head, kind)
    if wrong:
        skipped.add(wrong, path)
    return not wrong


def _reason(path: Path) -> str:
    return "hidden" if hidden(path.name) else path.suffix.lower() or "without an ending"


def _not_by_content(head: bytes, kind: Kind) -> str:
    if not head:
        return "empty"
    if head.startswith(b"version https://git-lfs"):
        return "Git LFS pointers (`git lfs pull` fetches the files)"
    if kind == "image":
        netpbm = head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace()
        return "" if head.startswith(_IMAGES) or netpbm else "no images by their content"
    # Recordings begin in many ways (MP3 with any frame), so only plain text is rejected.
    text = head.lstrip()[:1] in (b"<", b"{") or (head.isascii() and b"\0" not in head)
    return "no recordings by their content" if text else ""


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
