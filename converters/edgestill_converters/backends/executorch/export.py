"""A graph → `.pte`, delegated to XNNPACK."""

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from executorch.exir.passes.quantize_io_pass import quantize_input, quantize_output
from torch.export import ExportedProgram
from torch.fx import GraphModule
from torch.fx.passes.infra.pass_base import PassResult

from ...private.executorch import COPIES
from ...scale import Scale

QUANTIZE = torch.ops.quantized_decomposed.quantize_per_tensor.default
DEQUANTIZE = torch.ops.quantized_decomposed.dequantize_per_tensor.default


def export_pte(program: ExportedProgram) -> tuple[bytes, list[Scale | None], list[Scale | None]]:
    """Lower a float graph, or a quantized one with folded weights, to an ExecuTorch program for batch 1.

    Inputs that the graph quantizes first, and outputs that it dequantizes last, become int8 in the file, which does not
    store their scales. The layout follows the example inputs: the inputs of the file have exactly their strides.

    Returns:
        The file, and for each input and output its scale if it is int8, else None.
    """
    inputs, outputs = _quantize_io(program)
    lowered = to_edge_transform_and_lower(program, transform_passes=[_drop_copies], partitioner=[XnnpackPartitioner()])
    return bytes(lowered.to_executorch().buffer), inputs, outputs


def _drop_copies(graph: GraphModule) -> PassResult:
    """Remove copies that change nothing, which decompositions leave behind and XNNPACK does not support."""
    dropped = False
    for node in list(graph.graph.nodes):
        if node.op == "call_function" and node.target in COPIES:
            before, after = node.args[0].meta["val"], node.meta["val"]
            alike = (before.shape, before.dtype, before.stride()) == (after.shape, after.dtype, after.stride())
            if alike and node.args[0].op != "placeholder":
                node.replace_all_uses_with(node.args[0])
                graph.graph.erase_node(node)
                dropped = True
    graph.recompile()
    return PassResult(graph, dropped)


def _quantize_io(program: ExportedProgram) -> tuple[list[Scale | None], list[Scale | None]]:
    nodes = program.graph.nodes
    inputs: list[Scale | None] = []
    for position, name in enumerate(program.graph_signature.user_inputs):
        (node,) = (one for one in nodes if one.op == "placeholder" and one.name == name)
        users = [user for user in node.users if user.target is QUANTIZE]
        if len(node.users) == len(users) == 1:
            inputs.append(Scale(float(users[0].args[1]), int(users[0].args[2])))
            quantize_input(program, position)
        else:
            inputs.append(None)
    outputs: list[Scale | None] = []
    (output,) = (one for one in nodes if one.op == "output")
    for position, node in enumerate(output.args[0]):
        found = node.target is DEQUANTIZE
        outputs.append(Scale(float(node.args[1]), int(node.args[2])) if found else None)
        if found:
            quantize_output(program, position)
    return inputs, outputs
