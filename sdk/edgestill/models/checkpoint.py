"""Checkpoints: safetensors files, written atomically, with what the weights were trained on beside them.

Other people's files are read too (`weights.py`); no code in a file is run.
"""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from edgestill_runtime.files import write_bytes

from ..errors import ModelError
from ..progress import SILENT, Progress
from .weights import (
    Weights,
    described,
    is_average,
    read_metadata,
    read_weights,
    tied_names,
    without_wrapper,
    wrong_choice,
)  # fmt: skip

__all__ = ["check_fit", "load_checkpoint", "read_metadata", "save_checkpoint", "weight_shapes"]

# What older or other programs leave out or add, and no forward pass in eval mode misses.
_COUNTER = "num_batches_tracked"


def save_checkpoint(
    path: str | PathLike[str],
    model: nn.Module,
    metadata: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a model's `state_dict`; weights that are used in several places are written once.

    Args:
        metadata: plain data, kept in the file as JSON under the key `edgestill`.
        dtype: store floating-point weights in this type (`torch.float16` halves the file); loading casts back.

    Raises:
        StorageError: the file could not be written; an earlier one is untouched.
    """
    tensors = {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    tied = tied_names(tensors)
    state: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name in tied:
            continue
        target_dtype = dtype if dtype and tensor.is_floating_point() else tensor.dtype
        # A copy, as tensors may be views into one another, which a file cannot hold.
        state[name] = tensor.detach().to("cpu", target_dtype).clone(memory_format=torch.contiguous_format)
    write_bytes(path, safetensors.torch.save(state, described(tied, metadata or {})))


def load_checkpoint(
    path: str | PathLike[str], model: nn.Module, *, weights: str | None = None, progress: Progress = SILENT
) -> dict[str, Any]:
    """Put the weights of a file into `model`, all or nothing, and return the file's metadata.

    Args:
        path: safetensors, or what `torch.save` wrote: a `state_dict`, alone or in a checkpoint under `state_dict`,
            `model`, `net` and the like; told by the content, not by the name. Prefixes of the names (`module.`,
            `model.`, `_orig_mod.`) are taken off, and what was recognized is said to `progress`.
        weights: of a file that holds several: `ema` for the moving average, or a key of the file, or a prefix of its
            names; the plain weights when None.

    Raises:
        ModelError: no such file, no weights in it, `weights` that it lacks, several that may be meant, or names or
            shapes that differ; `model` is untouched.
    """
    path = Path(path)
    weights_of_file, state, problems = _compared(path, model, weights)
    if problems:
        raise _misfit(path, model, state, problems)
    if weights_of_file.notes:
        progress.message(f"{path}: {'; '.join(weights_of_file.notes)}")
    with torch.no_grad():
        for name, tensor in _tensors(model).items():
            if name in state:
                tensor.copy_(state[name])
    return weights_of_file.metadata


def check_fit(path: str | PathLike[str], models: Sequence[nn.Module], weights: str | None = None) -> None:
    """Refuse a checkpoint that fits none of some models; they are left as they are.

    Args:
        weights: as of `load_checkpoint`.

    Raises:
        ModelError: as by `load_checkpoint`, of the model that it fits best.
    """
    path = Path(path)
    misfits = []
    for model in models:
        _, state, problems = _compared(path, model, weights)
        if not problems:
            return
        misfits.append((len(problems), _misfit(path, model, state, problems)))
    if misfits:
        raise min(misfits, key=lambda one: one[0])[1]


def weight_shapes(
    path: str | PathLike[str], model: nn.Module, weights: str | None = None
) -> dict[str, tuple[int, ...]]:
    """The shapes of a file's weights under the names that the model has, whether they fit it or not.

    Args:
        weights: as of `load_checkpoint`.

    Raises:
        ModelError: no such file, no weights in it, `weights` that it lacks, or several that may be meant.
    """
    expected = _tensors(model)
    state = _fitted(read_weights(Path(path), weights, expected), expected, Path(path))
    return {name: tuple(tensor.shape) for name, tensor in state.items() if not tensor.is_nested}


def _compared(path: Path, model: nn.Module, requested: str | None) -> tuple[Weights, dict[str, Tensor], list[str]]:
    """A file's weights, the same under the model's names, and what keeps them from fitting."""
    expected = _tensors(model)
    weights_of_file = read_weights(path, requested, expected)
    state = _fitted(weights_of_file, expected, path)
    for name in [one for one in state if one in expected]:
        if (wrong := _unusable(state[name], expected[name])) is not None:
            key = next((key for key, one in weights_of_file.state.items() if one is state[name]), name)
            raise ModelError(f"checkpoint {path}: {key} {wrong}")
    return weights_of_file, state, _problems(state, expected)


def _unusable(tensor: Tensor, own: Tensor) -> str | None:
    """What keeps a tensor of a file from being a weight, whatever its shape; own: the model's tensor of that name."""
    if tensor.is_meta:
        return "has a shape and no numbers (it was saved from the device `meta`); save the weights of a loaded model"
    if tensor.is_quantized:
        return "is quantized; give the weights in float, as they were before that"
    if tensor.layout is not torch.strided or tensor.is_nested:
        kind = "nested" if tensor.is_nested else "sparse"
        return f"is a {kind} tensor; save it as a dense one, tensor.to_dense()"
    if tensor.is_complex() and not own.is_complex():
        return "is complex, and the model has real numbers there"
    if not tensor.is_floating_point():
        return None
    wide = tensor if tensor.element_size() > 1 else tensor.float()  # of eight bits torch does not ask that
    finite = wide.isfinite()
    if finite.all():
        return None
    word = "NaN" if wide.isnan().any() else "infinity"
    # A mask of the model's own, -inf where nothing is to be seen.
    if word == "infinity" and torch.equal(finite, own.isfinite().cpu()):
        return None
    count = int((~finite).sum())
    return f"holds {word} ({count:,} of {tensor.numel():,} values); the training that made it went wrong"


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}


