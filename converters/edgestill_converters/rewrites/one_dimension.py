"""1-D nets as 2-D ones, which both engines support better."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from .editing import axes_of, constant, is_constant, new_node, pair_of, replace, replace_by, shape_of, value_of

aten = torch.ops.aten
_TO_2D = (
    aten.conv1d.default, aten.conv_transpose1d.default, aten.max_pool1d.default, aten.adaptive_avg_pool1d.default,
    aten.mean.dim,
)  # fmt: skip
_CONVOLUTIONS = (aten.conv1d.default, aten.conv_transpose1d.default)
_ANY_RANK = (
    aten.relu.default, aten.hardtanh.default, aten.batch_norm.default, aten.add.Tensor, aten.mul.Tensor,
    aten.sigmoid.default, aten.tanh.default, aten.gelu.default, aten.silu.default, aten.hardswish.default,
    aten.leaky_relu.default, aten.mish.default, aten.softplus.default, aten.elu.default, aten.log_sigmoid.default,
)  # fmt: skip


def one_dimension_as_two(graph: GraphModule) -> int:
    """1-D convolutions, pooling and the operators between them → 2-D ones over images of height 1.

    LiteRT's converter puts a transpose before and after each 1-D convolution, and neither engine delegates a mean over
    the last of three axes. As images the whole net keeps one layout, and is delegated.
    """
    convolved = any(node.target in _CONVOLUTIONS for node in graph.graph.nodes)
    found = replace(graph, _is_one_dimensional, _lift) if convolved else 0
    if not found:
        return 0
    for node in list(graph.graph.nodes):
        sources = node.all_input_nodes
        lowered = [one for one in sources if one.target is aten.squeeze.dim and one.args[1] == 2]
        if node.target in _ANY_RANK and lowered and all(one in lowered or is_constant(one) for one in sources):
            _raise(node, lowered)
    for node in list(graph.graph.nodes):
        source = node.args[0] if node.args else None
        if node.target is aten.unsqueeze.default and isinstance(source, Node) and source.target is aten.squeeze.dim:
            replace_by(node, source.args[0])
    return found


def _is_one_dimensional(node: Node) -> bool:
    if node.target not in _TO_2D or len(shape_of(node.args[0])) != 3:
        return False
    if node.target is aten.mean.dim:
        return axes_of(node) == [2] and "dtype" not in node.kwargs
    if node.target in _CONVOLUTIONS:
        return is_constant(node.args[1])
    return node.target is not aten.max_pool1d.default or len(node.args) < 6 or not node.args[5]


def _lift(node: Node) -> None:
    """An operator over (N, C, L) → the same over (N, C, 1, L), between an unsqueeze and a squeeze."""
    graph = node.graph.owning_module
    assert graph is not None
    with node.graph.inserting_before(node):
        image = new_node(node, aten.unsqueeze.default, (node.args[0], 2))
        if node.target is aten.mean.dim:
            pooled = new_node(node, aten.adaptive_avg_pool2d.default, (image, [1, 1]))
            keeps = len(node.args) > 2 and bool(node.args[2])
            result = (
                new_node(node, aten.squeeze.dim, (pooled, 2))
                if keeps
                else new_node(node, aten.flatten.using_ints, (pooled, 1))
            )
        elif node.target is aten.adaptive_avg_pool1d.default:
            size: Any = node.args[1]
            result = new_node(
                node, aten.squeeze.dim, (new_node(node, aten.adaptive_avg_pool2d.default, (image, [1, *size])), 2)
            )
        elif node.target in _CONVOLUTIONS:
            wide = constant(graph, node, "weight_2d", value_of(graph, node.args[1]).unsqueeze(2))
            arguments: list[Any] = [image, wide, *node.args[2:]]
            plain = node.target is aten.conv1d.default
            # stride, padding and dilation; of a transposed one also the output padding, and the groups before dilation
            for position, high in ((3, 1), (4, 0), (5, 1)) if plain else ((3, 1), (4, 0), (5, 0), (7, 1)):
                if position < len(arguments):
                    arguments[position] = [high, pair_of(arguments[position])[-1]]
            target = aten.conv2d.default if plain else aten.conv_transpose2d.input
            result = new_node(node, aten.squeeze.dim, (new_node(node, target, tuple(arguments)), 2))
        else:  # max_pool1d: kernel, stride, padding, dilation, ceil_mode
            arguments = [image, *node.args[1:]]
            for position, high in ((1, 1), (2, 1), (3, 0), (4, 1)):
                if position < len(arguments) and arguments[position]:
                    arguments[position] = [high, pair_of(arguments[position])[-1]]
            result = new_node(node, aten.squeeze.dim, (new_node(node, aten.max_pool2d.default, tuple(arguments)), 2))
    replace_by(node, result)


def _raise(node: Node, lowered: Sequence[Node]) -> None:
    """`f(squeeze(x))` → `squeeze(f(x))` for an operator that works with any rank."""
    graph = node.graph.owning_module
    assert graph is not None
    for one in node.all_input_nodes:
        if one in lowered:
            node.replace_input_with(one, one.args[0])  # type: ignore[arg-type]
        elif len(shape_of(one)) > 1:  # a constant: (C, 1), (1, C, L) and so on become (C, 1, 1), (1, C, 1, L)
            node.replace_input_with(one, constant(graph, node, "constant_2d", value_of(graph, one).unsqueeze(-2)))
    value = node.meta.get("val")
    with node.graph.inserting_after(node):
        flat = node.graph.call_function(aten.squeeze.dim, (node, 2))
    flat.meta = dict(node.meta)
    if isinstance(value, Tensor):
        node.meta["val"] = value.unsqueeze(2)
    node.replace_all_uses_with(flat, delete_user_cb=lambda user: user is not flat)
