"""Exporters in processes of their own: one that crashes, hangs or eats memory ends there, and leaves its log.

The parent writes each graph to a file (`torch.export.save`), gives the files of each engine to a child (`exporter.py`),
side by side, and waits for lines that say which file has begun and when all are done. The child's words, native code's
included, go to the log. What it imports takes longer than the export of a small net, so a child that has done its work
waits some time for more; one that failed or was late is ended.
"""

import atexit
import json
import math
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from . import exporter
from .backends import TARGETS, Exported
from .blame import Blame
from .errors import ConversionError
from .scale import Scale

LIMIT_SECONDS = 1800.0
"""For one file. DenseNet-121 takes four minutes on two slow cores."""


@dataclass(frozen=True)
class Export:
    """One file to make. backend: its name. quantized: whether the graph is."""

    backend: str
    program: ExportedProgram
    quantized: bool


@dataclass(eq=False)
class _Child:
    engine: str
    process: subprocess.Popen[bytes]
    pipe: int
    buffer: bytes = b""
    file: str = ""
    began: float = 0.0
    deadline: float = 0.0
    searching: bool = False
    done: bool = False
    job: dict[str, Any] = field(default_factory=dict)
    idle_since: float | None = None  # when it was done with the job before

    @property
    def unread(self) -> bool:
        """Whether it waited for the job, and has not said that it read it."""
        return self.idle_since is not None and not self.began

    def end(self) -> None:
        with _lock:
            _children.discard(self)
        self.process.kill()
        self.process.wait()
        self.leave()

    def leave(self) -> None:
        """Let go of it; it ends by itself."""
        os.close(self.pipe)
        assert self.process.stdin is not None
        self.process.stdin.close()


_lock = threading.Lock()
_children: set[_Child] = set()  # all that live
_idle: dict[str, _Child] = {}  # one of each engine


def export_files(
    exports: Mapping[str, Export],
    folder: Path,
    log: Path,
    *,
    limit_seconds: float = LIMIT_SECONDS,
    on_step: Callable[[str], None] = lambda name: None,
) -> dict[str, Exported]:
    """Export graphs to files.

    Args:
        exports: file name → its backend, the graph, and whether that is quantized.
        folder: an empty one to work in. log: what the exporters say is added to it.
        limit_seconds: for one file.

    Raises:
        ConversionError: an exporter failed, crashed, or took longer; names the file, and the operator if it was found.
    """
    jobs: dict[str, dict[str, bool]] = {}
    for name, one in exports.items():
        torch.export.save(one.program, folder / f"{name}.pt2")
        jobs.setdefault(one.backend, {})[name] = one.quantized
    children: list[_Child] = []
    try:
        children.extend(_waiting(engine) or _start(engine, log) for engine in jobs)
        for child in children:
            job = {"files": jobs[child.engine], "folder": str(folder.absolute()), "log": str(log.absolute())}
            _give(child, job, limit_seconds)
        _wait(children, limit_seconds, folder, on_step)
    except BaseException:
        for child in children:
            child.end()
        raise
    for child in children:
        _keep(child)
    return {name: _read(folder / name) for name in exports}


def _waiting(engine: str) -> _Child | None:
    """A child that waits for work. One that has ended, or may be about to, is done away with."""
    with _lock:
        child = _idle.pop(engine, None)
    if child is None or child.idle_since is None:
        return None
    if time.monotonic() - child.idle_since > exporter.IDLE_SECONDS / 2 or child.process.poll() is not None:
        child.end()
        return None
    return child


def _keep(child: _Child) -> None:
    with _lock:
        beyond = _idle.get(child.engine)
        _idle[child.engine] = child
    if beyond is not None:
        beyond.end()


def _start(engine: str, log: Path) -> _Child:
    reading, writing = os.pipe()
    command = [sys.executable, "-m", exporter.__name__, engine, str(writing)]
    try:
        with open(log, "ab") as said:
            # Its input ends when this process does, and the child with it. A group of its own: Ctrl-C in a terminal is
            # for this process, which ends it where it works, and lets it wait where it waits.
            process = subprocess.Popen(
                command, bufsize=0, stdin=subprocess.PIPE, stdout=said, stderr=said, pass_fds=(writing,),
                process_group=0,
            )  # fmt: skip
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    child = _Child(engine, process, reading)
    with _lock:
        _children.add(child)
    return child


