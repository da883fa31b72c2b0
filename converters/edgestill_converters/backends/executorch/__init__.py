"""ExecuTorch: `.pte`, delegated to XNNPACK."""

from typing import TYPE_CHECKING

from ..base import Backend, Exported

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from ...contents import Inspection


def _export(program: "ExportedProgram", quantized: bool) -> Exported:
    from .export import export_pte

    content, inputs, outputs = export_pte(program)
    return Exported(content, tuple(inputs), tuple(outputs))


def _inspect(content: bytes, ask_engine: bool) -> "Inspection":
    from .inspector import read_pte

    return read_pte(content)


BACKEND = Backend(
    name="executorch",
    suffix=".pte",
    export=_export,
    quantized_graph="folded",
    inspect=_inspect,
    exporter="executorch",
    modules=("torchao", "executorch"),
    gradle=('implementation("org.pytorch:executorch-android:1.0.1") { exclude(group = "androidx.core") }',),
)
