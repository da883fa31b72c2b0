"""Inputs and outputs of an int8 `.tflite`: integers, or float for runtimes that support no others.

The converter keeps the inputs and outputs of a quantized graph in float, with a QUANTIZE after each input and a
DEQUANTIZE before each output. Without the two the inputs and outputs are the integers themselves.
"""

import copy
from collections.abc import Sequence
from typing import Any

from ai_edge_litert import schema_py_generated as schema
from flatbuffers import Builder

IDENTIFIER = b"TFL3"
# Operator → the version that supports int8.
_VERSIONS = {
    schema.BuiltinOperator.QUANTIZE: 1,
    schema.BuiltinOperator.DEQUANTIZE: 2,
    schema.BuiltinOperator.RESHAPE: 1,
}


def use_integer_io(model: Any) -> None:
    """Make inputs that are quantized first, and outputs that are dequantized last, integers; in place.

    Args:
        model: `schema.ModelT`.
    """
    codes = [code.builtinCode for code in model.operatorCodes]
    for graph in model.subgraphs:
        for index in graph.inputs:
            if index not in graph.outputs:  # one that is also an output stays as it is
                _integer_input(graph, int(index), codes)
        for index in graph.outputs:
            _integer_output(graph, int(index), codes)


def with_float_io(content: bytes) -> bytes:
    """A `.tflite` with integer inputs and outputs → the same with float ones and the same integers inside.

    For runtimes without integer inputs, such as LiteRT.js. Quantizing and dequantizing compute what
    `edgestill_runtime.processing` computes, so the outputs are the same numbers.
    """
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    for number, graph in enumerate(model.subgraphs):
        for index in [int(one) for one in graph.inputs]:
            _float_tensor(model, number, index, "inputs")
        for index in [int(one) for one in graph.outputs]:
            _float_tensor(model, number, index, "outputs")
    return packed(model, len(content))


def remove_second_transposes(model: Any, shapes: list[tuple[int, ...] | None]) -> None:
    """Remove the second transpose of outputs that the converter has transposed twice, in place.

    If an image is an output and something else reads it as well, LiteRT's converter keeps it channels last and
    transposes it to channels last nevertheless.

    Args:
        model: `schema.ModelT` of one graph. shapes: the right shape of each output; None if not transposed.
    """
    graph = model.subgraphs[0]
    codes = [code.builtinCode for code in model.operatorCodes]
    for index, shape in zip([int(one) for one in graph.outputs], shapes, strict=True):
        chain = [index]
        maker = _maker(graph, index)
        if maker is not None and codes[maker.opcodeIndex] == schema.BuiltinOperator.DEQUANTIZE:
            chain.append(int(maker.inputs[0]))
            maker = _maker(graph, chain[-1])
        if shape is None or maker is None or codes[maker.opcodeIndex] != schema.BuiltinOperator.TRANSPOSE:
            continue
        source = int(maker.inputs[0])
        if tuple(graph.tensors[index].shape) == shape or tuple(graph.tensors[source].shape) != shape:
            continue
        for one in chain:
            graph.tensors[one].shape = list(shape)
        _become_copy(model, maker, source, shape)


def _maker(graph: Any, index: int) -> Any:
    return next((one for one in graph.operators if index in one.outputs), None)


def _become_copy(model: Any, operator: Any, source: int, shape: Sequence[int]) -> None:
    operator.opcodeIndex, operator.inputs = _code(model, schema.BuiltinOperator.RESHAPE), [source]
    operator.builtinOptionsType, operator.builtinOptions = (
        schema.BuiltinOptions.ReshapeOptions,
        schema.ReshapeOptionsT(),
    )
    operator.builtinOptions.newShape = [int(size) for size in shape]


def repeat_outputs(model: Any, order: list[int]) -> None:
    """Restore repeated outputs, in place: each repetition is a copy of the tensor.

    Args:
        model: `schema.ModelT` of one graph. order: for each output to be, the number of the present one.
    """
    graph = model.subgraphs[0]
    if order == list(range(len(graph.outputs))):
        return
    once, outputs = [int(one) for one in graph.outputs], []
    for number in order:
        outputs.append(once[number] if once[number] not in outputs else _copied(model, graph, once[number]))
    graph.outputs = outputs
    for signature in model.signatureDefs or []:
        signature.outputs = [_entry(f"output_{number}", index) for number, index in enumerate(outputs)]


def _copied(model: Any, graph: Any, index: int) -> int:
    tensor = copy.deepcopy(graph.tensors[index])
    tensor.name, tensor.buffer = tensor.name + b"/again", 0
    graph.tensors.append(tensor)
    operator = schema.OperatorT()
    operator.outputs = [len(graph.tensors) - 1]
    _become_copy(model, operator, index, tensor.shape)
    graph.operators.append(operator)
    return len(graph.tensors) - 1


def _entry(name: str, index: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name.encode(), index
    return entry


def packed(model: Any, size: int) -> bytes:
    """The bytes of a `schema.ModelT` that was about `size` bytes long."""
    builder = Builder(size + (1 << 16))
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def _float_tensor(model: Any, number: int, index: int, side: str) -> None:
    graph = model.subgraphs[number]
    inside = graph.tensors[index]
    if inside.quantization is None or inside.quantization.scale is None:
        return
    outside = schema.TensorT()
    outside.shape, outside.shapeSignature = inside.shape, inside.shapeSignature
    outside.type, outside.buffer = schema.TensorType.FLOAT32, 0
    outside.name, inside.name = inside.name, inside.name + b"/quantized"
    graph.tensors.append(outside)
    new = len(graph.tensors) - 1
    code = schema.BuiltinOperator.QUANTIZE if side == "inputs" else schema.BuiltinOperator.DEQUANTIZE
    source, target = (new, index) if side == "inputs" else (index, new)
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = _code(model, code), [source], [target]
    graph.operators.insert(0 if side == "inputs" else len(graph.operators), operator)
    setattr(graph, side, [new if int(one) == index else int(one) for one in getattr(graph, side)])
    for signature in model.signatureDefs or []:
        for entry in getattr(signature, side) if signature.subgraphIndex == number else []:
            entry.tensorIndex = new if entry.tensorIndex == index else entry.tensorIndex


def _code(model: Any, builtin: int) -> int:
    for number, one in enumerate(model.operatorCodes):
        if one.builtinCode == builtin and one.version >= _VERSIONS[builtin]:
            return number
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = builtin
    code.version = _VERSIONS[builtin]
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _integer_input(graph: Any, index: int, codes: list[int]) -> None:
    readers = [one for one in graph.operators if index in one.inputs]
    if len(readers) != 1 or codes[readers[0].opcodeIndex] != schema.BuiltinOperator.QUANTIZE:
        return
    graph.operators.remove(readers[0])
    inside = int(readers[0].outputs[0])
    _become(graph.tensors[index], graph.tensors[inside])
    for one in graph.operators:
        one.inputs = [index if source == inside else source for source in one.inputs]


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
        one.inputs = [index if source == inside else source for source in one.inputs]
        one.outputs = [index if target == inside else target for target in one.outputs]


def _become(tensor: Any, other: Any) -> None:
    """The outer tensor keeps its name and its place in the signature, with the type of the inner one."""
    tensor.type, tensor.quantization = other.type, other.quantization
