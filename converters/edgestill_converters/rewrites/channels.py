"""Channels: splits as slices, and channel shuffles that move nothing."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch.fx import GraphModule, Node

from .editing import constant, has_constants, new_node, replace, replace_by, shape_of, tensor_of

aten = torch.ops.aten
_SPLITS = (
    aten.chunk.default, aten.split.Tensor, aten.split_with_sizes.default, aten.unsafe_chunk.default,
    aten.unbind.int,
)  # fmt: skip
_VIEWS = (aten.view.default, aten.reshape.default)
# LiteRT's delegate's concatenation takes five tensors at most.
MOST_JOINED = 4
# Operators that treat every channel alike.
_ALIKE = (
    aten.relu.default, aten.hardtanh.default, aten.sigmoid.default, aten.hardswish.default, aten.hardsigmoid.default,
    aten.silu.default, aten.gelu.default, aten.leaky_relu.default, aten.max_pool2d.default, aten.avg_pool2d.default,
    aten.adaptive_avg_pool2d.default, aten.dropout.default,
)  # fmt: skip


def select_to_slice(graph: GraphModule) -> int:
    """`x[:, i]` → a slice of one, reshaped: ExecuTorch delegates both, and `select` not."""

    def matches(node: Node) -> bool:
        return node.target is aten.select.int and all(isinstance(size, int) for size in shape_of(node.args[0]))

    def change(node: Node) -> None:
        arguments: Any = node.args
        source, shape = arguments[0], shape_of(arguments[0])
        axis, place = arguments[1] % len(shape), arguments[2] % shape[arguments[1]]
        with node.graph.inserting_before(node):
            cut = new_node(node, aten.slice.Tensor, (source, axis, place, place + 1))
            cut = new_node(node, aten.reshape.default, (cut, list(shape_of(node))))
        replace_by(node, cut)

    return replace(graph, matches, change)


def split_to_slices(graph: GraphModule) -> int:
    """`chunk`, `split`, `unbind` → one slice for each part that is used.

    ExecuTorch delegates slices, and splits not; the quantizer knows that a slice has the scale of what it is cut from.
    """

    def matches(node: Node) -> bool:
        shape = shape_of(node.args[0]) if node.target in _SPLITS else ()
        if not shape or any(user.target is not operator.getitem for user in node.users):
            return False
        # Places and shapes must be numbers, which the batch is not while a net is trained.
        needed = shape if node.target is aten.unbind.int else [shape[_axis(node)]]
        return all(isinstance(size, int) for size in needed)

    def change(node: Node) -> None:
        single, axis = node.target is aten.unbind.int, _axis(node)
        sizes = [1 if single else int(one.shape[axis]) for one in node.meta["val"]]
        for user in list(node.users):
            part: Any = user.args[1]
            begin = sum(sizes[:part])
            with node.graph.inserting_before(user):
                cut = new_node(user, aten.slice.Tensor, (node.args[0], axis, begin, begin + sizes[part]))
                if single:
                    cut = new_node(user, aten.reshape.default, (cut, list(shape_of(user))))
            replace_by(user, cut)
        node.graph.erase_node(node)

    return replace(graph, matches, change)


def _axis(node: Node) -> int:
    """Of a split."""
    place = 1 if node.target is aten.unbind.int else 2
    axis: Any = node.args[place] if len(node.args) > place else node.kwargs.get("dim", 0)
    return int(axis)


def channel_shuffle_to_order(graph: GraphModule) -> int:
    """A channel shuffle (ShuffleNet: view, transpose, view) → nothing, where later weights can take the order instead.

    Every tensor after a shuffle is thought of with its channels in an order of its own. Depthwise convolutions and
    batch norms get their weights in that order, the next dense convolution undoes it in its weights, slices take the
    channels from where they are. The same function, without the transposes, of which LiteRT's converter makes three.
    Left alone where an order would reach an operator that is not known here.
    """
    shuffles = {node: found for node in graph.graph.nodes if (found := _shuffle(node))}
    parts = {part for found in shuffles.values() for part in found.parts}
    orders = _Orders(graph)
    for node in graph.graph.nodes:
        if node in shuffles:
            orders.shuffle(node, shuffles[node])
        elif node not in parts and any(one in orders.of for one in node.all_input_nodes) and not orders.follow(node):
            return 0
    for edit in orders.edits:
        edit()
    return len(shuffles)


@dataclass(frozen=True)
class _Shuffle:
    """`parts`: what stands between the source and the shuffled tensor, the last first."""

    source: Node
    groups: int
    parts: tuple[Node, ...]


def _shuffle(node: Node) -> _Shuffle | None:
    """(N, C, H, W) viewed as (N, groups, C / groups, H, W), its axes 1 and 2 exchanged, viewed as (N, C, H, W)."""
    if node.target is aten.channel_shuffle.default:
        whole: Any = node.args
        return _Shuffle(whole[0], int(whole[1]), ())
    if node.target not in _VIEWS:
        return None
    chain = _chain(node, 5)
    if len(chain) == 5 and chain[1].target in (aten.contiguous.default, aten.clone.default):
        copies = [chain.pop(1)]
    else:
        copies = []
    if len(chain) < 4 or chain[2].target not in _VIEWS:
        return None
    _, turned, first, source = chain[:4]
    exchanged = (turned.target is aten.transpose.int and turned.args[1:] == (1, 2)) or (
        turned.target is aten.permute.default and turned.args[1] == [0, 2, 1, 3, 4]
    )
    parts = (*copies, turned, first)
    shape, wide = list(shape_of(source)), list(shape_of(first))
    if not exchanged or any(len(one.users) != 1 for one in parts) or len(shape) != 4 or list(shape_of(node)) != shape:
        return None
    if wide != [shape[0], wide[1], shape[1] // wide[1], *shape[2:]]:
        return None
    return _Shuffle(source, wide[1], parts)


def _chain(node: Node, length: int) -> list[Node]:
    """A node, what it is made of, what that is made of, …"""
    found = [node]
    while len(found) < length and found[-1].args and isinstance(found[-1].args[0], Node):
        found.append(found[-1].args[0])
    return found


class _Orders:
    """In which order the channels of each tensor are, and what has to be changed for that."""

    def __init__(self, graph: GraphModule) -> None:
        self._graph = graph
        # Tensor → for each place, the channel that is there; only where that is another.
        self.of: dict[Node, list[int]] = {}
        self.edits: list[Callable[[], None]] = []

    def shuffle(self, node: Node, found: _Shuffle) -> None:
        width = shape_of(node)[1] // found.groups
        self.of[node] = [(one % width) * found.groups + one // width for one in self._order(found.source)]
        self.edits.append(lambda: _remove(node, found))

    def follow(self, node: Node) -> bool:
        """Carry the order through an operator; False where that is not known how."""
        if node.target in _ALIKE:
            self.of[node] = self._order(node.args[0])
        elif node.target is aten.cat.default and len(shape_of(node)) == 4 and node.args[1:] in ((1,), (-3,)):
            joined: list[int] = []
            for one in node.args[0]:  # type: ignore[union-attr]
                joined += [len(joined) + channel for channel in self._order(one)]
            self.of[node] = joined
        elif node.target is aten.batch_norm.default and has_constants(node, 4):
            self.of[node] = order = self._order(node.args[0])
            self.edits.append(lambda: self._permute(node, (1, 2, 3, 4), 0, order))
        elif node.target is aten.slice.Tensor and node.args[1] == 1 and len(shape_of(node)) == 4:
            return self._slice(node)
        elif node.target is aten.conv2d.default and has_constants(node, 2):
            return self._convolution(node)
        else:
            return False
        return True

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
        places = [place for place, channel in enumerate(order) if begin <= channel < end]
        self.of[node] = [order[place] - begin for place in places]
        cuts = [0, *(at for at in range(1, len(places)) if places[at] != places[at - 1] + 1), len(places)]
        runs = [(places[a], places[b - 1] + 1) for a, b in pairwise(cuts)]
        self.edits.append(lambda: _cut(node, runs))
        return True

    def _permute(self, node: Node, positions: Sequence[int], axis: int, order: Sequence[int]) -> None:
        arguments = list(node.args)
        for position in positions:
            value = tensor_of(self._graph, arguments[position]) if position < len(arguments) else None
            if value is not None:
                moved = value.index_select(axis, torch.tensor(order))
                arguments[position] = constant(self._graph, node, f"ordered_{position}", moved)
        node.args = tuple(arguments)


def _remove(node: Node, found: _Shuffle) -> None:
    # Not `found.source`: an earlier edit may have put something else in its place.
    source = (found.parts[-1] if found.parts else node).args[0]
    replace_by(node, source)
    for part in found.parts:
        part.graph.erase_node(part)


def _cut(node: Node, runs: Sequence[tuple[int, int]]) -> None:
    with node.graph.inserting_before(node):
        parts = [new_node(node, aten.slice.Tensor, (node.args[0], 1, begin, end)) for begin, end in runs]
        while len(parts) > 1:
            few = [parts[at : at + MOST_JOINED] for at in range(0, len(parts), MOST_JOINED)]
            parts = [new_node(node, aten.cat.default, (group, 1)) if len(group) > 1 else group[0] for group in few]
    replace_by(node, parts[0])
