"""Transposed convolutions as plain ones, which both engines support in int8."""

from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from .batch_norm import affine, is_inference_norm
from .editing import constant, has_constants, new_node, pair_of, replace, replace_by, shape_of, tensor_of, value_of

aten = torch.ops.aten
_TRANSPOSED = (aten.conv_transpose1d.default, aten.conv_transpose2d.input)


def batch_norm_into_transposed_convolution(graph: GraphModule) -> int:
    """Transposed convolution → batch norm at inference becomes one transposed convolution."""

    def matches(node: Node) -> bool:
        source = node.args[0] if node.args else None
        if not is_inference_norm(node) or not isinstance(source, Node) or source.target not in _TRANSPOSED:
            return False
        return has_constants(source, 2) and len(source.users) == 1

    def change(node: Node) -> None:
        layer = node.args[0]
        assert isinstance(layer, Node)
        weight, bias, _, _, _, groups, _ = _arguments(graph, layer)
        factor, shift = affine(graph, node)
        inputs, outputs = weight.shape[:2]
        # (inputs, outputs / groups, …): each group of inputs has outputs of its own.
        per_output = factor.reshape(groups, 1, outputs, *[1] * (weight.dim() - 2))
        grouped = weight.double().reshape(groups, inputs // groups, *weight.shape[1:])
        scaled = (grouped * per_output).reshape(weight.shape)
        moved = shift if bias is None else shift + bias.double() * factor
        layer.args = (
            layer.args[0],
            constant(graph, layer, "folded_weight", scaled.float()),
            constant(graph, layer, "folded_bias", moved.float()),
            *layer.args[3:],
        )
        replace_by(node, layer)

    return replace(graph, matches, change)


def transposed_convolution_to_plain(graph: GraphModule) -> int:
    """`conv_transpose2d(x)` with stride s → a convolution with s×s times the outputs, and a pixel shuffle of them.

    Each of the s×s positions within the stride is a plain convolution of the input: as many multiply-accumulates as
    before, except for zeros if the kernel is not a multiple of the stride. Unchanged, LiteRT's converter computes every
    transposed convolution in float, transposes its weights at each call, and supports no output padding;
    XNNPACKQuantizer leaves those with groups in float.
    """

    def matches(node: Node) -> bool:
        if node.target is not aten.conv_transpose2d.input or len(shape_of(node.args[0])) != 4:
            return False
        return has_constants(node, 2)

    def change(node: Node) -> None:
        weight, bias, stride, padding, output_padding, groups, dilation = _arguments(graph, node)
        kernel = _plain_kernel(weight, output_padding, dilation)
        with node.graph.inserting_before(node):
            result = _by_places(graph, node, kernel, bias, stride, padding, groups)
        replace_by(node, result)

    return replace(graph, matches, change)


def _defaults(node: Node) -> tuple[Any, Any, list[int], list[int], list[int], int, list[int]]:
    """(weight, bias, stride, padding, output padding, groups, dilation) of a transposed convolution, as nodes."""
    axes = 1 if node.target is aten.conv_transpose1d.default else 2
    options: list[Any] = [*node.args[1:]]
    weight, bias, stride, padding, output_padding, groups, dilation = (
        options + [None, 1, 0, 0, 1, 1][len(options) - 1 :]
    )
    four = [pair_of(one)[:axes] for one in (stride, padding, output_padding, dilation)]
    return weight, bias, four[0], four[1], four[2], groups, four[3]


def _arguments(
    graph: GraphModule, node: Node
) -> tuple[Tensor, Tensor | None, list[int], list[int], list[int], int, list[int]]:
    weight, bias, stride, padding, output_padding, groups, dilation = _defaults(node)
    return value_of(graph, weight), tensor_of(graph, bias), stride, padding, output_padding, groups, dilation


def _plain_kernel(weight: Tensor, output_padding: list[int], dilation: list[int]) -> Tensor:
    """The kernel with zeros for dilation between its values, and for output padding after them."""
    high, wide = ((size - 1) * step + 1 for size, step in zip(weight.shape[2:], dilation, strict=True))
    kernel = torch.zeros(*weight.shape[:2], high + output_padding[0], wide + output_padding[1])
    kernel[:, :, : high : dilation[0], : wide : dilation[1]] = weight
    return kernel


def _by_places(
    graph: GraphModule,
    node: Node,
    kernel: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    groups: int,
) -> Node:
    """A convolution with an output for each position within the stride, and a pixel shuffle of them."""
    taps = [-(-size // step) for size, step in zip(kernel.shape[2:], stride, strict=True)]
    whole = torch.zeros(*kernel.shape[:2], taps[0] * stride[0], taps[1] * stride[1])
    whole[:, :, : kernel.shape[2], : kernel.shape[3]] = kernel
    inputs, outputs = kernel.shape[0] // groups, kernel.shape[1]
    # (groups, inputs, outputs, taps, places, taps, places) → (groups, outputs, places, places, inputs, taps, taps)
    parts = whole.reshape(groups, inputs, outputs, taps[0], stride[0], taps[1], stride[1]).permute(0, 2, 4, 6, 1, 3, 5)
    places = stride[0] * stride[1]
    weight = parts.reshape(groups * outputs * places, inputs, *taps).flip(2, 3).contiguous()
    values = torch.zeros(groups * outputs) if bias is None else bias
    # Of the outputs that padding removes, whole strides are not computed; the rest is sliced off afterwards.
    spared = [min(size // step, tap - 1) for size, step, tap in zip(padding, stride, taps, strict=True)]
    starts = [size - step * less for size, step, less in zip(padding, stride, spared, strict=True)]
    around = [tap - 1 - less for tap, less in zip(taps, spared, strict=True)]
    shuffled = new_node(
        node, aten.conv2d.default,
        (
            node.args[0], constant(graph, node, "kernel", weight),
            constant(graph, node, "places_bias", values.repeat_interleave(places)), [1, 1],
            around, [1, 1], groups,
        ),
    )  # fmt: skip
    if places > 1:
        shuffled = _shuffled(node, shuffled, stride)
    for axis, size, start in zip((2, 3), shape_of(node)[2:], starts, strict=True):
        if shape_of(shuffled)[axis] != size:
            shuffled = new_node(node, aten.slice.Tensor, (shuffled, axis, start, start + size))
    return shuffled


def pixel_shuffle_to_permutation(graph: GraphModule) -> int:
    """`pixel_shuffle(x)`, `pixel_unshuffle(x)` → reshape, permute, reshape, which keep the scale."""

    def matches(node: Node) -> bool:
        known = node.target in (aten.pixel_shuffle.default, aten.pixel_unshuffle.default)
        return known and len(shape_of(node.args[0])) == 4

    def change(node: Node) -> None:
        source, factor = node.args
        assert isinstance(source, Node) and isinstance(factor, int)
        with node.graph.inserting_before(node):
            if node.target is aten.pixel_shuffle.default:
                result = _shuffled(node, source, [factor, factor])
            else:
                batch, channels, height, width = shape_of(source)
                sizes = [batch, channels, height // factor, factor, width // factor, factor]
                apart = new_node(node, aten.reshape.default, (source, sizes))
                turned = new_node(node, aten.permute.default, (apart, [0, 1, 3, 5, 2, 4]))
                result = new_node(node, aten.reshape.default, (turned, list(shape_of(node))))
        replace_by(node, result)

    return replace(graph, matches, change)


def _shuffled(node: Node, places: Node, stride: list[int]) -> Node:
    """(N, C·s·t, H, W) → (N, C, H·s, W·t)."""
    batch, channels, height, width = shape_of(places)
    channels //= stride[0] * stride[1]
    apart = new_node(node, aten.reshape.default, (places, [batch, channels, *stride, height, width]))
    turned = new_node(node, aten.permute.default, (apart, [0, 1, 4, 2, 5, 3]))
    return new_node(node, aten.reshape.default, (turned, [batch, channels, height * stride[0], width * stride[1]]))
