"""A stage's key: a hash of all inputs of the stage.

    key_of("gate", GateInputs(...))     # 64 hexadecimal digits

The inputs are a frozen dataclass, whose fields all count:

    numbers, text, lists, mappings, other frozen dataclasses    by their value
    `Finished` (an earlier stage)                               by its key
    `File`                                                      by its content, not its path
    `Data`                                                      by its digest, its splits and its processor

Any other type is refused, as it has no declared identity.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import singledispatch
from typing import Any

from ..version import __version__


def key_of(stage: str, inputs: object) -> str:
    """The key of a stage with these inputs, for this version of Edgestill.

    Raises:
        TypeError: something in the inputs has no identity, or could be changed after it was looked at.
    """
    facts = {"edgestill": __version__, "stage": stage, "inputs": identity(inputs)}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@singledispatch
def identity(value: object) -> Any:
    """The identity of a value in a key, as plain data. Other types register with `@identity.register`.

    Raises:
        TypeError: as of `key_of`.
    """
    kind = type(value)
    if not is_dataclass(value):
        raise TypeError(f"a {kind.__name__} has no declared identity, so it cannot be an input of a stage")
    if not is_frozen(kind):
        raise TypeError(f"{kind.__name__} is not frozen: it could change after a stage's key was made from it")
    return [kind.__qualname__, {one.name: identity(getattr(value, one.name)) for one in fields(value)}]


def is_frozen(kind: Any) -> bool:
    """Whether a class is a dataclass whose fields cannot be changed."""
    return is_dataclass(kind) and bool(vars(kind)["__dataclass_params__"].frozen)


@identity.register(type(None))
@identity.register(bool)
@identity.register(int)
@identity.register(float)
@identity.register(str)
def _plain(value: Any) -> Any:
    return value


@identity.register(list)
@identity.register(tuple)
def _sequence(value: Any) -> list[Any]:
    return [identity(one) for one in value]


@identity.register
def _mapping(value: Mapping) -> dict[str, Any]:  # type: ignore[type-arg]
    odd = [name for name in value if not isinstance(name, str)]
    if odd:
        raise TypeError(f"the names in a mapping that is an input of a stage are text, not {odd[0]!r}")
    return {name: identity(one) for name, one in value.items()}
