"""The operator that an exporter fails on: found by bisection over the first operators of the graph."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node
from torch.fx.graph import CodeGen

from .private import torch as private_torch
from .rewrites.editing import module_path

# Operators around the one to report.
AROUND = ("quantize_per", "getitem")


@dataclass(frozen=True)
class Blame:
    """Where in the model an exporter fails; both empty if that was not found.

    Args:
        operator: its name in ATen, such as `conv_transpose2d`. module: its path, as in `named_modules()`.
    """

    operator: str = ""
    module: str = ""

    def __str__(self) -> str:
        if not self.operator:
            return "this graph, and no single operator was found that it fails on"
        return (
            f"operator {self.operator} {f'in module {self.module!r}' if self.module else 'in the forward of the model'}"
        )


def first_failing(program: ExportedProgram, export: Callable[[ExportedProgram], Any], seconds: float) -> Blame:
    """The last of the fewest first operators of a graph that `export` fails on.

    Args:
        program: one that `export` fails on. seconds: limit of the search, the last export not counted.
    """
    graph = program.module(check_guards=False)
    operators = [node for node in graph.graph.nodes if node.op == "call_function"]
    until = time.monotonic() + seconds
    works, fails = 0, len(operators)
    while fails - works > 1:
        if time.monotonic() > until:
            return Blame()
        middle = (works + fails) // 2
        if _fails(_beginning(graph, middle), program, export):
            fails = middle
        else:
            works = middle
    # A graph that fails because of its outputs fails at no operator.
    if not operators or (fails == len(operators) and not _fails(_beginning(graph, fails), program, export)):
        return Blame()
    node = operators[fails - 1]
    while any(word in operator_name(node) for word in AROUND):
        before = [one for one in node.all_input_nodes if one.op == "call_function"]
        if not before:  # around an input or a weight, not an operator
            return Blame()
        node = before[0]
    return Blame(operator_name(node), module_path(node))


def _beginning(graph: GraphModule, count: int) -> GraphModule:
    """A graph of the first `count` operators; its outputs are the results that none of them reads."""
    part = copy.deepcopy(graph.graph)
    part.set_codegen(CodeGen())  # inputs and outputs as they are in the graph, not as the model had them
    operators = [node for node in part.nodes if node.op == "call_function"]
    kept = operators[:count]
    (output,) = (node for node in part.nodes if node.op == "output")
    outputs = [
        node for node in kept if isinstance(node.meta.get("val"), Tensor) and not any(one in kept for one in node.users)
    ]
    output.args = (tuple(outputs),)
    for node in reversed(operators[count:]):
        part.erase_node(node)
    part.eliminate_dead_code()
    return GraphModule(graph, part)


def _fails(part: GraphModule, program: ExportedProgram, export: Callable[[ExportedProgram], Any]) -> bool:
    # Not installed where models are only trained.
    from torchao.quantization.pt2e import allow_exported_model_train_eval

    allow_exported_model_train_eval(part)
    try:
        smaller = torch.export.export(part, program.example_inputs[0])
    except Exception:  # this part alone cannot be a graph, which is not the exporter's fault
        return False
    try:
        export(smaller)
    except Exception:  # whatever it raises, it fails
        return True
    return False


def operator_name(node: Node) -> str:
    """The name of an operator in ATen, without its overload."""
    return private_torch.operator_name(node.target)
