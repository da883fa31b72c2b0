"""Engines behind one small protocol, each imported on its first use.

`litert.py` runs `.tflite`, `executorch.py` runs `.pte`; for each there are several packages, of which the best that is
installed is taken. Native packages are imported inside functions: opening a bundle, reading its facts, or `import
edgestill_runtime` must cost no more than numpy, and a device has only the engines that somebody installed.
"""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from ..errors import EngineError
from ..manifest import TensorSpec
from . import executorch, litert


class Engine(Protocol):
    """A loaded file. One call at a time: `Model` holds the lock."""

    name: str
    """Engine, package and version, such as `litert (ai-edge-litert 2.3.0)`."""
    threads: int | None
    """Threads that a call may use; None where the engine decides and cannot be told."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    checks_finite: bool
    """Whether `run` itself refuses NaN and infinity (InputError) before it computes; else `Model` looks for them."""

    def run(self, tensors: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Run tensors that were checked against `inputs`; the results are copies.

        Raises:
            InputError: see `checks_finite`. Else what the package raises: see `errors.refuse_engine`.
        """

    def close(self) -> None:
        """Free the native memory."""


@dataclass(frozen=True)
class Package:
    """A package that runs an engine's files.

    Args:
        engine: `litert` or `executorch`. name: on the package index, and `engine/name` in `load(..., engine=)`.
        load: content, threads and the name to show → a loaded file. remark: what to know before taking it.
    """

    engine: str
    name: str
    load: Callable[[bytes, int, str], Engine]
    remark: str


# The best first, for each engine; and the engine whose files are run when both could be.
PACKAGES = (
    Package("litert", "ai-edge-litert", litert.ai_edge_litert, "LiteRT as it is maintained"),
    Package(
        "litert", "tflite-runtime", litert.tflite_runtime, "int8 18-32 times slower than ai-edge-litert; numpy < 2"
    ),
    Package("litert", "tensorflow", litert.tensorflow, "15 s to import, half a gigabyte of memory"),
    Package("executorch", "edgestill-executorch", executorch.binding, "ExecuTorch without torch, any Python"),
    Package("executorch", "executorch-numpy-runtime", executorch.light, "Python 3.12 or newer; sets its own threads"),
    Package("executorch", "executorch", executorch.official, "the official package: needs torch, seconds to import"),
)
INSTALL = {engine: f"pip install 'edgestill[{engine}]'" for engine in ("litert", "executorch")}
NAMES = ("litert", "executorch")


@dataclass(frozen=True)
class Candidate:
    """A package as it stands here: its version if it is installed, and whether it is the one that is taken."""

    package: Package
    version: str | None
    taken: bool

    def __str__(self) -> str:
        return f"{self.package.name} {self.version}" if self.version else self.package.name


def candidates(engine: str) -> list[Candidate]:
    """Every package for an engine, the best first; nothing is imported."""
    found: list[Candidate] = []
    for package in PACKAGES:
        if package.engine == engine:
            version = _version(package.name)
            found.append(Candidate(package, version, version is not None and not any(one.taken for one in found)))
    return found


def installed_engines() -> dict[str, str]:
    """Engine → package and version for those that are installed, best first; nothing is imported."""
    return {name: str(one) for name in NAMES for one in candidates(name) if one.taken}


def check_engine(engine: str, packages: bool = True) -> None:
    """Refuse a name that is none of an engine.

    Args:
        packages: whether one package of an engine may be named, as in `litert/tensorflow`.

    Raises:
        EngineError: says which names are valid.
    """
    whole = [f"{package.engine}/{package.name}" for package in PACKAGES]
    if engine in NAMES or (packages and engine in whole):
        return
    if engine in whole:
        family = engine.partition("/")[0]
        raise EngineError(f"{engine} is one package of an engine; here whole engines are named: {family}")
    valid = ["auto", *NAMES, *whole] if packages else NAMES
    raise EngineError(f"unknown engine {engine!r}; valid: {', '.join(valid)}")


def load_engine(engine: str, content: bytes, threads: int) -> Engine:
    """Load a file's bytes.

    Args:
        engine: `litert` or `executorch` for the best package that is installed, `litert/tensorflow` and so on for one.

    Raises:
        EngineError: an unknown name, nothing installed, or the engine refuses the file.
    """
    check_engine(engine)
    family, _, wanted = engine.partition("/")
    known = candidates(family)
    chosen = [one for one in known if one.version and (one.package.name == wanted if wanted else one.taken)]
    if not chosen:
        what = f"{wanted} is" if wanted else f"No package for {family} is"
        raise EngineError(f"{what} not installed. Install the best one with: {INSTALL[family]}")
    return chosen[0].package.load(content, threads, f"{family} ({chosen[0]})")


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
