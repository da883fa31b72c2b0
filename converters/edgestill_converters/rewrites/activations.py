"""Activation functions as products and sums of operators that both engines support."""

from typing import Any

import torch
from torch.fx import GraphModule, Node

from .editing import constant, new_node, replace, replace_by
from .norms import in_float

aten = torch.ops.aten
# Steep enough to be a step in float32: a threshold as a product, since comparisons are not delegated.
_STEEP = 1e20


def mish_to_product(graph: GraphModule) -> int:
    """`mish(x)` → `x * tanh(softplus(x))`, its softplus as in `softplus_to_logarithm`."""

    def change(node: Node) -> None:
        with node.graph.inserting_before(node):
            softplus = _softplus(node, node.args[0], 1.0, 20.0)
            result = new_node(node, aten.mul.Tensor, (node.args[0], new_node(node, aten.tanh.default, (softplus,))))
        replace_by(node, result)

    return replace(graph, lambda node: node.target is aten.mish.default, change)


def softplus_to_logarithm(graph: GraphModule) -> int:
    """`softplus(x)` → `relu(x) + log(1 + exp(-|x|))`, which never overflows; `logsigmoid(x)` is its mirror image.

    Both exporters decompose it with a comparison and a `where`, which are not delegated, and ExecuTorch's passes fail
    on it.
    """

    def change(node: Node) -> None:
        options: list[Any] = [*node.args[1:]]
        with node.graph.inserting_before(node):
            if node.target is aten.softplus.default:
                beta, threshold = options + [1, 20][len(options) :]
                result = _softplus(node, node.args[0], float(beta), float(threshold))
            else:
                mirrored = _softplus(node, in_float(node, aten.neg.default, node.args[0]), 1.0, 20.0)
                result = in_float(node, aten.neg.default, mirrored)
        replace_by(node, result)

    return replace(graph, lambda node: node.target in (aten.softplus.default, aten.log_sigmoid.default), change)


def hard_shrink_to_choice(graph: GraphModule) -> int:
    """`hardshrink(x, l)` → `x` where it is above `l` or below `-l`, else 0: ExecuTorch has no operator for it."""

    def change(node: Node) -> None:
        source: Any = node.args[0]
        limit: Any = node.args[1] if len(node.args) > 1 else 0.5
        result = constant(graph, node, "zero", torch.zeros(()))
        with node.graph.inserting_before(node):
            for compare, border in ((aten.gt.Scalar, limit), (aten.lt.Scalar, -limit)):
                beyond = new_node(node, compare, (source, border))
                result = new_node(node, aten.where.self, (beyond, source, result))
        replace_by(node, result)

    return replace(graph, lambda node: node.target is aten.hardshrink.default, change)


def _softplus(node: Node, source: Any, beta: float, threshold: float) -> Node:
    def new(operator: Any, *arguments: Any) -> Node:
        return in_float(node, operator, *arguments)

    scaled = source if beta == 1 else new(aten.mul.Tensor, source, beta)
    small = new(aten.exp.default, new(aten.neg.default, new(aten.abs.default, scaled)))
    rest = new(aten.log.default, new(aten.add.Tensor, small, 1.0))
    # Beyond the threshold softplus is the identity by definition; from 15 on the difference is below 3e-7.
    if threshold < 15:
        beyond = new(aten.mul.Tensor, new(aten.sub.Tensor, scaled, threshold), _STEEP)
        within = new(aten.sub.Tensor, 1.0, new(aten.hardtanh.default, beyond, 0.0, 1.0))
        rest = new(aten.mul.Tensor, rest, within)
    whole = new(aten.add.Tensor, new(aten.relu.default, scaled), rest)
    return whole if beta == 1 else new(aten.mul.Tensor, whole, 1 / beta)
