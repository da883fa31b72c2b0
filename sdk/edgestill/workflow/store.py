"""Where stages keep their files, so that an interrupted run can resume.

A stage owns a folder. `stage.json` in it holds the key (`key.py`) and, once the stage has finished, the hash of each of
its files:

    same key, finished, files intact    reused
    same key, not finished              made again over what is there (a training goes on from its state)
    another key, or --force             made anew in an empty folder
"""

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list

from edgestill_runtime.files import sha256_of_file, write_bytes

from ..processes import processes
from ..training_state import STATE
from .key import key_of
from .stage import Context, Finished, Inputs, Stage

MARK = "stage.json"


class NotMadeError(Exception):
    """A stage is missing in a store that only looks."""


class Store:
    """The stages of one run, under one folder.

    Args:
        pooled: several runs share the folder, also at the same time: each stage is kept beside those of other keys, as
            `NAME-KEY`, so what two runs have in common is made once, by the first that needs it.
        look: make none, and touch nothing; that its files are intact is not looked at.
    """

    def __init__(self, folder: Path, force: bool = False, pooled: bool = False, look: bool = False) -> None:
        self._folder = folder
        self._look = look
        self._pooled = pooled
        self._force = force

    def run(self, stage: Stage[Inputs], inputs: Inputs, context: Context) -> Finished:
        """Run a stage, or reuse a finished one.

        Raises:
            NotMadeError: it is only looked for, and no finished one has these inputs.
            TypeError: the inputs are not those of the stage, or have no identity (`key_of`).
        """
        if type(inputs) is not stage.inputs:
            raise TypeError(f"stage {stage.name} is handed {stage.inputs.__name__}, not {type(inputs).__name__}")
        key = key_of(stage.name, inputs)
        folder = self._folder / (f"{stage.name}-{key[:16]}" if self._pooled else stage.name)
        if self._look:
            mark = _read(folder / MARK)
            if mark.get("key") != key or "files" not in mark:
                raise NotMadeError(stage.name)
            return Finished(folder, key, reused=True)
        with self._alone(folder):
            return self._find(stage, inputs, context, folder, key)

    def _find(self, stage: Stage[Inputs], inputs: Inputs, context: Context, folder: Path, key: str) -> Finished:
        state = processes()
        # The main process manages the files; all processes run the stage together.
        shared = [self._begin(folder, key) if state.is_main_process else False]
        broadcast_object_list(shared)
        if shared[0]:
            context.progress.message(f"{stage.name}: reused")
            return Finished(folder, key, reused=True)
        stage.make(inputs, folder, context)
        state.wait_for_everyone()
        if state.is_main_process:
            _end(folder, key)
        state.wait_for_everyone()
        return Finished(folder, key, reused=False)

    def _begin(self, folder: Path, key: str) -> bool:
        """Whether the stage is finished; if not, its folder is prepared."""
        mark = _read(folder / MARK)
        same = not self._force and mark.get("key") == key
        if same and "files" in mark and _intact(folder, mark["files"]):
            return True
        if not same:
            shutil.rmtree(folder, ignore_errors=True)
        write_bytes(folder / MARK, json.dumps({"key": key}).encode())
        return False

    @contextmanager
    def _alone(self, folder: Path) -> Iterator[None]:
        """Prevent other runs that share the pool from running the same stage at the same time."""
        if not self._pooled or not processes().is_main_process:
            yield
            return
        folder.parent.mkdir(parents=True, exist_ok=True)
        with open(folder.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # released by the system when the process ends
            yield


def changed_files(folder: Path) -> list[str]:
    """Files of a finished stage that are missing or changed; all of them if it is not finished."""
    files = _read(folder / MARK).get("files")
    if not isinstance(files, dict):
        return [MARK]
    return [name for name, digest in files.items() if not _intact(folder, {name: digest})]


def _end(folder: Path, key: str) -> None:
    # The state for resuming is several times larger than the result, and no longer needed.
    for state in folder.rglob(STATE):
        state.unlink()
    files = {
        path.relative_to(folder).as_posix(): sha256_of_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MARK
    }
    write_bytes(folder / MARK, json.dumps({"key": key, "files": files}, indent=1).encode())


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _intact(folder: Path, files: dict[str, str]) -> bool:
    return all((folder / name).is_file() and sha256_of_file(folder / name) == digest for name, digest in files.items())
