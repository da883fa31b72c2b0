"""From a model's name to the module, and the two numbers that say how large it is."""

import importlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ..errors import MissingExtraError, ModelError, nearest
from . import dscnn, resnet

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
    """Build a model with freshly initialised weights.

    Args:
        name: one of ours, `timm:NAME`, or `module:factory`, a callable that returns a `torch.nn.Module`; it is given
            `num_classes` and `in_channels` as far as it takes them.
        seed: of the initial weights.

    Raises:
        ModelError: no such model; the message names the nearest.
    """
    torch.manual_seed(seed)
    kind, colon, rest = name.partition(":")
    if name in MODELS:
        return MODELS[name](num_classes=num_classes, in_channels=in_channels)
    if kind == "timm" and colon:
        return _timm(rest, num_classes, in_channels)
    if colon:
        return _import(kind, rest, num_classes, in_channels)
    raise ModelError(f"unknown model {name!r}{nearest(name, [*MODELS, 'timm:NAME', 'module:factory'])}")


create_student = create_model


def parameters(model: nn.Module) -> int:
    """Number of trainable values."""
    return sum(parameter.numel() for parameter in model.parameters())


def multiply_accumulates(model: nn.Module, inputs: tuple[int, ...] | Sequence[NDArray[Any]]) -> int:
    """MACs of one forward pass, counted by PyTorch's FLOP counter: 2 FLOPs a MAC.

    Args:
        inputs: shape of an image, (C, H, W), or one array for each input, batch 1.
    """
    was_training = model.training
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    image = all(isinstance(one, int) for one in inputs)
    examples = [np.zeros((1, *inputs), np.float32)] if image else inputs
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(*(torch.from_numpy(np.asarray(one)).to(device) for one in examples))
    model.train(was_training)
    return int(counter.get_total_flops()) // 2


def _timm(name: str, num_classes: int, in_channels: int) -> nn.Module:
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError("timm", "distill") from error
    if not timm.is_model(name):
        raise ModelError(f"timm has no model {name!r}{nearest(name, timm.list_models())}")
    model: nn.Module = timm.create_model(name, pretrained=False, num_classes=num_classes, in_chans=in_channels)
    return model


def _import(module: str, factory: str, num_classes: int, in_channels: int) -> nn.Module:
    try:
        build = getattr(importlib.import_module(module), factory)
    except (ImportError, AttributeError) as error:
        raise ModelError(f"model {module}:{factory} cannot be imported: {error}") from error
    known = inspect.signature(build).parameters
    every = any(one.kind is one.VAR_KEYWORD for one in known.values())
    offered = {"num_classes": num_classes, "in_channels": in_channels}
    model = build(**{key: value for key, value in offered.items() if every or key in known})
    if not isinstance(model, nn.Module):
        raise ModelError(f"{module}:{factory} must return a torch.nn.Module, not {type(model).__name__}")
    return model
