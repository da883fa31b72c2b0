"""Padding before max pooling: with zeros only where zeros never win."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgestill_converters.backends.litert.padding import pad_with_zeros

Builtin, Activation = schema.BuiltinOperator, schema.ActivationFunctionType


def net(value, readers=1, given_out=False, activation=Activation.RELU):
    """A convolution with a fused activation, PADV2 with `value`, and max pooling of what that gives."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.operatorCodes = [schema.OperatorCodeT() for _ in range(3)]
    for code, builtin in zip(model.operatorCodes, (Builtin.CONV_2D, Builtin.PADV2, Builtin.MAX_POOL_2D), strict=True):
        code.builtinCode = builtin
    # Image, activated, amounts, value, padded, pooled.
    graph.tensors, model.buffers = [schema.TensorT() for _ in range(6)], [schema.BufferT() for _ in range(6)]
    for number, tensor in enumerate(graph.tensors):
        tensor.buffer, tensor.type = number, schema.TensorType.FLOAT32
    model.buffers[3].data = None if value is None else np.frombuffer(np.float32([value]).tobytes(), np.uint8)
    graph.operators = [schema.OperatorT() for _ in range(2 + readers)]
    for one, (code, inputs, outputs) in zip(
        graph.operators, [(0, [0], [1]), (1, [1, 2, 3], [4]), (2, [4], [5])], strict=False
    ):
        one.opcodeIndex, one.inputs, one.outputs = code, inputs, outputs
    graph.operators[0].builtinOptions = schema.Conv2DOptionsT()
    graph.operators[0].builtinOptions.fusedActivationFunction = activation
    graph.outputs, model.subgraphs = [4, 5] if given_out else [5], [graph]
    return model


@pytest.mark.parametrize("value", [-np.inf, -3.0, 0.0])
def test_what_never_wins_becomes_zero(value):
    model = net(value)
    pad_with_zeros(model)
    padding = model.subgraphs[0].operators[1]
    assert model.operatorCodes[padding.opcodeIndex].builtinCode == Builtin.PAD and padding.inputs == [1, 2]


@pytest.mark.parametrize(
    "model",
    [
        net(5.0),  # wins
        net(np.nan),
        net(None),  # is computed
        net(-np.inf, readers=0),
        net(-np.inf, given_out=True),  # somebody sees it
        net(-np.inf, activation=Activation.NONE),  # what is padded may be below zero
    ],
)
def test_other_padding_stays(model):
    pad_with_zeros(model)
    padding = model.subgraphs[0].operators[1]
    assert model.operatorCodes[padding.opcodeIndex].builtinCode == Builtin.PADV2 and len(padding.inputs) == 3


@pytest.mark.parametrize(("value", "builtin"), [(-128, Builtin.PAD), (-127, Builtin.PADV2)])
def test_of_int8_the_zero_point_alone_becomes_zero(value, builtin):
    model = net(0.0)
    graph = model.subgraphs[0]
    graph.tensors[1].type, graph.tensors[1].quantization = schema.TensorType.INT8, schema.QuantizationParametersT()
    graph.tensors[1].quantization.zeroPoint = [-128]
    model.buffers[3].data = np.array([value], np.int8).view(np.uint8)
    pad_with_zeros(model)
    assert model.operatorCodes[graph.operators[1].opcodeIndex].builtinCode == builtin
