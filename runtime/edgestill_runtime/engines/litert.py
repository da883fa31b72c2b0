"""LiteRT (`.tflite`): the Interpreter of ai-edge-litert, tflite-runtime or tensorflow, which have the same API."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError, engine_errors
from ..manifest import DTYPES
from ..tensor_spec import TensorSpec
from .base import Family, Package


def ai_edge_litert(content: bytes, threads: int, name: str) -> "LiteRTEngine":
    """ai-edge-litert, the maintained package."""
    # Not CompiledModel: its overhead per call is 9 µs instead of 1 to 3 µs, and truncated files crash it.
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise EngineError(f"ai-edge-litert cannot be imported: {error}") from error
    return LiteRTEngine(Interpreter, content, threads, name)


def tflite_runtime(content: bytes, threads: int, name: str) -> "LiteRTEngine":
    """tflite-runtime, the old package, for Python ≤ 3.11 and numpy < 2."""
    try:
        from tflite_runtime.interpreter import Interpreter
    except (ImportError, AttributeError) as error:
        raise EngineError(
            f"tflite-runtime cannot be imported: {error}. It needs Python 3.11 or older and numpy<2"
        ) from error
    engine = LiteRTEngine(Interpreter, content, threads, name)
    if engine.quantized:
        warnings.warn(
            "tflite-runtime runs int8 models without its fast kernels, 18 to 32 times slower than ai-edge-litert "
            "(measured); install that instead: pip install 'edgestill[litert]'",
            RuntimeWarning,
            stacklevel=2,
        )
    return engine


def tensorflow(content: bytes, threads: int, name: str) -> "LiteRTEngine":
    """The interpreter inside tensorflow, for machines that have it installed."""
    try:
        from tensorflow.lite.python.interpreter import Interpreter
    except ImportError as error:
        raise EngineError(f"tensorflow cannot be imported: {error}") from error
    return LiteRTEngine(Interpreter, content, threads, name)


class LiteRTEngine:
    """An interpreter of the file's main subgraph; inputs and outputs are in the file's order."""

    checks_finite = False

    def __init__(self, interpreter: Any, content: bytes, threads: int, name: str) -> None:
        self.name = name
        self.threads: int | None = threads
        with engine_errors("LiteRT cannot load this file"):
            self._interpreter = interpreter(model_content=content, num_threads=threads)
            self._interpreter.allocate_tensors()
            inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
            self.inputs = tuple(_spec(details, "input") for details in inputs)
            self.outputs = tuple(_spec(details, "output") for details in outputs)
        self._inputs = [details["index"] for details in inputs]
        self._outputs = [details["index"] for details in outputs]
        self._sizes = [spec.shape for spec in self.inputs]
        self._dynamic = any(spec.dynamic for spec in self.inputs)

    @property
    def quantized(self) -> bool:
        """Whether the file has int8 or uint8 tensors."""
        return any(details["dtype"] in (np.int8, np.uint8) for details in self._interpreter.get_tensor_details())

    def run(self, tensors: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """See `Engine.run`."""
        interpreter = self._interpreter
        if self._dynamic:
            self._resize(tensors)
        for index, tensor in zip(self._inputs, tensors, strict=True):
            interpreter.set_tensor(index, tensor)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in self._outputs]

    def close(self) -> None:
        """See `Engine.close`."""
        del self._interpreter

    def _resize(self, tensors: Sequence[NDArray[Any]]) -> None:
        sizes = [tensor.shape for tensor in tensors]
        if sizes != self._sizes:
            for index, size in zip(self._inputs, sizes, strict=True):
                self._interpreter.resize_tensor_input(index, size)
            self._interpreter.allocate_tensors()
            self._sizes = sizes


def _spec(details: dict[str, Any], side: str) -> TensorSpec:
    shape = tuple(int(size) for size in details["shape"])
    dtype = np.dtype(details["dtype"]).name
    if dtype not in DTYPES:
        raise ValueError(f"{side} {details['name']!r} holds {dtype}, which is not a numeric type")
    signature = details.get("shape_signature", shape)
    quantization = details["quantization_parameters"]
    # Per-tensor scale only; per-channel scales are for weights.
    scaled = len(quantization["scales"]) == 1 and float(quantization["scales"][0]) > 0
    return TensorSpec(
        shape=shape,
        dtype=dtype,
        layout="NHWC" if len(shape) == 4 else None,
        scale=float(quantization["scales"][0]) if scaled else None,
        zero_point=int(quantization["zero_points"][0]) if scaled else None,
        name=str(details["name"]),
        dynamic=tuple(axis for axis, size in enumerate(signature) if size < 0),
    )


FAMILY = Family(
    name="litert",
    suffix=".tflite",
    packages=(
        Package(
            "ai-edge-litert",
            ai_edge_litert,
            "the maintained package of LiteRT",
            "LiteRT",
            ("ai_edge_litert",),
            "edgestill_benchmarks.profilers.litert:runs",
        ),
        Package(
            "tflite-runtime",
            tflite_runtime,
            "int8 18-32 times slower than ai-edge-litert; numpy < 2",
            "tflite-runtime",
            ("tflite_runtime",),
        ),
        Package("tensorflow", tensorflow, "15 s to import, half a gigabyte of memory", "TensorFlow", ("tensorflow",)),
    ),
    requirement="edgestill[litert]",
    title="LiteRT",
    words="a LiteRT (TensorFlow Lite) model",
    identifier=b"TFL3",
)
