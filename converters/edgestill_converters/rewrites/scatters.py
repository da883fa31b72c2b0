"""Writes into a part of a tensor, as operators that both engines support in int8."""

import math
from typing import Any

import torch
from torch.fx import GraphModule, Node

from .editing import constant, new_node, replace, replace_by, shape_of

aten = torch.ops.aten
_FILLS = (aten.copy.default, aten.fill.Scalar, aten.fill.Tensor, aten.zero.default)


def fills_to_values(graph: GraphModule) -> int:
    """`fill(x, number)`, `zero(x)` → a constant; `copy(x, y)` → `y` in the shape and the type of `x`."""

    def matches(node: Node) -> bool:
        return node.target in _FILLS and all(isinstance(size, int) for size in shape_of(node))

    def change(node: Node) -> None:
        value: Any = node.args[1] if len(node.args) > 1 else 0
        shape, kind = list(shape_of(node)), node.meta["val"].dtype
        if not isinstance(value, Node):
            return replace_by(node, constant(graph, node, "value", torch.full(shape, value, dtype=kind)))
        with node.graph.inserting_before(node):
            if value.meta["val"].dtype != kind:
                value = new_node(node, aten.to.dtype, (value, kind))
            if list(shape_of(value)) != shape:
                value = new_node(node, aten.expand.default, (value, shape))
        return replace_by(node, value)

    return replace(graph, matches, change)


def scatters_to_concatenations(graph: GraphModule) -> int:
    """`x[:, a:b] = y` → a concatenation of `x[:, :a]`, `y` and `x[:, b:]`."""

    def matches(node: Node) -> bool:
        return _written(node) is not None

    def change(node: Node) -> None:
        source, value, axis, begin, end = _written(node)  # type: ignore[misc]
        size = shape_of(node)[axis]
        with node.graph.inserting_before(node):
            if node.target is aten.select_scatter.default:
                value = new_node(node, aten.unsqueeze.default, (value, axis))
            parts = [
                new_node(node, aten.slice.Tensor, (source, axis, *place)) for place in ((0, begin), (end, size))
                if place[0] < place[1]
            ]  # fmt: skip
            parts.insert(begin > 0, value)
            result = new_node(node, aten.cat.default, (parts, axis)) if len(parts) > 1 else value
        replace_by(node, result)

    return replace(graph, matches, change)


def masked_writes_to_choices(graph: GraphModule) -> int:
    """`x[mask] = value`, one value for all → `where(mask, value, x)`."""

    def matches(node: Node) -> bool:
        if node.target is not aten.index_put.default or any(node.args[3:]) or node.kwargs.get("accumulate"):
            return False
        places: Any = node.args[1]
        masked = len(places) == 1 and isinstance(places[0], Node) and places[0].meta["val"].dtype == torch.bool
        return masked and math.prod(shape_of(node.args[2])) == 1

    def change(node: Node) -> None:
        arguments: Any = node.args
        source, (mask,), value = arguments[:3]
        missing = len(shape_of(source)) - len(shape_of(mask))
        with node.graph.inserting_before(node):
            if missing:
                mask = new_node(node, aten.reshape.default, (mask, [*shape_of(mask), *[1] * missing]))
            if shape_of(value):
                value = new_node(node, aten.reshape.default, (value, []))
            result = new_node(node, aten.where.self, (mask, value, source))
        replace_by(node, result)

    return replace(graph, matches, change)


def _written(node: Node) -> tuple[Node, Node, int, int, int] | None:
    """(tensor, part, axis, begin, end) of a write into consecutive indices; None for other operators."""
    if node.target not in (aten.slice_scatter.default, aten.select_scatter.default):
        return None
    arguments: Any = (*node.args, *[None] * (6 - len(node.args)))
    axis = (arguments[2] or 0) % len(shape_of(node))
    size = shape_of(node)[axis]
    if not isinstance(size, int) or node.kwargs:
        return None
    if node.target is aten.select_scatter.default:
        return arguments[0], arguments[1], axis, arguments[3] % size, arguments[3] % size + 1
    begin, end, step = slice(*arguments[3:6]).indices(size)
    return (arguments[0], arguments[1], axis, begin, max(begin, end)) if step == 1 else None
