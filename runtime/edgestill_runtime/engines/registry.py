"""The known engines: those of this package, and those that other packages provide.

A third-party package provides an engine through an entry point in the group `edgestill_runtime.engines` with the
engine's name; see docs/backends.md.
"""

from collections.abc import Mapping
from pathlib import PurePath

from ..errors import EngineError
from ..plugins import Group
from . import executorch, litert
from .base import Family

BUILT_IN = (litert.FAMILY, executorch.FAMILY)
"""Engines of this package; if both can run a bundle, the first is used."""
_OWN = {one.name: one for one in BUILT_IN}
_OTHERS = Group("edgestill_runtime.engines", Family, "engine", tuple(_OWN), EngineError)


def engine_names() -> list[str]:
    """Names of all engines, installed or not, those of this package first; no other package is imported."""
    return [*_OWN, *_OTHERS.names()]


def find_family(name: str) -> Family | None:
    """The engine of this name; None if it is unknown.

    Raises:
        EngineError: another package provides it, and it cannot be used; the message has the package's name.
    """
    if own := _OWN.get(name):
        return own
    found = _OTHERS.find(name)
    if found is None:
        return None
    for one in BUILT_IN:
        if found.value.suffix == one.suffix:
            raise EngineError(
                f"the engine {name!r} of the package {found.distribution} has files {one.suffix}, which are those of "
                f"{one.name}; it must choose another suffix: uninstall {found.distribution} until it does"
            )
    return found.value


def get_family(name: str, maker: str = "") -> Family:
    """The engine of this name, which must be known.

    Args:
        maker: package and version that made the file, if a manifest states it.

    Raises:
        EngineError: the engine is unknown; says which package may provide it.
    """
    family = find_family(name)
    if family is None:
        made = f"its file was made by {maker}: install that package here, or another" if maker else "install a package"
        raise EngineError(f"the engine {name!r} is not known here; {made} that provides it (see docs/backends.md)")
    return family


def how_to_install(makers: Mapping[str, str]) -> str:
    """A sentence: how to install one of several engines.

    Args:
        makers: engine → package and version that made its file.
    """
    for name in (*_OWN, *makers):
        family = find_family(name) if name in makers else None
        if family is not None:
            return f"Install one with: {family.install}"
    try:
        for name, maker in makers.items():
            get_family(name, maker)
    except EngineError as error:
        return f"{str(error)[:1].upper()}{str(error)[1:]}"
    return ""


def families() -> list[Family]:
    """All engines, those of this package first.

    Raises:
        EngineError: an engine of another package cannot be used.
    """
    return [get_family(name) for name in engine_names()]


def family_of_path(path: PurePath) -> Family | None:
    """The engine of a file by its suffix, None if unknown; other packages are imported only if none of ours fits."""
    if own := _by_suffix(path, BUILT_IN):
        return own
    return _by_suffix(path, families()) if path.suffix.lower() not in ("", ".edge") else None


def family_of_head(head: bytes) -> Family | None:
    """The engine of this package with the identifier in the first eight bytes of a file; None if there is none."""
    return next((one for one in BUILT_IN if one.identifier and head[4:8] == one.identifier), None)


def _by_suffix(path: PurePath, known: "tuple[Family, ...] | list[Family]") -> Family | None:
    name = path.name.lower()
    fitting = [one for one in known if name.endswith(one.suffix)]
    return max(fitting, key=lambda one: len(one.suffix), default=None)
