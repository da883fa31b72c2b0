"""Weights and biases rounded to whole quantization steps, so that both exporters store the same integers.

A convolution in int8 adds its bias as an integer in steps of `input scale × weight scale`, and one format gets its
weights as integers, the other as floats. Each exporter rounds in its own arithmetic: a few values differ by one step,
then some outputs of the layer by one, and some layers later many of the logits. A value that is a whole number of steps
leaves nothing to round.
"""

import operator
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

aten = torch.ops.aten
LAYERS = (aten.conv1d.default, aten.conv2d.default, aten.conv_transpose2d.input, aten.linear.default)
PER_TENSOR = torch.ops.quantized_decomposed.dequantize_per_tensor.default
QUANTIZE_PER_CHANNEL = torch.ops.quantized_decomposed.quantize_per_channel.default
PER_CHANNEL = torch.ops.quantized_decomposed.dequantize_per_channel.default
# Beyond this, steps are finer than float32 itself.
LARGEST = 1 << 22


def round_weights(graph: GraphModule) -> GraphModule:
    """Round weights and biases of every quantized layer to whole quantization steps, in place.

    Args:
        graph: converted (`convert_pt2e`), folded or not.
    """
    for node in list(graph.graph.nodes):
        if node.target is QUANTIZE_PER_CHANNEL and node.args[0].op == "get_attr":
            _round_weight(graph, node)
        if node.target in LAYERS and len(node.args) > 2 and isinstance(node.args[2], Node):
            _round_bias(graph, node)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _round_weight(graph: GraphModule, node: Node) -> None:
    values: list[Any] = [_value(graph, one) if isinstance(one, Node) else one for one in node.args]
    weight, scales, zero_points, axis, *rest = values
    codes = QUANTIZE_PER_CHANNEL(weight.detach(), scales, zero_points, axis, *rest)
    shape = [1] * weight.dim()
    shape[axis] = -1
    exact = codes.double() * scales.double().reshape(shape)
    _replace_constant(graph, node, node.args[0], exact.to(weight.dtype))


def _round_bias(graph: GraphModule, node: Node) -> None:
    source, weight, bias = node.args[:3]
    scale, scales = _scale(graph, source), _scale(graph, weight)
    if scale is None or scales is None or not isinstance(bias, Node) or bias.op != "get_attr":
        return
    value = _value(graph, bias).detach().double()
    steps = scale.double() * scales.double()
    counts = torch.round(value / steps)
    exact = torch.where(counts.abs() <= LARGEST, counts * steps, value)
    _replace_constant(graph, node, bias, exact.float())


def _replace_constant(graph: GraphModule, node: Node, old: Any, value: Tensor) -> None:
    name = f"_{node.name}_{old.name}_rounded"
    graph.register_buffer(name, value)
    with graph.graph.inserting_before(node):
        constant = graph.graph.get_attr(name)
    constant.meta = dict(old.meta)
    node.replace_input_with(old, constant)


def _value(graph: GraphModule, node: Node) -> Tensor:
    value = operator.attrgetter(str(node.target))(graph)
    assert isinstance(value, Tensor)
    return value


def _scale(graph: GraphModule, node: Any) -> Tensor | None:
    """The scale, or the scales per channel, of a dequantize."""
    if not isinstance(node, Node) or node.target not in (PER_TENSOR, PER_CHANNEL):
        return None
    scale: Any = node.args[1]
    if isinstance(scale, Node):
        return _value(graph, scale).detach()
    return torch.tensor(float(scale))
