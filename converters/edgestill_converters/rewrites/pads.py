"""Negative padding, which the engines do not support."""

from typing import Any

import torch
from torch.fx import GraphModule, Node

from .editing import new_node, replace, replace_by, shape_of

aten = torch.ops.aten


def negative_padding_to_slice(graph: GraphModule) -> int:
    """`pad(x, (-1, 2, …))` → the positive part of the padding, and a slice.

    Constant padding comes after the slice, which is cheaper; reflection uses the whole tensor, so it comes before.
    """

    def matches(node: Node) -> bool:
        if node.target not in (aten.pad.default, aten.constant_pad_nd.default) or not shape_of(node.args[0]):
            return False
        amounts: Any = node.args[1]
        return all(isinstance(one, int) for one in amounts) and min(amounts, default=0) < 0

    def change(node: Node) -> None:
        amounts: Any = node.args[1]
        mode = node.args[2] if node.target is aten.pad.default and len(node.args) > 2 else "constant"
        more = [max(one, 0) for one in amounts]
        with node.graph.inserting_before(node):
            result: Any = node.args[0]
            if mode == "constant":
                result = _cut(node, result, amounts)
            if any(more):
                result = new_node(node, node.target, (result, more, *node.args[2:]))
                result.kwargs = dict(node.kwargs)
            if mode != "constant":
                result = _cut(node, result, amounts)
        replace_by(node, result)

    return replace(graph, matches, change)


def _cut(node: Node, source: Any, amounts: list[int]) -> Any:
    rank = len(shape_of(source))
    for place in range(len(amounts) // 2):
        axis, before, after = rank - 1 - place, -min(amounts[2 * place], 0), -min(amounts[2 * place + 1], 0)
        if before or after:
            source = new_node(node, aten.slice.Tensor, (source, axis, before, shape_of(source)[axis] - after))
    return source
