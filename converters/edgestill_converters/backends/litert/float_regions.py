"""Put operators of an int8 `.tflite` back into float, where that is faster and agrees with ExecuTorch.

LiteRT's converter turns `dequantize → operator → quantize` into an int8 operator wherever its interpreter has a kernel.
XNNPACK has none for some of these: each one splits a partition in two and runs in a kernel that is slower than float
(hard-swish). Others round differently from ExecuTorch, which keeps them in float inside its delegate. In a float
region, between a DEQUANTIZE and a QUANTIZE of their own, they stay inside LiteRT's delegate too.
"""

import copy
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from .padding import opcode

FLOAT_REGIONS = {
    "HARD_SWISH": schema.BuiltinOperator.HARD_SWISH,
    "GELU": schema.BuiltinOperator.GELU,
    "LEAKY_RELU": schema.BuiltinOperator.LEAKY_RELU,
}


def put_into_float(model: Any) -> None:
    """Put every int8 operator of `FLOAT_REGIONS` into a float region of its own, in place.

    Args:
        model: `schema.ModelT`.
    """
    codes = {number for number, code in enumerate(model.operatorCodes) if code.builtinCode in FLOAT_REGIONS.values()}
    for graph in model.subgraphs:
        operators: list[Any] = []
        for one in graph.operators:
            source, target = graph.tensors[one.inputs[0]], graph.tensors[one.outputs[0]]
            if one.opcodeIndex in codes and source.type == target.type == schema.TensorType.INT8:
                operators += _float_region(model, graph, one)
            else:
                operators.append(one)
        graph.operators = operators


def _float_region(model: Any, graph: Any, operator: Any) -> list[Any]:
    outside = int(operator.inputs[0]), int(operator.outputs[0])
    inside = tuple(_float_copy(graph, index) for index in outside)
    middle = copy.deepcopy(operator)
    middle.inputs, middle.outputs = [inside[0]], [inside[1]]
    return [
        _operator(model, schema.BuiltinOperator.DEQUANTIZE, outside[0], inside[0]),
        middle,
        _operator(model, schema.BuiltinOperator.QUANTIZE, inside[1], outside[1]),
    ]


def _float_copy(graph: Any, index: int) -> int:
    tensor = copy.deepcopy(graph.tensors[index])
    tensor.type, tensor.quantization, tensor.buffer = schema.TensorType.FLOAT32, None, 0
    tensor.name = tensor.name + b";float"
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _operator(model: Any, builtin: int, source: int, target: int) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex = opcode(model, builtin, 2 if builtin == schema.BuiltinOperator.DEQUANTIZE else 1)
    operator.inputs, operator.outputs = [source], [target]
    return operator
