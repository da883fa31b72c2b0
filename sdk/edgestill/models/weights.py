"""The weights in a file, whoever wrote it: safetensors, or what `torch.save` wrote; no code in a file is ever run.

A file's kind is told by its content. A checkpoint may hold the weights under a key (`state_dict`, `model`, …), a moving
average of them beside, and the names may have a prefix from what the model was wrapped in (`module.` of
DataParallel, `model.` of Lightning, `_orig_mod.` of torch.compile): all of these are recognised, and said.
"""

import argparse
import contextlib
import io
import json
import pickle
import pickletools
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ..errors import ModelError
from ..file_kinds import describe_file

# Keys under which checkpoints hold weights, the likeliest first.
PLAIN = (
    "state_dict", "model_state_dict", "model", "net", "model_state", "network", "net_state_dict", "weights", "params",
    "module", "student", "backbone", "teacher",
)  # fmt: skip
AVERAGED = (
    "state_dict_ema", "model_ema", "ema", "ema_state_dict", "model_ema_state_dict", "ema_model", "ema_model_state_dict",
    "params_ema", "averaged_model", "model_averaged", "swa_model", "shadow",
)  # fmt: skip
_SAVE_AGAIN = "save the weights alone where the model was made: torch.save(model.state_dict(), FILE)"
_TIED = "tied"


@dataclass
class Weights:
    """What a file holds.

    Args:
        state: name → tensor. metadata: what `save_checkpoint` was given, empty for another maker's file.
        notes: what was recognised, a clause each, for a message.
    """

    state: dict[str, Tensor]
    metadata: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_weights(path: Path, wanted: str | None = None) -> Weights:
    """Read the weights of a file.

    Args:
        wanted: `ema` for the moving average, or a key of the file; the plain weights when None.

    Raises:
        ModelError: no such file, no weights in it, or code that would have to be run.
    """
    kind = _describe(path)
    if kind == "safetensors":
        metadata, state = _read_safetensors(path)
        return Weights(state, metadata)
    content = _read_pickled(path)
    notes: list[str] = []
    state = _choose(content, path, wanted, notes)
    return Weights(state, {}, notes)


def read_metadata(path: str | Path) -> dict[str, Any]:
    """What `save_checkpoint` was given as `metadata`; empty for a file of another maker.

    Raises:
        ModelError: no such file, or none with weights.
    """
    path = Path(path)
    if _describe(path) != "safetensors":
        return {}
    return _metadata(path, _header(path))


def check_file(path: str | Path) -> None:
    """Refuse a file that cannot hold weights, by a look at its first bytes.

    Raises:
        ModelError: no such file, or says what it is.
    """
    if _describe(Path(path)) == "safetensors":
        _header(Path(path))


