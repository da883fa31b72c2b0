"""Checkpoints: safetensors files, written atomically, with what the weights were trained on beside them.

A `state_dict` that `torch.save` wrote is read too, its tensors alone: no code in the file is run.
"""

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from edgestill_runtime.files import write_bytes

from ..errors import ModelError

PICKLED = {".pt", ".pth", ".bin", ".ckpt"}


def save_checkpoint(
    path: str | Path,
    model: nn.Module,
    metadata: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a model's `state_dict`.

    Args:
        metadata: plain data, kept in the file as JSON under the key `edgestill`.
        dtype: store floating-point weights in this type (`torch.float16` halves the file); loading casts back.

    Raises:
        StorageError: the file could not be written; an earlier one is untouched.
    """
    state = {
        name: tensor.detach().cpu().contiguous().to(dtype if dtype and tensor.is_floating_point() else tensor.dtype)
        for name, tensor in model.state_dict().items()
    }
    write_bytes(path, safetensors.torch.save(state, {"edgestill": json.dumps(dict(metadata or {}), sort_keys=True)}))


def load_checkpoint(path: str | Path, model: nn.Module) -> dict[str, Any]:
    """Put the weights of a file into `model`, all or nothing, and return the file's metadata.

    Args:
        path: safetensors, or a `state_dict` by `torch.save` (.pt, .pth, .bin, .ckpt), alone or under the key
            `state_dict` or `model`; names that all begin with `module.` lose that.

    Raises:
        ModelError: no such file, no weights in it, or names or shapes that differ; `model` is untouched.
    """
    if Path(path).suffix.lower() in PICKLED:
        metadata, state = {}, _read_pickled(Path(path))
    else:
        metadata = read_metadata(path)
        try:
            state = safetensors.torch.load_file(path)
        except safetensors.SafetensorError as error:
            raise ModelError(f"checkpoint {path} is damaged: {error}") from error
    expected = model.state_dict()
    problems = [f"{name} is missing" for name in expected.keys() - state.keys()]
    problems += [f"{name} is not in the model" for name in state.keys() - expected.keys()]
    problems += [
        f"{name} is {tuple(state[name].shape)}, the model has {tuple(expected[name].shape)}"
        for name in expected.keys() & state.keys()
        if state[name].shape != expected[name].shape
    ]
    if problems:
        shown = "; ".join(sorted(problems)[:3]) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
        raise ModelError(f"checkpoint {path} does not fit {type(model).__name__}: {shown}")
    model.load_state_dict(state)
    return metadata


def _read_pickled(path: Path) -> dict[str, torch.Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ModelError(f"checkpoint {path} cannot be read: no such file") from error
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        first = next(iter(str(error).strip().splitlines()), "")
        raise ModelError(
            f"checkpoint {path} holds more than tensors, or is damaged: {first}; save `model.state_dict()` alone"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise ModelError(f"checkpoint {path} is no state_dict; save `model.state_dict()`")
    if content and all(name.startswith("module.") for name in content):
        content = {name.removeprefix("module."): value for name, value in content.items()}
    return content


def read_metadata(path: str | Path) -> dict[str, Any]:
    """What `save_checkpoint` was given as `metadata`; empty for a file of another maker."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            entries = file.metadata() or {}
    except (OSError, safetensors.SafetensorError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise ModelError(f"checkpoint {path} cannot be read as safetensors: {reason}") from error
    metadata: dict[str, Any] = json.loads(entries.get("edgestill", "{}"))
    return metadata
