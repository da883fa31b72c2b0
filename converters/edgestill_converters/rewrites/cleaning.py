"""Operators without effect are removed, and those without inputs computed in advance."""

import operator
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from ..private.torch import TO_COPY, schema_of
from .editing import constant, replace, replace_by

aten = torch.ops.aten
# Bytes. A constant that is computed from smaller ones, such as a mask from two rows, may not grow beyond this.
LARGEST_CONSTANT = 1 << 22
_ALWAYS_EMPTY = (aten.alias.default, aten.detach.default, aten.lift_fresh_copy.default)
_COPIES = (aten.contiguous.default, aten.clone.default)
_CASTS = (aten.to.dtype, aten.to.dtype_layout, TO_COPY, aten.to.device, aten.type_as.default)
_SHAPES = (
    aten.view.default, aten.reshape.default, aten.expand.default, aten.flatten.using_ints, aten.slice.Tensor,
)  # fmt: skip


def fold_constants(graph: GraphModule) -> int:
    """Compute in advance what depends on no input: positions and masks that a model computes at every call.

    EdgeNeXt's positional encoding has 25 such operators, none of which XNNPACK supports.
    """
    known: dict[Node, Any] = {}
    # Node → bytes of the constants that it is computed from.
    made_of: dict[Node, int] = {}
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            known[node] = operator.attrgetter(str(node.target))(graph)
            made_of[node] = known[node].nbytes if isinstance(known[node], Tensor) else 0
        elif node.op == "call_function" and all(one in known for one in node.all_input_nodes) and _is_pure(node):
            arguments, named = torch.fx.node.map_arg((node.args, node.kwargs), lambda one: known[one])
            with torch.no_grad():
                known[node] = node.target(*arguments, **named)
            made_of[node] = sum(made_of[one] for one in node.all_input_nodes)
    folded = 0
    for node, value in known.items():
        leaves = node.op == "call_function" and any(user not in known for user in node.users)
        if leaves and isinstance(value, Tensor) and value.nbytes <= max(LARGEST_CONSTANT, made_of[node]):
            node.replace_all_uses_with(constant(graph, node, "value", value.detach().clone().contiguous()))
            folded += 1
    return folded


def drop_no_ops(graph: GraphModule) -> int:
    """Remove operators without effect: aliases, full slices, copies to the same type, dropout at inference,
    concatenations of one tensor, additions of the number 0.

    ExecuTorch turns each into a copy that is not delegated, which splits the graph (GhostNet: 33 partitions).
    """
    return replace(graph, _is_no_op, lambda node: replace_by(node, node.all_input_nodes[0]))


def _is_no_op(node: Node) -> bool:
    if node.target is aten.cat.default:
        return len(node.args[0]) == 1  # type: ignore[arg-type]
    if node.op != "call_function" or not node.args or not isinstance(node.args[0], Node):
        return False
    target, source = node.target, node.args[0]
    if target in _ALWAYS_EMPTY or (target is aten.dropout.default and not node.args[2]):
        return True
    if target in _COPIES:
        value = source.meta.get("val")
        # A copy of a tensor that is not contiguous has an effect: a view may need it.
        return (
            isinstance(value, Tensor)
            and value.is_contiguous()
            and node.kwargs.get("memory_format") in (None, torch.contiguous_format, torch.preserve_format)
        )
    before, after = source.meta.get("val"), node.meta.get("val")
    if not isinstance(before, Tensor) or not isinstance(after, Tensor):
        return False
    if target in _CASTS or (target is aten.add.Tensor and node.args[1] == 0):
        return before.dtype == after.dtype and before.device == after.device
    return target in _SHAPES and before.shape == after.shape and (target is not aten.slice.Tensor or _has_step_1(node))


def _has_step_1(node: Node) -> bool:
    step = node.args[4] if len(node.args) > 4 else 1
    return bool(step == 1)


def _is_pure(node: Node) -> bool:
    tags = getattr(node.target, "tags", ())
    return schema_of(node.target) is not None and torch.Tag.nondeterministic_seeded not in tags and bool(node.users)
