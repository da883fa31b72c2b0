"""Atomic writes: a reader sees the old content or the new one, never a part of it, also after a power cut.

The content is flushed to disk before the rename, and the rename before a call returns. docs/bundle.md states the
guarantees, and where a system gives weaker ones.

Modules that only writing needs are imported inside functions: a device only reads, and must start fast.
"""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import StorageError, reason


@contextmanager
def atomic_file(path: str | os.PathLike[str], mode: int = 0o644, replace: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends well it becomes `path`, else it is removed.

    Args:
        mode: who may read and write it; a secret is 0o600 from its first byte on.
        replace: whether an existing file at `path` may be replaced.

    Raises:
        StorageError: `path` exists and `replace` is false, the disk is full, or the folder cannot be written; `path` is
            unchanged.
    """
    import tempfile

    target = Path(path)
    if not replace:
        refuse_existing(target)
    with _storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        os.close(handle)
        part = Path(name)
        try:
            yield part
            part.chmod(mode)
            _flush(part)
            if not replace:
                refuse_existing(target)  # another process may have written it meanwhile
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
    _flush_name(target)


@contextmanager
def atomic_folder(path: str | os.PathLike[str], replace: bool = False) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; when the block ends well it becomes `path`, else it is removed.

    Args:
        replace: whether an existing folder at `path` may be replaced, once the new one is complete.

    Raises:
        StorageError: `path` exists and `replace` is false, the disk is full, or the folder cannot be written.
    """
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
            for path in (*part.rglob("*"), part):
                _flush(path)
            _put(part, target, replace)
        finally:
            _remove(part)
    _flush_name(target)


def refuse_existing(path: str | os.PathLike[str]) -> None:
    """Raise StorageError if `path` exists; to be called before long work starts."""
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
    """Hex SHA-256 of a file, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _storage_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"could not write {target}: {reason(error)}. What was there before is unchanged.") from error


def _flush(path: Path) -> None:
    """Flush a file's content, or a folder's entries, to disk."""
    if path.is_symlink():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # EINVAL: the file system cannot flush folders
            raise
    finally:
        os.close(descriptor)


def _flush_name(target: Path) -> None:
    try:
        _flush(target.parent)
    except OSError as error:
        raise StorageError(f"{target} is there, but may be lost in a power cut: {reason(error)}") from error


def _put(part: Path, target: Path, replace: bool) -> None:
    """Move `part` to `target`. Existing content of `target` is then at `part`, or removed."""
    if not os.path.lexists(target):
        os.replace(part, target)
    elif not replace:
        refuse_existing(target)  # another process may have written it meanwhile
    elif not _exchange(part, target):
        old = part.with_suffix(".old")
        os.replace(target, old)
        try:
            os.replace(part, target)
        except OSError:
            os.replace(old, target)
            raise
        _remove(old)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two paths atomically; False if the system or the file system cannot."""
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "renameat2"):  # Linux with glibc 2.28 or newer
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if library.renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM):
        return False
    raise OSError(number, os.strerror(number), str(other))


def _remove(path: Path) -> None:
    """Remove a folder, a file or a link, if it exists."""
    import shutil

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
