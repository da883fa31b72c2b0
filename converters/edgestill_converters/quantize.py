"""A float model → one prepared graph → calibrated: the single quantisation that both formats are exported from.

PT2E (torchao) with ExecuTorch's `XNNPACKQuantizer`: int8, symmetric weights per channel, static activations. The
scales and zero points chosen here are the ones in the `.pte` and in the `.tflite`; that is why the files agree.
"""

import copy
from collections.abc import Iterable

import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
    XNNPACKQuantizer,
    get_symmetric_quantization_config,
)
from torch import Tensor, nn
from torchao.quantization.pt2e import allow_exported_model_train_eval
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e


def quantizer() -> XNNPACKQuantizer:
    """The one quantizer: symmetric, per channel."""
    return XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))


def prepare(model: nn.Module, example: Tensor) -> torch.fx.GraphModule:
    """Export `model` at batch 1 and put observers where XNNPACK quantises.

    Args:
        example: float32 (1, C, H, W).
    """
    exported = torch.export.export(model.eval(), (example,), strict=True).module()
    prepared: torch.fx.GraphModule = prepare_pt2e(exported, quantizer())
    return prepared


def calibrate(prepared: torch.fx.GraphModule, samples: Iterable[Tensor]) -> torch.fx.GraphModule:
    """Show the observers real samples, float32 (1, C, H, W) each; the graph was exported for one at a time."""
    with torch.inference_mode():
        for sample in samples:
            prepared(sample)
    return prepared


def folded(prepared: torch.fx.GraphModule) -> torch.fx.GraphModule:
    """The quantised graph with int8 weights in place, as ExecuTorch wants it. `prepared` is untouched."""
    graph: torch.fx.GraphModule = convert_pt2e(copy.deepcopy(prepared))
    return graph


def unfolded(prepared: torch.fx.GraphModule) -> torch.fx.GraphModule:
    """The quantised graph with float weights and quantise/dequantise pairs, as litert-torch wants it."""
    graph: torch.fx.GraphModule = convert_pt2e(copy.deepcopy(prepared), fold_quantize=False)
    # The exporters call `.eval()`, which an exported graph refuses until it is told to bear it.
    allow_exported_model_train_eval(graph)
    graph.eval()
    return graph
