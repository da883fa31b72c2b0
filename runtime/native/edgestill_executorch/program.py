"""Programs, their methods, and the methods' inputs and outputs."""

import ctypes
import math
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._library import BOOL, DOUBLE, INT, LIBRARY, NONE, NOT_FINITE, TENSOR, Event, Info, Value, check
from .errors import NotFiniteError

# c10::ScalarType → numpy
DTYPES = {
    0: "uint8", 1: "int8", 2: "int16", 3: "int32", 4: "int64", 5: "float16", 6: "float32", 7: "float64", 11: "bool",
}  # fmt: skip
SCALARS: dict[int, type] = {INT: int, DOUBLE: float, BOOL: bool, NONE: type(None)}
ALIGNMENT = 16
_run, _address = LIBRARY.es_method_run, ctypes.addressof
_pointed: Callable[[NDArray[Any]], ctypes.c_char] = ctypes.c_char.from_buffer  # type: ignore[assignment]
Input = NDArray[Any] | int | float | bool | None


@dataclass(frozen=True)
class TensorInfo:
    """A tensor that a method has as input or output.

    Args:
        name: in the file; often empty. shape: exact, or for a dynamic tensor its largest sizes (the file has neither
            the smallest sizes, nor which axes are dynamic).
        dtype: of numpy. dim_order: axes from the outermost to the innermost in memory; channels last is
            (0, 2, 3, 1). nbytes: size of the data at this shape, bytes.
        planned: whether its memory is part of the method's memory plan. If so, data is copied; otherwise the engine
            reads and writes the caller's arrays directly.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    dim_order: tuple[int, ...]
    dynamic: bool
    planned: bool
    nbytes: int

    @property
    def contiguous(self) -> bool:
        """Whether the memory is in C order."""
        return self.dim_order == tuple(range(len(self.shape)))


@dataclass(frozen=True)
class ScalarInfo:
    """A plain Python value that a method has as input or output: int, float, bool or None."""

    type: type


@dataclass(frozen=True)
class TraceEvent:
    """A profiling event of a run. Events nest: those of a backend are inside the event of its call.

    Args:
        name: of the engine, such as `native_call_add.out`, `DELEGATE_CALL`, or a backend's own name.
        delegated: whether a backend reported it for an operator of its own. start_ns: by a clock of this process.
        duration_ns: nested events included; a backend may have a coarser clock (XNNPACK: µs).
    """

    name: str
    delegated: bool
    start_ns: int
    duration_ns: int


class Program:
    """A `.pte` file.

    Args:
        source: a path, which is memory-mapped and must not change while the program is open, or the file's bytes.

    Raises:
        ExecuTorchError: no program, or one that this build does not understand.
        FileNotFoundError, IsADirectoryError: the path is no file.
    """

    def __init__(self, source: str | os.PathLike[str] | bytes | bytearray | memoryview) -> None:
        self._handle: ctypes.c_void_p | None = None
        handle = ctypes.c_void_p()
        if isinstance(source, (str, os.PathLike)):
            path = Path(source)
            with path.open("rb"):  # Python's own message if it cannot be opened
                self.name = str(path)
            code = LIBRARY.es_program_open_file(os.fsencode(path), ctypes.byref(handle))
        else:
            self.name = "a program in memory"
            # Kept as long as the engine reads it.
            self._content = _aligned(source)
            code = LIBRARY.es_program_open_bytes(_start(self._content), len(self._content), ctypes.byref(handle))
        check(code, f"cannot load {self.name}")
        self._handle = handle
        count = LIBRARY.es_program_method_count(handle)
        names = (LIBRARY.es_program_method_name(handle, index) for index in range(count))
        self.methods: tuple[str, ...] = tuple(name.decode(errors="replace") for name in names if name is not None)

    def load_method(
        self, name: str = "forward", threads: int | None = 1, check_finite: bool = False, trace: bool = False
    ) -> "Method":
        """Load a method.

        Args:
            threads: 1 runs on the calling thread; more use the process's pool, which is resized to this number (see
                `set_threads`); None uses the pool with its current size.
            check_finite: refuse NaN and infinity in inputs (NotFiniteError), for which quantized files silently give
                wrong outputs. Faster here than in Python.
            trace: keep what each run spent its time on, for `Method.events`. It costs time.

        Raises:
            ExecuTorchError: an operator or backend is missing, memory is short, or the method is damaged.
            ValueError: no such method, a tensor of a type that numpy has not, or the pool cannot change now.
        """
        if self._handle is None:
            raise ValueError(f"{self.name} was closed")
        if name not in self.methods:
            raise ValueError(f"{self.name} has no method {name!r}; it has {', '.join(self.methods)}")
        if threads is not None and threads != 1:
            set_threads(threads)
        handle, pooled = ctypes.c_void_p(), threads != 1
        code = LIBRARY.es_method_open(self._handle, name.encode(), pooled, check_finite, trace, ctypes.byref(handle))
        check(code, f"cannot load method {name!r} of {self.name}")
        return Method(self, name, handle)

    def close(self) -> None:
        """Close the file. Loaded methods stay usable until they are closed themselves."""
        if self._handle is not None:
            LIBRARY.es_program_close(self._handle)
            self._handle = None

    def __enter__(self) -> "Program":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


class Method:
    """A loaded method of a program. Thread-safe: calls wait for each other. Close it, or use it in `with`.

    Attributes:
        inputs, outputs: `TensorInfo` or `ScalarInfo` of each. planned_bytes: memory of its plan, bytes.
    """

    def __init__(self, program: Program, name: str, handle: ctypes.c_void_p) -> None:
        self._lock = threading.Lock()
        self._handle: ctypes.c_void_p | None = handle  # freed by close, also when one of the lines below fails
        self._program = program  # its bytes must outlive this
        self.name = name
        self.inputs = tuple(_info(handle, index, "input") for index in range(LIBRARY.es_method_input_count(handle)))
        self.outputs = tuple(_info(handle, index, "output") for index in range(LIBRARY.es_method_output_count(handle)))
        self.planned_bytes = int(LIBRARY.es_method_planned_bytes(handle))
        # One argument block for all calls: a call fills in addresses, and sizes where they may change.
        self._in = (Value * max(len(self.inputs), 1))()
        self._out = (Value * max(len(self.outputs), 1))()
        for value, info in (*zip(self._in, self.inputs, strict=False), *zip(self._out, self.outputs, strict=False)):
            if isinstance(info, TensorInfo):
                value.rank, value.sizes[: len(info.shape)], value.capacity = len(info.shape), info.shape, info.nbytes
        # Each input's place, and the dtype and shape that it must have where these are all there is to check.
        self._givers = tuple((index, self._in[index], *_plain(info)) for index, info in enumerate(self.inputs))
        # A planned output stays where it is until it is copied out; None for what is not planned.
        addresses = [LIBRARY.es_method_output_data(handle, index) for index in range(len(self.outputs))]
        pairs = zip(self.outputs, addresses, strict=True)
        views = [_view(info, address) for info, address in pairs if address and isinstance(info, TensorInfo)]
        # Where there is nothing but to copy: every output is planned and of one shape. None where there is more to do.
        fixed = all(isinstance(info, TensorInfo) and not info.dynamic for info in self.outputs)
        self._copied = views if fixed and len(views) == len(self.outputs) else None

    def run(self, *inputs: Input, out: Sequence[NDArray[Any] | None] | None = None) -> tuple[Any, ...]:
        """Run once.

        Args:
            inputs: an array for every tensor, with exactly its dtype and shape (a dynamic one may be smaller), and a
                Python value for every scalar. An array in another memory layout is copied into the right one.
            out: for each output None or an array of its dtype and shape, contiguous and writable, to be written into;
                for a dynamic tensor, of its largest shape. It must not be one of the inputs.

        Returns:
            One array or scalar for every output; arrays are the caller's own. Of a dynamic output in `out`, the array
            that is returned is a view of its first part.

        Raises:
            TypeError, ValueError: an input or `out` does not fit; the engine has seen nothing.
            NotFiniteError: an input holds NaN or infinity, and `check_finite` was asked for; nothing was executed.
            ExecuTorchError: the engine failed.
        """
        if len(inputs) != len(self.inputs):
            raise ValueError(f"method {self.name!r} takes {len(self.inputs)} inputs, not {len(inputs)}")
        with self._lock:
            if self._handle is None:
                raise ValueError(f"method {self.name!r} was closed")
            made = []  # arrays that replace an input, held until the call is over
            for index, slot, dtype, shape in self._givers:
                value = inputs[index]
                # The usual case first, and in line: it is the larger part of what a call of a small model costs.
                if type(value) is np.ndarray and value.dtype is dtype and value.shape == shape:
                    try:
                        # A quarter of the time of `array.ctypes.data`; refuses what is read-only or not contiguous.
                        slot.data = _address(_pointed(value))
                        continue
                    except (TypeError, ValueError):
                        pass
                made.append(self._give(index, slot, value))
            if out is None and self._copied is not None:
                if code := _run(self._handle, self._in, self._out):
                    self._check(code)
                return tuple([view.copy() for view in self._copied])
            arrays = self._receive([None] * len(self.outputs) if out is None else out)
            try:
                if code := _run(self._handle, self._in, self._out):
                    self._check(code)
            finally:
                for slot in self._out:
                    slot.data = None
            return tuple([self._result(index, array) for index, array in enumerate(arrays)])

    def events(self) -> tuple[TraceEvent, ...]:
        """Profiling events of the last run, in the order of their start; empty unless loaded with `trace`."""
        with self._lock:
            if self._handle is None:
                raise ValueError(f"method {self.name!r} was closed")
            found = []
            for index in range(LIBRARY.es_method_event_count(self._handle)):
                event = Event()
                check(LIBRARY.es_method_event(self._handle, index, ctypes.byref(event)), f"cannot read event {index}")
                name = event.name.decode(errors="replace")
                found.append(TraceEvent(name, bool(event.delegated), event.start_ns, event.duration_ns))
            return tuple(found)

    def close(self) -> None:
        """Free the method's memory; calls after this raise ValueError."""
        with self._lock:
            if self._handle is not None:
                LIBRARY.es_method_close(self._handle)
                self._handle = None

    def __enter__(self) -> "Method":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _check(self, code: int) -> None:
        if code == NOT_FINITE:
            raise NotFiniteError(f"an input of method {self.name!r} has values that are not finite (NaN or infinity)")
        check(code, f"method {self.name!r} of {self._program.name} failed")

    def _give(self, index: int, slot: Value, value: Input) -> NDArray[Any] | None:
        """Give the engine a value that has to be looked at; the array that it then reads, which has to be held."""
        info = self.inputs[index]
        if isinstance(info, ScalarInfo):
            _give_scalar(index, info, slot, value)
            return None
        if not isinstance(value, np.ndarray):
            raise TypeError(f"input {index} is a {info.dtype} array of shape {info.shape}, not {type(value).__name__}")
        if value.dtype != info.dtype:
            raise TypeError(f"input {index} is {info.dtype}, not {value.dtype}")
        if value.shape != info.shape:
            _check_smaller(index, info, value)
        slot.sizes[: value.ndim] = value.shape
        # The same values in the file's order of axes; a view if the memory has this order already.
        array = np.ascontiguousarray(value.transpose(info.dim_order))
        slot.data = array.ctypes.data
        return array

    def _receive(self, out: Sequence[NDArray[Any] | None]) -> list[NDArray[Any] | None]:
        """Arrays for the outputs, the caller's if passed, with their addresses set in the argument block."""
        if len(out) != len(self.outputs):
            raise ValueError(f"method {self.name!r} gives {len(self.outputs)} outputs; out has {len(out)}")
        arrays: list[NDArray[Any] | None] = []
        for index, (array, info) in enumerate(zip(out, self.outputs, strict=True)):
            if isinstance(info, ScalarInfo):
                arrays.append(None)
                continue
            if array is None:
                array = _empty(info)
            elif not isinstance(array, np.ndarray) or (array.dtype, array.shape) != (info.dtype, info.shape):
                raise ValueError(f"out[{index}] must be a {info.dtype} array of shape {info.shape}")
            elif not (info.contiguous and array.flags.c_contiguous and array.flags.writeable):
                raise ValueError(f"out[{index}] must be contiguous and writable, and the output in C order")
            arrays.append(array)
        for slot, array in zip(self._out, arrays, strict=False):
            slot.data = None if array is None else array.ctypes.data
        return arrays

    def _result(self, index: int, array: NDArray[Any] | None) -> Any:
        """The value of an output: a scalar, the array, or the used part of the array if it is dynamic."""
        info, slot = self.outputs[index], self._out[index]
        if isinstance(info, ScalarInfo):
            return None if info.type is type(None) else info.type(slot.real if info.type is float else slot.integer)
        if array is None or not info.dynamic:
            return array
        sizes = tuple(slot.sizes[: slot.rank])
        order = info.dim_order if len(sizes) == len(info.shape) else tuple(range(len(sizes)))
        flat = (array if array.flags.c_contiguous else array.transpose(info.dim_order)).reshape(-1)
        return flat[: math.prod(sizes)].reshape([sizes[axis] for axis in order]).transpose(np.argsort(order))


