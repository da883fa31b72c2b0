"""Writes in place, such as `relu_(a)` and `a[:, 0] = 0`: the same graph without them.

Rewrites and the quantizer follow the edges of the graph. A write that reaches its readers through memory alone (into a
part of a tensor, or into one that others read as well) would be lost: the graph would no longer compute the same.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind
from torch.fx import Graph, Node

from .private.torch import BATCH_NORM_AT_INFERENCE, HigherOrderOperator, OpOverload, schema_of, storage_ids
from .rewrites.editing import cleaned

aten = torch.ops.aten
_MUTATIONS = (OutputKind.BUFFER_MUTATION, OutputKind.PARAMETER_MUTATION, OutputKind.USER_INPUT_MUTATION)


def without_writes(program: ExportedProgram) -> ExportedProgram:
    """The same outputs for the same inputs, from operators that only return results.

    What a model writes into its inputs and buffers is dropped: a file has no state between calls. A model whose
    outputs depend on that is found by calling it twice (`parity.check_model`).
    """
    memory = {node: _storages(node) for node in program.graph.nodes}
    for node in program.graph.nodes:
        plain = _plain(node)
        if plain is not None and not _read_later(node, memory):
            node.target = plain
    if any(_writes(node) for node in program.graph.nodes):
        program = program.run_decompositions({})
        _restore_batch_norms(program.graph)
        _drop_mutations(program)
    cleaned(program.graph_module)
    return program


def _writes(node: Node) -> bool:
    if isinstance(node.target, OpOverload):
        return bool(schema_of(node.target).is_mutable)
    # A part of the model in a graph of its own, such as one under `torch.autocast`: it may write.
    return isinstance(node.target, HigherOrderOperator)


def _storages(node: Node) -> frozenset[int]:
    """The memory of a result, which views and inputs that are returned unchanged share."""
    value = node.meta.get("val")
    return storage_ids(value if isinstance(value, (list, tuple)) else [value])


def _plain(node: Node) -> Any:
    """The operator that returns what `node` writes into its first argument; None if there is none."""
    if not isinstance(node.target, OpOverload) or not _writes(node) or not isinstance(node.args[0], Node):
        return None
    name, _, overload = str(node.target).removeprefix("aten.").partition(".")
    plain = getattr(getattr(aten, name.removesuffix("_"), None), overload, None)
    if plain is None or not name.endswith("_") or schema_of(plain).is_mutable:
        return None
    arguments, named = torch.fx.node.map_arg((node.args, node.kwargs), lambda one: one.meta["val"])
    with node.meta["val"].fake_mode:
        result = plain(*arguments, **named)
    # A write keeps the type of the tensor it writes into; the plain operator may return a wider one.
    return plain if result.dtype == node.meta["val"].dtype else None


def _read_later(write: Node, memory: Mapping[Node, frozenset[int]]) -> bool:
    """Whether a later node reads the written memory through another tensor than the result of the write."""
    nodes = list(write.graph.nodes)
    place, written = nodes.index(write), memory[write.all_input_nodes[0]]
    before = {node for node in nodes[:place] if memory[node] & written}
    return any(before.intersection(node.all_input_nodes) for node in nodes[place + 1 :])


def _restore_batch_norms(graph: Graph) -> None:
    """Restore `batch_norm` at inference from its decomposition: the patterns of rewrites expect it."""
    for node in list(graph.nodes):
        if node.target is BATCH_NORM_AT_INFERENCE:
            node.target, node.args = aten.batch_norm.default, (*node.args[:5], False, *node.args[5:], True)
            node.meta["val"] = node.meta["val"][0]
            for user in list(node.users):
                user.replace_all_uses_with(node)
                graph.erase_node(user)


def _drop_mutations(program: ExportedProgram) -> None:
    """Remove outputs of the program that are written buffers and inputs, not outputs of the model."""
    specs = program.graph_signature.output_specs
    kept = [number for number, one in enumerate(specs) if one.kind not in _MUTATIONS]
    (output,) = (node for node in program.graph.nodes if node.op == "output")
    output.args = (tuple(output.args[0][number] for number in kept),)
    specs[:] = [specs[number] for number in kept]
