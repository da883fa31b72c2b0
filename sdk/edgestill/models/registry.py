"""From a model's name to the module, and the two numbers that say how large it is."""

import contextlib
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edgestill_runtime.files import sha256_of_file

from ..errors import MissingExtraError, ModelError, nearest, one_line
from ..file_kinds import describe_file
from . import dscnn, resnet
from .copies import device_of, eval_mode, preserved_rng

if TYPE_CHECKING:
    from ..data import Data

MODELS: dict[str, Callable[..., nn.Module]] = {
    "dscnn_xs": dscnn.dscnn_xs,
    "dscnn_s": dscnn.dscnn_s,
    "dscnn_m": dscnn.dscnn_m,
    "resnet8": resnet.resnet8,
    "resnet8_m": resnet.resnet8_m,
    "resnet8_l": resnet.resnet8_l,
    "resnet14x4": resnet.resnet14x4,
}


def create_model(name: str, num_classes: int, in_channels: int = 1, seed: int = 0) -> nn.Module:
    """Build a model with freshly initialized weights.

    Args:
        name: one of ours, `timm:NAME`, or `module:factory`, a callable that returns a `torch.nn.Module`. It is given
            `num_classes` and `in_channels` (or `in_chans`) as far as its own signature names them; one that ends in
            `**kwargs` is tried with `num_classes` first, as torchvision's builders take it.
        seed: of the initial weights. The caller's own random numbers go on as if nothing had been drawn.

    Raises:
        ModelError: no such model, the message names the nearest; or a factory that failed.
    """
    kind, colon, rest = name.partition(":")
    with preserved_rng():
        torch.manual_seed(seed)
        if name in MODELS:
            return MODELS[name](num_classes=num_classes, in_channels=in_channels)
        if kind == "timm" and colon:
            return _timm(rest, num_classes, in_channels)
        if colon and kind and rest:
            return _import(kind, rest, num_classes, in_channels)
    raise ModelError(_unknown(name))


def _unknown(name: str) -> str:
    """What a name that is no model may be."""
    description = describe_file(name)
    if description is None:
        return f"unknown model {name!r}{nearest(name, [*MODELS, 'timm:NAME', 'module:factory'])}"
    return (
        f"{name} is {description.words}, and a model is wanted: one of {', '.join(MODELS)}, timm:NAME or module:factory"
    )


def create_student(model: str, data: "Data", *, seed: int = 0) -> nn.Module:
    """A model for the classes and the channels of the data, with freshly initialized weights; see `create_model`."""
    if not hasattr(data, "processor"):  # importing `Data` here would be a circle
        raise ModelError(f"data must be what load_data gives, not {data!r:.60}; create_model takes numbers of classes")
    return create_model(model, len(data.classes), data.processor.channels, seed)


def code_of(name: str) -> str:
    """What else than its name a model depends on: timm's version, or the file of a factory; empty for ours."""
    kind, colon, _ = name.partition(":")
    if not colon:
        return ""
    if kind == "timm":
        return metadata.version("timm")
    try:
        origin = getattr(importlib.util.find_spec(kind), "origin", None)
        return sha256_of_file(Path(origin)) if origin else ""
    except (OSError, ImportError, ValueError):
        return ""


def parameters(model: nn.Module) -> int:
    """Number of trainable values."""
    return sum(parameter.numel() for parameter in model.parameters())


def multiply_accumulates(model: nn.Module, inputs: tuple[int, ...] | Sequence[NDArray[Any]]) -> int:
    """MACs of one forward pass, counted by PyTorch's FLOP counter: 2 FLOPs a MAC.

    Args:
        inputs: shape of an image, (C, H, W), or one array for each input, batch 1.
    """
    device = device_of(model)
    image = all(isinstance(one, int) for one in inputs)
    examples = [np.zeros((1, *inputs), np.float32)] if image else inputs
    with eval_mode(model), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(*(torch.from_numpy(np.asarray(one)).to(device) for one in examples))
    return int(counter.get_total_flops()) // 2


