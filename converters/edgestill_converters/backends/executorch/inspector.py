"""A `.pte`: ExecuTorch's program, and the XNNPACK graphs inside it."""

from collections.abc import Iterator
from math import prod
from typing import Any

from ...contents import Inspection, Operator, Tensor, precision_of, reorders
from ...errors import InspectionError
from ...private.executorch import has_flatc, read_program, read_xnnpack_graph

# executorch/exir/scalar_type.py
SCALARS = (
    "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "complex32", "complex64", "complex128",
    "bool", "qint8", "quint8", "qint32", "bfloat16",
)  # fmt: skip
SIZES = {"uint8": 1, "int8": 1, "qint8": 1, "quint8": 1, "bool": 1, "int16": 2, "float16": 2, "bfloat16": 2}
EIGHT = ("int64", "float64")
# executorch/backends/xnnpack/serialization/schema.fbs, XNNDatatype
XNN_DTYPES = {
    "xnn_datatype_fp32": "float32", "xnn_datatype_fp16": "float16", "xnn_datatype_qint8": "int8",
    "xnn_datatype_quint8": "uint8", "xnn_datatype_qint32": "int32", "xnn_datatype_qcint8": "int8",
    "xnn_datatype_qcint32": "int32", "xnn_datatype_qcint4": "int4", "xnn_datatype_qdint8": "int8, dynamic",
    "xnn_datatype_qbint4": "int4", "xnn_datatype_int32": "int32", "xnn_datatype_pfp32": "float32",
}  # fmt: skip
TRANSPOSES = ("aten::permute_copy", "aten::transpose_copy")
OPERANDS = (
    "input_id",
    "input1_id",
    "input2_id",
    "input3_id",
    "input4_id",
    "input5_id",
    "query_id",
    "key_id",
    "value_id",
)
CONSTANTS = ("filter_id", "bias_id", "scale_id", "mask_id")


def read_pte(content: bytes) -> Inspection:
    """Look into an ExecuTorch program; of several methods, `forward` or the first."""
    if not has_flatc():
        raise InspectionError(
            "a .pte is read with the program flatc, which executorch brings and this installation of it lacks. "
            "Install it again with: pip install --force-reinstall executorch"
        )
    program = read_program(content)
    plan = next((one for one in program.execution_plan if one.name == "forward"), program.execution_plan[0])
    operators: list[Operator] = []
    partition = 0
    backends = []
    for chain in plan.chains:
        for instruction in chain.instructions:
            call = instruction.instr_args
            kind = type(call).__name__
            if kind == "DelegateCall":
                delegate = plan.delegates[call.delegate_index]
                backends.append(delegate.id)
                operators += _delegate(program, plan, delegate, call.args, partition)
                partition += 1
            elif kind == "KernelCall":
                operators.append(_kernel(plan, call))
    return Inspection(
        engine="executorch",
        bytes=len(content),
        delegate=", ".join(dict.fromkeys(one.removesuffix("Backend").upper() for one in backends)) or "none",
        inputs=tuple(_tensor(plan, index) for index in plan.inputs if _is_tensor(plan, index)),
        outputs=tuple(_tensor(plan, index) for index in plan.outputs if _is_tensor(plan, index)),
        operators=tuple(operators),
        memory=sum(plan.non_const_buffer_sizes),
        memory_note="planned by ExecuTorch, outside the delegate, which plans its own at loading",
    )


def _kernel(plan: Any, call: Any) -> Operator:
    definition = plan.operators[call.op_index]
    indices = [index for one in call.args for index in _members(plan, one)]
    tensors = [index for index in dict.fromkeys(indices) if _is_tensor(plan, index)]
    # The last tensor of an out variant is its result.
    outputs = tensors[-1:]
    inputs = [index for index in tensors[:-1] if not _is_constant(plan, index)]
    constants = [index for index in tensors[:-1] if _is_constant(plan, index)]
    dtypes = [[_dtype(plan.values[index].val) for index in side] for side in (inputs, outputs, constants)]
    name = definition.name
    return Operator(
        name=name,
        precision=precision_of(*dtypes),
        shape=_shape(plan, outputs[0]) if outputs else (),
        macs=_kernel_macs(plan, name, tensors),
        weights=sum(_bytes(plan, index) for index in constants),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        partition=None,
        why=f"ExecuTorch's XNNPACK partitioner does not take this {name.removeprefix('aten::')}",
        # The order of the axes is not read; with at most one axis longer than 1 no transpose reorders values.
        reorders=name in TRANSPOSES and sum(size > 1 for size in _shape(plan, outputs[0])) > 1,
    )


def _kernel_macs(plan: Any, name: str, tensors: list[int]) -> int:
    if len(tensors) < 3:
        return 0
    outputs = prod(_shape(plan, tensors[-1]))
    if name in ("aten::bmm", "aten::mm"):
        return outputs * _shape(plan, tensors[0])[-1]
    if name == "aten::addmm":
        return outputs * _shape(plan, tensors[1])[-1]
    if name == "aten::linear":
        return outputs * _shape(plan, tensors[1])[-1]
    if name == "aten::convolution":
        return outputs * prod(_shape(plan, tensors[1])[1:])
    return 0


