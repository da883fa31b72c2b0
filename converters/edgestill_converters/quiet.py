"""Exporters talk a lot, from Python and from C++. Their words go to a log file, not to the terminal."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def logged_to(path: Path | None) -> Iterator[Path]:
    """Send everything that is written to standard output and standard error, also by native code, to a file.

    Args:
        path: the log, added to; None: a temporary file that is gone afterwards.

    Yields:
        The path of the log.
    """
    with TemporaryDirectory() as folder:
        log = path or Path(folder) / "conversion.log"
        log.parent.mkdir(parents=True, exist_ok=True)
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
