"""LiteRT: `.tflite`, images channels last."""

from typing import TYPE_CHECKING

from ..base import Backend, Exported

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from ...contents import Inspection


def _export(program: "ExportedProgram", quantized: bool) -> Exported:
    from .export import export_tflite

    return Exported(export_tflite(program, quantized))


def _inspect(content: bytes, ask_engine: bool) -> "Inspection":
    from .inspector import read_tflite

    return read_tflite(content, ask_engine)


BACKEND = Backend(
    name="litert",
    suffix=".tflite",
    export=_export,
    quantized_graph="unfolded",
    inspect=_inspect,
    exporter="litert-torch",
    packages=("ai-edge-litert", "ai-edge-quantizer"),
    modules=("torchao", "litert_torch"),
    lacks={"topk": "no sorting in the model: sort its outputs in the code that calls it"},
    gradle=(
        'implementation("org.bytedeco:tensorflow-lite:2.21.0-1.5.14")',
        'runtimeOnly("org.bytedeco:tensorflow-lite:2.21.0-1.5.14:android-arm64")',
        'runtimeOnly("org.bytedeco:javacpp:1.5.14:android-arm64")',
    ),
)
