"""The caller's modules stay as they were: what is trained, moved or run for long is a copy.

working = copied(student)           # to train, or to run on another device
with eval_mode(model): …            # for one forward pass: each submodule's mode comes back
with kept_randomness(): …           # torch's random numbers go on as if nothing had been drawn
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..errors import ModelError
from ..private.torch import without_compile

_Module = TypeVar("_Module", bound=nn.Module)


def check_module(model: object, who: str = "model") -> None:
    """Refuse what is no module.

    Args:
        who: `student` or `teacher`, for the message.

    Raises:
        ModelError: says what it is.
    """
    if not isinstance(model, nn.Module):
        what = f"the class {model.__name__}" if isinstance(model, type) else f"a {type(model).__name__}"
        raise ModelError(f"the {who} must be a torch.nn.Module, and {what} was given; create_model makes one by name")


def copied(model: _Module) -> _Module:
    """A copy in float32 that shares nothing with the model; of one that `torch.compile` wrapped, the plain module.

    Raises:
        ModelError: it is no module, or holds something that cannot be copied.
    """
    check_module(model)
    plain: Any = without_compile(model)
    memo: dict[int, Any] = {}
    for module in plain.modules():
        for value in vars(module).values():
            # What a forward pass left behind, such as the weight of `weight_norm`: torch copies leaves alone.
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    try:
        result: _Module = copy.deepcopy(plain, memo)
    except Exception as error:
        raise ModelError(
            f"{type(plain).__name__} cannot be copied ({type(error).__name__}), and the original is never changed: "
            "keep open files, locks and generators out of the module"
        ) from error
    return result.float()  # images come so


def device_of(model: nn.Module) -> torch.device:
    """Where a model's weights are; the CPU for one that has none."""
    tensors = [*model.parameters(), *model.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Eval mode while the block runs; then every submodule has the mode that it had."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def preserved_rng() -> Iterator[None]:
    """Torch's random numbers, on the CPU and on the GPU in use, continue afterwards where they were."""
    cuda = torch.cuda.is_available() and bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if cuda else []):
        yield
