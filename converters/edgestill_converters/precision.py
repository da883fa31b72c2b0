"""How much of a file is int8, read from the file itself; and which layers stayed in float."""

from collections.abc import Sequence

import torch
from torch.fx import GraphModule

from edgestill_runtime.engines import Content

from .backends import Backend
from .blame import operator_name
from .contents import CONVERSIONS
from .errors import ConversionError
from .inspection import Inspection, inspect_bytes
from .rewrites.editing import module_path

aten = torch.ops.aten
# An int8 file may compute this share of its multiply-accumulates in float: enough for layer norms, not for attention.
FLOAT_SHARE = 0.01
# Operators that multiply and accumulate.
LAYERS = (
    aten.conv1d.default, aten.conv2d.default, aten.conv2d.padding, aten.conv1d.padding, aten.conv_transpose1d.default,
    aten.conv_transpose2d.input, aten.linear.default, aten.matmul.default, aten.mm.default, aten.bmm.default,
    aten.addmm.default, aten.baddbmm.default, aten.einsum.default, aten.lstm.input, aten.gru.input,
    aten.rnn_tanh.input, aten.rnn_relu.input, aten.bilinear.default, aten.scaled_dot_product_attention.default,
)  # fmt: skip
KEY = "quantization_annotation"


def float_layers(prepared: GraphModule) -> tuple[str, ...]:
    """Layers that the quantizer leaves in float, `module: operator`, each once.

    Args:
        prepared: a graph with observers.
    """
    found = []
    for node in prepared.graph.nodes:
        annotation = node.meta.get(KEY)
        if node.target in LAYERS and not (annotation is not None and annotation.input_qspec_map):
            found.append(f"{module_path(node) or 'the model'}: {operator_name(node)}")
    return tuple(dict.fromkeys(found))


def precision_of(name: str, content: Content, backend: Backend, quantized: bool) -> tuple[str, float | None]:
    """`int8`, `mixed` or `fp32`, and the share of multiply-accumulates that a file computes in float, 0–1.

    Args:
        name: of the file, for messages. quantized: whether its graph was, which decides, with a share of None, if the
            backend cannot inspect files.
    """
    if backend.inspect is None:
        return ("int8" if quantized else "fp32"), None
    seen = inspect_bytes(content, backend.name, name, ask_engine=False)
    if not computes_in_int8(seen):
        return "fp32", 1.0
    return "mixed" if seen.float_macs > FLOAT_SHARE else "int8", round(seen.float_macs, 4)


def computes_in_int8(seen: Inspection) -> bool:
    """Whether a file does more in int8 than to quantize and dequantize."""
    if seen.macs:
        return seen.float_macs < 1
    return any("int8" in one.precision and not one.name.startswith(CONVERSIONS) for one in seen.operators)


def refuse_float(name: str, layers: Sequence[str]) -> None:
    """Refuse a file that should be int8 and is all float.

    Raises:
        ConversionError: always.
    """
    which = f" ({', '.join(layers[:5])})" if layers else ""
    raise ConversionError(
        f"{name} was to be int8, and nothing in it is: the quantizer leaves all of it in float{which}; convert with "
        "precision fp32, or replace these layers by convolutions and linear layers"
    )
