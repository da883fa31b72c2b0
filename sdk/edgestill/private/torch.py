"""torch: what `torch.compile` leaves on a module, how a module keeps its parts, and what the processor can do."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

MODULE_ATTRIBUTES = frozenset(vars(nn.Module())) | {"_is_torch_compile"}
"""Attributes that torch itself gives a module: what every one has, and what `torch.compile` adds."""
COMPILED_PREFIX = "_orig_mod."
"""What `torch.compile(module)` puts into the names of the tensors of a state dict."""


def without_compile(module: nn.Module) -> nn.Module:
    """The plain module in one that `torch.compile` returned; any other module as it is."""
    original: nn.Module = getattr(module, "_orig_mod", module)
    return original


def drop_compiled_code(module: nn.Module) -> None:
    """Undo `module.compile()`, which works in place."""
    module._compiled_call_impl = None


def is_compiler_error(error: BaseException) -> bool:
    """Whether `torch.compile` itself failed, not the code that it compiles."""
    return type(error).__module__.startswith(("torch._dynamo", "torch._inductor"))


def hooks_of(module: nn.Module) -> tuple[list[Any], list[Any]]:
    """What runs before `forward`, and what runs after it."""
    return list(module._forward_pre_hooks.values()), list(module._forward_hooks.values())


def own_tensors(module: nn.Module) -> tuple[Mapping[str, Tensor | None], Mapping[str, Tensor | None]]:
    """Parameters and buffers of a module itself; None for one that is registered without a value."""
    return module._parameters, module._buffers


def own_modules(module: nn.Module) -> Mapping[str, nn.Module | None]:
    """Submodules, one level deep, in their order; None for one that is registered without a value."""
    return module._modules


def has_avx512_bf16() -> bool:
    """Whether the processor has instructions for bfloat16."""
    return bool(torch.cpu._is_avx512_bf16_supported())
