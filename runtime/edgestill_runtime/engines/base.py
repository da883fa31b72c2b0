"""The engine protocol: an `Engine` runs a loaded file, a `Package` loads files, a `Family` is one format's packages.

The families of this package are in the files beside this one; `registry.py` finds them, and those of other packages.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from ..manifest import ENGINE_NAME
from ..tensor_spec import TensorSpec

Content = bytes | Mapping[str, bytes]
"""A model file: its bytes; for a format whose files are folders, member path (`weights/weight.bin`) → bytes."""
SUFFIX = re.compile(r"(\.[a-z0-9]{1,20}){1,3}")


class Engine(Protocol):
    """A loaded file. Not thread-safe: `Model` holds a lock around each call."""

    name: str
    """Engine, package and version, such as `litert (ai-edge-litert 2.3.0)`."""
    threads: int | None
    """Threads that a call may use; None if the engine decides and has no such setting."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    checks_finite: bool
    """Whether `run` itself refuses NaN and infinity (InputError); else `Model` checks for them."""

    def run(self, tensors: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Run tensors that were checked against `inputs`; the outputs are copies.

        Raises:
            InputError: see `checks_finite`. Any other exception is the package's own: see `errors.refuse_engine`.
        """

    def close(self) -> None:
        """Free the native memory."""


@dataclass(frozen=True)
class Package:
    """A package that runs an engine's files.

    Args:
        name: on the package index, and after the slash of `engine/name` in `load(..., engine=)`.
        load: function (content, threads, display name) → `Engine`; it imports the package itself.
        remark: what to know before choosing it. title: a short name, for tables.
        modules: top-level modules whose exceptions mean that the engine refused a file or an input.
        profiler: `module:function` that measures the times of operators; see `edgestill_benchmarks.profilers`.
    """

    name: str
    load: Callable[[Any, int, str], Engine]
    remark: str = ""
    title: str = ""
    modules: tuple[str, ...] = ()
    profiler: str = ""


@dataclass(frozen=True)
class Family:
    """One file format, and the packages that run it.

    Args:
        name: lower-case, as in a manifest's `engine`. suffix: of its files, with the dot.
        packages: best first. requirement: the requirement for pip that installs the best one.
        title: the display name. words: a file of this format, for messages: `an ONNX model`.
        identifier: bytes 4 to 7 of every file; empty if the format has none.
        folder: whether a model is a folder of files.

    Raises:
        ValueError: an invalid name or suffix, or no package.
    """

    name: str
    suffix: str
    packages: tuple[Package, ...]
    requirement: str
    title: str = ""
    words: str = ""
    identifier: bytes = b""
    folder: bool = False

    def __post_init__(self) -> None:
        if not ENGINE_NAME.fullmatch(self.name):
            raise ValueError(f"an engine's name is lower-case letters, digits and dashes, not {self.name!r}")
        if not SUFFIX.fullmatch(self.suffix):
            raise ValueError(f"a suffix is a dot and lower-case letters or digits, such as .onnx, not {self.suffix!r}")
        if not self.packages:
            raise ValueError(f"the engine {self.name} names no package that runs its files")

    @property
    def install(self) -> str:
        """The command that installs the best package."""
        return f"pip install '{self.requirement}'"
