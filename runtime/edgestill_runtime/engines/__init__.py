"""Engines behind one small protocol, each imported on its first use.

`litert.py` runs `.tflite`, `executorch.py` runs `.pte`. For each there are several packages; the best installed one is
used. `base.py` defines the protocol, `registry.py` finds engines, also those of other packages. Native packages are
imported inside functions: `import edgestill_runtime` and opening a bundle must import no more than numpy, and a device
has only some of the engines.
"""

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import EngineError, know_modules
from .base import Content, Engine, Family, Package
from .registry import (
    BUILT_IN,
    engine_names,
    families,
    family_of_head,
    family_of_path,
    find_family,
    get_family,
    how_to_install,
)

__all__ = [
    "BUILT_IN",
    "Candidate",
    "Content",
    "Engine",
    "Family",
    "Package",
    "candidates",
    "check_engine",
    "engine_names",
    "families",
    "family_of_head",
    "family_of_path",
    "find_family",
    "get_family",
    "how_to_install",
    "installed_engines",
    "load_engine",
]


@dataclass(frozen=True)
class Candidate:
    """A package for an engine.

    Args:
        version: the installed version; None if the package is not installed.
        selected: whether `load` uses it: the first installed package of the engine.
    """

    package: Package
    version: str | None
    selected: bool

    def __str__(self) -> str:
        return f"{self.package.name} {self.version}" if self.version else self.package.name


def candidates(engine: str) -> list[Candidate]:
    """Every package for an engine, best first; empty for an unknown engine. No engine is imported.

    Raises:
        EngineError: the engine is provided by another package, and cannot be used.
    """
    family = find_family(engine)
    found: list[Candidate] = []
    for package in () if family is None else family.packages:
        version = _version(package.name)
        found.append(Candidate(package, version, version is not None and not any(one.selected for one in found)))
    return found


def installed_engines(engines: Iterable[str] | None = None) -> dict[str, str]:
    """Engine → package and version for installed engines, best first. No engine is imported.

    Args:
        engines: names to look for, such as a manifest's; None for all known engines.

    Raises:
        EngineError: one of them is provided by another package, and cannot be used.
    """
    asked = engine_names() if engines is None else list(dict.fromkeys(engines))
    own = [one.name for one in BUILT_IN]
    asked.sort(key=lambda name: own.index(name) if name in own else len(own))
    return {name: str(one) for name in asked for one in candidates(name) if one.selected}


def check_engine(engine: str, packages: bool = True) -> None:
    """Refuse an unknown engine name.

    Args:
        packages: whether a package of an engine is allowed, as in `litert/tensorflow`.

    Raises:
        EngineError: the name is unknown; lists the valid ones.
    """
    name, _, package = engine.partition("/")
    family = find_family(name)
    known = family is not None and (not package or package in [one.name for one in family.packages])
    if known and (packages or not package):
        return
    if known:
        raise EngineError(f"{engine} is one package of an engine; here whole engines are named: {name}")
    whole = [f"{one.name}/{package.name}" for one in families() for package in one.packages]
    valid = ["auto", *engine_names(), *whole] if packages else engine_names()
    raise EngineError(f"unknown engine {engine!r}; valid: {', '.join(valid)}")


def load_engine(engine: str, content: Content, threads: int) -> Engine:
    """Load a model file into an engine.

    Args:
        engine: `litert` or `executorch` for the best installed package, `litert/tensorflow` and the like for one.
        content: the file's bytes; for engines whose files are folders, member path → bytes.
        threads: number of threads for one call, ≥ 1.

    Raises:
        EngineError: the engine is unknown or not installed, or it refuses the file.
    """
    check_engine(engine)
    name, _, requested = engine.partition("/")
    family, known = get_family(name), candidates(name)
    if family.folder == isinstance(content, bytes):
        have, need = ("single file", "folders") if family.folder else ("folder", "single files")
        raise EngineError(f"the file is a {have}, and files for {name} are {need}; make it again")
    chosen = [one for one in known if one.version and (one.package.name == requested if requested else one.selected)]
    if not chosen:
        what = f"{requested} is" if requested else f"No package for {name} is"
        raise EngineError(f"{what} not installed. Install the best one with: {family.install}")
    package = chosen[0].package
    know_modules(package.modules)
    return package.load(content, threads, f"{name} ({chosen[0]})")


def _version(package: str) -> str | None:
    """Version of an installed package, from its .dist-info folder: importing importlib.metadata takes 14 ms."""
    start = package.replace("-", "_").lower() + "-"
    for folder in sys.path:
        if not isinstance(folder, str):
            continue  # Python ignores it too
        try:
            names = os.listdir(folder or ".")  # noqa: PTH208 (only names are needed)
        except OSError:
            continue  # not a folder: an archive, or deleted
        for name in names:
            if name.endswith(".dist-info") and name.lower().replace(".", "_").startswith(start.replace(".", "_")):
                return name[len(start) : -len(".dist-info")]
    return None
