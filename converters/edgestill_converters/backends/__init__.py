"""Backends: one folder each, and those that other packages bring.

    base.py         what describes a backend
    executorch/     → .pte, delegated to XNNPACK            export.py  inspector.py
    litert/         → .tflite                               export.py  inspector.py
                    io_quantization.py, float_regions.py, padding.py: the form that XNNPACK delegates whole

Another package can provide one through an entry point in the group `edgestill.backends`, with the name of the backend;
see docs/backends.md. No other module lists backends or their suffixes.
"""

from collections.abc import Sequence
from dataclasses import replace

from edgestill_runtime.plugins import Group

from ..errors import ConversionError
from . import executorch, litert
from .base import Backend, Exported

__all__ = [
    "BUILT_IN",
    "TARGETS",
    "Backend",
    "Exported",
    "backend_names",
    "backends_of",
    "find_backend",
    "get_backend",
    "quantizing",
]

BUILT_IN = (executorch.BACKEND, litert.BACKEND)
"""Those of this package, in the order of their files in a bundle."""
TARGETS = tuple(one.name for one in BUILT_IN)
"""Those that a conversion makes files for by default."""
_OWN = {one.name: one for one in BUILT_IN}
_OTHERS = Group("edgestill.backends", Backend, "backend", TARGETS, ConversionError)


def backend_names() -> list[str]:
    """Names of all backends, ours first; no other package is imported for this."""
    return [*TARGETS, *_OTHERS.names()]


def find_backend(name: str) -> Backend | None:
    """The backend of this name; None if no installed package provides it.

    Raises:
        ConversionError: another package provides it, and it cannot be used; names the package.
    """
    if own := _OWN.get(name):
        return own
    found = _OTHERS.find(name)
    if found is None:
        return None
    if same := [one.name for one in BUILT_IN if one.suffix == found.value.suffix]:
        raise ConversionError(
            f"the backend {name!r} of the package {found.distribution} makes files {found.value.suffix}, which are "
            f"those of {same[0]}; it must choose another suffix: uninstall {found.distribution} until it does"
        )
    return found.value if found.value.exporter else replace(found.value, exporter=found.distribution)


def get_backend(name: str) -> Backend:
    """The backend of this name.

    Raises:
        ConversionError: there is none; lists the valid names.
    """
    backend = find_backend(name)
    if backend is None:
        raise ConversionError(f"unknown target {name!r}; valid: {', '.join(backend_names())}")
    return backend


def backends_of(targets: Sequence[str]) -> list[Backend]:
    """The backends of some targets, each once, in the order of their files in a bundle: ours first.

    Raises:
        ConversionError: no targets, or one is unknown, or two of them have files of the same suffix.
    """
    if isinstance(targets, str) or not targets:
        raise ConversionError(
            f"targets are one or several names in a list or tuple, not {targets!r}; valid: {', '.join(backend_names())}"
        )
    found = [get_backend(name) for name in dict.fromkeys(targets)]
    suffixes = {one.suffix: one.name for one in found}
    for one in found:
        if suffixes[one.suffix] != one.name:
            raise ConversionError(
                f"the targets {one.name} and {suffixes[one.suffix]} both make files {one.suffix}; leave one out"
            )
    return sorted(found, key=lambda one: TARGETS.index(one.name) if one.name in TARGETS else len(TARGETS))


def quantizing(targets: Sequence[str]) -> tuple[str, ...]:
    """Those of some targets that make quantized files."""
    return tuple(name for name in targets if get_backend(name).quantized_graph is not None)
