"""What a backend is: how a graph becomes a file of one format, and what is known of such files on the host.

What runs a file on a device is the engine of the same name, in `edgestill_runtime.engines`; its times of operators come
from the engine's profiler. A backend's own packages are imported inside its functions: nobody needs all of them.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from edgestill_runtime.engines import Content, find_family, installed_engines
from edgestill_runtime.manifest import ENGINE_NAME

from ..scale import Scale

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from ..contents import Inspection

SUFFIX = re.compile(r"(\.[a-z0-9]{1,20}){1,3}")


@dataclass(frozen=True)
class Exported:
    """A finished file, and the scales of its quantized inputs and outputs that the file itself does not tell.

    Args:
        content: bytes; of a format whose files are folders, member → bytes.
        inputs, outputs: one entry each, None where it is not quantized; empty where the engine reads them in the file.
    """

    content: Content
    inputs: tuple[Scale | None, ...] = ()
    outputs: tuple[Scale | None, ...] = ()


def _anywhere() -> str:
    return ""


@dataclass(frozen=True)
class Backend:
    """How graphs become files of one format.

    Args:
        name: that of its engine in `edgestill_runtime.engines`. suffix: of its files, with the dot.
        export: a graph for batch 1, and whether it is quantized → the file. It runs in a process of its own.
        quantized_graph: in what form it takes the one quantized graph: with int8 weights `folded` in, or `unfolded`:
            float weights and quantize/dequantize pairs; None: it makes fp32 files alone.
        inspect: content, and whether the engine may be asked what it delegates → what is inside; None: nobody can look.
        exporter: the package that files say made them; empty: the one that brings this backend.
        packages: others that a file depends on. modules: that `export` imports; one that is missing is said early.
        requirement: what pip is asked for to get these.
        lacks: ATen's names of operators that its engine has not → what to use instead.
        why_not_here: why this machine can run no file of it, whatever is installed; empty where it can.
        gradle: lines for the dependencies of an Android app that runs its files; empty: none can.

    Raises:
        ValueError: a name or suffix that no file can have.
    """

    name: str
    suffix: str
    export: "Callable[[ExportedProgram, bool], Exported]"
    quantized_graph: Literal["folded", "unfolded"] | None = None
    inspect: "Callable[[Any, bool], Inspection] | None" = None
    exporter: str = ""
    packages: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    requirement: str = "edgestill[convert]"
    lacks: Mapping[str, str] = field(default_factory=dict)
    why_not_here: Callable[[], str] = _anywhere
    gradle: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not ENGINE_NAME.fullmatch(self.name):
            raise ValueError(f"a backend's name is lower-case letters, digits and dashes, not {self.name!r}")
        if not SUFFIX.fullmatch(self.suffix):
            raise ValueError(f"a suffix is a dot and lower-case letters or digits, such as .onnx, not {self.suffix!r}")

    def file_name(self, quantized: bool) -> str:
        """In a bundle that has one model."""
        return f"model{self.suffix}" if quantized else f"model.fp32{self.suffix}"

    def missing(self) -> list[str]:
        """Modules that `export` needs and that are not installed."""
        return [one for one in self.modules if find_spec(one) is None]

    def why_not_run(self) -> str:
        """Why this machine cannot run its files, and what to install; empty where it can.

        Raises:
            EngineError: its engine is another package's, and cannot be used.
        """
        if why := self.why_not_here():
            return why
        family = find_family(self.name)
        if family is None:
            return f"no package here brings an engine {self.name!r}; see docs/backends.md"
        if not installed_engines([self.name]):
            return f"no engine for {self.name} is installed. Install it with: {family.install}"
        return ""

    def maker(self) -> str:
        """Name and version of what writes its files, as their manifest says it."""
        return f"{self.exporter} {metadata.version(self.exporter)}"