def _timm_knows(name: str) -> Any:
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError("timm", "distill") from error
    if not timm.is_model(name):
        # A list of all of them would be longer than anything else on the screen.
        hint = nearest(name, timm.list_models()).partition("; valid")[0]
        raise ModelError(f"timm has no model {name!r}{hint or '; timm.list_models() in Python lists those it has'}")
    return timm


def _timm(name: str, num_classes: int, in_channels: int) -> nn.Module:
    timm = _timm_knows(name)
    try:
        model: nn.Module = timm.create_model(name, pretrained=False, num_classes=num_classes, in_chans=in_channels)
    except Exception as error:  # whatever a model of theirs does not take
        raise ModelError(
            f"timm:{name} cannot be made with {num_classes} classes and {in_channels} channels ({one_line(error)})"
        ) from error
    return model


def find_model(name: str) -> None:
    """Refuse a name that is no model's, without making one.

    Raises:
        ModelError: names the nearest.
    """
    kind, colon, rest = name.partition(":")
    if kind == "timm" and colon:
        _timm_knows(rest)
    elif colon and kind and rest:
        _factory(kind, rest)
    elif name not in MODELS:
        raise ModelError(_unknown(name))


def _factory(module: str, factory: str) -> Callable[..., Any]:
    name = f"{module}:{factory}"
    try:
        build: Any = importlib.import_module(module)
    except Exception as error:  # the user's own code, which may raise anything
        raise ModelError(f"model {name}: {module} cannot be imported ({one_line(error)})") from error
    for part in factory.split("."):
        if not hasattr(build, part):
            known = [word for word, value in vars(build).items() if callable(value) and not word.startswith("_")]
            hint = nearest(part, known) if len(known) < 20 else nearest(part, known).partition("; valid")[0]
            raise ModelError(f"model {name} cannot be imported: {module} has no {factory!r}{hint}")
        build = getattr(build, part)
    if isinstance(build, nn.Module) or not callable(build):
        raise ModelError(f"{name} must be a function or class that makes a model, not a {type(build).__name__}")
    made: Callable[..., Any] = build
    return made


def _import(module: str, factory: str, num_classes: int, in_channels: int) -> nn.Module:
    name = f"{module}:{factory}"
    model = _build(name, _factory(module, factory), num_classes, in_channels)
    if not isinstance(model, nn.Module):
        raise ModelError(f"{name} must return a torch.nn.Module, not {type(model).__name__}")
    return model


def _build(name: str, build: Callable[..., Any], num_classes: int, in_channels: int) -> Any:
    offered = {"num_classes": num_classes, "in_channels": in_channels, "in_chans": in_channels}
    arguments, optional = {}, False
    try:
        signature: inspect.Signature | None = inspect.signature(build)
    except (ValueError, TypeError):  # written in C: nothing is known of what it takes
        signature = None
    if signature is not None:
        arguments = {key: value for key, value in offered.items() if key in signature.parameters}
        # What a factory hands on as **kwargs is not known. Builders of torchvision and timm hand on `num_classes`.
        optional = "num_classes" not in arguments and any(
            one.kind is one.VAR_KEYWORD for one in signature.parameters.values()
        )
        try:
            signature.bind(**arguments)
        except TypeError as error:
            needs = [
                one.name for one in signature.parameters.values()
                if one.name not in arguments and one.default is one.empty
                and one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)
            ]  # fmt: skip
            raise ModelError(
                f"model {name} needs {', '.join(needs) or 'arguments by position'}, which only you know; write a "
                "function that takes num_classes and in_channels and fills in the rest"
            ) from error
    if optional:
        with contextlib.suppress(Exception):  # it does not take it: then without
            return build(**arguments, num_classes=num_classes)
    try:
        return build(**arguments)
    except Exception as error:
        raise ModelError(f"model {name} failed ({one_line(error)})") from error
