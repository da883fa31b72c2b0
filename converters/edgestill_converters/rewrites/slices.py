"""Splits and selections as slices, which ExecuTorch delegates, and whose scale the quantizer keeps."""

import operator
from typing import Any

import torch
from torch.fx import GraphModule, Node

from .editing import new_node, replace, replace_by, shape_of

aten = torch.ops.aten
_SPLITS = (
    aten.chunk.default, aten.split.Tensor, aten.split_with_sizes.default, aten.unsafe_chunk.default,
    aten.unbind.int,
)  # fmt: skip


def select_to_slice(graph: GraphModule) -> int:
    """`x[:, i]` → a slice of length 1, reshaped: ExecuTorch delegates both, but not `select`."""

    def matches(node: Node) -> bool:
        return node.target is aten.select.int and all(isinstance(size, int) for size in shape_of(node.args[0]))

    def change(node: Node) -> None:
        arguments: Any = node.args
        source, shape = arguments[0], shape_of(arguments[0])
        axis, index = arguments[1] % len(shape), arguments[2] % shape[arguments[1]]
        with node.graph.inserting_before(node):
            cut = new_node(node, aten.slice.Tensor, (source, axis, index, index + 1))
            cut = new_node(node, aten.reshape.default, (cut, list(shape_of(node))))
        replace_by(node, cut)

    return replace(graph, matches, change)


def split_to_slices(graph: GraphModule) -> int:
    """`chunk`, `split`, `unbind` → one slice for each part that is used.

    ExecuTorch delegates slices, but not splits; the quantizer gives a slice the scale of its source.
    """

    def matches(node: Node) -> bool:
        shape = shape_of(node.args[0]) if node.target in _SPLITS else ()
        if not shape or any(user.target is not operator.getitem for user in node.users):
            return False
        # Indices and sizes must be numbers; the batch is symbolic in a graph for training.
        needed = shape if node.target is aten.unbind.int else [shape[_axis(node)]]
        return all(isinstance(size, int) for size in needed)

    def change(node: Node) -> None:
        single, axis = node.target is aten.unbind.int, _axis(node)
        sizes = [1 if single else int(one.shape[axis]) for one in node.meta["val"]]
        for user in list(node.users):
            part: Any = user.args[1]
            begin = sum(sizes[:part])
            with node.graph.inserting_before(user):
                cut = new_node(user, aten.slice.Tensor, (node.args[0], axis, begin, begin + sizes[part]))
                if single:
                    cut = new_node(user, aten.reshape.default, (cut, list(shape_of(user))))
            replace_by(user, cut)
        node.graph.erase_node(node)

    return replace(graph, matches, change)


def _axis(node: Node) -> int:
    """The axis of a split."""
    position = 1 if node.target is aten.unbind.int else 2
    axis: Any = node.args[position] if len(node.args) > position else node.kwargs.get("dim", 0)
    return int(axis)