def _misfit(path: Path, model: nn.Module, state: Mapping[str, Tensor], problems: Sequence[str]) -> ModelError:
    shown = "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
    hint = _hint(state, _tensors(model))
    return ModelError(f"checkpoint {path} does not fit {type(model).__name__}: {shown}{hint}")


def _fitted(weights_of_file: Weights, expected: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The file's weights under the names that the model has."""
    state = {without_wrapper(name): tensor for name, tensor in weights_of_file.state.items()}
    if len(state) < len(weights_of_file.state):
        state = dict(weights_of_file.state)
    bare = {without_wrapper(name): name for name in expected}
    prefix = _prefix(state, bare, path, weights_of_file)
    inside = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    if not prefix and bare.keys() <= inside.keys():  # an average may stand beside names without a prefix
        inside = {name: value for name, value in inside.items() if name in bare or not is_average(name)}
    if left := len(state) - len(inside):
        weights_of_file.notes.append(f"{left} other tensors left out")
    if prefix:
        weights_of_file.notes.append(f"{prefix!r} taken off the names")
    elif len(bare) and not inside.keys() & bare.keys():
        # The other way round: here the model is the one that is wrapped.
        outer = {name.removeprefix(f"{word}."): name for word in ("module", "model", "net") for name in bare}
        if inside.keys() <= outer.keys():
            inside = {outer[name]: value for name, value in inside.items()}
    named = {bare.get(name, name): value for name, value in inside.items()}
    for name, first in tied_names(expected).items():
        if name not in named and first in named:
            named[name] = named[first]
        elif first not in named and name in named:
            named[first] = named[name]
    return named


def _prefix(state: Mapping[str, Tensor], expected: Mapping[str, str], path: Path, weights_of_file: Weights) -> str:
    """What stands before the model's own names in the file: the prefix under which most of them are found."""
    needed = [name for name in expected if not name.endswith(_COUNTER)]
    candidates = {""}
    for sample in needed[:1] + needed[len(needed) // 2 :][:1] + needed[-1:]:
        candidates |= {name.removesuffix(sample) for name in state if name.endswith(f".{sample}")}
    hits = {one: sum(f"{one}{name}" in state for name in needed) for one in candidates}
    best = max(hits.values())
    there = sorted((one for one, count in hits.items() if 2 * count >= len(needed) and count), key=len)
    likely = [one for one in there if hits[one] == best]
    if weights_of_file.requested is None:
        chosen = [one for one in likely if not is_average(one)] or likely
    elif weights_of_file.requested == "ema":
        chosen = [one for one in there if is_average(one)]
    else:
        chosen = [one for one in hits if one and hits[one] and one.rstrip(".") == weights_of_file.requested]
        chosen = chosen or [one for one in there if one.startswith(f"{weights_of_file.requested}.")]
    if weights_of_file.requested is not None and not chosen:
        names = [one.rstrip(".") for one in there if one]
        raise wrong_choice(path, names or weights_of_file.keys, weights_of_file.requested)
    if len(chosen) > 1 and "" not in chosen:
        raise wrong_choice(path, [one.rstrip(".") for one in chosen])
    return chosen[0] if chosen else ""


def _problems(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    missing = [f"{name} is missing" for name in expected.keys() - state.keys() if not name.endswith(_COUNTER)]
    extra = [f"{name} is not in the model" for name in state.keys() - expected.keys()]
    both = expected.keys() & state.keys()
    shapes = [
        f"{name} is {tuple(state[name].shape)}, the model has {tuple(expected[name].shape)}"
        for name in both
        if state[name].shape != expected[name].shape
    ]
    kinds = [
        f"{name} is {str(state[name].dtype).removeprefix('torch.')}, the model has floating-point numbers there"
        for name in both
        if expected[name].is_floating_point() and not state[name].is_floating_point()
    ]
    return [*sorted(shapes), *sorted(kinds), *sorted(missing), *sorted(extra)]


def _hint(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """What a difference usually means."""
    odd = [name for name in expected.keys() & state.keys() if state[name].shape != expected[name].shape]
    names = expected.keys() ^ state.keys()
    if odd and not names:
        heads = {(state[name].shape[:1], expected[name].shape[:1]) for name in odd}
        same_rest = all(state[name].shape[1:] == expected[name].shape[1:] for name in odd)
        if len(heads) == 1 and same_rest:
            theirs, ours = heads.pop()
            return (
                f". Its head has {theirs[0]} classes, and {ours[0]} are needed: data and checkpoint must have the same"
            )
        if all(state[name].ndim == 4 and state[name].shape[1] in (1, 3) for name in odd):
            return ". It was trained on another number of colour channels"
    if not expected.keys() & state.keys():
        return ". No name is the same: the checkpoint is of another model"
    return ""
