"""Exporters and engines print a lot, from Python and from C++: into a log file, not to the terminal.

`capture_thread_output` is for a library that is called in the user's process: it takes what the calling thread prints
and nothing else. `capture_output` is for a command that owns its process: it takes everything, other threads and native
code included.
"""

import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any, TextIO

from edgestill_runtime import EdgestillError, StorageError


@contextmanager
def capture_output(path: Path | None) -> Iterator[Path]:
    """Send everything that is written to standard output and standard error, also by native code, to a file.

    Args:
        path: the log, which is appended to; None: a temporary file, deleted afterwards.

    Yields:
        The path of the log.
    """
    with TemporaryDirectory() as folder:
        log = path or Path(folder) / "conversion.log"
        make_log(log)
        sys.stdout.flush()
        sys.stderr.flush()
        kept = os.dup(1), os.dup(2)
        try:
            with open(log, "a", encoding="utf-8", errors="replace", buffering=1) as file:
                for descriptor in (1, 2):
                    os.dup2(file.fileno(), descriptor)
                # Python's own streams too: in a notebook they are not descriptors 1 and 2.
                with redirect_stdout(file), redirect_stderr(file), warnings.catch_warnings():
                    warnings.simplefilter("default")
                    yield log
        finally:
            for descriptor, original in zip((1, 2), kept, strict=True):
                os.dup2(original, descriptor)
                os.close(original)


@contextmanager
def capture_thread_output(path: Path | None) -> Iterator[Path]:
    """Send what this thread writes to Python's standard error, and its warnings, to a file; nothing else is affected.

    Arguments as of `capture_output`.
    """
    with TemporaryDirectory() as folder:
        log = path or Path(folder) / "conversion.log"
        make_log(log)
        with open(log, "a", encoding="utf-8", errors="replace", buffering=1) as file, _STANDARD_ERROR.to(file):
            yield log


def make_log(log: Path) -> None:
    """Create a log, before anything that takes long.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.open("a").close()
    except OSError as error:
        raise StorageError(f"the log {log} cannot be written: {error.strerror}; name another file") from error


class _OutputByThread:
    """Replaces standard error and the hook of warnings while some thread has a file for them.

    Other code replaces these two as well (`warnings.catch_warnings`, `redirect_stderr`), and may restore ours after we
    have removed it, or remove it while it is needed. So the two are checked one by one, ours never wraps itself, and
    one that is restored too late passes everything through.
    """

    def __init__(self) -> None:
        self._files: dict[int, TextIO] = {}
        self._lock = threading.Lock()
        self._show: Callable[..., None] = warnings.showwarning

    @contextmanager
    def to(self, file: TextIO) -> Iterator[None]:
        """While the block runs, the output of this thread goes to `file`."""
        number = threading.get_ident()
        with self._lock:
            self._install()
            before = self._files.get(number)
            self._files[number] = file
        try:
            yield
        finally:
            with self._lock:
                if before is not None:
                    self._files[number] = before
                else:
                    del self._files[number]
                if not self._files:
                    self._remove()

    def _install(self) -> None:
        if not isinstance(sys.stderr, _Stream):
            sys.stderr = _Stream(sys.stderr, self._files)
        if warnings.showwarning != self._warn:
            self._show, warnings.showwarning = warnings.showwarning, self._warn

    def _remove(self) -> None:
        if isinstance(sys.stderr, _Stream):
            sys.stderr = sys.stderr.stream
        if warnings.showwarning == self._warn:
            warnings.showwarning = self._show

    def _warn(
        self, message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None
    ) -> None:
        own = self._files.get(threading.get_ident())
        self._show(message, category, filename, lineno, file or own, line)


class _Stream:
    """A stream that writes to the file of the calling thread, if it has one."""

    def __init__(self, stream: TextIO, files: dict[int, TextIO]) -> None:
        self.stream, self._files = stream, files

    def write(self, text: str) -> int:
        return self._files.get(threading.get_ident(), self.stream).write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files.get(threading.get_ident(), self.stream), name)


_STANDARD_ERROR = _OutputByThread()


def with_log(error: EdgestillError, written: Path, log: Path | None) -> EdgestillError:
    """The same error, which names a log that is kept.

    Args:
        written: the log. log: the same if the user asked for it; None: it is temporary, and a copy is kept.
    """
    if log is not None:
        suffix = "" if str(log) in str(error) else f"; see {log}"
    else:
        with NamedTemporaryFile("wb", prefix="edgestill-", suffix=".log", delete=False) as kept:
            kept.write(written.read_bytes())
        text = str(error).replace(str(written), kept.name)
        return type(error)(text if kept.name in text else f"{text}; see {kept.name}")
    return type(error)(f"{error}{suffix}")
