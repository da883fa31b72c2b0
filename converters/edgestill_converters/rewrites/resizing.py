"""Resizing that an engine does not support, as products with two constant matrices: for the height, for the width."""

from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from ..private.torch import RESIZE_BICUBIC_ANTIALIASED, RESIZE_BILINEAR_ANTIALIASED, RESIZE_NEAREST_EXACT
from .editing import constant, new_node, replace, replace_by, shape_of

aten = torch.ops.aten
# Arguments after the input: sizes or scales of (height, width), and flags.
_RESIZES = (aten.upsample_bicubic2d.vec, RESIZE_BICUBIC_ANTIALIASED, RESIZE_BILINEAR_ANTIALIASED)
_NEAREST = (aten.upsample_nearest2d.vec, RESIZE_NEAREST_EXACT)


def resizing_to_products(graph: GraphModule) -> int:
    """Resizing (bicubic, antialiased, corner-aligned, nearest by a fraction), uneven average pooling → two products.

    Each is linear and separable: `rows @ image @ columns.T`, where the matrices are the operator's outputs for an
    identity matrix.
    """

    def matches(node: Node) -> bool:
        sizes = [*shape_of(node.args[0]), *shape_of(node)] if node.args else []
        if len(sizes) != 8 or not all(isinstance(size, int) for size in sizes):
            return False
        return node.target in _RESIZES or _has_corners(node) or _repeats_unevenly(node) or _pools_unevenly(node)

    def change(node: Node) -> None:
        height, width = shape_of(node.args[0])[2:]
        rows = constant(graph, node, "rows", _matrix(node, height, 2))
        columns = constant(graph, node, "columns", _matrix(node, width, 3))
        with node.graph.inserting_before(node):
            wide = new_node(node, aten.linear.default, (node.args[0], columns))
            turned = new_node(node, aten.transpose.int, (wide, 2, 3))
            high = new_node(node, aten.linear.default, (turned, rows))
            result = new_node(node, aten.transpose.int, (high, 2, 3))
        for one in (wide, turned, high, result):
            # With these the quantizer would annotate them as the pooling that they replace.
            one.meta.pop("source_fn_stack", None)
            stack = one.meta.get("nn_module_stack", {})
            one.meta["nn_module_stack"] = {key: (path, "rewritten") for key, (path, _) in stack.items()}
        replace_by(node, result)

    return replace(graph, matches, change)


def exactly_nearest_to_nearest(graph: GraphModule) -> int:
    """`nearest-exact` → `nearest`, which is the same for integer factors, and supported by the engines."""

    def matches(node: Node) -> bool:
        return node.target is RESIZE_NEAREST_EXACT and not _repeats_unevenly(node)

    def change(node: Node) -> None:
        node.target = aten.upsample_nearest2d.vec

    return replace(graph, matches, change)


def _has_corners(node: Node) -> bool:
    """Bilinear with aligned corners, for which int8 outputs of the two engines differ by several quantization steps."""
    return node.target is aten.upsample_bilinear2d.vec and len(node.args) > 2 and bool(node.args[2])


def _repeats_unevenly(node: Node) -> bool:
    """Nearest by a factor that is not an integer: each engine has its own rule for which pixel is nearest.

    An explicit factor decides even if the sizes have an integer ratio: 2.05 makes 20 pixels of 10, but not each twice.
    """
    if node.target not in _NEAREST:
        return False
    pairs = list(zip(shape_of(node.args[0])[2:], shape_of(node)[2:], strict=True))
    factors: Any = node.args[2] if len(node.args) > 2 and node.args[2] else [after / before for before, after in pairs]
    return any(
        after != factor * before or after % before for (before, after), factor in zip(pairs, factors, strict=True)
    )


def _pools_unevenly(node: Node) -> bool:
    if node.target is not aten.adaptive_avg_pool2d.default:
        return False
    return any(before % after for before, after in zip(shape_of(node.args[0])[2:], shape_of(node)[2:], strict=True))


def _matrix(node: Node, size: int, axis: int) -> Tensor:
    """float32 (size after, size before): what the operator does along one axis (2, 3), the other staying as it is."""
    arguments: list[Any] = [torch.eye(size, dtype=torch.float64)[None, None], *node.args[1:]]
    for position, value in enumerate(arguments[1:], start=1):
        if isinstance(value, (list, tuple)):  # sizes or scales, of (height, width)
            same = [size if isinstance(one, int) else 1.0 for one in value]
            same[axis - 2] = value[axis - 2]
            arguments[position] = same
    resized: Tensor = node.target(*arguments)  # type: ignore[operator]
    return (resized[0, 0] if axis == 2 else resized[0, 0].T).float().contiguous()
