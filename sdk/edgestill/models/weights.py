"""The weights in a file of any origin: safetensors, or what `torch.save` wrote; no code in a file is ever run.

A file's kind is told by its content. A checkpoint may hold the weights under a key (`state_dict`, `model`, …), a moving
average of them beside, and the names may have a prefix from what the model was wrapped in (`module.` of
DataParallel, `model.` of Lightning, `_orig_mod.` of torch.compile): all of these are recognized, and said.
"""

import contextlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from ..errors import ModelError
from ..file_kinds import describe_file
from ..private.torch import COMPILED_PREFIX
from .pickles import SAVE_AGAIN, read_pickled

# Keys under which checkpoints hold weights.
PLAIN = (
    "state_dict", "model_state_dict", "model", "net", "model_state", "network", "net_state_dict", "weights", "params",
    "module", "student", "backbone", "teacher",
)  # fmt: skip
AVERAGED = (
    "state_dict_ema", "model_ema", "ema", "ema_state_dict", "model_ema_state_dict", "ema_model", "ema_model_state_dict",
    "params_ema", "averaged_model", "model_averaged", "swa_model", "shadow",
)  # fmt: skip
_TIED = "tied"


@dataclass
class Weights:
    """What a file holds.

    Args:
        state: name → tensor. metadata: what `save_checkpoint` was given, empty for another maker's file.
        notes: what was recognized, a clause each, for a message.
        wanted: what was asked for and is no key of the file, so that the names have to begin with it; None else.
        keys: where in the file there are weights.
    """

    state: dict[str, Tensor]
    metadata: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    requested: str | None = None
    keys: tuple[str, ...] = ()


def read_weights(path: Path, requested: str | None = None, names: Collection[str] = ()) -> Weights:
    """Read the weights of a file.

    Args:
        wanted: `ema` for the moving average, or a key of the file; the plain weights when None. What is no key is
            left to the caller, in `Weights.wanted`, to be found as a prefix of the names.
        names: of the model's own tensors, which tell its weights from others in the file.

    Raises:
        ModelError: no such file, no weights in it, several and none of them asked for, or code that would have to be
            run.
    """
    kind = _describe(path)
    if kind == "safetensors":
        metadata, state = _read_safetensors(path)
        return Weights(state, metadata, requested=requested)
    return _choose(read_pickled(path), path, requested, names)


def read_metadata(path: str | PathLike[str]) -> dict[str, Any]:
    """What `save_checkpoint` was given as `metadata`; empty for a file of another maker.

    Raises:
        ModelError: no such file, or none with weights.
    """
    path = Path(path)
    if _describe(path) != "safetensors":
        return {}
    return _metadata(path, _header(path))


def check_file(path: str | PathLike[str]) -> None:
    """Refuse a file that cannot hold weights, by a look at its first bytes.

    Raises:
        ModelError: no such file, or says what it is.
    """
    if _describe(Path(path)) == "safetensors":
        _header(Path(path))


