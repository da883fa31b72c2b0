"""How a graph becomes a `.onnx` file: PyTorch's own exporter, in float."""

from edgestill_converters.backends import Backend, Exported


def export(program, quantized: bool) -> Exported:
    import torch

    model = torch.onnx.export(program, dynamo=True)
    return Exported(model.model_proto.SerializeToString())


BACKEND = Backend(
    name="onnx",
    suffix=".onnx",
    export=export,
    packages=("onnx", "onnxscript"),
    modules=("onnx", "onnxscript"),
    requirement="edgestill-onnx[convert]",
)