def _give(child: _Child, job: dict[str, Any], limit_seconds: float) -> None:
    child.job, child.file, child.done, child.began = job, next(iter(job["files"])), False, 0.0
    child.deadline = time.monotonic() + limit_seconds
    assert child.process.stdin is not None
    with suppress(BrokenPipeError):  # it has ended, which is seen where it is waited for
        child.process.stdin.write(json.dumps(job).encode() + b"\n")


def _again(child: _Child, children: list[_Child], limit_seconds: float) -> _Child:
    """Another child for the job of one that ended while it waited."""
    children.remove(child)
    child.end()
    fresh = _start(child.engine, Path(child.job["log"]))
    children.append(fresh)
    _give(fresh, child.job, limit_seconds)
    return fresh


def _wait(children: list[_Child], limit_seconds: float, folder: Path, on_step: Callable[[str], None]) -> None:
    # Not `select.select`, which takes no descriptor above 1,023.
    with selectors.DefaultSelector() as working:
        for child in children:
            working.register(child.pipe, selectors.EVENT_READ, child)
        while working.get_map():
            left = min(key.data.deadline for key in working.get_map().values()) - time.monotonic()
            ready = working.select(None if math.isinf(left) else max(left, 0))
            if not ready:
                late = min((key.data for key in working.get_map().values()), key=lambda child: child.deadline)
                if late.searching:
                    raise ConversionError(_failure(late, folder))
                raise ConversionError(
                    f"{late.file}: the {late.engine} exporter was not done after {limit_seconds:g} s and was ended; "
                    f"allow more, or leave {late.engine} out of the targets"
                )
            for key, _ in ready:
                if not _read_line(key.data, limit_seconds, on_step):
                    working.unregister(key.fd)
                    if key.data.unread:
                        child = _again(key.data, children, limit_seconds)
                        working.register(child.pipe, selectors.EVENT_READ, child)
                    elif not key.data.done:
                        key.data.process.wait()
                        raise ConversionError(_failure(key.data, folder))


def _read_line(child: _Child, limit_seconds: float, on_step: Callable[[str], None]) -> bool:
    """What a child says of its progress; whether it will say more. An empty line says that all is done."""
    piece = os.read(child.pipe, 1 << 12)
    child.buffer += piece
    while b"\n" in child.buffer:
        line, _, child.buffer = child.buffer.partition(b"\n")
        now, word = time.monotonic(), line.decode()
        child.done, child.searching = not word, word == exporter.SEARCHING
        if child.done:
            child.idle_since = now
        if child.searching:
            # The last try takes no longer than the whole graph did.
            child.deadline = now + exporter.BLAME_SECONDS + (now - child.began)
        elif word:
            child.file, child.began, child.deadline = word, now, now + limit_seconds
            on_step(word)
    return bool(piece) and not child.done


def _failure(child: _Child, folder: Path) -> str:
    """Why there is no file; of a search that did not end, that it found nothing."""
    code = child.process.returncode
    other = next(one for one in TARGETS if one != child.engine)
    advice = f"leave {child.engine} out of the targets (--target {other}), or write that part of the model otherwise"
    blamed = folder / f"{child.file}.blame.json"
    if not child.searching:
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        return f"{child.file}: the {child.engine} exporter {how}; {advice}"
    place = Blame(**json.loads(blamed.read_text())) if code == 1 and blamed.exists() else Blame()
    return f"{child.file}: the {child.engine} exporter cannot convert {place}; {advice}"


def _read(path: Path) -> Exported:
    facts = json.loads(path.with_name(path.name + ".json").read_text())
    scales = {side: tuple(one and Scale(**one) for one in facts[side]) for side in ("inputs", "outputs")}
    if facts["members"] is None:
        return Exported(path.read_bytes(), **scales)
    return Exported({member: (path / member).read_bytes() for member in facts["members"]}, **scales)


def _after_fork() -> None:
    """In a forked process: the children are another's, and end with that one alone."""
    global _lock
    _lock = threading.Lock()
    for child in _children:
        child.leave()
    _children.clear()
    _idle.clear()


def _end_all() -> None:
    for child in list(_children):
        child.end()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_end_all)
