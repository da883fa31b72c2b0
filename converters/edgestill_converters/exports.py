"""Which files a conversion makes, by which backends, and of which graph."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Literal

from torch.export import ExportedProgram
from torch.fx import GraphModule

from edgestill_runtime import Bundle
from edgestill_runtime.engines import Content

from .backends import Backend
from .errors import ConversionError
from .exporting import Export
from .graph import Graph, Samples, export, tensors
from .precision import float_layers
from .rewrites import after_quantization

NEEDED = ("torchao", "executorch")  # to quantize; not installed on a host that only trains
Precision = Literal["int8", "fp32"]


def check_installed(backends: Sequence[Backend], precision: Precision) -> None:
    """Check, before anything is exported, that every package is installed and every file can be run here."""
    quantizes = precision == "int8" and any(one.quantized_graph for one in backends)
    missing = {name: "edgestill[convert]" for name in NEEDED if quantizes and find_spec(name) is None}
    missing |= {name: one.requirement for one in backends for name in one.missing()}
    if missing:
        install = " ".join(f"'{one}'" for one in dict.fromkeys(missing.values()))
        raise ConversionError(
            f"converting needs {' and '.join(missing)}. Install with: pip install {install}, or convert the checkpoint "
            "on another machine"
        )
    for one in backends:
        if why := one.why_not_run():
            raise ConversionError(f"every file is run as it is made, and {why}")


def files_of(
    backends: Sequence[Backend], precision: Precision, fp32_baseline: bool = True
) -> dict[str, tuple[Backend, bool]]:
    """File name → its backend, and whether it is quantized."""
    found = {}
    for one in backends:
        if precision == "int8" and one.quantized_graph is not None:
            found[one.file_name(quantized=True)] = (one, True)
        if precision == "fp32" or fp32_baseline:
            found[one.file_name(quantized=False)] = (one, False)
    return found


def make_exports(
    graph: Graph,
    samples: Samples,
    backends: Sequence[Backend],
    precision: Precision,
    float_nodes: Sequence[str],
    trained: GraphModule | None,
    fp32_baseline: Bundle | None,
) -> tuple[dict[str, Export], tuple[str, ...]]:
    """File name → the graph to export; and the layers that the quantizer leaves in float.

    Raises:
        ConversionError: a backend that makes fp32 files alone has no file in the fp32 baseline.
    """
    for one in backends:
        if fp32_baseline and not one.quantized_graph and not fp32_baseline.manifest.find(one.name, "fp32"):
            raise ConversionError(
                f"the fp32 baseline {fp32_baseline.path} has no fp32 file for {one.name}, which makes no other; leave "
                "it out"
            )
    files = files_of(backends, precision, fp32_baseline is None)
    forms: dict[str | None, ExportedProgram] = {}
    floating: tuple[str, ...] = ()
    if any(quantized for _, quantized in files.values()):
        # Slow to import, so only when something is quantized.
        from . import quantize

        prepared = trained
        if prepared is None or float_nodes:
            # Layers that stay in float get the trained weights, and everything is calibrated again.
            source = graph.module if trained is None else quantize.float_graph(trained)
            prepared = quantize.prepare(source, graph.inputs, float_nodes)
            quantize.calibrate(prepared, tensors(samples, graph.processor))
        floating = float_layers(prepared)
        used = {one.quantized_graph for one, quantized in files.values() if quantized}
        forms = {form: make(prepared, graph.examples) for form, make in quantize.FORMS.items() if form in used}
    plain = after_quantization(graph.module)
    exports = {}
    for name, (backend, quantized) in files.items():
        program = forms[backend.quantized_graph] if quantized else export(plain, graph.examples)
        exports[name] = Export(backend.name, program, quantized)
    return exports, floating


def flat_contents(contents: Mapping[str, Content]) -> dict[str, bytes]:
    """Model files as `write_bundle` expects them: each member of a file that is a folder under its own path."""
    flat: dict[str, bytes] = {}
    for name, content in contents.items():
        if isinstance(content, bytes):
            flat[name] = content
        else:
            flat |= {f"{name}/{member}": one for member, one in content.items()}
    return flat