def get_threads() -> int:
    """Threads in this process's pool, which all methods with `threads` other than 1 share."""
    count = ctypes.c_uint32()
    check(LIBRARY.es_get_threads(ctypes.byref(count)), "cannot ask for the number of threads")
    return count.value


def set_threads(count: int) -> None:
    """Resize the process's thread pool to this many threads, ≥ 1.

    Raises:
        ValueError: a method that uses the pool is open, and the number would change under it. Close it first.
    """
    if count < 1:
        raise ValueError(f"threads must be at least 1, not {count}")
    code = LIBRARY.es_set_threads(count)
    if code == 0x02:
        raise ValueError(
            f"a method that uses this process's pool of {get_threads()} threads is open; close it before asking for "
            f"{count}, or load both with the same number"
        )
    check(code, f"cannot set the number of threads to {count}")


def _info(handle: ctypes.c_void_p, index: int, side: str) -> TensorInfo | ScalarInfo:
    info = Info()
    check(getattr(LIBRARY, f"es_method_{side}")(handle, index, ctypes.byref(info)), f"cannot read {side} {index}")
    if info.kind in SCALARS:
        return ScalarInfo(SCALARS[info.kind])
    if info.kind != TENSOR:
        raise ValueError(f"{side} {index} is neither a tensor nor a plain number; export the method without it")
    if info.dtype not in DTYPES:
        raise ValueError(f"{side} {index} has scalar type {info.dtype}, which numpy has not; valid: {DTYPES}")
    return TensorInfo(
        name=info.name.decode(errors="replace"),
        shape=tuple(info.sizes[: info.rank]),
        dtype=np.dtype(DTYPES[info.dtype]),
        dim_order=tuple(info.dim_order[: info.rank]),
        dynamic=bool(info.dynamic),
        planned=bool(info.planned),
        nbytes=info.bytes,
    )


