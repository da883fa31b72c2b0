"""Batch norms and layer scales: folded into the layer before them, or a convolution of their own."""

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from .editing import (
    constant,
    has_constants,
    is_constant,
    is_per_channel,
    new_node,
    replace,
    replace_by,
    shape_of,
    tensor_of,
    value_of,
)

aten = torch.ops.aten
CONVOLUTIONS = (
    aten.conv1d.default, aten.conv2d.default, aten.conv2d.padding, aten.conv1d.padding, aten.convolution.default,
    aten.conv_transpose1d.default, aten.conv_transpose2d.input,
)  # fmt: skip

_LAYERS = (aten.conv2d.default, aten.conv2d.padding, aten.linear.default, aten.batch_norm.default)


def fold_batch_norms(graph: GraphModule) -> int:
    """Convolution → batch norm at inference → one convolution, before training with fake quantization.

    (Calibration does the same by itself.)
    """

    def matches(node: Node) -> bool:
        source = node.args[0] if node.args else None
        if not is_inference_norm(node) or not isinstance(source, Node) or source.target not in CONVOLUTIONS[:4]:
            return False
        return has_constants(source, 2) and len(source.users) == 1

    def change(node: Node) -> None:
        convolution = node.args[0]
        assert isinstance(convolution, Node)
        factor, shift = affine(graph, node)
        weight = tensor_of(graph, convolution.args[1])
        bias = tensor_of(graph, convolution.args[2]) if len(convolution.args) > 2 else None
        assert weight is not None
        scaled = weight.double() * factor.reshape(-1, *[1] * (weight.dim() - 1))
        moved = shift if bias is None else shift + bias.double() * factor
        arguments = [*convolution.args, None][: max(len(convolution.args), 3)]
        arguments[1] = constant(graph, convolution, "folded_weight", scaled.float())
        arguments[2] = constant(graph, convolution, "folded_bias", moved.float())
        convolution.args = tuple(arguments)
        replace_by(node, convolution)

    return replace(graph, matches, change)


def layer_scale_to_weights(graph: GraphModule) -> int:
    """`layer(x) * scale`, one number for each channel (ConvNeXt, CaiT) → into the layer's weights and bias.

    As a product it is one more rounding to int8, and ExecuTorch transposes its constant at every call.
    """

    def matches(node: Node) -> bool:
        layer, scale = _layer_and_scale(node)
        if layer is None or len(layer.users) != 1 or shape_of(layer) != shape_of(node):
            return False
        axis = -1 if layer.target is aten.linear.default else 1
        # A layer without a weight, such as some batch norms, cannot absorb the scale.
        weighted = layer.args[1] is not None and has_constants(layer, 2)
        return weighted and is_per_channel(shape_of(scale), shape_of(node), axis)

    def change(node: Node) -> None:
        layer, scale = _layer_and_scale(node)
        assert layer is not None
        factor = value_of(graph, scale).reshape(-1)
        arguments = list(layer.args)
        # Weight and bias: of convolutions, linear layers and batch norms alike.
        for position in (1, 2):
            value = tensor_of(graph, arguments[position]) if position < len(arguments) else None
            if value is not None:
                scaled = value * factor.reshape(-1, *[1] * (value.dim() - 1))
                arguments[position] = constant(graph, layer, f"scaled_{position}", scaled)
        layer.args = tuple(arguments)
        replace_by(node, layer)

    return replace(graph, matches, change)


def _layer_and_scale(node: Node) -> tuple[Node | None, Node | None]:
    """The two factors of a product, if they are a layer and a constant, else None for both."""
    constants = [one for one in node.all_input_nodes if is_constant(one)]
    layers = [one for one in node.all_input_nodes if one.target in _LAYERS]
    product = node.target is aten.mul.Tensor and len(constants) == len(layers) == 1
    return (layers[0], constants[0]) if product else (None, None)


def batch_norm_to_convolution(graph: GraphModule) -> int:
    """A batch norm that follows no convolution → a depthwise 1×1 convolution with the same scale and shift.

    One that follows a convolution is folded into it; this one (DenseNet has 60) would stay in float.
    """

    def matches(node: Node) -> bool:
        if not is_inference_norm(node) or len(shape_of(node.args[0])) != 4:
            return False
        source = node.args[0]
        return not (isinstance(source, Node) and source.target in CONVOLUTIONS and len(source.users) == 1)

    def change(node: Node) -> None:
        factor, shift = affine(graph, node)
        weight = constant(graph, node, "weight", factor.float().reshape(-1, 1, 1, 1))
        bias = constant(graph, node, "bias", shift.float())
        with node.graph.inserting_before(node):
            arguments = (node.args[0], weight, bias, [1, 1], [0, 0], [1, 1], len(factor))
            result = new_node(node, aten.conv2d.default, arguments)
        replace_by(node, result)

    return replace(graph, matches, change)


def is_inference_norm(node: Node) -> bool:
    """Whether it is a batch norm at inference, with constants, as `affine` expects."""
    return node.target is aten.batch_norm.default and not node.args[5] and has_constants(node, 4)


def affine(graph: GraphModule, node: Node) -> tuple[Tensor, Tensor]:
    """(factor, shift), float64 (C,), of a batch norm at inference."""
    gamma, beta, mean, variance = (tensor_of(graph, one) for one in node.args[1:5])
    assert mean is not None and variance is not None
    factor = torch.rsqrt(variance.double() + float(node.args[7]))  # type: ignore[arg-type]
    factor = factor if gamma is None else factor * gamma.double()
    return factor, -mean.double() * factor + (0 if beta is None else beta.double())
