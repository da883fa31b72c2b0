"""Exporters talk a lot, from Python and from C++. Their words go to a log file, not to the terminal."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def logged_to(path: Path | None) -> Iterator[Path]:
    """Send everything that is written to standard output and standard error, also by native code, to a file.

    Args:
        path: the log, started anew; None: a temporary file that is gone afterwards.

    Yields:
        The path of the log.
    """
    with TemporaryDirectory() as folder:
        log = path or Path(folder) / "conversion.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        sys.stdout.flush()
        sys.stderr.flush()
        kept = os.dup(1), os.dup(2)
        with open(log, "wb", buffering=0) as file:
            try:
                for descriptor in (1, 2):
                    os.dup2(file.fileno(), descriptor)
                with warnings.catch_warnings():
                    warnings.simplefilter("default")
                    yield log
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                for handler in logging.getLogger().handlers:
                    handler.flush()
                for descriptor, original in zip((1, 2), kept, strict=True):
                    os.dup2(original, descriptor)
                    os.close(original)
