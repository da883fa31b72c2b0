"""One command at a time works in a folder: `with exclusive(folder): …`.

The lock is the system's (flock), so it ends with the process that holds it, however that ends. Reading needs none.
"""

import fcntl
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TextIO

from accelerate.utils import broadcast_object_list

from edgestill_runtime.errors import reason

from .errors import EdgestillError, StorageError
from .processes import processes

LOCK = ".lock"


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold a folder for as long as the block runs. Of several processes that train together the first one holds it.

    Raises:
        EdgestillError: another command holds it; names its process.
    """
    refused: list[EdgestillError | None] = [None]
    lock: TextIO | None = None
    if processes().is_main_process:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = open(folder / LOCK, "a+", encoding="utf-8")  # noqa: SIM115 - closed below, with the lock
            refused = [_take(lock, folder)]
        except OSError as error:
            refused = [StorageError(f"could not write to {folder}: {reason(error)}; name another with --output")]
    broadcast_object_list(refused)
    try:
        if refused[0] is not None:
            raise refused[0]
        yield
    finally:
        if lock is not None:
            lock.close()


def _take(lock: TextIO, folder: Path) -> EdgestillError | None:
    """Nothing once the lock is held, else why it is not."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return EdgestillError(
            f"{folder} is in use by {_holder(lock)}; wait until it has ended, or name another folder with --output"
        )
    except OSError:
        return None  # a file system without locks
    who = {"process": os.getpid(), "host": platform.node(), "since": datetime.now().strftime("%H:%M:%S")}
    lock.truncate(0)
    lock.write(json.dumps(who))
    lock.flush()
    return None


def _holder(lock: TextIO) -> str:
    with suppress(OSError, ValueError, KeyError):
        lock.seek(0)
        who = json.load(lock)
        return f"another edgestill (process {who['process']} on {who['host']}, since {who['since']})"
    return "another edgestill"