def _plain(info: TensorInfo | ScalarInfo) -> tuple[np.dtype[Any] | None, tuple[int, ...]]:
    """dtype and shape of a tensor that is in C order and of one shape; no dtype for anything else."""
    if isinstance(info, TensorInfo) and info.contiguous and not info.dynamic:
        return info.dtype, info.shape
    return None, ()


def _empty(info: TensorInfo) -> NDArray[Any]:
    """An array whose memory has the tensor's order of axes."""
    return _shaped(np.empty(math.prod(info.shape), info.dtype), info)


def _view(info: TensorInfo, address: int) -> NDArray[Any]:
    """The engine's own memory of an output; it ends with the method, so it never leaves this file."""
    if not info.nbytes:
        return _empty(info)
    memory = memoryview((ctypes.c_char * info.nbytes).from_address(address))
    return _shaped(np.frombuffer(memory, info.dtype), info)


def _shaped(flat: NDArray[Any], info: TensorInfo) -> NDArray[Any]:
    return flat.reshape([info.shape[axis] for axis in info.dim_order]).transpose(np.argsort(info.dim_order))


def _give_scalar(index: int, info: ScalarInfo, slot: Value, value: Input) -> None:
    if type(value) is not info.type:
        raise TypeError(f"input {index} is a plain {info.type.__name__}, not {type(value).__name__}")
    if isinstance(value, float):
        slot.real = value
    elif value is not None:
        slot.integer = value


def _check_smaller(index: int, info: TensorInfo, value: NDArray[Any]) -> None:
    fits = value.ndim == len(info.shape) and all(
        size <= most for size, most in zip(value.shape, info.shape, strict=True)
    )
    if not info.dynamic or not fits:
        most = "at most " if info.dynamic else ""
        raise ValueError(f"input {index} has shape {value.shape}; the method takes {most}{info.shape}")


def _aligned(source: bytes | bytearray | memoryview) -> bytes | NDArray[np.uint8]:
    """The same bytes where the engine can read them: immutable, or a copy of our own, and 16-byte aligned."""
    if isinstance(source, bytes) and _start(source) % ALIGNMENT == 0:
        return source
    flat = np.frombuffer(source, np.uint8)
    room = np.empty(flat.size + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    copy = room[start : start + flat.size]
    copy[:] = flat
    return copy


def _start(content: bytes | NDArray[np.uint8]) -> int:
    if isinstance(content, bytes):
        return ctypes.cast(ctypes.c_char_p(content), ctypes.c_void_p).value or 0
    return content.ctypes.data
