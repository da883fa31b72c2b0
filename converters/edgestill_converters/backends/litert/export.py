"""A graph → `.tflite`, images channels last."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import litert_torch
from ai_edge_litert import schema_py_generated as schema
from torch.export import ExportedProgram
from torch.fx import GraphModule
from torch.fx.graph import CodeGen
from torchao.quantization.pt2e import allow_exported_model_train_eval

from ...private.litert_converter import strict_quantization
from ...private.litert_torch import layout_marks_kept
from ...source_model import flat_outputs
from .float_regions import put_into_float
from .io_quantization import packed, remove_second_transposes, repeat_outputs, use_integer_io
from .padding import pad_with_zeros


def export_tflite(program: ExportedProgram, quantized: bool) -> bytes:
    """Convert a float graph, or a quantized one with unfolded weights, to a LiteRT flatbuffer for batch 1.

    Args:
        program: its inputs and outputs of four axes, (1, C, H, W), become (1, H, W, C) in the file.
        quantized: the graph carries quantize/dequantize pairs; the file's inputs and outputs are then int8.
    """
    examples = program.example_inputs[0]
    model = program.module(check_guards=False)
    order = _drop_repeated_outputs(model)
    results = flat_outputs(model(*examples))
    image_inputs = [position for position, one in enumerate(examples) if one.dim() == 4]
    image_outputs = [position for position, one in enumerate(results) if one.dim() == 4]
    # The converter calls `.eval()`, which an exported graph refuses without this.
    allow_exported_model_train_eval(model)
    if image_inputs or image_outputs:
        model = litert_torch.to_channel_last_io(model, args=image_inputs, outputs=image_outputs)
    sample = tuple(
        one.permute(0, 2, 3, 1).contiguous() if position in image_inputs else one
        for position, one in enumerate(examples)
    )
    model.eval()
    with strict_quantization(), layout_marks_kept():
        converted = litert_torch.convert(model, sample)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        converted.export(str(path))
        content = path.read_bytes()
    transposed = [
        _channels_last(tuple(one.shape)) if position in image_outputs else None for position, one in enumerate(results)
    ]
    return _finished(content, quantized, transposed, order)


def _channels_last(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[0], *shape[2:], shape[1]


def _finished(content: bytes, quantized: bool, transposed: list[tuple[int, ...] | None], order: list[int]) -> bytes:
    """The same model in the form that XNNPACK delegates whole."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    remove_second_transposes(model, transposed)
    pad_with_zeros(model)
    if quantized:
        use_integer_io(model)
        put_into_float(model)
    repeat_outputs(model, order)
    return packed(model, len(content))


def _drop_repeated_outputs(model: GraphModule) -> list[int]:
    """Remove repeated outputs, in place; for each output of before, the number of its tensor among those left.

    The converter would transpose a tensor that is an output twice two times.
    """
    (output,) = (node for node in model.graph.nodes if node.op == "output")
    outputs: list[Any] = list(output.args[0])
    kept = list(dict.fromkeys(outputs))
    if len(kept) < len(outputs):
        output.args = (tuple(kept),)
        model.graph.set_codegen(CodeGen())
        model.recompile()
    return [kept.index(one) for one in outputs]
