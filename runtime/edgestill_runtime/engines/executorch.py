"""ExecuTorch (`.pte`), method `forward`, with edgestill-executorch, executorch-numpy-runtime or executorch itself."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError, EngineMemoryError, InputError, engine_errors
from ..tensor_spec import TensorSpec
from .base import Family, Package

# c10::ScalarType, as the two other packages report it.
SCALAR_TYPES = {
    0: "uint8", 1: "int8", 2: "int16", 3: "int32", 4: "int64", 5: "float16", 6: "float32", 7: "float64", 11: "bool",
}  # fmt: skip
METHOD = "forward"
REFUSED = "ExecuTorch cannot load this file"


def binding(content: bytes, threads: int, name: str) -> "BindingEngine":
    """edgestill-executorch: the binding in runtime/native of this project."""
    return BindingEngine(content, threads, name)


def light(content: bytes, threads: int, name: str) -> "LightEngine":
    """executorch-numpy-runtime: without torch, Python 3.12 or newer."""
    return LightEngine(content, threads, name)


def official(content: bytes, threads: int, name: str) -> "OfficialEngine":
    """The official package, which imports torch."""
    return OfficialEngine(content, threads, name)


class BindingEngine:
    """edgestill-executorch. One thread needs no pool; models with more share one pool per process, of a fixed size."""

    checks_finite = True

    def __init__(self, content: bytes, threads: int, name: str) -> None:
        self.name = name
        self.threads: int | None = threads
        try:
            from edgestill_executorch import ExecuTorchError, NotFiniteError, Program, TensorInfo
        except (ImportError, OSError) as error:
            raise EngineError(f"edgestill-executorch cannot be imported: {error}") from error
        with engine_errors(REFUSED):
            try:
                with Program(content) as program:
                    self._method = program.load_method(METHOD, threads, check_finite=True)
            except ExecuTorchError as error:
                if error.name.endswith("MemoryAllocationFailed"):
                    raise EngineMemoryError(f"{REFUSED}: {error}") from error
                raise
        sides = []
        for side in (self._method.inputs, self._method.outputs):
            tensors = [info for info in side if isinstance(info, TensorInfo)]
            if len(tensors) != len(side):
                self._method.close()
                raise EngineError("the file has inputs or outputs that are not tensors; export it without them")
            sides.append(tuple(_spec(info.shape, info.dtype.name, info.dynamic, info.name) for info in tensors))
        self.inputs, self.outputs = sides
        self._refusal = NotFiniteError

    def run(self, tensors: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """See `Engine.run`."""
        try:
            return list(self._method.run(*tensors))
        except self._refusal as error:
            raise InputError(str(error)) from error

    def close(self) -> None:
        """See `Engine.close`."""
        self._method.close()


class LightEngine:
    """executorch-numpy-runtime, which chooses the number of threads itself."""

    checks_finite = False

    def __init__(self, content: bytes, threads: int, name: str) -> None:
        self.name = name
        self.threads: int | None = None
        try:
            import executorch_numpy_runtime as package
        except ImportError as error:
            raise EngineError(f"executorch-numpy-runtime cannot be imported: {error}") from error
        with engine_errors(REFUSED):
            self._method = package.Runtime.get().load_program(content).load_method(METHOD)
        meta = self._method.metadata
        self.inputs, self.outputs = (
            tuple(_spec(tensor["shape"], _dtype(tensor["scalar_type"])) for tensor in meta[side])
            for side in ("inputs", "outputs")
        )

    def run(self, tensors: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """See `Engine.run`."""
        return [np.asarray(result) for result in self._method(list(tensors))]

    def close(self) -> None:
        """See `Engine.close`."""
        del self._method


class OfficialEngine:
    """The official package's native module, with torch.

    The thread pool belongs to the process, and resizing it while a program is loaded crashes: while a model is open,
    the next one must use the same number of threads. A model is closed when it is garbage-collected.
    """

    checks_finite = False
    _open: ClassVar[int] = 0
    _pool: ClassVar[int] = 0
    _counted = False  # in _open

    def __init__(self, content: bytes, threads: int, name: str) -> None:
        self.name = name
        self.threads: int | None = threads
        try:
            import torch

            # `executorch.runtime` wraps this module, but imports the whole exporter first: 10 s instead of 3.
            from executorch.extension.pybindings import _C as native  # noqa: N811
        except ImportError as error:
            raise EngineError(f"the executorch package cannot be imported: {error}. It needs torch.") from error
        cls = OfficialEngine
        if cls._open and threads != cls._pool:
            raise EngineError(
                f"an ExecuTorch model with threads={cls._pool} is open in this process, and all share one pool; "
                f"close it before loading one with threads={threads}"
            )
        if threads != cls._pool:
            native._unsafe_reset_threadpool(threads)
            cls._pool = threads
        self._from_numpy = torch.from_numpy
        self._counted = True
        cls._open += 1
        try:
            self._load(native, content)
        except BaseException:
            self.close()
            raise

    def _load(self, native: Any, content: bytes) -> None:
        with engine_errors(REFUSED):
            # The method refers to the program and the bytes, so both must outlive it.
            self._content: bytes | None = content
            self._program: Any = native._load_program_from_buffer(
                content, program_verification=native.Verification.InternalConsistency
            )
            self._method: Any = self._program.load_method(METHOD)
            meta = self._method.method_meta()
            inputs = [meta.input_tensor_meta(number) for number in range(meta.num_inputs())]
            outputs = [meta.output_tensor_meta(number) for number in range(meta.num_outputs())]
        self.inputs, self.outputs = (
            tuple(_spec(one.sizes(), _dtype(one.dtype())) for one in side) for side in (inputs, outputs)
        )

    def run(self, tensors: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """See `Engine.run`."""
        return [np.array(result.numpy()) for result in self._method([self._from_numpy(one) for one in tensors])]

    def close(self) -> None:
        """See `Engine.close`."""
        if self._counted:
            self._counted = False
            self._method = self._program = self._content = None  # in this order
            type(self)._open -= 1

    def __del__(self) -> None:
        self.close()


def _dtype(code: int) -> str:
    if code not in SCALAR_TYPES:
        raise EngineError(f"the file has a tensor of scalar type {code}, which numpy does not have")
    return SCALAR_TYPES[code]


def _spec(shape: Sequence[int], dtype: str, dynamic: bool = False, name: str = "") -> TensorSpec:
    sizes = tuple(int(size) for size in shape)
    return TensorSpec(
        sizes,
        dtype,
        # The shape is in the model's order (NCHW) even if its memory is channels last: the binding converts.
        layout="NCHW" if len(sizes) == 4 else None,
        name=name,
        # The file has the largest shape, but not which axes are dynamic.
        dynamic=tuple(range(len(sizes))) if dynamic else (),
        bounded=dynamic,
    )


FAMILY = Family(
    name="executorch",
    suffix=".pte",
    packages=(
        Package(
            "edgestill-executorch",
            binding,
            "ExecuTorch without torch, any Python",
            "ExecuTorch",
            ("edgestill_executorch",),
            "edgestill_benchmarks.profilers.executorch:runs",
        ),
        Package(
            "executorch-numpy-runtime",
            light,
            "Python 3.12 or newer; sets its own threads",
            "ExecuTorch (numpy)",
            ("executorch_numpy_runtime",),
        ),
        Package(
            "executorch",
            official,
            "the official package: needs torch, seconds to import",
            "ExecuTorch (torch)",
            ("executorch", "torch"),
        ),
    ),
    requirement="edgestill[executorch]",
    title="ExecuTorch",
    words="an ExecuTorch program",
    identifier=b"ET12",
)
