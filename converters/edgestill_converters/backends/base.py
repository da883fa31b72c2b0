"""What a backend is: how a graph becomes a file of one format, and what is known of such files on the host.

On a device the engine of the same name runs the file (`edgestill_runtime.engines`); times of operators come from the
engine's profiler. A backend imports its packages inside its functions, so that only those in use must be installed.
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
    """A finished file, and the scales of its quantized inputs and outputs that the file itself does not store.

    Args:
        content: bytes; of a format whose files are folders, member → bytes.
        inputs, outputs: one entry each, None if it is not quantized; empty if the engine reads them from the file.
    """

    content: Content
    inputs: tuple[Scale | None, ...] = ()
    outputs: tuple[Scale | None, ...] = ()


def _runs_anywhere() -> str:
    return ""


@dataclass(frozen=True)
class Backend:
    """How graphs become files of one format.

    Args:
        name: the same as that of its engine in `edgestill_runtime.engines`. suffix: of its files, with the dot.
        export: a graph for batch 1, and whether it is quantized → the file. It runs in a process of its own.
        quantized_graph: the form of the quantized graph that `export` expects: `folded`, with int8 weights, or
            `unfolded`, with float weights and quantize/dequantize pairs; None: it makes fp32 files only.
        inspect: content, and whether to ask the engine what it delegates → what is inside; None: not available.
        exporter: the package that manifests name as the exporter; empty: the one that provides this backend.
        packages: others that a file depends on. modules: imported by `export`, and checked before a conversion.
        requirement: what to install with pip to get these.
        lacks: operator that its engine does not have, as ATen names it → what to use instead.
        why_not_here: why this machine cannot run its files, whatever is installed; empty if it can.
        gradle: dependencies of an Android app that runs its files; empty: not possible.

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
    why_not_here: Callable[[], str] = _runs_anywhere
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
        """Why this machine cannot run its files, and what to install; empty if it can.

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
        """Name and version of its exporter, for the manifest."""
        return f"{self.exporter} {metadata.version(self.exporter)}"
