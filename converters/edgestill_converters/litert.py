"""A graph → `.tflite`, channels last."""

from pathlib import Path
from tempfile import TemporaryDirectory

import litert_torch
from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
from litert_torch.quantize.quant_config import QuantConfig
from torch import Tensor, nn


def export_tflite(model: nn.Module, example: Tensor, quantised: bool) -> bytes:
    """Convert a float model, or a quantised graph with unfolded weights, to a LiteRT flatbuffer for batch 1.

    Args:
        example: float32 (1, C, H, W); the file takes (1, H, W, C), int8 when `quantised`.
        quantised: `model` carries quantise/dequantise pairs.
    """
    channels_last = litert_torch.to_channel_last_io(model, args=[0]).eval()
    sample = (example.permute(0, 2, 3, 1).contiguous(),)
    converted = litert_torch.convert(channels_last, sample, quant_config=_static_mode() if quantised else None)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        converted.export(str(path))
        return path.read_bytes()


def _static_mode() -> QuantConfig:
    # The graph is quantised already; this quantizer annotates nothing and only tells the converter to expect int8.
    config = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=False)
    return QuantConfig(pt2e_quantizer=PT2EQuantizer().set_global(config))
