"""What runs `.onnx` files: ONNX Runtime. Needs numpy and `edgestill_runtime`, as everything on a device."""

import numpy as np

from edgestill_runtime import TensorSpec
from edgestill_runtime.engines import Family, Package
from edgestill_runtime.errors import engine_errors

DTYPES = {"float": "float32", "double": "float64"}  # ONNX Runtime's word → numpy's, where they differ


class OnnxEngine:
    """A loaded file; see `edgestill_runtime.engines.Engine`."""

    checks_finite = False

    def __init__(self, content: bytes, threads: int, name: str) -> None:
        from onnxruntime import InferenceSession, SessionOptions

        self.name, self.threads = name, threads
        options = SessionOptions()
        options.intra_op_num_threads = threads
        with engine_errors("ONNX Runtime cannot load this file"):
            self._session = InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self.inputs, self.outputs = (
            tuple(_spec(one) for one in side) for side in (self._session.get_inputs(), self._session.get_outputs())
        )

    def run(self, tensors):
        given = {spec.name: tensor for spec, tensor in zip(self.inputs, tensors, strict=True)}
        return [np.asarray(one) for one in self._session.run(None, given)]

    def close(self) -> None:
        del self._session


def _spec(one) -> TensorSpec:
    word = one.type.removeprefix("tensor(").removesuffix(")")
    shape = tuple(one.shape)
    return TensorSpec(shape, DTYPES.get(word, word), "NCHW" if len(shape) == 4 else None, name=one.name)


FAMILY = Family(
    name="onnx",
    suffix=".onnx",
    packages=(Package("onnxruntime", OnnxEngine, title="ONNX Runtime", modules=("onnxruntime",)),),
    requirement="edgestill-onnx",
    title="ONNX",
    words="an ONNX model",
)
