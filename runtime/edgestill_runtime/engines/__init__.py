"""Engines behind one small protocol, each imported on its first use.

`litert.py` runs `.tflite`, `executorch.py` runs `.pte`; for each there are several packages, of which the best that is
installed is taken. `base.py` says what an engine is, `registry.py` finds them, those of other packages included. Native
packages are imported inside functions: opening a bundle, reading its facts, or `import edgestill_runtime` must cost no
more than numpy, and a device has only the engines that somebody installed.
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
    """A package as it stands here: its version if it is installed, and whether it is the one that is taken."""

    package: Package
    version: str | None
    taken: bool

    def __str__(self) -> str:
        return f"{self.package.name} {self.version}" if self.version else self.package.name


def candidates(engine: str) -> list[Candidate]:
    """Every package for an engine, the best first; no engine is imported. Empty where nobody here knows it.

    Raises:
        EngineError: another package brings the engine, and it cannot be used.
    """
    family = find_family(engine)
    found: list[Candidate] = []
    for package in () if family is None else family.packages:
        version = _version(package.name)
        found.append(Candidate(package, version, version is not None and not any(one.taken for one in found)))
    return found


def installed_engines(engines: Iterable[str] | None = None) -> dict[str, str]:
    """Engine → package and version for those that are installed, best first; no engine is imported.

    Args:
        engines: those that are asked about, such as a manifest's; all that are known here when None.

    Raises:
        EngineError: another package brings one of them, and it cannot be used.
    """
    asked = engine_names() if engines is None else list(dict.fromkeys(engines))
    own = [one.name for one in BUILT_IN]
    asked.sort(key=lambda name: own.index(name) if name in own else len(own))
    return {name: str(one) for name in asked for one in candidates(name) if one.taken}


def check_engine(engine: str, packages: bool = True) -> None:
    """Refuse a name that is none of an engine.

    Args:
        packages: whether one package of an engine may be named, as in `litert/tensorflow`.

    Raises:
        EngineError: says which names are valid.
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
    """Load a file's bytes, or, of an engine whose files are folders, the bytes of each member.

    Args:
        engine: `litert` or `executorch` for the best package that is installed, `litert/tensorflow` and so on for one.

    Raises:
        EngineError: an unknown name, nothing installed, or the engine refuses the file.
    """
    check_engine(engine)
    name, _, wanted = engine.partition("/")
    family, known = get_family(name), candidates(name)
    if family.folder == isinstance(content, bytes):
        have, need = ("single file", "folders") if family.folder else ("folder", "single files")
        raise EngineError(f"the file is a {have}, and files for {name} are {need}; make it again")
    chosen = [one for one in known if one.version and (one.package.name == wanted if wanted else one.taken)]
    if not chosen:
        what = f"{wanted} is" if wanted else f"No package for {name} is"
        raise EngineError(f"{what} not installed. Install the best one with: {family.install}")
    package = chosen[0].package
    know_modules(package.modules)
    return package.load(content, threads, f"{name} ({chosen[0]})")


def _version(package: str) -> str | None:
    """Of an installed package, from the name of its metadata folder (importlib.metadata takes 14 ms to import)."""
    start = package.replace("-", "_").lower() + "-"
    for folder in sys.path:
        if not isinstance(folder, str):
            continue  # Python itself does not look at it
        try:
            names = os.listdir(folder or ".")  # noqa: PTH208 (names are all that is wanted)
        except OSError:
            continue  # no folder: an archive, or gone
        for name in names:
            if name.endswith(".dist-info") and name.lower().replace(".", "_").startswith(start.replace(".", "_")):
                return name[len(start) : -len(".dist-info")]
    return None
