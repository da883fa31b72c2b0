"""Editing a `torch.fx` graph of ATen operators: the functions that all rewrites are written with."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from ..private.torch import OpOverload, schema_of

# The attribute of `source_model.FlatOutputs` that holds the model; module paths leave it out.
WRAPPED = "wrapped_model"
# Key in the `meta` of nodes that the quantizer must leave in float.
FLOAT = "edgestill_float"


def replace(graph: GraphModule, matches: Callable[[Node], bool], change: Callable[[Node], None]) -> int:
    """Apply `change` to every operator that `matches`; returns how many there were."""
    found = [node for node in graph.graph.nodes if node.op == "call_function" and matches(node)]
    for node in found:
        change(node)
    return len(found)


def new_node(like: Node, target: Any, arguments: tuple[Any, ...]) -> Node:
    """A new operator with the module path of `like`, and the shape that follows from its arguments."""
    node = like.graph.call_function(target, arguments)
    node.meta = {
        key: value for key, value in like.meta.items() if key in ("nn_module_stack", "stack_trace", "source_fn_stack")
    }
    values = torch.fx.node.map_arg(arguments, lambda one: one.meta.get("val"))
    if like.meta.get("val") is not None and all(one.meta.get("val") is not None for one in node.all_input_nodes):
        mode = like.meta["val"].fake_mode if hasattr(like.meta["val"], "fake_mode") else None
        with mode if mode is not None else torch.no_grad():
            node.meta["val"] = target(*values)
    return node


def replace_by(node: Node, result: Any) -> None:
    """Replace all uses of `node` by `result`, and remove `node`."""
    node.replace_all_uses_with(result)
    node.graph.erase_node(node)


def constant(graph: GraphModule, like: Node, suffix: str, value: Tensor) -> Node:
    """A new parameter of the graph, as a node before `like`; `suffix` ends its name."""
    name = f"_{like.name}_{suffix}"
    # A parameter, not a buffer: torchao folds batch norms into parameters only.
    graph.register_parameter(name, torch.nn.Parameter(value, requires_grad=False))
    with like.graph.inserting_before(like):
        node = like.graph.get_attr(name)
    mode = getattr(like.meta.get("val"), "fake_mode", None)
    node.meta["val"] = mode.from_tensor(value, static_shapes=True) if mode is not None else value
    return node


def tensor_of(graph: GraphModule, node: Any) -> Tensor | None:
    """The value of a parameter or buffer node; None for None."""
    if node is None:
        return None
    assert is_constant(node)
    value = operator.attrgetter(str(node.target))(graph)
    assert isinstance(value, Tensor)
    return value.detach()


def is_constant(node: Any) -> bool:
    """Whether it is a parameter or buffer, so that its value is known."""
    return isinstance(node, Node) and node.op == "get_attr"


def has_constants(node: Node, count: int) -> bool:
    """Whether the first `count` arguments after the input (weight, bias, …) are constants or None."""
    return all(one is None or is_constant(one) for one in node.args[1 : 1 + count])


def shape_of(node: Any) -> Sequence[int]:
    """Shape of the result of a node; empty if it is unknown."""
    value = node.meta.get("val") if isinstance(node, Node) else None
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def is_per_channel(factor: Sequence[int], shape: Sequence[int], axis: int) -> bool:
    """Whether a factor (its shape), broadcast to `shape`, is one number for each index of `axis`."""
    wide = [1] * len(shape)
    wide[axis] = shape[axis]
    return wide[axis] != 1 and list(factor) == wide[len(wide) - len(factor) :]


def axes_of(mean: Node) -> list[int]:
    """The axes of `aten.mean.dim`, counted from the first; all if it names none."""
    rank = len(shape_of(mean.args[0]))
    axes: Any = mean.args[1] if len(mean.args) > 1 else mean.kwargs.get("dim")
    return sorted(axis % rank for axis in axes) if axes else list(range(rank))


def module_path(node: Node) -> str:
    """Path of the module that a node comes from, as in `named_modules()`; empty for the model itself."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    path = str(stack[-1][0]) if stack else ""
    for outside in ("L['self']", ".", WRAPPED, "."):
        path = path.removeprefix(outside)
    return path


def pair_of(value: Any) -> list[int]:
    """`3` or `[3]` or `[3, 3]` → `[3, 3]`."""
    numbers = [value] if isinstance(value, int) else list(value)
    return numbers * 2 if len(numbers) == 1 else numbers


def cleaned(graph: GraphModule) -> GraphModule:
    """The graph without unused nodes, checked and recompiled, in place."""
    graph.graph.eliminate_dead_code()
    graph.graph.lint()
    graph.recompile()
    return graph


def value_of(graph: GraphModule, node: Any) -> Tensor:
    """The value of a parameter or buffer node; anything else is a mistake of the caller."""
    value = tensor_of(graph, node)
    assert value is not None
    return value


def is_random(node: Node) -> bool:
    """Whether an operator draws random numbers: torch's tag says so, and its arguments do not turn it off."""
    target = node.target
    if not isinstance(target, OpOverload) or torch.Tag.nondeterministic_seeded not in target.tags:
        return False
    names = schema_of(target).arguments
    arguments = {one.name: one.default_value for one in names if one.has_default_value()}
    arguments |= dict(zip((one.name for one in names), node.args, strict=False)) | node.kwargs
    # Dropout at inference, attention without dropout.
    return all(arguments.get(name, True) for name in ("train", "training", "dropout_p"))
