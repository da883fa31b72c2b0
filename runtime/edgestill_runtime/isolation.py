"""An engine in a child process, so that a crash, a hang or a memory leak does not affect this process.

This is the parent's side; worker.py is the child's. One child is started per model file. Tensors are passed in an
anonymous shared-memory file that both map; requests and replies are lines of JSON in two pipes. The child ends when the
parent does. POSIX only.
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
LOOK_SECONDS = 0.02  # interval between checks of the child's memory during a call
END_SECONDS = 1.0  # to wait for the exit code of a child that has closed its pipe: it may exit a little later
MOST_BYTES = 1 << 20  # largest reply; tensors are not part of it


_ENGINES: "WeakSet[IsolatedEngine]" = WeakSet()


class IsolatedEngine:
    """An `Engine` (see engines/) that runs in a child process. `pid` is the child's.

    Every request has a number, and its reply has the same one. Any exception during a call, KeyboardInterrupt included,
    ends the child, so a late reply cannot be mistaken for that of the next call.

    A process forked from this one does not use this child: its first call starts another.

    Raises:
        EngineError: the engine refuses the file. EngineCrashError, EngineTimeoutError, EngineMemoryError: the child
            was ended; this object cannot be used any more, and the file can be loaded again.
    """

    checks_finite = False

    def __init__(self, engine: str, content: Content, threads: int, limits: Limits) -> None:
        self._limits, self._what = limits, f"the isolated engine {engine}"
        # A folder is passed as the concatenated bytes of its members, with a list of their sizes.
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
        self._opened = ExitStack()  # all resources to release, even if starting the child fails half-way
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
        # Anonymous: freed when both processes have closed them.
        self._shared = self._opened.enter_context(_shared_file())
        self._stderr: IO[bytes] = self._opened.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        self._memory = self._map(len(content))
        self._memory[: len(content)] = content
        reading, writing = os.pipe()
        with os.fdopen(writing, "wb", buffering=0):
            self._replies = self._opened.enter_context(os.fdopen(reading, "rb", buffering=0))
            self._child = subprocess.Popen(
                _command(self._shared.fileno(), writing),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                pass_fds=(self._shared.fileno(), writing),
                process_group=0,  # Ctrl-C in a terminal must interrupt this process only
            )
            self._opened.callback(self._end)
        self.pid = self._child.pid
        self._poll = select.poll()  # select.select supports no descriptor above 1023
        self._poll.register(reading, select.POLLIN)

    def _end(self) -> None:
        if self._process == os.getpid():  # not in a forked process: the child belongs to its parent
            self._child.kill()
            self._child.wait()
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):  # from data still in the buffer
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
                raise ValueError("outputs of other types than the model's")
            return outputs

    def _ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        assert self._child.stdin is not None
        self._number += 1
        with suppress(BrokenPipeError):  # the child has ended; the empty reply below shows it
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
        """Run a block that parses a reply, which is untrusted: a malicious file may have taken over the child."""
        try:
            yield
        except Exception as error:
            if not raised_by(error, "json", "numpy"):
                raise
            raise EngineCrashError(f"{self._what} sent a reply that cannot be read and was ended") from error

    def _line(self, seconds: float) -> bytes:
        """The child's next line; empty if the child has ended."""
        end = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            if self._poll.poll(1000 * LOOK_SECONDS):
                chunk = self._replies.read(1 << 16)
                if not chunk:
                    return b""
                self._buffer += chunk
                if b"\n" in chunk:
                    break
            if (used := _resident_bytes(self.pid)) > self._limits.memory_bytes:
                raise EngineMemoryError(
                    f"{self._what} used {used:,} bytes of memory, more than the {self._limits.memory_bytes:,} allowed, "
                    "and was ended. Allow more with isolated=Limits(memory_bytes=…), or do not trust the file."
                )
            if time.monotonic() > end or len(self._buffer) > MOST_BYTES:
                raise EngineTimeoutError(
                    f"{self._what} did not reply within {seconds:g} s and was ended. Allow more with "
                    "isolated=Limits(load_seconds=…, call_seconds=…), or do not trust the file."
                )
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _ended(self) -> EngineCrashError:
        try:
            code = self._child.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return EngineCrashError(f"{self._what} closed its reply pipe and was ended; this process is not affected.")
        self._stderr.seek(max(0, self._stderr.seek(0, os.SEEK_END) - 400))
        last = self._stderr.read().decode(errors="replace").strip().splitlines()[-1:]
        name = signal.Signals(-code).name if code < 0 else None
        ending = f"was ended by {name}" if name else f"ended with exit code {code}"
        output = f" Its last output: {last[0]}" if last else ""
        return EngineCrashError(f"{self._what} {ending}; this process is not affected.{output}", name)

    def _map(self, size: int) -> mmap.mmap:
        if os.fstat(self._shared.fileno()).st_size < size or not size:
            os.ftruncate(self._shared.fileno(), max(size, 1))
        return mmap.mmap(self._shared.fileno(), os.fstat(self._shared.fileno()).st_size)


def _after_fork() -> None:
    """In a forked process: close the pipes to the parent's children, which must notice when their parent ends."""
    for engine in list(_ENGINES):
        engine.close()


os.register_at_fork(after_in_child=_after_fork)


def _shared_file() -> IO[bytes]:
    """An anonymous file, in memory if the system has memfd."""
    if not hasattr(os, "memfd_create"):
        return tempfile.TemporaryFile()
    descriptor = os.memfd_create("edgestill", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    # The child may grow the file, but not shrink it: this process has it mapped.
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    return os.fdopen(descriptor, "w+b")


def _command(shared: int, replies: int) -> list[str]:
    if not sys.executable:
        raise EngineError("an isolated engine needs a Python executable to start, and sys.executable is empty")
    # The same sys.path as here; the user's own main module is not run.
    path = [folder for folder in sys.path if isinstance(folder, str)]  # Python ignores other entries
    code = f"import sys; sys.path[:] = {path!r}; from edgestill_runtime.worker import main; main({shared}, {replies})"
    return [sys.executable, "-I", "-S", "-c", code]


def tensor_at(memory: mmap.mmap, place: dict[str, Any]) -> NDArray[Any]:
    """A view of the tensor in the shared memory; `place` has its `offset`, `shape` and `dtype`."""
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
