"""Convolutions side by side as one: nets that are trained with more branches than they need afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor
from torch.fx import GraphModule, Node

from .batch_norm import affine, is_inference_norm
from .editing import (
    constant,
    has_constants,
    is_constant,
    is_per_channel,
    new_node,
    replace_by,
    shape_of,
    tensor_of,
    value_of,
)

aten = torch.ops.aten
_SUMS = {aten.add.Tensor: 1, aten.sub.Tensor: -1}


def parallel_convolutions_to_one(graph: GraphModule) -> int:
    """Sums of convolutions, batch norms and scales of one tensor → one convolution (RepVGG, MobileOne, FastViT).

    "Structural re-parameterisation" (Ding et al. 2021, arXiv:2101.03697), whoever wrote the model: each branch alone
    would be quantized, and added, by itself.
    """
    found = 0
    for node in reversed(list(graph.graph.nodes)):
        if node.target not in _SUMS or not node.users:
            continue
        whole = _form(graph, node, top=True)
        if whole is None or whole.branches < 2:
            continue
        kernel = constant(graph, node, "kernel", whole.kernel.float())
        bias = constant(graph, node, "bias", whole.bias.float())
        padding = [size // 2 for size in whole.kernel.shape[2:]]
        with node.graph.inserting_before(node):
            arguments = (whole.source, kernel, bias, list(whole.stride), padding, [1, 1], whole.groups)
            result = new_node(node, aten.conv2d.default, arguments)
        replace_by(node, result)
        graph.graph.eliminate_dead_code()
        found += 1
    return found


@dataclass(frozen=True)
class _Form:
    """`convolution(source)`, padded by half a kernel.

    Args:
        kernel: float64 (outputs, inputs / groups, height, width), both odd. bias: float64 (outputs,).
        branches: convolutions and norms that are in it.
    """

    source: Node
    groups: int
    stride: tuple[int, ...]
    kernel: Tensor
    bias: Tensor
    branches: int

    def scaled(self, factor: Tensor | float, shift: Tensor | float = 0.0) -> "_Form":
        by = factor.reshape(-1, 1, 1, 1) if isinstance(factor, Tensor) else factor
        return replace(self, kernel=self.kernel * by, bias=self.bias * factor + shift)


def _form(graph: GraphModule, node: Any, top: bool = False) -> _Form | None:
    """What a node is of some tensor before it; None where it is no such thing, or others need it too."""
    if not isinstance(node, Node) or node.op != "call_function" or len(shape_of(node)) != 4 or node.kwargs:
        return None
    if not top and len(node.users) != 1:
        return None
    if node.target is aten.conv2d.default:
        return _convolution(graph, node)
    if is_inference_norm(node):
        inner = _form(graph, node.args[0]) or _identity(node.args[0])
        return replace(inner.scaled(*affine(graph, node)), branches=max(inner.branches, 1))
    if node.target is aten.mul.Tensor:
        for layer, scale in (node.args[:2], node.args[1::-1]):
            if is_constant(scale) and is_per_channel(shape_of(scale), shape_of(node), 1):
                scaled = _form(graph, layer)
                return None if scaled is None else scaled.scaled(value_of(graph, scale).double().reshape(-1))
    if node.target in _SUMS and all(isinstance(one, Node) and shape_of(one) == shape_of(node) for one in node.args[:2]):
        one, other = (_form(graph, term) or _identity(term) for term in node.args[:2])
        return _sum(one, other.scaled(_SUMS[node.target]))
    return None


def _convolution(graph: GraphModule, node: Node) -> _Form | None:
    arguments: list[Any] = [*node.args]
    rest = [None, [1, 1], [0, 0], [1, 1], 1][len(arguments) - 2 :]
    source, kernel, bias, stride, padding, dilation, groups = arguments + rest
    if not has_constants(node, 2):
        return None
    weight, shift = value_of(graph, kernel).double(), tensor_of(graph, bias)
    sizes = list(weight.shape[2:])
    if [*padding] != [size // 2 for size in sizes] or any(size % 2 == 0 for size in sizes) or [*dilation] != [1, 1]:
        return None
    zeros = torch.zeros(len(weight), dtype=torch.float64)
    return _Form(source, groups, tuple(stride), weight, zeros if shift is None else shift.double(), 1)


def _identity(source: Any) -> _Form:
    channels = shape_of(source)[1]
    ones, zeros = torch.ones(channels, 1, 1, 1, dtype=torch.float64), torch.zeros(channels, dtype=torch.float64)
    return _Form(source, channels, (1, 1), ones, zeros, 0)


def _sum(first: _Form, second: _Form) -> _Form | None:
    if first.source is not second.source or first.stride != second.stride:
        return None
    if first.kernel.shape[0] != second.kernel.shape[0]:
        return None
    groups = min(first.groups, second.groups)
    kernels = [_grouped(one, groups) for one in (first, second)]
    if any(one is None for one in kernels):
        return None
    sizes = [max(one.shape[axis] for one in kernels if one is not None) for axis in (2, 3)]
    kernel = sum(_padded(one, sizes) for one in kernels if one is not None)
    assert isinstance(kernel, Tensor)
    return replace(
        first, groups=groups, kernel=kernel, bias=first.bias + second.bias, branches=first.branches + second.branches
    )


def _grouped(form: _Form, groups: int) -> Tensor | None:
    """The kernel of a depthwise convolution as one of fewer groups."""
    outputs = form.kernel.shape[0]
    if form.groups == groups:
        return form.kernel
    if form.groups != outputs or form.kernel.shape[1] != 1:
        return None
    width = outputs // groups
    places = functional.one_hot(torch.arange(outputs) % width, width).double()
    return form.kernel * places[:, :, None, None]


def _padded(kernel: Tensor, sizes: Sequence[int]) -> Tensor:
    high, wide = ((size - have) // 2 for size, have in zip(sizes, kernel.shape[2:], strict=True))
    return functional.pad(kernel, (wide, wide, high, high))
