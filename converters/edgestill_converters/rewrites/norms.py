"""Norms as products of operators that both engines delegate."""

from typing import Any

import torch
from torch.fx import GraphModule, Node

from .editing import FLOAT, constant, is_constant, new_node, replace, replace_by, shape_of, value_of

aten = torch.ops.aten


def layer_norm_to_products(graph: GraphModule) -> int:
    """`layer_norm(x)` over the last axis → two means as products with 1/C, and the operators between them.

    ExecuTorch does not delegate layer norms, which splits a transformer into many partitions, and LiteRT's converter
    makes means of them that round differently. As a linear layer with one output a mean is the same in both, and
    delegated.
    """

    def change(node: Node) -> None:
        with node.graph.inserting_before(node):
            result = normalized(graph, node, node.args[0], channels_first=False)
        replace_by(node, result)

    return replace(graph, is_layer_norm, change)


def is_layer_norm(node: Node) -> bool:
    """Whether it is a layer norm over the last axis alone, with constants for scale and shift."""
    if node.target is not aten.layer_norm.default:
        return False
    axes: Any = node.args[1]
    constants = all(one is None or is_constant(one) for one in node.args[2:4])
    return len(axes) == 1 and isinstance(axes[0], int) and constants


def in_float(like: Node, operator: Any, *arguments: Any) -> Node:
    """A new operator that is not quantized: sums of squares do not fit into eight bits."""
    node = new_node(like, operator, arguments)
    node.meta[FLOAT] = True
    return node


def normalized(graph: GraphModule, node: Node, source: Any, channels_first: bool) -> Node:
    """The layer norm `node`, of `source`: over its last axis, or over the channels of (N, C, H, W)."""
    size: Any = node.args[1]
    width = int(size[0])
    options: list[Any] = [*node.args[2:5]]
    weight, bias, epsilon = options + [None, None, 1e-5][len(options) :]
    target = aten.conv2d.default if channels_first else aten.linear.default
    ones = torch.full((1, width, 1, 1) if channels_first else (1, width), 1 / width)
    share = constant(graph, node, "share", ones)

    def new(operator: Any, *arguments: Any) -> Node:
        return in_float(node, operator, *arguments)

    centred = new(aten.sub.Tensor, source, new(target, source, share))
    variance = new(target, new(aten.mul.Tensor, centred, centred), share)
    result = new(aten.mul.Tensor, centred, new(aten.rsqrt.default, new(aten.add.Tensor, variance, epsilon)))
    if channels_first and (weight is not None or bias is not None):
        # As a depthwise convolution: ExecuTorch transposes the constant of a product at every call.
        factor = torch.ones(width) if weight is None else value_of(graph, weight)
        kernel = constant(graph, node, "kernel", factor.reshape(-1, 1, 1, 1))
        return new(aten.conv2d.default, result, kernel, bias, [1, 1], [0, 0], [1, 1], width)
    if weight is not None:
        result = new(aten.mul.Tensor, result, weight)
    return result if bias is None else new(aten.add.Tensor, result, bias)


def vector_norm_to_products(graph: GraphModule) -> int:
    """Euclidean norms over the last axis → products and a square root.

    `torch.nn.functional.normalize` (XCiT's attention) is a norm, a lower bound, an expansion and a division. ExecuTorch
    delegates neither the sum of squares nor the expansion, which a division does by itself.
    """

    def matches(node: Node) -> bool:
        if node.target is not aten.linalg_vector_norm.default or node.kwargs:
            return False
        options: list[Any] = [*node.args[1:4]]
        order, axes, keeps = options + [2, None, False][len(options) :]
        return bool(order == 2 and keeps and axes in ([-1], [len(shape_of(node.args[0])) - 1]))

    def change(node: Node) -> None:
        ones = constant(graph, node, "ones", torch.ones(1, int(shape_of(node.args[0])[-1])))
        with node.graph.inserting_before(node):
            squares = in_float(node, aten.mul.Tensor, node.args[0], node.args[0])
            result = in_float(node, aten.sqrt.default, in_float(node, aten.linear.default, squares, ones))
        for user in _followers(node):
            if user.target in (aten.expand.default, aten.expand_as.default) and all(
                reader.target is aten.div.Tensor and reader.args[0] is not user for reader in user.users
            ):
                replace_by(user, user.args[0])
        replace_by(node, result)

    return replace(graph, matches, change)


def _followers(node: Node) -> list[Node]:
    """Users of a norm, and users of its lower bound."""
    bounds = [user for user in node.users if user.target in (aten.clamp_min.default, aten.clamp.default)]
    return [*node.users, *(user for bound in bounds for user in bound.users)]
