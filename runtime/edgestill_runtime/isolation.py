"""An engine in a process of its own: what it does there (crash, hang, eat memory) ends there.

The parent's side. A child is started for one file (worker.py). Tensors travel in a file without a name that both have
mapped into memory; requests and replies are lines of JSON in two pipes. When the parent ends, so does the child. POSIX.
"""

import fcntl
import json
import mmap
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from .engines import Content
from .errors import EngineCrashError, EngineError, EngineMemoryError, EngineTimeoutError, raised_by, reason
from .limits import Limits
from .tensor_spec import TensorSpec

ALIGNMENT = 64
LOOK_SECONDS = 0.02  # how often the child's memory is looked at while it works
END_SECONDS = 1.0  # for a child that has closed its replies to be gone: the kernel does one after the other
MOST_BYTES = 1 << 20  # of a line that it may say: tensors do not travel there


_ENGINES: "WeakSet[IsolatedEngine]" = WeakSet()


class IsolatedEngine:
    """An `Engine` (see engines/) that runs in a child process. `pid` is the child's.

    Every request has a number, and its reply the same one. Whatever leaves a call but its result, an interrupt by the
    keyboard included, ends the child: an answer that nobody waited for can never be taken for that of the next call.

    A process that was forked from this one has no part in the child: its first call starts one of its own.

    Raises:
        EngineError: the engine refuses the file. EngineCrashError, EngineTimeoutError, EngineMemoryError: its process
            was ended; this object is done with, and the file can be loaded again.
    """

    checks_finite = False

    def __init__(self, engine: str, content: Content, threads: int, limits: Limits) -> None:
        self._limits, self._what = limits, f"the isolated engine {engine}"
        # A folder travels as the bytes of its members, one after the other, with a list of their sizes.
        self._members = None if isinstance(content, bytes) else {name: len(one) for name, one in content.items()}
        self._source = engine, content if isinstance(content, bytes) else b"".join(content.values()), threads
        self._open = False
        self._start()

    def run(self, tensors: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """See `Engine.run`."""
        if self._process != os.getpid():
            self._start()
        if not self._open:
            raise EngineError(f"{self._what} was ended; load the file again")
        try:
            return self._run(tensors)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the child."""
        self._open = False
        self._opened.close()

    def __del__(self) -> None:
        if hasattr(self, "_opened"):
            self.close()

    def _start(self) -> None:
        self._process, self._number, self._buffer = os.getpid(), 0, b""
        self._opened = ExitStack()  # all that is to be given back, whatever happens before the child has answered
        _ENGINES.add(self)
        try:
            self._launch()
            self._greet()
        except BaseException:
            self.close()
            raise
        self._open = True

    def _launch(self) -> None:
        try:
            self._open_and_start()
        except OSError as error:
            if not raised_by(error):
                raise
            raise EngineError(
                f"{self._what} could not be started: {reason(error)}. "
                "It needs a process, memory and a few file descriptors of its own."
            ) from error

    def _open_and_start(self) -> None:
        content = self._source[1]
        # Closed, and with that gone, when both processes have let go of them.
        self._shared = self._opened.enter_context(_shared_file())
        self._said: IO[bytes] = self._opened.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        self._memory = self._map(len(content))
        self._memory[: len(content)] = content
        reading, writing = os.pipe()
        with os.fdopen(writing, "wb", buffering=0):
            self._replies = self._opened.enter_context(os.fdopen(reading, "rb", buffering=0))
            self._child = subprocess.Popen(
                _command(self._shared.fileno(), writing),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                pass_fds=(self._shared.fileno(), writing),
                process_group=0,  # Ctrl-C in a terminal is for this process, which may go on calling
            )
            self._opened.callback(self._end)
        self.pid = self._child.pid
        self._poll = select.poll()  # not select.select, which knows no descriptor above 1023
        self._poll.register(reading, select.POLLIN)

    def _end(self) -> None:
        if self._process == os.getpid():  # not from a fork: the child is the other process's
            self._child.kill()
            self._child.wait()
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):  # what was still to be said to it
            self._child.stdin.close()

    def _greet(self) -> None:
        engine, content, threads = self._source
        request = {"engine": engine, "threads": threads, "bytes": len(content), "memory": self._limits.memory_bytes,
                   "members": self._members}  # fmt: skip
        facts = self._ask(request, self._limits.load_seconds)
        with self._readable():
            self.name: str = facts["name"] + ", isolated"
            self.threads: int | None = facts["threads"]
            self.inputs, self.outputs = (
                tuple(
                    TensorSpec(**{**spec, "shape": tuple(spec["shape"]), "dynamic": tuple(spec["dynamic"])})
                    for spec in side
                )
                for side in (facts["inputs"], facts["outputs"])
            )

    def _run(self, tensors: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        places, end = [], 0
        for tensor in tensors:
            places.append({"offset": end, "shape": tensor.shape, "dtype": tensor.dtype.name})
            end += -(-tensor.nbytes // ALIGNMENT) * ALIGNMENT
        if end > len(self._memory):
            self._memory = self._map(end)
        for place, tensor in zip(places, tensors, strict=True):
            tensor_at(self._memory, place)[...] = tensor
        reply = self._ask({"inputs": places, "end": end}, self._limits.call_seconds)
        with self._readable():
            if reply["size"] > len(self._memory):
                self._memory = self._map(reply["size"])
            outputs = [tensor_at(self._memory, place).copy() for place in reply["outputs"]]
            if [one.dtype.name for one in outputs] != [spec.dtype for spec in self.outputs]:
                raise ValueError("other outputs than it has")
            return outputs

    def _ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        assert self._child.stdin is not None
        self._number += 1
        with suppress(BrokenPipeError):  # it has died: the empty answer will say so
            self._child.stdin.write(json.dumps({"number": self._number, **request}).encode() + b"\n")
            self._child.stdin.flush()
        line = self._line(seconds)
        if not line:
            raise self._ended()
        with self._readable():
            reply: dict[str, Any] = json.loads(line)
            if reply["number"] != self._number:
                raise ValueError(f"reply {reply['number']} to request {self._number}")
        if "memory" in reply:
            raise EngineMemoryError(f"{self._what} ran out of memory: {reply['memory']}")
        if "error" in reply:
            raise EngineError(reply["error"])
        return reply

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Around the reading of a reply: what ran beside a hostile file may say anything."""
        try:
            yield
        except Exception as error:
            if not raised_by(error, "json", "numpy"):
                raise
            raise EngineCrashError(f"{self._what} gave an answer that cannot be read and was ended") from error

    def _line(self, seconds: float) -> bytes:
        """The child's next line; empty when it has died."""
        end = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            if self._poll.poll(1000 * LOOK_SECONDS):
                piece = self._replies.read(1 << 16)
                if not piece:
                    return b""
                self._buffer += piece
                if b"\n" in piece:
                    break
            if (used := _resident_bytes(self.pid)) > self._limits.memory_bytes:
                raise EngineMemoryError(
                    f"{self._what} took {used:,} bytes of memory, more than the {self._limits.memory_bytes:,} that it "
                    "may; it was ended. Allow more with isolated=Limits(memory_bytes=…), or do not trust the file."
                )
            if time.monotonic() > end or len(self._buffer) > MOST_BYTES:
                raise EngineTimeoutError(
                    f"{self._what} gave no answer in {seconds:g} s and was ended. Allow more with "
                    "isolated=Limits(load_seconds=…, call_seconds=…), or do not trust the file."
                )
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _ended(self) -> EngineCrashError:
        try:
            code = self._child.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return EngineCrashError(
                f"{self._what} closed its own way to reply and was ended; this process is unharmed."
            )
        self._said.seek(max(0, self._said.seek(0, os.SEEK_END) - 400))
        last = self._said.read().decode(errors="replace").strip().splitlines()[-1:]
        name = signal.Signals(-code).name if code < 0 else None
        how = f"was ended by {name}" if name else f"ended with exit code {code}"
        said = f" It said: {last[0]}" if last else ""
        return EngineCrashError(f"{self._what} {how}; this process is unharmed.{said}", name)

    def _map(self, size: int) -> mmap.mmap:
        if os.fstat(self._shared.fileno()).st_size < size or not size:
            os.ftruncate(self._shared.fileno(), max(size, 1))
        return mmap.mmap(self._shared.fileno(), os.fstat(self._shared.fileno()).st_size)


def _after_fork() -> None:
    """In a forked process: let go of the pipes to its parent's children, which must notice their parent's end."""
    for engine in list(_ENGINES):
        engine.close()


os.register_at_fork(after_in_child=_after_fork)


def _shared_file() -> IO[bytes]:
    """A file without a name, in memory where there is such a thing."""
    if not hasattr(os, "memfd_create"):
        return tempfile.TemporaryFile()
    descriptor = os.memfd_create("edgestill", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    # The child may make it larger, but not take memory away that this process has mapped.
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    return os.fdopen(descriptor, "w+b")


def _command(shared: int, replies: int) -> list[str]:
    if not sys.executable:
        raise EngineError("an isolated engine needs a Python program to start, and this Python does not know its own")
    # The same packages as here, whatever way this process came to them; nothing of the user's own code is run.
    path = [folder for folder in sys.path if isinstance(folder, str)]  # Python itself looks at no others
    code = f"import sys; sys.path[:] = {path!r}; from edgestill_runtime.worker import main; main({shared}, {replies})"
    return [sys.executable, "-I", "-S", "-c", code]


def tensor_at(memory: mmap.mmap, place: dict[str, Any]) -> NDArray[Any]:
    """The tensor at an offset of the shared memory; a view."""
    shape, dtype = tuple(place["shape"]), np.dtype(place["dtype"])
    count = int(np.prod(shape, dtype=np.int64))
    return np.frombuffer(memory, dtype, count, place["offset"]).reshape(shape)


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * mmap.PAGESIZE
    except (OSError, IndexError, ValueError) as error:
        if not raised_by(error):
            raise
        return 0
