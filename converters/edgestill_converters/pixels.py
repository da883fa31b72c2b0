"""The normalization of pixels as part of the graph, so that the input of an int8 file is `uint8 - 128`.

The model was trained on `(pixel / 255 - mean) / std`. This becomes part of it, in the cheapest of three ways that keep
the meaning of zero padding, the value 0 after the normalization:

    the first convolution has no padding    scale and shift go into its weights and bias; the input is pixel / 255
    all channels have the same mean         the scale goes into the weights; the input is pixel / 255 - mean, of
                                            which a padded 0 is the mean; its code is pixel - 128 as well
    anything else                           a depthwise 1×1 convolution before it; the input is pixel / 255

The second rounds the mean to a whole pixel value. The rest, at most half of one, goes into the bias, which is exact
except at the border: there a result is off by less than half a quantization step of the input. The division by 255
stays outside: inside, it would make weights so small that their scales reach the minimum of the observers.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from edgestill_runtime import Processor

from .rewrites.editing import cleaned, constant, has_constants, new_node, value_of
from .scale import Scale

aten = torch.ops.aten


def fold_pixels(graph: GraphModule, processor: Processor) -> tuple[Processor, Scale]:
    """Put the normalization into `graph`, in place.

    Args:
        graph: one input, float32 (1, C, H, W), normalized.

    Returns:
        What remains to be done before the graph (`(pixel / 255 - mean) / std`, with a std of 1), and the fixed scale of
        the input, with which `code = pixel - 128`.
    """
    (images,) = (node for node in graph.graph.nodes if node.op == "placeholder")
    factor = 1 / torch.tensor(processor.std, dtype=torch.float64)
    shift = -torch.tensor(processor.mean, dtype=torch.float64) * factor
    users = list(images.users)
    first = users[0] if len(users) == 1 and _is_plain_convolution(users[0]) else None
    middle = 0
    if first is not None and _padding(first) != [0, 0]:
        if len(set(processor.mean)) == 1:
            middle = round(255 * processor.mean[0])
        else:
            first = None
    shift = shift + middle / 255 * factor
    if first is not None:
        _fold(graph, first, factor, shift)
    else:
        _insert(graph, images, factor, shift)
    cleaned(graph)
    channels = processor.channels
    left = replace(processor, mean=(middle / 255,) * channels, std=(1.0,) * channels)
    return left, Scale(1 / 255, middle - 128)


def _is_plain_convolution(node: Node) -> bool:
    """Whether it is a convolution with one group and constant weight and bias."""
    known = node.target is aten.conv2d.default and has_constants(node, 2)
    return known and bool(len(node.args) < 7 or node.args[6] == 1)


def _padding(node: Node) -> list[int]:
    padding: Any = node.args[4] if len(node.args) > 4 else [0, 0]
    return list(padding) * 2 if len(padding) == 1 else list(padding)


def _fold(graph: GraphModule, node: Node, factor: Tensor, shift: Tensor) -> None:
    weight = value_of(graph, node.args[1]).double()
    bias = value_of(graph, node.args[2]).double() if len(node.args) > 2 and node.args[2] is not None else 0
    scaled = weight * factor.reshape(1, -1, 1, 1)
    moved = bias + (weight * shift.reshape(1, -1, 1, 1)).sum((1, 2, 3))
    arguments = [*node.args, None, [1, 1], [0, 0]][: max(len(node.args), 3)]
    arguments[1] = constant(graph, node, "pixel_weight", scaled.float())
    arguments[2] = constant(graph, node, "pixel_bias", moved.float())
    node.args = tuple(arguments)


def _insert(graph: GraphModule, images: Node, factor: Tensor, shift: Tensor) -> None:
    users, first = list(images.users), next(iter(images.users))
    weight = constant(graph, first, "pixel_weight", factor.float().reshape(-1, 1, 1, 1))
    bias = constant(graph, first, "pixel_bias", shift.float())
    with graph.graph.inserting_before(first):
        arguments = (images, weight, bias, [1, 1], [0, 0], [1, 1], len(factor))
        normalized = new_node(images, aten.conv2d.default, arguments)
    for user in users:
        user.replace_input_with(images, normalized)
