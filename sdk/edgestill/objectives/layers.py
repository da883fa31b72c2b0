"""Outputs and features of models: checks, and conversion to common shapes."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from math import isqrt
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ModelError, OptionError, nearest
from .base import Outputs


def check_layers(model: nn.Module, names: Sequence[str], who: str) -> None:
    """Refuse names that `named_modules()` does not have.

    Args:
        who: `student` or `teacher`, for the message.

    Raises:
        ModelError: suggests the nearest name.
    """
    modules = [name for name, _ in model.named_modules() if name]
    for name in names:
        if name not in modules:
            raise ModelError(f"the {who} has no layer {name!r}{nearest(name, modules)}")


def as_logits(output: Any, who: str = "model", samples: int | None = None) -> Tensor:
    """The output of a model as logits in float32.

    Args:
        who: `student` or `teacher`, for the message. samples: size of the batch; None: not checked.

    Raises:
        ModelError: it is no floating-point tensor (states how to wrap the model), or does not have one row per sample.
    """
    if isinstance(output, Tensor) and samples is not None and output.shape[:1] != (samples,):
        raise ModelError(
            f"the {who}'s output for {samples} images has shape {tuple(output.shape)}; one row of logits for each "
            "image is needed, (N, classes): look for a reshape or a mean over the batch"
        )
    if isinstance(output, Tensor) and output.is_floating_point():
        return output.float()
    if isinstance(output, Tensor):
        raise ModelError(
            f"the {who} returns {str(output.dtype).removeprefix('torch.')} numbers; one tensor of logits (N, classes), "
            "float32, is needed, not the classes themselves"
        )
    what, part = f"a {type(output).__name__}", "[0]"
    if hasattr(output, "logits"):
        part = ".logits"
    elif isinstance(output, Mapping):
        keys = [str(key) for key in output]
        what = f"a {type(output).__name__} with {', '.join(map(repr, keys[:4])) or 'nothing in it'}"
        part = f'["{next((key for key in ("logits", "out", "output") if key in keys), next(iter(keys), "logits"))}"]'
    elif isinstance(output, (tuple, list)):
        what = f"a {type(output).__name__} of {len(output)}"
    else:
        what, part = ("nothing (None)" if output is None else what), ""
    wrapped = f": wrap it in a module whose forward is `return self.model(images){part}`" if part else ""
    raise ModelError(f"the {who} returns {what}; one torch.Tensor of logits (N, classes) is needed{wrapped}")


def named_tensors(
    output: Any, names: Sequence[str] = ("logits",), who: str = "model", samples: int | None = None
) -> dict[str, Tensor]:
    """The outputs of a model, as float32 tensors by name: see `Task.outputs`.

    Args:
        names: one for a model that returns a tensor; several for one that returns a tuple in this order, or a mapping.
        who, samples: as of `as_logits`.

    Raises:
        ModelError: as `as_logits`; or a tensor is missing.
    """
    if len(names) == 1:
        return {names[0]: as_logits(output, who, samples)}
    values = list(output) if isinstance(output, (tuple, list)) else []
    if isinstance(output, Mapping):
        values = [output[name] for name in names if name in output]
    if len(values) != len(names):
        raise ModelError(f"the {who} returns {type(output).__name__}; {' and '.join(names)} are needed, in this order")
    return {name: as_logits(one, who, samples) for name, one in zip(names, values, strict=True)}


def run(
    model: nn.Module, images: Tensor, layers: Sequence[str] = (), who: str = "model",
    names: Sequence[str] = ("logits",),
) -> Outputs:  # fmt: skip
    """One forward pass: the outputs, and what some layers gave, all in float32. No hook stays on the model.

    Args:
        who: `student` or `teacher`, for messages. names: of the outputs; see `Task.outputs`.

    Raises:
        ModelError: a layer took no part, or gave no tensor; or the model returned something else than logits.
    """
    features: dict[str, Tensor] = {}

    def keeper(name: str) -> Callable[..., None]:
        def keep(module: nn.Module, arguments: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                features[name] = output.float()

        return keep

    with ExitStack() as hooks:
        for name in dict.fromkeys(layers):
            hooks.enter_context(model.get_submodule(name).register_forward_hook(keeper(name)))
        tensors = named_tensors(model(images), names, who, len(images))
    for name in layers:
        if name not in features:
            raise ModelError(f"layer {name!r} took no part in the forward pass, or gave no tensor")
    return Outputs(tensors, features)


def parse_layers(layers: Sequence[str | Sequence[str]], objective: str) -> tuple[tuple[str, str], ...]:
    """Pairs (student's, teacher's) from a recipe: `["blocks.3", ["blocks.9", "stages.2"]]`; one name means both."""
    pairs = []
    for entry in layers:
        names = (entry, entry) if isinstance(entry, str) else tuple(entry)
        if len(names) != 2 or not all(isinstance(name, str) for name in names):
            raise OptionError(f"a layer is a name, or a pair [student's, teacher's], not {entry!r}")
        pairs.append((names[0], names[1]))
    if not pairs:
        raise OptionError(f"{objective} needs `layers`: pairs [student's, teacher's], named as in named_modules()")
    return tuple(pairs)


def as_map(features: Tensor) -> Tensor:
    """Features as maps (N, C, H, W).

    Tokens (N, T, C) of a transformer are laid out as the largest square that they fill; what stands before it (class
    token, registers) is left out. A vector (N, C) is a map of one pixel.
    """
    if features.ndim == 4:
        return features
    if features.ndim == 3:
        side = isqrt(features.shape[1])
        patches = features[:, features.shape[1] - side * side :]
        return patches.transpose(1, 2).reshape(len(features), -1, side, side)
    if features.ndim == 2:
        return features[:, :, None, None]
    raise ModelError(f"features of shape {tuple(features.shape)} are neither maps, tokens nor vectors")


def as_vector(features: Tensor) -> Tensor:
    """Features as one vector a sample, (N, C): maps and tokens are averaged over their positions."""
    return as_map(features).mean(dim=(2, 3))


def same_size(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two maps, the larger averaged down to the smaller's height and width."""
    size = (min(first.shape[2], second.shape[2]), min(first.shape[3], second.shape[3]))
    one, other = (part if part.shape[2:] == size else F.adaptive_avg_pool2d(part, size) for part in (first, second))
    return one, other
