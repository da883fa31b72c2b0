"""Writing files so that a reader sees the old content or the new one, never half of it.

What only writing needs is imported there: a device reads, and wants to start fast.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import StorageError


@contextmanager
def atomic_file(path: str | os.PathLike[str], mode: int = 0o644) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends well it becomes `path`, else it is removed.

    Args:
        mode: who may read and write it; a secret is 0o600 from its first byte on.

    Raises:
        StorageError: the disk is full, or the folder cannot be written; `path` is as it was.
    """
    import tempfile

    target = Path(path)
    with _storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        os.close(handle)
        part = Path(name)
        try:
            yield part
            _flush(part)
            part.chmod(mode)
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str], replace: bool = False) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; when the block ends well it becomes `path`, else it is removed.

    Args:
        replace: what stands at `path` makes room only once the new folder is complete.

    Raises:
        StorageError: `path` exists and `replace` is false, the disk is full, or the folder cannot be written.
    """
    import shutil
    import tempfile

    target = Path(path)
    if not replace:
        refuse_existing(target)
    with _storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
        try:
            yield part
            part.chmod(0o755)
            for file in part.rglob("*"):
                if file.is_file():
                    _flush(file)
            _swap(part, target)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def refuse_existing(path: str | os.PathLike[str]) -> None:
    """Raise StorageError if something is at `path`; for long work to ask before it starts."""
    if os.path.lexists(path):
        raise StorageError(f"{path} exists already; remove it, choose another name, or ask for it to be replaced")


def write_bytes(path: str | os.PathLike[str], content: bytes | bytearray, mode: int = 0o644) -> None:
    """Write a whole file atomically."""
    with atomic_file(path, mode) as part:
        part.write_bytes(content)


def sha256(content: bytes) -> str:
    """Hex SHA-256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_file(path: str | os.PathLike[str]) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _storage_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(f"could not write {target}: {reason}. What was there before is unchanged.") from error


def _flush(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _swap(part: Path, target: Path) -> None:
    """Put the folder (or file) `part` where `target` is, keeping `target` until the new one stands there."""
    import shutil

    old = part.with_suffix(".old")
    if target.exists():
        os.replace(target, old)
    try:
        os.replace(part, target)
    except OSError:
        if old.exists():
            os.replace(old, target)
        raise
    if old.is_dir():
        shutil.rmtree(old, ignore_errors=True)
    else:
        with suppress(FileNotFoundError):
            old.unlink()
