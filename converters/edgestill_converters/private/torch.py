"""torch: what the graphs of `torch.export` are made of, and how a module is called and keeps its parts."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch._ops import HigherOrderOperator, OpOverload
from torch.utils import _pytree

__all__ = [
    "BATCH_NORM_AT_INFERENCE",
    "CALL",
    "MODULE_PARTS",
    "RESIZE_BICUBIC_ANTIALIASED",
    "RESIZE_BILINEAR_ANTIALIASED",
    "RESIZE_NEAREST_EXACT",
    "TO_COPY",
    "HigherOrderOperator",
    "OpOverload",
    "leaves",
    "leaves_with_paths",
    "operator_name",
    "schema_of",
    "storage_ids",
]

aten = torch.ops.aten
# ATen operators with private names, which `torch.export` writes into graphs all the same.
TO_COPY = aten._to_copy.default
BATCH_NORM_AT_INFERENCE = aten._native_batch_norm_legit_no_training.default
RESIZE_NEAREST_EXACT = aten._upsample_nearest_exact2d.vec
RESIZE_BICUBIC_ANTIALIASED = aten._upsample_bicubic2d_aa.vec
RESIZE_BILINEAR_ANTIALIASED = aten._upsample_bilinear2d_aa.vec

CALL = "_call_impl"
"""Name of the function that stands between `module(x)` and `forward` in a traceback."""
MODULE_PARTS = ("_parameters", "_buffers", "_modules")
"""Attributes in which a module keeps its parameters, buffers and submodules."""


def schema_of(operator: Any) -> Any:
    """The schema of an ATen operator: its arguments, their defaults, `is_mutable`; None for any other function."""
    return getattr(operator, "_schema", None)


def operator_name(operator: Any) -> str:
    """ATen's name of an operator without its overload, such as `conv2d`; of any other function, its own name."""
    return str(getattr(operator, "_opname", None) or getattr(operator, "__name__", operator))


def storage_ids(tensors: Iterable[Any]) -> frozenset[int]:
    """A number for the memory of each tensor; views share it. Fake tensors have no address that could tell."""
    return frozenset(one.untyped_storage()._cdata for one in tensors if isinstance(one, Tensor))


def leaves(value: Any) -> list[Any]:
    """What nested tuples, lists, dicts and registered classes hold, from left to right, None included."""
    return list(_pytree.tree_leaves(value))


def leaves_with_paths(value: Any) -> list[tuple[list[Any], Any]]:
    """The same, each with its keys (strings and numbers) from the outside to the inside."""
    return [
        ([getattr(key, "key", getattr(key, "name", getattr(key, "idx", key))) for key in path], leaf)
        for path, leaf in _pytree.tree_flatten_with_path(value)[0]
    ]
