"""Parts of an image net that compute channels last → channels first, like the rest."""

from typing import Any

import torch
from torch.fx import GraphModule, Node

from .editing import constant, is_constant, new_node, replace_by, shape_of, value_of
from .norms import is_layer_norm, normalized

aten = torch.ops.aten
TO_LAST, TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]
_UNARY = (
    aten.relu.default, aten.hardtanh.default, aten.gelu.default, aten.silu.default, aten.sigmoid.default,
    aten.hardswish.default, aten.leaky_relu.default, aten.tanh.default, aten.dropout.default, aten.clone.default,
    aten.contiguous.default,
)  # fmt: skip
_BINARY = (aten.add.Tensor, aten.mul.Tensor, aten.sub.Tensor)


def channels_last_to_first(graph: GraphModule) -> int:
    """`permute → layer norm, linear, GELU … → permute back` (ConvNeXt) → the same on channels first, without either.

    Linear layers become 1×1 convolutions, layer norms go over channels. Engines choose the memory layout of images
    themselves, and each permute in a graph is a transpose at run time.
    """
    moved = 0
    for node in list(graph.graph.nodes):
        if node.target in (aten.add.Tensor, aten.mul.Tensor) and is_constant(node.args[0]) and not node.kwargs:
            node.args = node.args[1::-1]  # the constant may be either factor
        source = _source(node)
        if source is None:
            continue
        if _permutes(node, TO_FIRST):
            replace_by(node, source)
            moved += 1
            continue
        with node.graph.inserting_before(node):
            result = _on_channels(graph, node, source)
            if result is not None:
                result = new_node(node, aten.permute.default, (result, TO_LAST))
        if result is not None:
            replace_by(node, result)
            moved += 1
    graph.graph.eliminate_dead_code()
    return moved


def _source(node: Node) -> Node | None:
    """The first argument before it was permuted to channels last; None if it was not."""
    source = node.args[0] if node.op == "call_function" and node.args else None
    if isinstance(source, Node) and _permutes(source, TO_LAST) and isinstance(source.args[0], Node):
        return source.args[0]
    return None


def _permutes(node: Node, order: list[int]) -> bool:
    if node.target is not aten.permute.default or len(shape_of(node)) != 4:
        return False
    axes: Any = node.args[1]
    return [axis % 4 for axis in axes] == order


def _on_channels(graph: GraphModule, node: Node, source: Node) -> Node | None:
    """The same operator on channels first; None if it is not supported here."""
    if is_layer_norm(node):
        return normalized(graph, node, source, channels_first=True)
    if node.target is aten.linear.default:
        if not is_constant(node.args[1]):
            return None
        kernel = constant(graph, node, "kernel", value_of(graph, node.args[1])[:, :, None, None])
        return new_node(node, aten.conv2d.default, (source, kernel, *node.args[2:]))
    if node.target in _UNARY:
        result = new_node(node, node.target, (source, *node.args[1:]))
        result.kwargs = dict(node.kwargs)
        return result
    if node.target in _BINARY and not node.kwargs:
        other = node.args[1]
        if not isinstance(other, Node):
            return new_node(node, node.target, (source, other))
        if is_constant(other) and len(shape_of(other)) == 1:
            value = value_of(graph, other)[:, None, None]
            return new_node(node, node.target, (source, constant(graph, node, "channels", value)))
        same = shape_of(other) == shape_of(node)
        second = other.args[0] if _permutes(other, TO_LAST) else None
        if same and isinstance(second, Node):
            return new_node(node, node.target, (source, second))
    return None
