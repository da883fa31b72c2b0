"""What an engine is: an `Engine` runs one loaded file, a `Package` loads files, a `Family` is all that run one format.

Families of this package stand in the files beside this one; `registry.py` finds them, and those of other packages.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from ..manifest import ENGINE_NAME
from ..tensor_spec import TensorSpec

Content = bytes | Mapping[str, bytes]
"""A model file: its bytes; of a format whose files are folders, member (`weights/weight.bin`) → bytes."""
SUFFIX = re.compile(r"(\.[a-z0-9]{1,20}){1,3}")


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
        name: on the package index, and after the slash of `engine/name` in `load(..., engine=)`.
        load: content, threads and the name to show → a loaded file; what it needs is imported inside it.
        remark: what to know before taking it. title: a short name, for tables.
        modules: top-level modules whose exceptions mean that the engine refused something.
        profiler: `module:function` that tells the times of operators; see `edgestill_benchmarks.profilers`.
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
        packages: the best first. requirement: what pip is asked for to get the best one.
        title: as people write it. words: what such a file is, for messages: `an ONNX model`.
        identifier: of a file, its bytes 4 to 7; empty where these say nothing.
        folder: whether a file is a folder of files.

    Raises:
        ValueError: a name or suffix that no file can have, or no package.
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
