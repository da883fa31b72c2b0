"""Parallel convolutions as one: nets that are trained with more branches than inference needs."""

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

    "Structural re-parameterization" (Ding et al. 2021, arXiv:2101.03697) for any model: otherwise each branch would be
    quantized by itself, and added.
    """
    found = 0
    for node in reversed(list(graph.graph.nodes)):
        if node.target not in _SUMS or not node.users:
            continue
        whole = _convolution_of(graph, node, top=True)
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
class _Convolution:
    """`convolution(source)`, padded by half a kernel.

    Args:
        kernel: float64 (outputs, inputs / groups, height, width), both odd. bias: float64 (outputs,).
        branches: number of convolutions and norms merged into it.
    """

    source: Node
    groups: int
    stride: tuple[int, ...]
    kernel: Tensor
    bias: Tensor
    branches: int

    def scaled(self, factor: Tensor | float, shift: Tensor | float = 0.0) -> "_Convolution":
        by = factor.reshape(-1, 1, 1, 1) if isinstance(factor, Tensor) else factor
        return replace(self, kernel=self.kernel * by, bias=self.bias * factor + shift)


def _convolution_of(graph: GraphModule, node: Any, top: bool = False) -> _Convolution | None:
    """A node as a convolution of a tensor before it; None if it is not one, or has other users."""
    if not isinstance(node, Node) or node.op != "call_function" or len(shape_of(node)) != 4 or node.kwargs:
        return None
    if not top and len(node.users) != 1:
        return None
    if node.target is aten.conv2d.default:
        return _convolution(graph, node)
    if is_inference_norm(node):
        inner = _convolution_of(graph, node.args[0]) or _identity(node.args[0])
        return replace(inner.scaled(*affine(graph, node)), branches=max(inner.branches, 1))
    if node.target is aten.mul.Tensor:
        for layer, scale in (node.args[:2], node.args[1::-1]):
            if is_constant(scale) and is_per_channel(shape_of(scale), shape_of(node), 1):
                scaled = _convolution_of(graph, layer)
                return None if scaled is None else scaled.scaled(value_of(graph, scale).double().reshape(-1))
    if node.target in _SUMS and all(isinstance(one, Node) and shape_of(one) == shape_of(node) for one in node.args[:2]):
        one, other = (_convolution_of(graph, term) or _identity(term) for term in node.args[:2])
        return _sum(one, other.scaled(_SUMS[node.target]))
    return None


def _convolution(graph: GraphModule, node: Node) -> _Convolution | None:
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
    return _Convolution(source, groups, tuple(stride), weight, zeros if shift is None else shift.double(), 1)


def _identity(source: Any) -> _Convolution:
    channels = shape_of(source)[1]
    ones, zeros = torch.ones(channels, 1, 1, 1, dtype=torch.float64), torch.zeros(channels, dtype=torch.float64)
    return _Convolution(source, channels, (1, 1), ones, zeros, 0)


def _sum(first: _Convolution, second: _Convolution) -> _Convolution | None:
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


def _grouped(form: _Convolution, groups: int) -> Tensor | None:
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
