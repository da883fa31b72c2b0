"""Editing a `torch.fx` graph of ATen operators: the few verbs that the rewrites are written in."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from ..private.torch import OpOverload, schema_of

# What `source_model.FlatOutputs` calls the model in it, which is no part of a module's path.
WRAPPED = "wrapped_model"
# In the `meta` of nodes that stay in float, whatever the quantizer would like.
FLOAT = "edgestill_float"


def replace(graph: GraphModule, matches: Callable[[Node], bool], change: Callable[[Node], None]) -> int:
    """Apply `change` to every operator that `matches`; how many there were."""
    found = [node for node in graph.graph.nodes if node.op == "call_function" and matches(node)]
    for node in found:
        change(node)
    return len(found)


def new_node(like: Node, target: Any, arguments: tuple[Any, ...]) -> Node:
    """A new operator that stands where `like` stands, with the shape that its arguments give it."""
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
    """Everyone who took what `node` gave takes `result` instead; `node` is gone."""
    node.replace_all_uses_with(result)
    node.graph.erase_node(node)


def constant(graph: GraphModule, like: Node, suffix: str, value: Tensor) -> Node:
    """A new parameter of the graph, as a node before `like`."""
    name = f"_{like.name}_{suffix}"
    # A parameter, not a buffer: that is what folding a batch norm into a convolution looks for.
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
    """Whether it is a parameter or buffer, whose value is known now."""
    return isinstance(node, Node) and node.op == "get_attr"


def has_constants(node: Node, count: int) -> bool:
    """Whether the first `count` arguments after the source (weight, bias, …) are known now, or None."""
    return all(one is None or is_constant(one) for one in node.args[1 : 1 + count])


def shape_of(node: Any) -> Sequence[int]:
    """Of what a node gives; empty where it is not known."""
    value = node.meta.get("val") if isinstance(node, Node) else None
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def is_per_channel(given: Sequence[int], shape: Sequence[int], axis: int) -> bool:
    """Whether a factor of shape `given` is one number for each place along one axis of `shape`, broadcast."""
    wide = [1] * len(shape)
    wide[axis] = shape[axis]
    return wide[axis] != 1 and list(given) == wide[len(wide) - len(given) :]


def axes_of(mean: Node) -> list[int]:
    """The axes that `aten.mean.dim` goes over, counted from the first; all of them where none is named."""
    rank = len(shape_of(mean.args[0]))
    given: Any = mean.args[1] if len(mean.args) > 1 else mean.kwargs.get("dim")
    return sorted(axis % rank for axis in given) if given else list(range(rank))


def module_path(node: Node) -> str:
    """The place in the model of the module that a node is of, as in `named_modules()`; empty for the model itself."""
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
    """The same graph without what nobody uses, checked and compiled."""
    graph.graph.eliminate_dead_code()
    graph.graph.lint()
    graph.recompile()
    return graph


def value_of(graph: GraphModule, node: Any) -> Tensor:
    """The value of a parameter or buffer node that must be one."""
    value = tensor_of(graph, node)
    assert value is not None
    return value


def is_random(node: Node) -> bool:
    """Whether an operator draws random numbers: by torch's own mark, unless its arguments turn that off."""
    target = node.target
    if not isinstance(target, OpOverload) or torch.Tag.nondeterministic_seeded not in target.tags:
        return False
    names = schema_of(target).arguments
    given = {one.name: one.default_value for one in names if one.has_default_value()}
    given |= dict(zip((one.name for one in names), node.args, strict=False)) | node.kwargs
    # Dropout at inference, attention without dropout.
    return all(given.get(name, True) for name in ("train", "training", "dropout_p"))
