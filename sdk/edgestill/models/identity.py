"""The identity of a module, as one short text: the same module in another process has the same, a changed one another.

    identity(teacher)       # sha256:…

Looked at are its classes and their code, how it is put together, its weights and buffers, its attributes and its hooks.
Code is compared as Python runs it, so comments do not count; what a class calls in other files is not followed. Of an
attribute that is no number, text, array, container, function, plain record or module, the class alone counts.
"""

import functools
import hashlib
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from types import BuiltinFunctionType, CodeType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..private.torch import MODULE_ATTRIBUTES, hooks_of, own_modules, own_tensors, without_compile

_PLAIN = (
    bool, int, float, complex, str, bytes, np.generic, Enum, torch.dtype, torch.device, torch.layout,
    torch.memory_format,
)  # fmt: skip


def identity(*modules: nn.Module) -> str:
    """`sha256:…` of one or several modules; the device, the mode and `requires_grad` make no difference."""
    fingerprint = _Fingerprint()
    for module in modules:
        fingerprint.add(without_compile(module))
    return f"sha256:{fingerprint.hasher.hexdigest()}"


class _Fingerprint:
    """Hashes values, whatever they are made of."""

    def __init__(self, met: Iterable[int] = ()) -> None:
        self.hasher = hashlib.sha256()
        self._met = set(met)

    def add(self, value: Any) -> None:
        """Hash a value by its content; of an object that is none of the known kinds, its class."""
        value = getattr(value, "__func__", value)  # of a method
        self._text(_name(type(value)))
        if value is None or isinstance(value, _PLAIN):
            self._text(repr(value))
        elif isinstance(value, Tensor):
            self._tensor(value)
        elif isinstance(value, np.ndarray) and value.dtype != object:
            self._text(f"{value.dtype} {value.shape}")
            self.hasher.update(np.ascontiguousarray(value).tobytes())
        elif isinstance(value, CodeType):
            self._all((value.co_code, value.co_names, value.co_consts))
        elif isinstance(value, (set, frozenset)):
            self._all(sorted(map(self._alone, value)))  # they have no order, and a `repr` may be an address
        elif id(value) not in self._met:  # what follows may hold itself
            self._met.add(id(value))
            self._inside(value)
            if isinstance(value, (Mapping, list, tuple)):  # equal ones may be one object here and two in a copy
                self._met.remove(id(value))

    def _inside(self, value: Any) -> None:
        if isinstance(value, nn.Module):
            self._module(value)
        elif isinstance(value, Mapping):
            self._pairs(value.items())
        elif isinstance(value, (list, tuple)):
            self._all(value)
        elif isinstance(value, property):
            self.add(value.fget)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, functools.partial):
            self._all((value.func, value.args, value.keywords))
        elif isinstance(value, BuiltinFunctionType):
            self._text(_name(value))
        elif is_dataclass(value):
            self._pairs((one.name, getattr(value, one.name)) for one in fields(value))
        elif isinstance(value, (SimpleNamespace, Namespace)):
            self._pairs(vars(value).items())
        elif isinstance(code := getattr(value, "__code__", None), CodeType):
            self._all((code, value.__defaults__, value.__kwdefaults__))
            self._all(cell.cell_contents for cell in value.__closure__ or () if not _empty(cell))

    def _module(self, module: nn.Module) -> None:
        self.add(type(module))
        for hooks in hooks_of(module):
            self._all(hooks)
        for parts in own_tensors(module):
            self._pairs(parts.items())
        self._all(part for pair in own_modules(module).items() for part in pair)  # their order may count
        self._pairs((name, value) for name, value in vars(module).items() if name not in MODULE_ATTRIBUTES)

    def _class(self, kind: type) -> None:
        self._text(_name(kind))
        for one in kind.__mro__:
            if one is not object and one.__module__.partition(".")[0] != "torch":
                self._text(_name(one))
                # Of what Python itself adds, the functions: the rest tells of lines, annotations, documentation.
                self._pairs((name, part) for name, part in vars(one).items() if name[:2] != "__" or callable(part))

    def _tensor(self, value: Tensor) -> None:
        self._text(f"{value.dtype} {tuple(value.shape)}")
        # A copy: a tensor whose memory NumPy has seen cannot be resized any more.
        copy = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        self.hasher.update(copy.flatten().view(torch.uint8).numpy().data)

    def _pairs(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        items = list(pairs)
        if all(isinstance(name, str) for name, _ in items):
            items.sort(key=lambda pair: pair[0])
        for name, value in items:
            self.add(name)
            self.add(value)
        self._text("")

    def _alone(self, value: Any) -> str:
        fingerprint = _Fingerprint(self._met)
        fingerprint.add(value)
        return fingerprint.hasher.hexdigest()

    def _all(self, values: Iterable[Any]) -> None:
        for value in values:
            self.add(value)
        self._text("")

    def _text(self, text: str) -> None:
        self.hasher.update(text.encode("utf-8", "surrogatepass") + b"\0")


def _name(kind: Callable[..., Any]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _empty(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return True
    return False
