"""Operators in a form that both engines support in int8."""

from typing import Any

import torch
from torch.fx import GraphModule, Node

from .editing import FLOAT, axes_of, constant, new_node, pair_of, replace, replace_by, shape_of

aten = torch.ops.aten
_SQUEEZES = (aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims, aten.unsqueeze.default)


def mean_to_pooling(graph: GraphModule) -> int:
    """`x.mean((2, 3))` → `adaptive_avg_pool2d(x, 1)`, flattened where the mean dropped its axes.

    XNNPACK supports a mean over both image axes only if it keeps them, and the quantizer annotates it as pooling.
    """

    def matches(node: Node) -> bool:
        if node.target is not aten.mean.dim or len(shape_of(node.args[0])) != 4:
            return False
        return axes_of(node) == [2, 3] and "dtype" not in node.kwargs

    def change(node: Node) -> None:
        keeps = len(node.args) > 2 and bool(node.args[2])
        with node.graph.inserting_before(node):
            result = new_node(node, aten.adaptive_avg_pool2d.default, (node.args[0], [1, 1]))
            if not keeps:
                result = new_node(node, aten.flatten.using_ints, (result, 1))
        replace_by(node, result)

    return replace(graph, matches, change)


def mean_of_tokens_to_pooling(graph: GraphModule) -> int:
    """`x.mean(1)` of tokens (N, L, C) → pooling of an image (N, C, 1, L): the mean that both have in int8."""

    def matches(node: Node) -> bool:
        if node.target is not aten.mean.dim or len(shape_of(node.args[0])) != 3:
            return False
        return axes_of(node) == [1] and "dtype" not in node.kwargs

    def change(node: Node) -> None:
        with node.graph.inserting_before(node):
            image = new_node(node, aten.unsqueeze.default, (node.args[0], 1))
            image = new_node(node, aten.permute.default, (image, [0, 3, 1, 2]))
            pooled = new_node(node, aten.adaptive_avg_pool2d.default, (image, [1, 1]))
            result = new_node(node, aten.flatten.using_ints, (pooled, 1))
            if len(node.args) > 2 and node.args[2]:
                result = new_node(node, aten.unsqueeze.default, (result, 1))
        replace_by(node, result)

    return replace(graph, matches, change)


def pooling_to_mean(graph: GraphModule) -> int:
    """`adaptive_avg_pool2d(x, 1)` → `x.mean((-2, -1), True)`, after quantization.

    ExecuTorch decomposes the pooling of a permuted tensor into a mean and a copy that XNNPACK does not support.
    """

    def matches(node: Node) -> bool:
        return node.target is aten.adaptive_avg_pool2d.default and node.args[1] in ([1, 1], [1], 1)

    def change(node: Node) -> None:
        with node.graph.inserting_before(node):
            result = new_node(node, aten.mean.dim, (node.args[0], [-2, -1], True))
        replace_by(node, result)

    return replace(graph, matches, change)


def division_to_product(graph: GraphModule) -> int:
    """`x / number` → `x * (1 / number)`, in float as well.

    ExecuTorch makes a tensor of the divisor, and a copy of it that XNNPACK does not support.
    """

    def matches(node: Node) -> bool:
        divides = node.target is aten.div.Tensor and not node.kwargs
        return divides and isinstance(node.args[1], (int, float)) and node.args[1] != 0

    def change(node: Node) -> None:
        divisor: Any = node.args[1]
        with node.graph.inserting_before(node):
            result = new_node(node, aten.mul.Tensor, (node.args[0], 1 / divisor))
            result.meta[FLOAT] = True
        replace_by(node, result)

    return replace(graph, matches, change)


def squeezes_to_reshapes(graph: GraphModule) -> int:
    """`squeeze`, `unsqueeze` → `reshape`: ExecuTorch delegates these, and the quantizer keeps their scale."""

    def matches(node: Node) -> bool:
        static = shape_of(node) and all(isinstance(size, int) for size in shape_of(node))
        return node.target in _SQUEEZES and bool(static)

    def change(node: Node) -> None:
        with node.graph.inserting_before(node):
            result = new_node(node, aten.reshape.default, (node.args[0], list(shape_of(node))))
        replace_by(node, result)

    return replace(graph, matches, change)


def silu_to_product(graph: GraphModule) -> int:
    """`silu(x)` → `x * sigmoid(x)`: both engines support these in int8, and SiLU itself only in float."""

    def change(node: Node) -> None:
        with node.graph.inserting_before(node):
            gate = new_node(node, aten.sigmoid.default, (node.args[0],))
            product = new_node(node, aten.mul.Tensor, (node.args[0], gate))
        replace_by(node, product)

    return replace(graph, lambda node: node.target is aten.silu.default, change)


