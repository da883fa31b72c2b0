"""ExecuTorch (`.pte`) through executorch-numpy-runtime where it is installed, else through the official package.

The first needs numpy alone and Python 3.12; the second imports torch: seconds and hundreds of megabytes.
"""

from importlib import metadata
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..bundle import TensorSpec
from ..errors import EngineError

LIGHT, OFFICIAL = "executorch-numpy-runtime", "executorch"
# Codes of c10::ScalarType, as both packages report them.
SCALAR_TYPES = {0: "uint8", 1: "int8", 2: "int16", 3: "int32", 4: "int64", 6: "float32", 7: "float64", 11: "bool"}


def available() -> str:
    """Package and version that `load` would use, without importing it.

    Raises:
        EngineError: neither is installed; the message says how to install one.
    """
    for package in (LIGHT, OFFICIAL):
        try:
            return f"{package} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            continue
    raise EngineError(
        "ExecuTorch is not installed. Install it with: pip install 'edgestill[executorch]' (Python 3.12 or newer), "
        "or, on Python 3.11, with: pip install executorch torch"
    )


def load(content: bytes, threads: int) -> "OfficialEngine | LightEngine":
    """Load a program with the package that `available` names."""
    package = available()
    engine = LightEngine if package.startswith(LIGHT) else OfficialEngine
    return engine(content, threads, f"executorch ({package})")


class OfficialEngine:
    """The `forward` method through the official package's native module and torch.

    The pool of threads belongs to the process, and changing it under a loaded program crashes: while one is open, the
    next must ask for the same number.
    """

    _open: ClassVar[int] = 0
    _pool: ClassVar[int] = 0

    def __init__(self, content: bytes, threads: int, name: str) -> None:
        self.name = name
        self.threads: int | None = threads
        try:
            import torch

            # `executorch.runtime` is a face over this module that imports the whole exporter first: 10 s, not 3.
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
        try:
            # The method reads the program and the bytes; neither may go before it.
            self._content = content
            self._program = native._load_program_from_buffer(
                content, program_verification=native.Verification.InternalConsistency
            )
            self._method = self._program.load_method("forward")
        except RuntimeError as error:
            raise EngineError(f"ExecuTorch cannot load this file: {error}") from error
        meta = self._method.method_meta()
        inputs = [meta.input_tensor_meta(number) for number in range(meta.num_inputs())]
        outputs = [meta.output_tensor_meta(number) for number in range(meta.num_outputs())]
        self.input, self.output = _specs(*([(one.sizes(), one.dtype()) for one in side] for side in (inputs, outputs)))
        self._from_numpy = torch.from_numpy
        cls._open += 1

    def invoke(self, tensor: NDArray[Any]) -> NDArray[Any]:
        """See `Engine.invoke`."""
        (result,) = self._method([self._from_numpy(tensor)])
        return np.array(result.numpy())

    def close(self) -> None:
        """See `Engine.close`."""
        del self._method, self._program, self._content
        OfficialEngine._open -= 1


class LightEngine:
    """The `forward` method through executorch-numpy-runtime, which chooses the number of threads itself."""

    def __init__(self, content: bytes, threads: int, name: str) -> None:
        self.name = name
        self.threads: int | None = None
        import executorch_numpy_runtime as light

        try:
            self._method = light.Runtime.get().load_program(content).load_method("forward")
        except light.ExecuTorchError as error:
            raise EngineError(f"ExecuTorch cannot load this file: {error}") from error
        meta = self._method.metadata
        self.input, self.output = _specs(
            *([(tensor["shape"], tensor["scalar_type"]) for tensor in meta[side]] for side in ("inputs", "outputs"))
        )

    def invoke(self, tensor: NDArray[Any]) -> NDArray[Any]:
        """See `Engine.invoke`."""
        (result,) = self._method([tensor])
        return np.asarray(result)

    def close(self) -> None:
        """See `Engine.close`."""
        del self._method


def _specs(inputs: list[tuple[Any, int]], outputs: list[tuple[Any, int]]) -> tuple[TensorSpec, TensorSpec]:
    if len(inputs) != 1 or len(outputs) != 1:
        raise EngineError(f"the file has {len(inputs)} inputs and {len(outputs)} outputs; one each is supported")
    (shape, code), (result_shape, result_code) = inputs[0], outputs[0]
    sizes = tuple(int(size) for size in shape)
    return (
        TensorSpec(sizes, SCALAR_TYPES.get(code, f"scalar type {code}"), "NCHW" if len(sizes) == 4 else None),
        TensorSpec(tuple(int(size) for size in result_shape), SCALAR_TYPES.get(result_code, f"type {result_code}")),
    )
