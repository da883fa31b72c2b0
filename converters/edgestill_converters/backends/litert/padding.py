"""Padding before max pooling, in a form that XNNPACK supports.

PyTorch pads with minus infinity there, and the converter makes a PADV2 of that, which XNNPACK does not support. It
supports PAD, with zeros. After a ReLU zeros change no maximum: every window holds a value that is no smaller.
"""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

RELUS = (schema.ActivationFunctionType.RELU, schema.ActivationFunctionType.RELU6)


def pad_with_zeros(model: Any) -> None:
    """Every PADV2 between a ReLU and max pooling → PAD, in place.

    Args:
        model: `schema.ModelT`.
    """
    codes = [code.builtinCode for code in model.operatorCodes]
    for graph in model.subgraphs:
        for one in graph.operators:
            if codes[one.opcodeIndex] == schema.BuiltinOperator.PADV2 and _zeros_suffice(model, graph, one, codes):
                one.opcodeIndex = opcode(model, schema.BuiltinOperator.PAD, 2)
                one.inputs = one.inputs[:2]
                one.builtinOptionsType, one.builtinOptions = schema.BuiltinOptions.PadOptions, schema.PadOptionsT()


def opcode(model: Any, builtin: int, version: int) -> int:
    """Number of an operator in the model's table of operators, to which it is added if it is missing."""
    codes = [code.builtinCode for code in model.operatorCodes]
    if builtin not in codes:
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = builtin
        code.version = version
        model.operatorCodes.append(code)
        codes.append(builtin)
    return codes.index(builtin)


def _zeros_suffice(model: Any, graph: Any, padding: Any, codes: list[int]) -> bool:
    source, padded = int(padding.inputs[0]), int(padding.outputs[0])
    tensor, value = graph.tensors[source], model.buffers[graph.tensors[padding.inputs[2]].buffer].data
    if value is None:
        return False  # it is computed
    if tensor.type == schema.TensorType.INT8:
        # PAD fills with the zero point. It is the smallest code after a ReLU, which is what PADV2 fills with.
        return len(value) == 1 and value.view("int8")[0] == tensor.quantization.zeroPoint[0]
    makers = [one for one in graph.operators if source in one.outputs]
    readers = [one for one in graph.operators if padded in one.inputs]
    return (
        tensor.type == schema.TensorType.FLOAT32
        and bool((np.asarray(value).view("<f4") <= 0).all())
        and padded not in list(graph.outputs)
        and bool(readers)
        and all(codes[one.opcodeIndex] == schema.BuiltinOperator.MAX_POOL_2D for one in readers)
        and all(getattr(one.builtinOptions, "fusedActivationFunction", None) in RELUS for one in makers)
        and bool(makers)
    )
