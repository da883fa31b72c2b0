"""Channel shuffles (ShuffleNet) without moving data: the weights of later layers are permuted instead.

A shuffle is `view, transpose, view`, of which LiteRT's converter makes three transposes. Without it a tensor has its
channels in another order than the model means. That order is followed through the graph:

    activations, pooling        keep it
    concatenation               joins the orders of its inputs
    batch norm, depthwise conv  keep it, their weights permuted
    slice of channels           slices the positions where these channels are now, and joins them
    dense convolution           ends it: its weights are permuted along their input channels
    anything else               makes the rewrite impossible, and the graph stays as it is
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch.fx import GraphModule, Node

from .editing import constant, has_constants, new_node, replace_by, shape_of, tensor_of

aten = torch.ops.aten
_VIEWS = (aten.view.default, aten.reshape.default)
_COPIES = (aten.contiguous.default, aten.clone.default)
# LiteRT's delegate's concatenation has at most five inputs.
MAX_CONCATENATED = 4
# Operators that treat every channel alike.
_CHANNELWISE = (
    aten.relu.default, aten.hardtanh.default, aten.sigmoid.default, aten.hardswish.default, aten.hardsigmoid.default,
    aten.silu.default, aten.gelu.default, aten.leaky_relu.default, aten.max_pool2d.default, aten.avg_pool2d.default,
    aten.adaptive_avg_pool2d.default, aten.dropout.default,
)  # fmt: skip


def channel_shuffle_to_order(graph: GraphModule) -> int:
    """Remove channel shuffles, and permute the weights of later layers; nothing if an operator cannot be permuted."""
    shuffles = {node: shuffle for node in graph.graph.nodes if (shuffle := _shuffle(node))}
    inner = {node for shuffle in shuffles.values() for node in shuffle.inner}
    orders = _Orders(graph)
    for node in graph.graph.nodes:
        if node in shuffles:
            orders.add_shuffle(node, shuffles[node])
        elif node not in inner and any(one in orders.of for one in node.all_input_nodes) and not orders.follow(node):
            return 0
    for edit in orders.edits:
        edit()
    return len(shuffles)


@dataclass(frozen=True)
class _Shuffle:
    """A channel shuffle of `source`; `inner`: its nodes without the last one, from the end to the beginning."""

    source: Node
    groups: int
    inner: tuple[Node, ...]


def _shuffle(node: Node) -> _Shuffle | None:
    """The shuffle that ends with `node`; None if there is none.

    (N, C, H, W) viewed as (N, groups, C / groups, H, W), axes 1 and 2 exchanged, viewed as (N, C, H, W) again.
    """
    if node.target is aten.channel_shuffle.default:
        arguments: Any = node.args
        return _Shuffle(arguments[0], int(arguments[1]), ())
    if node.target not in _VIEWS:
        return None
    chain = _first_inputs(node, 5)
    copies = [chain.pop(1)] if len(chain) == 5 and chain[1].target in _COPIES else []
    if len(chain) < 4 or chain[2].target not in _VIEWS:
        return None
    _, exchange, view, source = chain[:4]
    inner = (*copies, exchange, view)
    shape, split = list(shape_of(source)), list(shape_of(view))
    if not _exchanges_groups(exchange) or any(len(one.users) != 1 for one in inner):
        return None
    if (
        len(shape) != 4
        or list(shape_of(node)) != shape
        or split != [shape[0], split[1], shape[1] // split[1], *shape[2:]]
    ):
        return None
    return _Shuffle(source, split[1], inner)


def _exchanges_groups(node: Node) -> bool:
    """Whether it exchanges axes 1 and 2 of five."""
    if node.target is aten.transpose.int:
        return bool(node.args[1:] == (1, 2))
    return bool(node.target is aten.permute.default and node.args[1] == [0, 2, 1, 3, 4])


def _first_inputs(node: Node, length: int) -> list[Node]:
    """A node, its first input, the first input of that, …, at most `length` nodes."""
    found = [node]
    while len(found) < length and found[-1].args and isinstance(found[-1].args[0], Node):
        found.append(found[-1].args[0])
    return found


class _Orders:
    """The order of the channels of each tensor, and the edits of the graph that this requires.

    Attributes:
        of: tensor → for each position, the channel (as the model counts) that is there now; only if it differs.
        edits: to be carried out when every operator could be followed.
    """

    def __init__(self, graph: GraphModule) -> None:
        self._graph = graph
        self.of: dict[Node, list[int]] = {}
        self.edits: list[Callable[[], None]] = []

    def add_shuffle(self, node: Node, shuffle: _Shuffle) -> None:
        """The tensor stays that of the source: channel c of it is channel `(c % width) * groups + c // width`."""
        width = shape_of(node)[1] // shuffle.groups
        order = self._order(shuffle.source)
        self.of[node] = [(channel % width) * shuffle.groups + channel // width for channel in order]
        self.edits.append(lambda: _remove(node, shuffle))

    def follow(self, node: Node) -> bool:
        """Carry the order through an operator; False if that is not possible."""
        if node.target in _CHANNELWISE:
            self.of[node] = self._order(node.args[0])
            return True
        if node.target is aten.cat.default and len(shape_of(node)) == 4 and node.args[1:] in ((1,), (-3,)):
            joined: list[int] = []
            for one in node.args[0]:  # type: ignore[union-attr]
                joined += [len(joined) + channel for channel in self._order(one)]
            self.of[node] = joined
            return True
        if node.target is aten.batch_norm.default and has_constants(node, 4):
            self.of[node] = order = self._order(node.args[0])
            self.edits.append(lambda: self._permute(node, (1, 2, 3, 4), 0, order))
            return True
        if node.target is aten.slice.Tensor and node.args[1] == 1 and len(shape_of(node)) == 4:
            return self._slice(node)
        if node.target is aten.conv2d.default and has_constants(node, 2):
            return self._convolution(node)
        return False

    def _order(self, node: Any) -> list[int]:
        shape = shape_of(node)
        return self.of.get(node) or list(range(shape[1] if len(shape) == 4 and node.op != "get_attr" else 0))

    def _convolution(self, node: Node) -> bool:
        order = self._order(node.args[0])
        groups, outputs = node.args[6] if len(node.args) > 6 else 1, shape_of(node)[1]
        if groups == 1:
            self.edits.append(lambda: self._permute(node, (1,), 1, order))
            return True
        if groups == len(order) == outputs:
            self.of[node] = order
            self.edits.append(lambda: self._permute(node, (1, 2), 0, order))
            return True
        return False

    def _slice(self, node: Node) -> bool:
        arguments: Any = node.args
        if len(arguments) > 4 and arguments[4] != 1:
            return False
        order = self._order(arguments[0])
        begin = slice(*arguments[2:4]).indices(len(order))[0] if len(arguments) > 3 else 0
        end = begin + shape_of(node)[1]
        positions = [position for position, channel in enumerate(order) if begin <= channel < end]
        self.of[node] = [order[position] - begin for position in positions]
        # Consecutive positions are one slice.
        breaks = [at for at in range(1, len(positions)) if positions[at] != positions[at - 1] + 1]
        runs = [(positions[a], positions[b - 1] + 1) for a, b in pairwise([0, *breaks, len(positions)])]
        self.edits.append(lambda: _slice_runs(node, runs))
        return True

    def _permute(self, node: Node, arguments: Sequence[int], axis: int, order: Sequence[int]) -> None:
        """Permute some constant arguments of an operator along an axis."""
        changed = list(node.args)
        for number in arguments:
            value = tensor_of(self._graph, changed[number]) if number < len(changed) else None
            if value is not None:
                permuted = value.index_select(axis, torch.tensor(order))
                changed[number] = constant(self._graph, node, f"ordered_{number}", permuted)
        node.args = tuple(changed)


def _remove(node: Node, shuffle: _Shuffle) -> None:
    # Not `shuffle.source`: an earlier edit may have replaced it.
    source = (shuffle.inner[-1] if shuffle.inner else node).args[0]
    replace_by(node, source)
    for one in shuffle.inner:
        one.graph.erase_node(one)


def _slice_runs(node: Node, runs: Sequence[tuple[int, int]]) -> None:
    """Replace a slice of channels by a concatenation of slices, each from begin to end of a run."""
    with node.graph.inserting_before(node):
        parts = [new_node(node, aten.slice.Tensor, (node.args[0], 1, begin, end)) for begin, end in runs]
        while len(parts) > 1:
            groups = [parts[at : at + MAX_CONCATENATED] for at in range(0, len(parts), MAX_CONCATENATED)]
            parts = [new_node(node, aten.cat.default, (one, 1)) if len(one) > 1 else one[0] for one in groups]
    replace_by(node, parts[0])
