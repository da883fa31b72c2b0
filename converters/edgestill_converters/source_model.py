"""The user's model: a copy to work on, its outputs as a flat list, and where in it something failed."""

import copy
import inspect
import linecache
import re
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from edgestill_runtime.errors import first_line

from .errors import ConversionError
from .private.torch import CALL, MODULE_PARTS, leaves, leaves_with_paths
from .rewrites.editing import WRAPPED


def private_copy(model: nn.Module) -> nn.Module:
    """A copy of `model` on the CPU, in float32, in evaluation mode and without gradients.

    Raises:
        ConversionError: not a module, or its weights have no shape yet, or it holds something that cannot be copied
            (an open file, a lock).
    """
    if not isinstance(model, nn.Module):
        raise ConversionError(f"the model must be a torch.nn.Module, and a {type(model).__name__} was given")
    if lazy := [name for name, one in (*model.named_parameters(), *model.named_buffers()) if is_lazy(one)]:
        raise ConversionError(
            f"the model's {lazy[0]!r} has no shape yet, since its layer takes that from the first input it sees: call "
            "the model once with a sample before it is converted"
        )
    if odd := [name for name, one in model.named_parameters() if one.is_complex()]:
        raise ConversionError(
            f"the model's {odd[0]!r} is complex, and no engine has complex numbers; use real and imaginary part as two "
            "channels"
        )
    # A computed tensor that a module keeps as an attribute (the old `weight_norm`) cannot be copied with its history.
    memo: dict[int, Any] = {
        id(value): value.detach().clone()
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    try:
        copied: nn.Module = copy.deepcopy(model, memo)
    except Exception as error:  # whatever an attribute raises
        raise ConversionError(
            f"the model cannot be copied, and a conversion works on a copy: {_not_copied(model)}; remove it from the "
            "module, or define __deepcopy__"
        ) from error
    # With gradients recorded, torch forbids some writes in place that are fine at inference.
    for parameter in copied.parameters():
        parameter.detach_()
    return copied.cpu().float().eval()


def _not_copied(model: nn.Module) -> str:
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if name in MODULE_PARTS:
                continue
            try:
                copy.deepcopy(value)
            except Exception:  # as above
                return f"{f'{path}.' if path else ''}{name} is a {type(value).__name__}"
    return "one of its attributes does not allow it"


class FlatOutputs(nn.Module):
    """A model whose outputs are one flat tuple of tensors, in order; None is left out.

    Args:
        model: its outputs may be nested in tuples, lists, dicts and dataclasses.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.wrapped_model = model  # the name is `rewrites.editing.WRAPPED`

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The outputs of the model, flat."""
        return tuple(flat_outputs(self.wrapped_model(*inputs)))


def flat_outputs(outputs: Any) -> list[Any]:
    """Every output of a model, from left to right, however they are nested; None is left out."""
    return [one for one in leaves(outputs) if one is not None]


def output_names(outputs: Any) -> tuple[str, ...]:
    """A name for each of `flat_outputs`: its key in a dict (`a.0` for a nested one), else empty."""
    found = []
    for keys, value in leaves_with_paths(outputs):
        if value is not None:
            found.append(".".join(map(str, keys)) if any(isinstance(one, str) for one in keys) else "")
    return tuple(found)


# Files of which no line and no message is shown. `<…>` are files that torch makes up.
LIBRARIES = (
    "<", *(str(Path(str(one.__file__)).parent) for one in (torch, np)), str(Path(__file__).parent),
)  # fmt: skip


@dataclass(frozen=True)
class Checked:
    """A model that was called once: the module to export, and a name for each of its outputs, empty without one."""

    module: nn.Module
    names: tuple[str, ...]


def checked_call(model: nn.Module, examples: Sequence[Tensor]) -> Checked:
    """Call a model with one sample.

    Args:
        model: a private copy. examples: one tensor for each input, batch 1.

    Raises:
        ConversionError: it has other inputs, fails, or has outputs that no file can have.
    """
    if isinstance(model, torch.jit.ScriptModule):
        raise ConversionError(
            "the model is a TorchScript module, of which no graph can be made; give the nn.Module itself"
        )
    _check_signature(model, len(examples))
    shapes = ", ".join(f"{_kind(one)}{tuple(one.shape)}" for one in examples)
    try:
        with torch.inference_mode():
            outputs = model(*examples)
    except Exception as error:  # whatever is wrong in the user's model
        raise ConversionError(
            f"the model does not run on a sample of shape {shapes}: it fails {place_of(error, model)}"
            f"{of_other_types(error)}; call the model with one such sample by itself, and give samples that it takes"
        ) from error
    found = flat_outputs(outputs)
    if not found:
        raise ConversionError("the model has no output; give it a forward that returns tensors")
    for number, value in enumerate(found):
        if not isinstance(value, Tensor):
            raise ConversionError(
                f"output {number} of the model is a {type(value).__name__}, no tensor; return tensors alone, in a "
                "tuple, a list or a dict"
            )
        if value.dim() == 0 or len(value) != 1:
            raise ConversionError(
                f"output {number} of the model has shape {tuple(value.shape)} for one sample; every output must begin "
                "with the batch axis, which is 1 here"
            )
        if not value.numel():
            raise ConversionError(f"output {number} of the model has shape {tuple(value.shape)}, which is empty")
        if value.is_complex():
            raise ConversionError(f"output {number} of the model is complex; return its real and imaginary part")
    plain = isinstance(outputs, Tensor) or (type(outputs) is tuple and len(found) == len(outputs))
    plain = plain and all(isinstance(one, Tensor) for one in (outputs if type(outputs) is tuple else [outputs]))
    return Checked(model if plain else FlatOutputs(model), output_names(outputs))


def _check_signature(model: nn.Module, count: int) -> None:
    try:
        signature = inspect.signature(model.forward)
    except (TypeError, ValueError):  # a compiled module has none
        return
    try:
        signature.bind(*[None] * count)
    except TypeError:
        named = [
            one for one in signature.parameters.values() if one.kind is one.KEYWORD_ONLY and one.default is one.empty
        ]
        advice = (
            f"{', '.join(one.name for one in named)} must be given by name, which no model file can: give it a default"
            if named
            else "give samples with one array for each input"
        )
        raise ConversionError(
            f"the model's forward{signature} is called with the samples' {count} input{'s' * (count != 1)}, which it "
            f"does not take; {advice}"
        ) from None


def _kind(value: Tensor) -> str:
    return "" if value.dtype == torch.float32 else f"{str(value.dtype).removeprefix('torch.')} "


def of_other_types(error: BaseException) -> str:
    """An addition to the message if a model fails because of the types of its tensors, else empty."""
    mismatch = r"same dtype|scalar type \w+ but found|[Ii]nput type .* should be the same"
    if not isinstance(error, RuntimeError) or not re.search(mismatch, str(error)):
        return ""
    return " (a tensor there has another type than the weights, which a copy of the model has in float32)"


def place_of(error: BaseException, model: nn.Module) -> str:
    """Where in the model an exception came from: module, class, file, line and the line itself.

    The message of an exception is quoted if the model's own code raised it, not if a library did.
    """
    paths = {id(module): path for path, module in model.named_modules()}
    place, line, own = "", "", False
    for frame, number in _frames(error):
        code = frame.f_code
        owner = frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None
        own = not code.co_filename.startswith(LIBRARIES)
        if id(owner) in paths and code.co_name != CALL:
            path = paths[id(owner)].removeprefix(WRAPPED).removeprefix(".")
            place = f"in module {path!r} ({type(owner).__name__})" if path else f"in {type(owner).__name__}"
        if own and place:
            source = linecache.getline(code.co_filename, number).strip()
            line = f"{Path(code.co_filename).name} line {number}: `{source}`"
    words = first_line(error) if own and place else ""
    return ", ".join(word for word in (place, line, words) if word) or "outside of its modules"


def _frames(error: BaseException) -> list[tuple[Any, int]]:
    """The frames of an exception, and of the one that it was raised from first."""
    chain = [error]
    while (before := chain[-1].__cause__ or chain[-1].__context__) is not None and before not in chain:
        chain.append(before)
    return [frame for one in reversed(chain) for frame in traceback.walk_tb(one.__traceback__)]
