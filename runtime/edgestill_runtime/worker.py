"""The child's side of isolation.py: loads one file into its engine, and runs it once per request."""

import json
import mmap
import os
import queue
import sys
import threading
from dataclasses import asdict
from typing import Any

from .engines import Content, Engine, load_engine
from .errors import EngineError, EngineMemoryError
from .isolation import ALIGNMENT, tensor_at


def main(shared: int, replies: int) -> None:
    """Reply to requests from standard input until it ends; a reply has the number of its request. Does not return.

    Args:
        shared: descriptor of the file that both processes map. replies: descriptor to write replies to.
    """
    try:
        _serve(shared, replies)
    except BaseException:  # no reply is possible; the parent reads the last line of stderr
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(1)  # a normal exit would wait for the thread that reads standard input, and abort


def _serve(shared: int, replies: int) -> None:
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    request = requests.get()
    try:
        _limit_memory(request["memory"])
        memory = mmap.mmap(shared, os.fstat(shared).st_size)
        engine = load_engine(request["engine"], _content(memory, request), request["threads"])
        specs = {side: [asdict(spec) for spec in getattr(engine, side)] for side in ("inputs", "outputs")}
        reply = {"name": engine.name, "threads": engine.threads, **specs}
    except BaseException as error:
        _reply(replies, request, _refusal(error))
        return
    _reply(replies, request, reply)
    while True:
        request = requests.get()
        try:
            if os.fstat(shared).st_size != len(memory):
                memory = mmap.mmap(shared, os.fstat(shared).st_size)
            memory, reply = _run(engine, shared, memory, request)
        except BaseException as error:
            reply = _refusal(error)
        _reply(replies, request, reply)


def _content(memory: mmap.mmap, request: dict[str, Any]) -> Content:
    """Content of the model file: bytes, or for a folder member path → bytes."""
    if request["members"] is None:
        return memory[: request["bytes"]]
    found, start = {}, 0
    for name, size in request["members"].items():
        found[name] = memory[start : start + size]
        start += size
    return found


def _listen(requests: "queue.SimpleQueue[dict[str, Any]]") -> None:
    """Queue the parent's requests; exit when the parent ends, even if native code hangs in the main thread."""
    try:
        for line in sys.stdin.buffer:
            requests.put(json.loads(line))
    finally:
        os._exit(0)


def _run(engine: Engine, shared: int, memory: mmap.mmap, request: dict[str, Any]) -> tuple[mmap.mmap, dict[str, Any]]:
    results = engine.run([tensor_at(memory, place).copy() for place in request["inputs"]])
    places, end = [], request["end"]
    for result in results:
        places.append({"offset": end, "shape": result.shape, "dtype": result.dtype.name})
        end += -(-result.nbytes // ALIGNMENT) * ALIGNMENT
    if end > len(memory):
        os.ftruncate(shared, end)
        memory = mmap.mmap(shared, end)
    for place, result in zip(places, results, strict=True):
        if result.size:
            tensor_at(memory, place)[...] = result
    return memory, {"outputs": places, "size": len(memory)}


def _limit_memory(most: int) -> None:
    """Set a hard limit of twice the allowed memory, for growth between two checks of the parent."""
    try:
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (2 * most, hard))
    except (ImportError, ValueError, OSError):
        pass  # not supported on this system


def _refusal(error: BaseException) -> dict[str, Any]:
    if isinstance(error, (MemoryError, EngineMemoryError)) or "bad_alloc" in str(error):
        return {"memory": str(error) or "allocation failed"}
    kind = "" if isinstance(error, EngineError) else type(error).__name__
    return {"error": ": ".join(part for part in (kind, str(error)) if part)}


def _reply(replies: int, request: dict[str, Any], message: dict[str, Any]) -> None:
    line = json.dumps({"number": request["number"], **message}).encode() + b"\n"
    while line:
        line = line[os.write(replies, line) :]
