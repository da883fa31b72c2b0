"""A graph → `.tflite`, images channels last."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import litert_torch
from ai_edge_litert import schema_py_generated as schema
from litert_converter.mlir._mlir_libs import converter_api_ext
from torch.export import ExportedProgram
from torchao.quantization.pt2e import allow_exported_model_train_eval

from .ends import packed, take_and_give_integers
from .islands import put_into_float
from .padding import pad_with_zeros


def export_tflite(program: ExportedProgram, quantised: bool) -> bytes:
    """Convert a float graph, or a quantised one with unfolded weights, to a LiteRT flatbuffer for batch 1.

    Args:
        program: its inputs and outputs of four axes, (1, C, H, W), become (1, H, W, C) in the file.
        quantised: the graph carries quantise/dequantise pairs; the file's inputs and outputs are then int8.
    """
    examples, results = program.example_inputs[0], program.module()(*program.example_inputs[0])
    results = results if isinstance(results, (tuple, list)) else [results]
    taken = [position for position, one in enumerate(examples) if one.dim() == 4]
    given = [position for position, one in enumerate(results) if one.dim() == 4]
    model = program.module(check_guards=False)
    # The converter calls `.eval()`, which an exported graph refuses until it is told to bear it.
    allow_exported_model_train_eval(model)
    if taken or given:
        model = litert_torch.to_channel_last_io(model, args=taken, outputs=given)
    sample = tuple(
        one.permute(0, 2, 3, 1).contiguous() if position in taken else one for position, one in enumerate(examples)
    )
    model.eval()
    with _strict():
        converted = litert_torch.convert(model, sample)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        converted.export(str(path))
        content = path.read_bytes()
    return _finished(content, quantised)


def _finished(content: bytes, quantised: bool) -> bytes:
    """The same model in the form that the delegate takes all of."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    pad_with_zeros(model)
    if quantised:
        take_and_give_integers(model)
        put_into_float(model)
    return packed(model, len(content))


@contextmanager
def _strict() -> Iterator[None]:
    """Let the converter quantise what the graph quantises, and nothing else.

    Its static mode makes int8 weights for a convolution that was kept in float, wherever an int8 value goes in and one
    comes out. `litert_torch` has no argument for the strict mode; the converter below it has.
    """
    configuration = converter_api_ext.ConvertToTFLConfig

    def strict() -> Any:
        made = configuration()
        made.strict_qdq_mode = True
        return made

    converter_api_ext.ConvertToTFLConfig = strict
    try:
        yield
    finally:
        converter_api_ext.ConvertToTFLConfig = configuration
