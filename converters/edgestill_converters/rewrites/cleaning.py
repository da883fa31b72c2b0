"""What changes nothing, and what never changes."""

import operator
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from ..private.torch import TO_COPY, schema_of
from .editing import constant, replace, replace_by

aten = torch.ops.aten
# Of bytes: what is computed from less, such as a mask from two rows, makes a file no larger than that.
LARGEST_CONSTANT = 1 << 22
_ALWAYS_EMPTY = (aten.alias.default, aten.detach.default, aten.lift_fresh_copy.default)
_COPIES = (aten.contiguous.default, aten.clone.default)
_CASTS = (aten.to.dtype, aten.to.dtype_layout, TO_COPY, aten.to.device, aten.type_as.default)
_SHAPES = (
    aten.view.default, aten.reshape.default, aten.expand.default, aten.flatten.using_ints, aten.slice.Tensor,
)  # fmt: skip


def fold_constants(graph: GraphModule) -> int:
    """Work out now what depends on no input: positions and masks that a model makes anew at every call.

    EdgeNeXt's positional encoding is 25 operators of this kind, none of which XNNPACK takes.
    """
    known: dict[Node, Any] = {}
    # Node → the bytes of the constants that it is made of.
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
    """Remove what changes nothing: aliases, slices of everything, copies to the type that it has, dropout at inference,
    a concatenation of one, adding the number 0.

    ExecuTorch turns each into a copy that XNNPACK does not take, which cuts its graph in two (GhostNet: 33 pieces).
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
        # A copy of what lies in another order than its axes makes room for a view.
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
    return target in _SHAPES and before.shape == after.shape and (target is not aten.slice.Tensor or _whole(node))


def _whole(node: Node) -> bool:
    step = node.args[4] if len(node.args) > 4 else 1
    return bool(step == 1)


def _is_pure(node: Node) -> bool:
    tags = getattr(node.target, "tags", ())
    return schema_of(node.target) is not None and torch.Tag.nondeterministic_seeded not in tags and bool(node.users)