def tied_names(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Name → the earlier name of the same tensor, for weights that a model uses in several places."""
    seen: dict[Any, str] = {}
    tied = {}
    for name, tensor in state.items():
        if tensor.numel() == 0:
            continue
        identity = (tensor.device, tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())
        if identity in seen:
            tied[name] = seen[identity]
        else:
            seen[identity] = name
    return tied


def described(tied: Mapping[str, str], metadata: Mapping[str, Any]) -> dict[str, str]:
    """The header's own entries of a safetensors file."""
    entries = {"edgestill": json.dumps(dict(metadata), sort_keys=True)}
    return entries | ({_TIED: json.dumps(dict(tied), sort_keys=True)} if tied else {})


def _describe(path: Path) -> str:
    description = describe_file(path)
    if description is None:
        raise ModelError(f"checkpoint {path} cannot be read: no such file")
    if description.kind in ("safetensors", "torch", "pickle"):
        return description.kind
    advice = description.advice or SAVE_AGAIN
    if description.kind == "folder":
        advice = "name the file in it that holds the weights"
    if description.kind == "json" and path.name.endswith(".index.json"):
        advice = "it lists several files; join them into one, or name a model whose weights are in one file"
    raise ModelError(f"checkpoint {path} is {description.words}; {advice}")


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
    with contextlib.suppress(ValueError):  # an entry of another program with that name
        for name, shared in json.loads(header.get(_TIED, "{}")).items():
            if shared in state:
                state.setdefault(name, state[shared])
    return _metadata(path, header), state


def is_average(name: str) -> bool:
    """Whether a key or a prefix, its parts joined by dots, is that of a moving average."""
    return any(part in AVERAGED for part in name.split("."))


def without_wrapper(name: str) -> str:
    """A tensor's name without what torch.compile puts into it."""
    return name.replace(COMPILED_PREFIX, "")


def wrong_choice(path: Path, names: Sequence[str], requested: str | None = None) -> ModelError:
    """The error for weights that are not there, or of which there are several."""
    there = ", ".join(repr(name) for name in names if name) or "one set of weights"
    if requested is None:
        first = next(name for name in names if name)
        plain = there.replace("'", "")
        return ModelError(
            f"checkpoint {path} holds the model's weights several times, under {plain}; say which with weights = "
            f'"{first}"'
        )
    what = "moving average" if requested == "ema" else f"weights {requested!r}"
    return ModelError(f"checkpoint {path} holds no {what}; it has {there}")


def _choose(content: Any, path: Path, requested: str | None, names: Collection[str]) -> Weights:
    """The state_dict in a checkpoint; what was chosen is noted."""
    sets = _sets(content)
    if not sets:
        raise ModelError(f"checkpoint {path} holds no weights: it is {_shape_of(content)}; {SAVE_AGAIN}")
    keys = tuple(sets)
    matching = _matching(keys, requested)
    rest = None if matching else requested
    candidates = matching or _likely(sets, rest)
    if len(candidates) > 1:
        candidates = [key for key in candidates if _fits(sets[key], names)] or candidates
    if len(candidates) != 1:
        raise wrong_choice(path, candidates or keys, rest)
    chosen = candidates[0]
    notes = [f"weights under {chosen!r}"] if chosen else []
    if others := [key for key in keys if key != chosen]:
        averaged = any(map(is_average, others)) and not is_average(chosen)
        hint = ' (weights = "ema" takes the average)' if averaged else ""
        notes.append(f"{', '.join(map(repr, others))} left out{hint}")
    return Weights(sets[chosen], {}, notes, rest, keys)


def _sets(content: Any, at: tuple[str, ...] = ()) -> dict[str, dict[str, Tensor]]:
    """Every state_dict in a file: its key, or keys joined by dots, empty for the file itself → tensors.

    Below the first level only known keys are looked into, as in `{"ema": {"module": …, "decay": 0.99}}`: an optimizer
    has dictionaries of tensors too.
    """
    if not isinstance(content, Mapping) or len(at) > 3:
        return {}
    own = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    # Names of layers beside a number or a text, as `get_extra_state` leaves them.
    whole = 2 * len(own) > len(content) and any("." in name for name in own)
    inside: dict[str, dict[str, Tensor]] = {}
    for key, value in content.items():
        if isinstance(key, str) and (key in PLAIN or key in AVERAGED or not (at or whole)):
            inside |= _sets(value, (*at, key))
    if not inside and own and (whole or len(own) == len(content)):
        return {".".join(at): own}
    return inside


def _matching(keys: Sequence[str], requested: str | None) -> list[str]:
    """The keys that are meant by what was asked for."""
    if requested is None:
        return []
    exact = [key for key in keys if key and key == requested]
    parts = [key for key in keys if key and f".{requested}." in f".{key}."]
    averaged = [key for key in keys if requested == "ema" and is_average(key)]
    return exact or parts or averaged


def _likely(sets: Mapping[str, Mapping[str, Tensor]], requested: str | None) -> list[str]:
    """The keys under which the model's own weights may be; with `wanted`, those with names that begin with it."""
    if requested is not None and len(sets) > 1:
        return [key for key, state in sets.items() if _has_prefix(state, requested)]
    plain = [key for key in sets if not is_average(key)]
    return [key for key in plain if any(part in PLAIN for part in key.split("."))] or plain or list(sets)


def _has_prefix(state: Mapping[str, Tensor], requested: str) -> bool:
    if requested == "ema":
        return any(is_average(name) for name in state)
    return any(without_wrapper(name).startswith(f"{requested}.") for name in state)


def _fits(state: Mapping[str, Tensor], names: Collection[str]) -> bool:
    """Whether most of a model's names are there, whatever stands before them."""
    ends = {".".join(parts[begin:]) for parts in (without_wrapper(name).split(".") for name in state)
            for begin in range(len(parts))}  # fmt: skip
    return 2 * sum(without_wrapper(name) in ends for name in names) >= len(names)


def _shape_of(content: Any) -> str:
    if isinstance(content, Mapping):
        return f"a dictionary with {', '.join(map(repr, list(content)[:5])) or 'nothing in it'}"
    return f"one tensor of shape {tuple(content.shape)}" if isinstance(content, Tensor) else type(content).__name__
