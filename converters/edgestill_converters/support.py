"""Operators that an engine does not support, found in the graph before an export, and what to use instead.

`docs/converters.md` lists what is supported and what is refused, made by
`python -m benchmarks.suite.converters.coverage docs/converters.md`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols

from .backends import Backend
from .blame import operator_name
from .errors import ConversionError
from .rewrites.editing import is_random, module_path

# Name of an operator in ATen, without its overload → what to use instead.
REFUSED: Mapping[str, str] = {
    **dict.fromkeys(
        ("conv3d", "conv_transpose3d", "max_pool3d", "avg_pool3d", "adaptive_avg_pool3d", "max_pool3d_with_indices"),
        "2-D convolutions and pooling over one axis after the other, or the third axis as channels",
    ),
    **dict.fromkeys(
        ("adaptive_max_pool1d", "adaptive_max_pool2d"),
        "an output size that the input's is a multiple of, and no indices, or a max pooling with kernel and stride",
    ),
    **dict.fromkeys(
        ("nonzero", "masked_select", "unique2", "_unique2", "unique_consecutive"),
        "a mask that is multiplied with: a file's tensors have fixed shapes",
    ),
    **dict.fromkeys(("sort", "argsort"), "no sorting in the model: sort its outputs in the code that calls it"),
    **dict.fromkeys(("item", "_local_scalar_dense"), "the tensor itself: a number from it is not in the graph"),
}
_RANDOM = (
    "nn.Dropout or `training=self.training` where it is meant for training alone, else an input that brings the random "
    "numbers: a file gives the same answer to the same input"
)
# For results that are complex.
_COMPLEX = "real and imaginary part as two channels, and a Fourier transform as a product with a constant matrix"


def refuse_unsupported(graph: GraphModule) -> None:
    """Check a rewritten graph for operators that no engine supports.

    Raises:
        ConversionError: for the first one; names the module, the operator and what to use instead.
    """
    for node in graph.graph.nodes:
        if node.op != "call_function":
            continue
        name = operator_name(node)
        advice = REFUSED.get(name) or _unfit(node)
        if advice:
            raise ConversionError(f"{_place(node)} uses {name}, which no engine can be given; use {advice}")


def refuse_for(graph: GraphModule, backends: Sequence[Backend]) -> None:
    """Check a graph for operators that one of the backends does not support.

    Raises:
        ConversionError: as `refuse_unsupported`; names the backend too.
    """
    for node in graph.graph.nodes:
        if node.op != "call_function":
            continue
        name = operator_name(node)
        for one in backends:
            if name in one.lacks:
                raise ConversionError(
                    f"{_place(node)} uses {name}, which {one.name} has not; leave {one.name} out of the targets, or "
                    f"use {one.lacks[name]}"
                )


def _place(node: Node) -> str:
    path = module_path(node)
    return f"module {path!r}" if path else "the forward of the model"


def _unfit(node: Node) -> str:
    """What to use instead of an operator whose results no engine supports; empty if they are fine."""
    if is_random(node):
        return _RANDOM
    for value in _tensors(node.meta.get("val")):
        if value.is_complex():
            return _COMPLEX
        # A size that depends on values. (One that is only symbolic is the batch, in a graph for training.)
        if any(not isinstance(size, int) and free_unbacked_symbols(size) for size in value.shape):
            return "operators whose results have a shape that does not depend on values"
    return ""


def _tensors(value: Any) -> list[Tensor]:
    values = value if isinstance(value, (list, tuple)) else [value]
    return [one for one in values if isinstance(one, torch.Tensor)]
