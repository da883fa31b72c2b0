"""LiteRT's profiler, which its Python package has only as a C library: `libLiteRt.so`, called through ctypes.

Structures and functions are those of the C API of LiteRT 2 (`litert/c/litert_compiled_model.h`, `litert_profiler.h`,
`litert_profiler_event.h`, `litert_tensor_buffer.h`). Run it in a process of its own: a library whose structures differ
from these crashes the process.
"""

import ctypes
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgestill_runtime import EngineError

from .base import Run

# LiteRtElementType, which is TfLiteType
ELEMENTS = {"float32": 1, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int16": 7, "int8": 9, "float16": 10}
CPU = 1  # LiteRtHwAccelerators
ALIGNMENT = 64
MAX_RANK = 8
WHOLE, OPERATOR, DELEGATE, DELEGATED = 1, 2, 4, 8  # LiteRtProfilerEventType
_HANDLE, _SIZE = ctypes.c_void_p, ctypes.c_size_t


class Layout(ctypes.Structure):
    """`LiteRtLayout`."""

    _fields_ = (
        ("rank", ctypes.c_uint32, 7),
        ("has_strides", ctypes.c_uint32, 1),
        ("dimensions", ctypes.c_int32 * MAX_RANK),
        ("strides", ctypes.c_uint32 * MAX_RANK),
    )


class TensorType(ctypes.Structure):
    """`LiteRtRankedTensorType`."""

    _fields_ = (("element", ctypes.c_int32), ("layout", Layout))


class Event(ctypes.Structure):
    """`ProfiledEventData`; `memory` is LiteRtMemoryUsage before and after."""

    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("memory", _SIZE * 6),
        ("number", ctypes.c_uint64),
        ("subgraph", ctypes.c_uint64),
        ("source", ctypes.c_int),
    )


def runs(
    content: bytes,
    tensors: Sequence[NDArray[Any]],
    outputs: Sequence[tuple[tuple[int, ...], str]],
    enough: Callable[[], bool],
) -> list[Run]:
    """Each run with its operators; see `edgestill_benchmarks.operators`. Arguments and errors as of `trace`."""
    found = []
    for events in trace(content, tensors, outputs, enough):
        (whole,) = (us for name, kind, us in events if kind == WHOLE and name == "Invoke")
        found.append((float(whole), [(name, float(us)) for name, kind, us in events if kind in (OPERATOR, DELEGATED)]))
    return found


def trace(
    content: bytes,
    tensors: Sequence[NDArray[Any]],
    outputs: Sequence[tuple[tuple[int, ...], str]],
    enough: Callable[[], bool],
) -> list[list[tuple[str, int, int]]]:
    """Run a `.tflite` file until `enough` returns True; (name, type, µs) of the events of each run, on one thread.

    Args:
        tensors: the inputs. outputs: shape and dtype of each output. enough: called after each run.

    Raises:
        EngineError: LiteRT has no such library here, or refuses the file.
    """
    library = _library()

    def call(name: str, *arguments: Any) -> None:
        if status := getattr(library, name)(*arguments):
            raise EngineError(f"{name} of LiteRT's C library returned {status}")

    with ExitStack() as stack:

        def make(kind: str, *arguments: Any, name: str | None = None) -> ctypes.c_void_p:
            handle = _HANDLE()
            call(name or f"LiteRtCreate{kind}", *arguments, ctypes.byref(handle))
            stack.callback(getattr(library, f"LiteRtDestroy{kind}"), handle)
            return handle

        environment = make("Environment", 0, None)
        model = make("Model", environment, content, _SIZE(len(content)), name="LiteRtCreateModelFromBuffer")
        options = make("Options")
        call("LiteRtSetOptionsHardwareAccelerators", options, CPU)
        for kind, text in (("runtime", b"enable_profiling = true\n"), ("cpu", b"num_threads = 1\n")):
            _add(library, call, options, f"{kind}_options_string".encode(), text)
        compiled = make("CompiledModel", environment, model, options)
        fresh = [np.zeros(shape, dtype) for shape, dtype in outputs]
        held = [_buffer(make, array) for array in (*tensors, *fresh)]  # keeps their memory alive
        buffers = [buffer for buffer, _ in held]
        sides = [(_HANDLE * max(len(side), 1))(*side) for side in (buffers[: len(tensors)], buffers[len(tensors) :])]
        run = (compiled, _SIZE(0), _SIZE(len(tensors)), sides[0], _SIZE(len(outputs)), sides[1])
        profiler = _HANDLE()
        call("LiteRtCompiledModelGetProfiler", compiled, ctypes.byref(profiler))
        call("LiteRtRunCompiledModel", *run)  # the first call prepares
        runs: list[list[tuple[str, int, int]]] = []
        while not runs or not enough():
            call("LiteRtResetProfiler", profiler)
            call("LiteRtStartProfiler", profiler)
            call("LiteRtRunCompiledModel", *run)
            count = ctypes.c_int()
            call("LiteRtGetNumProfilerEvents", profiler, ctypes.byref(count))
            events = (Event * max(count.value, 1))()
            call("LiteRtGetProfilerEvents", profiler, count, events)
            kept = events[: count.value]
            runs.append([((event.tag or b"").decode(errors="replace"), event.type, event.elapsed_us) for event in kept])
        return runs


def _library() -> ctypes.CDLL:
    try:
        import ai_edge_litert
    except ImportError as error:
        raise EngineError(f"ai-edge-litert cannot be imported: {error}") from error
    path = Path(ai_edge_litert.__file__).parent / "libLiteRt.so"
    try:
        library = ctypes.CDLL(str(path))
        library.LiteRtCompiledModelGetProfiler  # noqa: B018 (older ones have none)
    except (OSError, AttributeError) as error:
        raise EngineError(f"this ai-edge-litert has no profiler: {error}") from error
    return library


def _add(library: ctypes.CDLL, call: Callable[..., None], options: ctypes.c_void_p, name: bytes, text: bytes) -> None:
    """Options as TOML, in memory that LiteRT frees with libc's `free`."""
    libc = ctypes.CDLL(None)
    libc.strdup.restype = ctypes.c_void_p
    made = _HANDLE()
    free = ctypes.cast(libc.free, ctypes.c_void_p)
    call("LiteRtCreateOpaqueOptions", name, _HANDLE(libc.strdup(text)), free, ctypes.byref(made))
    call("LiteRtAddOpaqueOptions", options, made)  # which owns it from here on


def _buffer(make: Callable[..., ctypes.c_void_p], array: NDArray[Any]) -> tuple[ctypes.c_void_p, NDArray[Any]]:
    """A tensor buffer over a copy of an array, and the memory of that copy."""
    if array.dtype.name not in ELEMENTS or array.ndim > MAX_RANK:
        raise EngineError(f"the profiler knows no {array.dtype} tensors of {array.ndim} axes")
    room = np.zeros(array.nbytes + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    room[start : start + array.nbytes] = np.frombuffer(np.ascontiguousarray(array), np.uint8)
    tensor = TensorType(ELEMENTS[array.dtype.name], Layout(rank=array.ndim))
    tensor.layout.dimensions[: array.ndim] = array.shape
    place, size = _HANDLE(room.ctypes.data + start), _SIZE(array.nbytes)
    buffer = make(
        "TensorBuffer", ctypes.byref(tensor), place, size, None, name="LiteRtCreateTensorBufferFromHostMemory"
    )
    return buffer, room
