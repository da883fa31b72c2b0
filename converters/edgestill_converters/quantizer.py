"""What is quantized, and how: ExecuTorch's `XNNPACKQuantizer`, extended by what both engines support.

Beyond XNNPACKQuantizer (int8, symmetric weights per channel, asymmetric activations per tensor) this quantizer

- quantizes the outputs of activation functions too (hard-swish, GELU, leaky ReLU, …), so that the pooling, addition or
  concatenation that follows is int8 as well;
- fixes the scale of operators with a known range: 0…1 for sigmoid, hard sigmoid and softmax, -1…1 for tanh. A measured
  range would waste codes, and the kernels of tflite-runtime 2.14 refuse any other scale;
- allows scales of weights that are 16 times smaller: XNNPACKQuantizer's smallest, 2^-12, leaves three of the 127 levels
  to a channel whose weights are all below 0.0007;
- fixes the scale of an input of raw pixels (`pixels.py`), so that the code is the pixel minus 128;
- keeps the scale through padding with zeros, which neither engine pads from one scale to another;
- leaves the named layers in float, those that are too sensitive (`sensitivity.py`).

Operators without a fast int8 kernel stay in a float region, between one dequantize and one quantize, inside the
delegate: `benchmarks/suite/converters/operators.py` measures what that costs, in both engines.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
    XNNPACKQuantizer,
    get_symmetric_quantization_config,
)
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer_utils import (
    QuantizationConfig,
    propagate_annotation,
)
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.quantizer import (
    FixedQParamsQuantizationSpec,
    QuantizationSpec,
    SharedQuantizationSpec,
)

from .private.executorch import annotate_patterns, drop_batch_norm_patterns
from .private.torchao import annotation, with_smallest_scale
from .rewrites.editing import FLOAT
from .scale import Scale

aten = torch.ops.aten
KEY = "quantization_annotation"


# Smaller ones gain nothing, and a bias in units of it and of the input's scale must stay within 32 bits.
SMALLEST_WEIGHT_SCALE = 2**-16
# Ranges that the operator itself sets. 1/256 and 1/128 are required by TensorFlow Lite's int8 specification.
FIXED: Mapping[Any, Scale] = {
    aten.sigmoid.default: Scale(1 / 256, -128),
    aten.hardsigmoid.default: Scale(1 / 256, -128),
    aten.softmax.int: Scale(1 / 256, -128),
    aten.tanh.default: Scale(1 / 128, 0),
}
# Activation functions that XNNPACKQuantizer does not annotate. (SiLU is sigmoid and product by now: rewrites/.)
ACTIVATIONS = (
    aten.hardswish.default, aten.gelu.default, aten.leaky_relu.default, aten.elu.default,
)  # fmt: skip


class EdgestillQuantizer(XNNPACKQuantizer):  # type: ignore[misc]
    """The only quantizer: the files of all backends come from its graph.

    Args:
        qat: fake quantization for training instead of observers.
        inputs: position of an input → its fixed scale.
        float_nodes: names of graph nodes (convolutions, linear layers, …) that stay in float.
    """

    def __init__(
        self, *, qat: bool = False, inputs: Mapping[int, Scale] | None = None, float_nodes: Collection[str] = ()
    ) -> None:
        super().__init__()
        self.set_global(_configuration(qat))
        kept = frozenset(float_nodes)
        self.set_filter_function(lambda node: node.name not in kept and FLOAT not in node.meta)
        self._inputs = dict(inputs or {})

    def annotate(self, model: GraphModule) -> GraphModule:
        """See `torchao.quantization.pt2e.quantizer.Quantizer`."""
        if all(node.target is not aten.batch_norm.default for node in model.graph.nodes):
            drop_batch_norm_patterns(self)
        model = annotate_patterns(self, model)
        for node in model.graph.nodes:
            if node.target in ACTIVATIONS and KEY not in node.meta and _comes_quantized(node):
                _annotate_activation(node, self.global_config.output_activation)
        # Once more, for patterns that need a quantized input.
        model = annotate_patterns(self, model)
        for node in model.graph.nodes:
            if node.target in FIXED and _between_quantized(node):
                _fix(node, _specification(FIXED[node.target]))
        placeholders = [node for node in model.graph.nodes if node.op == "placeholder"]
        for position, scale in self._inputs.items():
            _fix(placeholders[position], _specification(scale))
        propagate_annotation(model)
        # Operators after a padding may share its scale in turn.
        while sum(_share_scale(node) for node in model.graph.nodes):
            propagate_annotation(model)
        return model


def _configuration(qat: bool) -> QuantizationConfig:
    standard: QuantizationConfig = get_symmetric_quantization_config(is_per_channel=True, is_qat=qat)
    observer = with_smallest_scale(standard.weight.observer_or_fake_quant_ctr, SMALLEST_WEIGHT_SCALE)
    return replace(standard, weight=replace(standard.weight, observer_or_fake_quant_ctr=observer))


def _specification(scale: Scale) -> FixedQParamsQuantizationSpec:
    return FixedQParamsQuantizationSpec(
        dtype=torch.int8,
        scale=scale.scale,
        zero_point=scale.zero_point,
        quant_min=-128,
        quant_max=127,
        qscheme=torch.per_tensor_affine,
    )


def _comes_quantized(node: Node) -> bool:
    source = node.args[0]
    found = source.meta.get(KEY) if isinstance(source, Node) else None
    return found is not None and found.output_qspec is not None


def _between_quantized(node: Node) -> bool:
    """Whether the input is quantized, and every user of the output reads it quantized, with a spec of its own."""
    return _comes_quantized(node) and all(_reads(user, node) for user in node.users)


def _annotate_activation(node: Node, specification: QuantizationSpec) -> None:
    source = node.args[0]
    assert isinstance(source, Node)
    node.meta[KEY] = annotation({source: source.meta[KEY].output_qspec}, specification)


def _reads(user: Node, node: Node) -> bool:
    found = user.meta.get(KEY)
    return found is not None and isinstance(found.input_qspec_map.get(node), QuantizationSpec)


def _share_scale(node: Node) -> bool:
    """Let padding with zeros keep the scale of its input: neither engine pads from one scale to another."""
    if node.target not in (aten.pad.default, aten.constant_pad_nd.default) or KEY in node.meta:
        return False
    more = list(node.args[2:])
    mode = more.pop(0) if node.target is aten.pad.default and more else "constant"
    if mode != "constant" or any(more) or any(node.kwargs.values()) or not _comes_quantized(node):
        return False
    source = node.args[0]
    assert isinstance(source, Node)
    shared = SharedQuantizationSpec(source)
    node.meta[KEY] = annotation({source: shared}, shared)
    return True


def _fix(node: Node, fixed: FixedQParamsQuantizationSpec) -> None:
    reads = {}
    if node.op == "call_function":
        source = node.args[0]
        assert isinstance(source, Node)
        reads = {source: source.meta[KEY].output_qspec}
    node.meta[KEY] = annotation(reads, fixed)
    # The same for the users, or there would be a second pair of quantize and dequantize between the two.
    for user in node.users:
        if _reads(user, node):
            user.meta[KEY].input_qspec_map[node] = fixed
