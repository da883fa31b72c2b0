"""A graph → `.tflite`, images channels last."""

from pathlib import Path
from tempfile import TemporaryDirectory

import litert_torch
from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
from litert_torch.quantize.quant_config import QuantConfig
from torch.export import ExportedProgram
from torchao.quantization.pt2e import allow_exported_model_train_eval

from .islands import to_float_islands


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
    converted = litert_torch.convert(model, sample, quant_config=_static_mode() if quantised else None)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        converted.export(str(path))
        content = path.read_bytes()
    return to_float_islands(content) if quantised else content


def _static_mode() -> QuantConfig:
    # The graph is quantised already; this quantizer annotates nothing and only tells the converter to expect int8.
    config = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=False)
    return QuantConfig(pt2e_quantizer=PT2EQuantizer().set_global(config))
