"""int8 inputs and outputs of a `.tflite`: the conversions at its two ends are left to the caller.

The converter keeps the inputs and outputs of a quantised graph in float, with a QUANTIZE after each input and a
DEQUANTIZE before each output. Without the two the caller hands over the integers themselves.
"""

from typing import Any

from ai_edge_litert import schema_py_generated as schema


def take_and_give_integers(model: Any) -> None:
    """Integer inputs and outputs wherever the model converts them first and last, in place.

    Args:
        model: `schema.ModelT`.
    """
    codes = [code.builtinCode for code in model.operatorCodes]
    for graph in model.subgraphs:
        for index in graph.inputs:
            _integer_input(graph, int(index), codes)
        for index in graph.outputs:
            _integer_output(graph, int(index), codes)


def _integer_input(graph: Any, index: int, codes: list[int]) -> None:
    readers = [one for one in graph.operators if index in one.inputs]
    if len(readers) != 1 or codes[readers[0].opcodeIndex] != schema.BuiltinOperator.QUANTIZE:
        return
    graph.operators.remove(readers[0])
    inside = int(readers[0].outputs[0])
    _become(graph.tensors[index], graph.tensors[inside])
    for one in graph.operators:
        one.inputs = [index if taken == inside else taken for taken in one.inputs]


def _integer_output(graph: Any, index: int, codes: list[int]) -> None:
    makers = [one for one in graph.operators if index in one.outputs]
    read = any(index in one.inputs for one in graph.operators)
    if read or len(makers) != 1 or codes[makers[0].opcodeIndex] != schema.BuiltinOperator.DEQUANTIZE:
        return
    inside = int(makers[0].inputs[0])
    if inside in [*graph.inputs, *graph.outputs]:
        return
    graph.operators.remove(makers[0])
    _become(graph.tensors[index], graph.tensors[inside])
    for one in graph.operators:
        one.inputs = [index if taken == inside else taken for taken in one.inputs]
        one.outputs = [index if given == inside else given for given in one.outputs]


def _become(tensor: Any, other: Any) -> None:
    """The outer tensor keeps its name and its place in the signature, and takes the type of the inner one."""
    tensor.type, tensor.quantization = other.type, other.quantization