def tied_names(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Name → the earlier name of the same tensor, for weights that a model uses in several places."""
    seen: dict[Any, str] = {}
    found = {}
    for name, tensor in state.items():
        if tensor.numel() == 0:
            continue
        identity = (tensor.device, tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())
        if identity in seen:
            found[name] = seen[identity]
        else:
            seen[identity] = name
    return found


def described(tied: Mapping[str, str], metadata: Mapping[str, Any]) -> dict[str, str]:
    """The header's own entries of a safetensors file."""
    entries = {"edgestill": json.dumps(dict(metadata), sort_keys=True)}
    return entries | ({_TIED: json.dumps(dict(tied), sort_keys=True)} if tied else {})


def _describe(path: Path) -> str:
    try:
        found = describe_file(path)
    except FileNotFoundError as error:
        raise ModelError(f"checkpoint {path} cannot be read: no such file") from error
    except OSError as error:
        raise ModelError(f"checkpoint {path} cannot be read: {error.strerror}") from error
    if found.kind in ("safetensors", "torch", "pickle"):
        return found.kind
    advice = found.advice or _SAVE_AGAIN
    if found.kind == "folder":
        advice = "name the file in it that holds the weights"
    if found.kind == "json" and path.name.endswith(".index.json"):
        advice = "it lists several files; join them into one, or name a model whose weights are in one file"
    raise ModelError(f"checkpoint {path} is {found.words}; {advice}")


def _header(path: Path) -> dict[str, str]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (OSError, safetensors.SafetensorError) as error:
        raise ModelError(f"checkpoint {path} is a damaged safetensors file; copy or download it again") from error


def _metadata(path: Path, header: Mapping[str, str]) -> dict[str, Any]:
    try:
        metadata = json.loads(header.get("edgestill", "{}"))
    except ValueError as error:
        raise ModelError(f"checkpoint {path} has a damaged header; copy it again") from error
    return metadata if isinstance(metadata, dict) else {}


def _read_safetensors(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    header = _header(path)
    try:
        state = safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise ModelError(f"checkpoint {path} is a damaged safetensors file; copy or download it again") from error
    with contextlib.suppress(ValueError):  # somebody else's entry of that name
        for name, kept in json.loads(header.get(_TIED, "{}")).items():
            if kept in state:
                state.setdefault(name, state[kept])
    return _metadata(path, header), state


def _read_pickled(path: Path) -> Any:
    harmless: list[Any] = [argparse.Namespace]  # timm and others keep their options beside the weights
    try:
        # The open file: of a path, torch would believe the name.
        with path.open("rb") as file, torch.serialization.safe_globals(harmless):
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        # Whatever it was, torch's words are about its own options; what helps is in the file.
        raise ModelError(f"checkpoint {path} {_what_else(path)}") from error


def _what_else(path: Path) -> str:
    names = _globals(path)
    if names is None:
        return "is cut off or damaged; copy or download it again"
    odd = [name for name in names if not _known(name)]
    modules = [name for name in odd if not name.startswith(("numpy", "builtins"))]
    if any(name.startswith("torch.nn.modules.") for name in names) or (modules and _begins_with_class(names)):
        return f"is a whole pickled model, whose code ({_few(odd)}) would have to be run to read it; {_SAVE_AGAIN}"
    if odd:
        return f"holds Python objects beside tensors ({_few(odd)}), which cannot be read without running code; " + (
            _SAVE_AGAIN
        )
    return "is damaged, or holds no weights; copy or download it again"


def _known(name: str) -> bool:
    return name.startswith(("torch.", "collections.OrderedDict")) and not name.startswith("torch.nn.modules.")


def _begins_with_class(names: list[str]) -> bool:
    return not _known(names[0]) and not names[0].startswith(("builtins", "numpy"))


def _few(names: list[str]) -> str:
    shown = list(dict.fromkeys(names))
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")


def _globals(path: Path) -> list[str] | None:
    """Classes and functions that a pickle names, in its order, without loading it; None where it cannot be read."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                member = next(name for name in archive.namelist() if name.endswith("data.pkl"))
                return list(_named_in(archive.read(member)))
        return list(_named_in(path.read_bytes()))  # the old format is several pickles in a row
    except (OSError, ValueError, StopIteration, zipfile.BadZipFile, KeyError, IndexError, pickle.UnpicklingError):
        return None


def _named_in(content: bytes) -> Iterator[str]:
    strings: list[str] = []
    stream, read = io.BytesIO(content), 0
    while read < 5 and stream.tell() < len(content):
        read += 1
        for operation, argument, _ in pickletools.genops(stream):
            if operation.name == "GLOBAL":
                yield str(argument).replace(" ", ".")
            elif operation.name == "STACK_GLOBAL" and len(strings) > 1:
                yield ".".join(strings[-2:])
            elif isinstance(argument, str):
                strings.append(argument)


def _choose(content: Any, path: Path, wanted: str | None, notes: list[str]) -> dict[str, Tensor]:
    """The state_dict in a checkpoint; what was chosen is noted."""
    if isinstance(content, Mapping) and not _is_state(content):
        keys = [key for key in content if isinstance(key, str) and _state_in(content[key]) is not None]
        averaged = [key for key in AVERAGED if key in keys]
        plain = [key for key in PLAIN if key in keys] or [key for key in keys if key not in AVERAGED]
        chosen = _key(path, wanted, keys, plain, averaged)
        if chosen is not None:
            notes.append(f"weights under {chosen!r}")
            others = [key for key in keys if key != chosen]
            if others:
                hint = "" if chosen in averaged else ' (weights = "ema" takes the average)' if averaged else ""
                notes.append(f"{', '.join(map(repr, others))} left out{hint}")
            return _state_in(content[chosen]) or {}
    state = _state_in(content)
    if state is None:
        raise ModelError(f"checkpoint {path} holds no weights: it is {_shape_of(content)}; {_SAVE_AGAIN}")
    return state


def _key(path: Path, wanted: str | None, keys: list[str], plain: list[str], averaged: list[str]) -> str | None:
    if wanted == "ema":
        if not averaged:
            there = ", ".join(map(repr, keys)) or "one set of weights"
            raise ModelError(f"checkpoint {path} holds no moving average; it has {there}")
        return averaged[0]
    if wanted in keys:
        return wanted
    return next(iter([*plain, *averaged]), None)


def _is_state(content: Any) -> bool:
    return isinstance(content, Mapping) and bool(content) and all(isinstance(one, Tensor) for one in content.values())


def _state_in(content: Any, depth: int = 0) -> dict[str, Tensor] | None:
    """A state_dict, or the one inside, as `{"ema": {"module": …, "decay": 0.99}}` has it; None without one."""
    if not isinstance(content, Mapping) or depth > 2:
        return None
    if _is_state(content):
        return {str(name): tensor for name, tensor in content.items()}
    for key in (*PLAIN, *AVERAGED):
        if (found := _state_in(content.get(key), depth + 1)) is not None:
            return found
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    # Names of layers beside a number or a text, as `get_extra_state` leaves them.
    return tensors if len(tensors) > len(content) / 2 and any("." in name for name in tensors) else None


def _shape_of(content: Any) -> str:
    if isinstance(content, Mapping):
        return f"a dictionary with {', '.join(map(repr, list(content)[:5])) or 'nothing in it'}"
    return f"one tensor of shape {tuple(content.shape)}" if isinstance(content, Tensor) else type(content).__name__