def attention_to_products(graph: GraphModule) -> int:
    """Scaled dot-product attention without a mask → two matrix products with a softmax between them.

    ExecuTorch decomposes it with a guard against rows that are masked completely: seven operators that XNNPACK does not
    support. Without a mask there are no such rows.
    """

    def matches(node: Node) -> bool:
        plain = node.target is aten.scaled_dot_product_attention.default and not any(node.args[3:])
        return plain and not any(value for name, value in node.kwargs.items() if name != "scale")

    def change(node: Node) -> None:
        queries, keys, values = node.args[:3]
        scale = node.kwargs.get("scale")
        scale = shape_of(queries)[-1] ** -0.5 if scale is None else scale
        with node.graph.inserting_before(node):
            scaled = new_node(node, aten.mul.Tensor, (queries, scale))
            # Between products in float, int8 would gain nothing.
            scaled.meta[FLOAT] = True
            turned = new_node(node, aten.transpose.int, (keys, -2, -1))
            scores = new_node(node, aten.matmul.default, (scaled, turned))
            shares = new_node(node, aten.softmax.int, (scores, -1))
            result = new_node(node, aten.matmul.default, (shares, values))
        replace_by(node, result)

    return replace(graph, matches, change)


def average_pooling_to_convolution(graph: GraphModule) -> int:
    """`avg_pool2d(x, k)` → a depthwise convolution whose weights are all 1 / k².

    As pooling, LiteRT rounds half of the ties up, and ExecuTorch delegates it without padding only, in float. As a
    convolution it is int8 in both, and bit-exact.
    """

    def matches(node: Node) -> bool:
        if node.target is not aten.avg_pool2d.default or len(shape_of(node.args[0])) != 4:
            return False
        _, _, padding, ceil, counts_padding, divisor = _pooling(node)
        return not ceil and divisor is None and (counts_padding or not any(padding))

    def change(node: Node) -> None:
        kernel, stride, padding, *_ = _pooling(node)
        channels = shape_of(node.args[0])[1]
        weight = constant(graph, node, "weight", torch.full((channels, 1, *kernel), 1 / (kernel[0] * kernel[1])))
        with node.graph.inserting_before(node):
            arguments = (node.args[0], weight, None, stride, padding, [1, 1], channels)
            result = new_node(node, aten.conv2d.default, arguments)
        replace_by(node, result)

    return replace(graph, matches, change)


def adaptive_max_pooling_to_plain(graph: GraphModule) -> int:
    """`adaptive_max_pool(x, n)` → `max_pool`, where its windows are of one size and nothing reads the indices."""

    def sizes(node: Node) -> list[tuple[int, int]]:
        after: Any = node.args[1]
        return list(zip(shape_of(node.args[0])[2:], pair_of(after) if axes[node.target] == 2 else after, strict=True))

    def matches(node: Node) -> bool:
        if node.target not in axes or len(shape_of(node.args[0])) != 2 + axes[node.target]:
            return False
        used = [user.args[1] for user in node.users]
        return not any(used) and not any(before % after for before, after in sizes(node))

    def change(node: Node) -> None:
        kernel = [before // after for before, after in sizes(node)]
        plain = aten.max_pool2d.default if axes[node.target] == 2 else aten.max_pool1d.default
        for user in list(node.users):
            with node.graph.inserting_before(user):
                result = new_node(user, plain, (node.args[0], kernel, kernel))
            replace_by(user, result)

    axes: dict[Any, int] = {aten.adaptive_max_pool1d.default: 1, aten.adaptive_max_pool2d.default: 2}

    return replace(graph, matches, change)


def unfolding_to_convolution(graph: GraphModule) -> int:
    """`unfold(x, k)` → a depthwise convolution that selects each position of the window, and a reshape."""

    def matches(node: Node) -> bool:
        return node.target is aten.im2col.default and len(shape_of(node.args[0])) == 4

    def change(node: Node) -> None:
        kernel, dilation, padding, stride = (pair_of(one) for one in node.args[1:5])
        channels, places = shape_of(node.args[0])[1], kernel[0] * kernel[1]
        picks = torch.eye(places).reshape(places, 1, *kernel).repeat(channels, 1, 1, 1)
        weight = constant(graph, node, "weight", picks)
        with node.graph.inserting_before(node):
            arguments = (node.args[0], weight, None, stride, padding, dilation, channels)
            picked = new_node(node, aten.conv2d.default, arguments)
            result = new_node(node, aten.reshape.default, (picked, list(shape_of(node))))
        replace_by(node, result)

    return replace(graph, matches, change)


def hard_sigmoid_to_clamp(graph: GraphModule) -> int:
    """`hardsigmoid(x)` → `hardtanh(x + 3, 0, 6) / 6`, after quantization.

    ExecuTorch's own decomposition adds a copy to float32 that XNNPACK does not support. It was quantized as one
    operator, so its parts are a float region between one dequantize and one quantize, in both formats.
    """

    def change(node: Node) -> None:
        with node.graph.inserting_before(node):
            moved = new_node(node, aten.add.Tensor, (node.args[0], 3.0))
            clamped = new_node(node, aten.hardtanh.default, (moved, 0.0, 6.0))
            result = new_node(node, aten.mul.Tensor, (clamped, 1 / 6))
        replace_by(node, result)

    return replace(graph, lambda node: node.target is aten.hardsigmoid.default, change)


def _pooling(node: Node) -> tuple[Any, Any, Any, Any, Any, Any]:
    """(kernel, stride, padding, ceil_mode, count_include_pad, divisor) of `avg_pool2d`, defaults filled in."""
    options = list(node.args[1:]) + [None] * (7 - len(node.args))
    kernel, stride, padding, ceil, counts, divisor = options
    pair = [pair_of(value) if value else None for value in (kernel, stride, padding)]
    return pair[0], pair[1] or pair[0], pair[2] or [0, 0], bool(ceil), counts is not False, divisor
