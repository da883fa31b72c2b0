"""Which engines there are: those of this package, known without a look, and those that other packages bring.

A package of somebody else brings an engine through an entry point in the group `edgestill_runtime.engines`, whose name
is the engine's; see docs/backends.md.
"""

from collections.abc import Mapping
from pathlib import PurePath

from ..errors import EngineError
from ..plugins import Group
from . import executorch, litert
from .base import Family

BUILT_IN = (litert.FAMILY, executorch.FAMILY)
"""Those of this package; where both could run a bundle, the first does."""
_OWN = {one.name: one for one in BUILT_IN}
_OTHERS = Group("edgestill_runtime.engines", Family, "engine", tuple(_OWN), EngineError)


def engine_names() -> list[str]:
    """Of all engines, installed or not, ours first; nothing of another package is imported."""
    return [*_OWN, *_OTHERS.names()]


def find_family(name: str) -> Family | None:
    """The engine of this name; None where nobody here knows it.

    Raises:
        EngineError: another package brings it, and it cannot be used; names the package.
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
    """The same, where there must be one.

    Args:
        maker: package and version that made the file, where a manifest says so.

    Raises:
        EngineError: nobody here knows it; says what may bring it.
    """
    family = find_family(name)
    if family is None:
        made = f"its file was made by {maker}: install that package here, or another" if maker else "install a package"
        raise EngineError(f"the engine {name!r} is not known here; {made} that brings it (see docs/backends.md)")
    return family


def how_to_install(makers: Mapping[str, str]) -> str:
    """A sentence: how to get one of several engines.

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
    """All engines, ours first.

    Raises:
        EngineError: one that another package brings cannot be used.
    """
    return [get_family(name) for name in engine_names()]


def family_of_path(path: PurePath) -> Family | None:
    """The engine whose suffix a name has; those of other packages are asked where it is none of ours."""
    if own := _by_suffix(path, BUILT_IN):
        return own
    return _by_suffix(path, families()) if path.suffix.lower() not in ("", ".edge") else None


def family_of_head(head: bytes) -> Family | None:
    """The engine of this package whose identifier the first eight bytes of a file hold."""
    return next((one for one in BUILT_IN if one.identifier and head[4:8] == one.identifier), None)


def _by_suffix(path: PurePath, known: "tuple[Family, ...] | list[Family]") -> Family | None:
    name = path.name.lower()
    fitting = [one for one in known if name.endswith(one.suffix)]
    return max(fitting, key=lambda one: len(one.suffix), default=None)
