"""A `.tflite`: read from the flatbuffer; which operators XNNPACK takes, the interpreter says."""

import json
import signal
import subprocess
import sys
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ...contents import Inspection, Operator, Tensor, precision_of, reorders

DTYPES = {
    number: name.lower() for name, number in vars(schema.TensorType).items() if not name.startswith("_")
}  # fmt: skip
SIZES = {"int4": 0.5, "int8": 1, "uint8": 1, "bool": 1, "float16": 2, "int16": 2, "uint16": 2, "int64": 8, "float64": 8}

_DELEGATION = Path(__file__).with_name("delegation.py")
LOAD_SECONDS = 120.0  # for the interpreter to load a file and list what it delegates


def read_tflite(content: bytes, ask_engine: bool = True) -> Inspection:
    """Look into a LiteRT flatbuffer; of several subgraphs, the first."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    constant = {number for number, one in enumerate(graph.tensors) if _constant(model, one)}
    partitions, delegate = _delegation(content) if ask_engine else ({}, "not asked")
    operators = tuple(
        _operator(model, graph, one, constant, partitions.get(number)) for number, one in enumerate(graph.operators)
    )
    return Inspection(
        engine="litert",
        bytes=len(content),
        delegate=delegate,
        inputs=tuple(_tensor(graph, int(index)) for index in graph.inputs),
        outputs=tuple(_tensor(graph, int(index)) for index in graph.outputs),
        operators=operators,
        memory=_peak(graph, operators),
        memory_note="largest sum of tensors that live at once; the delegate may need scratch space beyond it",
    )


def count_parameters(content: bytes) -> int:
    """Values of all floating-point constants, each once: the parameters of an fp32 file, its batch norms folded."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    tensors = [one for graph in model.subgraphs for one in graph.tensors if _constant(model, one)]
    return sum({one.buffer: prod(_shape(one)) for one in tensors if DTYPES[one.type].startswith("float")}.values())


def _constant(model: Any, tensor: Any) -> bool:
    buffer = model.buffers[tensor.buffer]
    return buffer.data is not None or bool(buffer.size)


def _operator(model: Any, graph: Any, one: Any, constant: set[int], partition: int | None) -> Operator:
    inputs = [int(index) for index in one.inputs if index >= 0]
    activations, constants = (
        [index for index in inputs if index not in constant],
        [index for index in inputs if index in constant],
    )
    outputs = [int(index) for index in one.outputs]
    name = _name(model.operatorCodes[one.opcodeIndex])
    dtypes = [[DTYPES[graph.tensors[index].type] for index in side] for side in (activations, outputs, constants)]
    return Operator(
        name=name,
        precision=precision_of(dtypes[0], dtypes[1], dtypes[2]),
        shape=_shape(graph.tensors[outputs[0]]) if outputs else (),
        macs=_macs(name, graph, inputs, outputs),
        weights=sum(_bytes(graph.tensors[index]) for index in constants),
        inputs=tuple(activations),
        outputs=tuple(outputs),
        partition=partition,
        why="" if partition is not None else _why(name, dtypes[0] + dtypes[1]),
        reorders=name == "TRANSPOSE" and _reorders(model, graph, inputs[1], outputs[0]),
    )


def _reorders(model: Any, graph: Any, order: int, output: int) -> bool:
    content = model.buffers[graph.tensors[order].buffer].data
    # An order that is computed as the model runs is not known here.
    if content is None:
        return True
    return reorders(np.asarray(content, np.uint8).view(np.int32).tolist(), _shape(graph.tensors[output]))


def _macs(name: str, graph: Any, inputs: list[int], outputs: list[int]) -> int:
    """Multiply-accumulates of the operators that have any worth counting."""
    if len(inputs) < 2 or not outputs:
        return 0
    count = prod(_shape(graph.tensors[outputs[0]]))
    weights = _shape(graph.tensors[inputs[1]])
    if name == "CONV_2D" or name == "CONV_3D":
        return count * prod(weights[1:])
    if name == "DEPTHWISE_CONV_2D":
        return count * prod(weights[1:3])
    if name == "FULLY_CONNECTED":
        return count * weights[-1]
    if name == "BATCH_MATMUL":
        return count * _shape(graph.tensors[inputs[0]])[-1]
    if name == "TRANSPOSE_CONV" and len(inputs) > 2:
        return prod(_shape(graph.tensors[inputs[2]])) * weights[0] * prod(weights[1:3])
    return 0


def _why(name: str, dtypes: list[str]) -> str:
    if name.startswith("custom "):
        return "a custom operator"
    if "int64" in dtypes or "int32" in dtypes or "bool" in dtypes:
        return f"XNNPACK has no {name} for {', '.join(dict.fromkeys(dtypes))}"
    return f"XNNPACK does not take {name} of this precision or with these settings"


def _delegation(content: bytes) -> tuple[dict[int, int], str]:
    """Operator → partition of the delegate, asked in a process of its own: a damaged file may crash the interpreter."""
    command = [sys.executable, "-P", str(_DELEGATION)]
    try:
        done = subprocess.run(command, input=content, capture_output=True, check=False, timeout=LOAD_SECONDS)
    except subprocess.TimeoutExpired:
        return {}, f"unknown: the interpreter had not loaded this file after {LOAD_SECONDS:g} s"
    if done.returncode < 0:
        return {}, f"unknown: the interpreter was ended by {signal.Signals(-done.returncode).name}"
    if done.returncode != 0:
        return {}, "unknown: the interpreter does not load this file"
    found = json.loads(done.stdout.decode().splitlines()[-1])
    return {int(number): partition for number, partition in found.items()}, "XNNPACK" if found else "none"


def _peak(graph: Any, operators: tuple[Operator, ...]) -> int:
    last = {index: number for number, one in enumerate(operators) for index in one.inputs}
    last |= {int(index): len(operators) for index in graph.outputs}
    living = {int(index) for index in graph.inputs}
    peak = 0
    for number, one in enumerate(operators):
        living |= set(one.outputs)
        peak = max(peak, sum(_bytes(graph.tensors[index]) for index in living))
        living = {index for index in living if last.get(index, -1) > number}
    return peak


def _tensor(graph: Any, index: int) -> Tensor:
    tensor = graph.tensors[index]
    quantized = tensor.quantization
    scales: Any = [] if quantized is None or quantized.scale is None else np.atleast_1d(quantized.scale)
    zeros = [0] if quantized is None or quantized.zeroPoint is None else np.atleast_1d(quantized.zeroPoint)
    return Tensor(
        number=index,
        name=(tensor.name or b"").decode(errors="replace"),
        shape=_shape(tensor),
        dtype=DTYPES[tensor.type],
        scale=float(scales[0]) if len(scales) == 1 else None,
        zero_point=int(zeros[0]) if len(scales) == 1 else None,
    )


def _shape(tensor: Any) -> tuple[int, ...]:
    return () if tensor.shape is None else tuple(int(size) for size in np.atleast_1d(tensor.shape))


def _bytes(tensor: Any) -> int:
    return int(prod(_shape(tensor)) * SIZES.get(DTYPES[tensor.type], 4))


def _name(code: Any) -> str:
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    if number == schema.BuiltinOperator.CUSTOM:
        return f"custom {(code.customCode or b'').decode(errors='replace')}"
    return _builtin_names()[number]


@cache
def _builtin_names() -> dict[int, str]:
    return {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
