"""Exporters in processes of their own, which isolates crashes, hangs and memory use, and keeps a log.

The parent writes each graph to a file (`torch.export.save`), gives the files of each engine to a child (`exporter.py`),
in parallel, and reads from a pipe which file has begun and when all are done. What the child prints, native code
included, goes to the log. Its imports take longer than the export of a small net, so a child that is done waits some
time for another job; one that failed or exceeded its limit is killed.
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
"""For one file. DenseNet-121 needs four minutes on two slow cores."""


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
    idle_since: float | None = None  # when it finished the previous job

    @property
    def unread(self) -> bool:
        """Whether it was idle before this job, and has not reported yet that it began."""
        return self.idle_since is not None and not self.began

    def end(self) -> None:
        with _lock:
            _children.discard(self)
        self.process.kill()
        self.process.wait()
        self.leave()

    def leave(self) -> None:
        """Close the pipes; it exits by itself."""
        os.close(self.pipe)
        assert self.process.stdin is not None
        self.process.stdin.close()


_lock = threading.Lock()
_children: set[_Child] = set()  # all that run
_idle: dict[str, _Child] = {}  # at most one for each engine


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
        folder: an empty folder to work in. log: the output of the exporters is appended to it.
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
        children.extend(_idle_child(engine) or _start(engine, log) for engine in jobs)
        for child in children:
            job = {"files": jobs[child.engine], "folder": str(folder.absolute()), "log": str(log.absolute())}
            _send(child, job, limit_seconds)
        _wait(children, limit_seconds, folder, on_step)
    except BaseException:
        for child in children:
            child.end()
        raise
    for child in children:
        _keep(child)
    return {name: _read(folder / name) for name in exports}


def _idle_child(engine: str) -> _Child | None:
    """An idle child. One that has exited, or may be about to, is killed instead."""
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
        with open(log, "ab") as output:
            # Its input closes when this process exits, and the child exits with it. A process group of its own: Ctrl-C
            # in a terminal reaches this process, which kills a child that works and keeps one that is idle.
            process = subprocess.Popen(
                command, bufsize=0, stdin=subprocess.PIPE, stdout=output, stderr=output, pass_fds=(writing,),
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


def _send(child: _Child, job: dict[str, Any], limit_seconds: float) -> None:
    child.job, child.file, child.done, child.began = job, next(iter(job["files"])), False, 0.0
    child.deadline = time.monotonic() + limit_seconds
    assert child.process.stdin is not None
    with suppress(BrokenPipeError):  # it has exited, which `_wait` sees
        child.process.stdin.write(json.dumps(job).encode() + b"\n")


def _restart(child: _Child, children: list[_Child], limit_seconds: float) -> _Child:
    """Start another child for the job of one that exited while it was idle."""
    children.remove(child)
    child.end()
    fresh = _start(child.engine, Path(child.job["log"]))
    children.append(fresh)
    _send(fresh, child.job, limit_seconds)
    return fresh


def _wait(children: list[_Child], limit_seconds: float, folder: Path, on_step: Callable[[str], None]) -> None:
    # Not `select.select`, which does not support descriptors above 1,023.
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
                        child = _restart(key.data, children, limit_seconds)
                        working.register(child.pipe, selectors.EVENT_READ, child)
                    elif not key.data.done:
                        key.data.process.wait()
                        raise ConversionError(_failure(key.data, folder))


def _read_line(child: _Child, limit_seconds: float, on_step: Callable[[str], None]) -> bool:
    """Read what a child reports; whether more will come. An empty line means that all files are done."""
    received = os.read(child.pipe, 1 << 12)
    child.buffer += received
    while b"\n" in child.buffer:
        line, _, child.buffer = child.buffer.partition(b"\n")
        now, message = time.monotonic(), line.decode()
        child.done, child.searching = not message, message == exporter.SEARCHING
        if child.done:
            child.idle_since = now
        if child.searching:
            # The last export takes no longer than that of the whole graph did.
            child.deadline = now + exporter.BLAME_SECONDS + (now - child.began)
        elif message:
            child.file, child.began, child.deadline = message, now, now + limit_seconds
            on_step(message)
    return bool(received) and not child.done


def _failure(child: _Child, folder: Path) -> str:
    """Why there is no file; if the search for the operator did not finish, it counts as having found none."""
    code = child.process.returncode
    other = next(one for one in TARGETS if one != child.engine)
    advice = f"leave {child.engine} out of the targets (--target {other}), or write that part of the model otherwise"
    blamed = folder / f"{child.file}.blame.json"
    if not child.searching:
        end = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        return f"{child.file}: the {child.engine} exporter {end}; {advice}"
    place = Blame(**json.loads(blamed.read_text())) if code == 1 and blamed.exists() else Blame()
    return f"{child.file}: the {child.engine} exporter cannot convert {place}; {advice}"


def _read(path: Path) -> Exported:
    facts = json.loads(path.with_name(path.name + ".json").read_text())
    scales = {side: tuple(one and Scale(**one) for one in facts[side]) for side in ("inputs", "outputs")}
    if facts["members"] is None:
        return Exported(path.read_bytes(), **scales)
    return Exported({member: (path / member).read_bytes() for member in facts["members"]}, **scales)


def _after_fork() -> None:
    """In a forked process: the children belong to the parent, and exit with it alone."""
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
