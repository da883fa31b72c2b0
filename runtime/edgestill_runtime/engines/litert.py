"""LiteRT (`.tflite`) through `ai_edge_litert.interpreter.Interpreter`."""

from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle import TensorSpec
from ..errors import EngineError

PACKAGE = "ai-edge-litert"


def available() -> str:
    """Package and version, without importing it.

    Raises:
        EngineError: not installed; the message says how to install it.
    """
    try:
        return f"{PACKAGE} {metadata.version(PACKAGE)}"
    except metadata.PackageNotFoundError as error:
        raise EngineError("LiteRT is not installed. Install it with: pip install 'edgestill[litert]'") from error


class LiteRTEngine:
    """One interpreter over the bytes of a file."""

    def __init__(self, content: bytes, threads: int) -> None:
        self.name = f"litert ({available()})"
        self.threads: int | None = threads
        from ai_edge_litert.interpreter import Interpreter

        try:
            self._interpreter = Interpreter(model_content=content, num_threads=threads)
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"LiteRT cannot load this file: {error}") from error
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise EngineError(f"the file has {len(inputs)} inputs and {len(outputs)} outputs; one each is supported")
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]
        self.input, self.output = _spec(inputs[0]), _spec(outputs[0])

    def invoke(self, tensor: NDArray[Any]) -> NDArray[Any]:
        """See `Engine.invoke`."""
        self._interpreter.set_tensor(self._input, tensor)
        self._interpreter.invoke()
        result: NDArray[Any] = self._interpreter.get_tensor(self._output)
        return result

    def close(self) -> None:
        """See `Engine.close`."""
        del self._interpreter


def _spec(details: dict[str, Any]) -> TensorSpec:
    scale, zero_point = details["quantization"]
    shape = tuple(int(size) for size in details["shape"])
    return TensorSpec(
        shape=shape,
        dtype=np.dtype(details["dtype"]).name,
        layout="NHWC" if len(shape) == 4 else None,
        scale=float(scale) or None,
        zero_point=int(zero_point) if scale else None,
    )