def _delegate(program: Any, plan: Any, delegate: Any, arguments: list[int], partition: int) -> Iterator[Operator]:
    where = delegate.processed
    if delegate.id != "XnnpackBackend" or where.location.name != "INLINE":
        flows = tuple(index for index in arguments if _is_tensor(plan, index))
        yield Operator(f"delegate {delegate.id}", "unknown", (), 0, 0, flows[:-1], flows[-1:], partition)
        return
    graph = read_xnnpack_graph(bytes(program.backend_delegate_data[where.index].data))
    values = {_value(one)["id_out"]: _value(one) for one in graph["xvalues"]}
    # Inputs and outputs of the delegate's graph: an external number is the position of an argument of the call.
    outside = {
        number: arguments[value["external_id"]] for number, value in values.items()
        if value["flags"] & 3 and value["external_id"] < len(arguments)
    }  # fmt: skip
    for node in graph["xnodes"]:
        name, facts = node["xnode_union_type"].removeprefix("_").removeprefix("XNN"), node["xnode_union"]
        facts = facts.get("leaf", facts)
        inputs = [facts[key] for key in OPERANDS if key in facts and facts[key] in values]
        constants = [facts[key] for key in CONSTANTS if key in facts and facts[key] in values]
        activations = [number for number in inputs if not values[number]["constant_buffer_idx"]]
        constants += [number for number in inputs if values[number]["constant_buffer_idx"]]
        outputs = [facts[key] for key in ("output_id", "output_value_id") if key in facts]
        dtypes = [[_xnn_dtype(values[number]) for number in side] for side in (activations, outputs, constants)]
        shape = tuple(values[outputs[0]]["dims"])
        inner = (partition + 1) * 1_000_000  # above every number of a tensor outside
        numbers = [[outside.get(value, inner + value) for value in side] for side in (activations, outputs)]
        yield Operator(
            name=name,
            precision=precision_of(*dtypes),
            shape=shape,
            macs=_xnn_macs(name, facts, shape, values),
            weights=sum(_xnn_bytes(values[number]) for number in constants),
            inputs=tuple(numbers[0]),
            outputs=tuple(numbers[1]),
            partition=partition,
            reorders=name == "StaticTranspose" and reorders(facts["perm"], shape),
        )


def _xnn_macs(name: str, facts: dict[str, Any], shape: tuple[int, ...], values: dict[int, Any]) -> int:
    outputs = prod(shape)
    if name in ("Conv2d", "DepthwiseConv2d"):
        return int(outputs * facts["kernel_height"] * facts["kernel_width"] * facts["group_input_channels"])
    if name == "ConvTranspose2d":
        inputs = prod(values[facts["input1_id" if "input1_id" in facts else "input_id"]]["dims"])
        return int(inputs * facts["kernel_height"] * facts["kernel_width"] * facts["group_output_channels"])
    if name == "FullyConnected":
        return int(outputs * values[facts["filter_id"]]["dims"][-1])
    if name == "BatchMatrixMultiply":
        return int(outputs * values[facts["input1_id"]]["dims"][-1])
    return 0


def _value(entry: dict[str, Any]) -> dict[str, Any]:
    """The tensor of an XValue, in which a quantized one wraps the plain one."""
    value: dict[str, Any] = entry["xvalue_union"]
    plain: dict[str, Any] = value.get("tensor_value", value)
    return plain


def _xnn_dtype(value: dict[str, Any]) -> str:
    return XNN_DTYPES.get(value["datatype"], str(value["datatype"]))


def _xnn_bytes(value: dict[str, Any]) -> int:
    return int(prod(value["dims"]) * {"int8": 1, "uint8": 1, "int4": 0.5, "float16": 2}.get(_xnn_dtype(value), 4))


def _members(plan: Any, index: int) -> list[int]:
    """The tensors of a list of tensors; other lists hold sizes, factors or flags."""
    value = plan.values[index].val
    return list(value.items) if type(value).__name__ in ("TensorList", "OptionalTensorList") else [index]


def _is_tensor(plan: Any, index: int) -> bool:
    return 0 <= index < len(plan.values) and type(plan.values[index].val).__name__ == "Tensor"


def _is_constant(plan: Any, index: int) -> bool:
    return bool(plan.values[index].val.data_buffer_idx) and plan.values[index].val.allocation_info is None


def _dtype(tensor: Any) -> str:
    return SCALARS[int(tensor.scalar_type)]


def _shape(plan: Any, index: int) -> tuple[int, ...]:
    return tuple(int(size) for size in plan.values[index].val.sizes)


def _bytes(plan: Any, index: int) -> int:
    dtype = _dtype(plan.values[index].val)
    return prod(_shape(plan, index)) * (8 if dtype in EIGHT else SIZES.get(dtype, 4))


def _tensor(plan: Any, index: int) -> Tensor:
    return Tensor(index, "", _shape(plan, index), _dtype(plan.values[index].val))
