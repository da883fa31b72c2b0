"""Activation functions out of operators that both engines have."""

from typing import Any

import torch
from torch.fx import GraphModule, Node

from .editing import constant, new_node, replace, replace_by
from .norms import in_float

aten = torch.ops.aten
# Steep enough to be a step for float32: a threshold as a product, since a comparison is not delegated.
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

    Both exporters take it apart with a comparison and a choice, which no delegate takes, and ExecuTorch's
    passes fail on it.
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
    def made(operator: Any, *arguments: Any) -> Node:
        return in_float(node, operator, *arguments)

    scaled = source if beta == 1 else made(aten.mul.Tensor, source, beta)
    small = made(aten.exp.default, made(aten.neg.default, made(aten.abs.default, scaled)))
    rest = made(aten.log.default, made(aten.add.Tensor, small, 1.0))
    # Beyond the threshold softplus is the identity by definition; from 15 on the difference is below 3e-7.
    if threshold < 15:
        beyond = made(aten.mul.Tensor, made(aten.sub.Tensor, scaled, threshold), _STEEP)
        within = made(aten.sub.Tensor, 1.0, made(aten.hardtanh.default, beyond, 0.0, 1.0))
        rest = made(aten.mul.Tensor, rest, within)
    whole = made(aten.add.Tensor, made(aten.relu.default, scaled), rest)
    return whole if beta == 1 else made(aten.mul.Tensor, whole, 1 / beta)
