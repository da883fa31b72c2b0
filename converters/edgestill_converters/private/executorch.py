"""executorch: copies in edge graphs, the content of a `.pte`, and parts of `XNNPACKQuantizer`."""

import json
import shutil
import struct
import subprocess
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from executorch.exir._serialize._flatbuffer import _get_flatc_path
from executorch.exir._serialize._program import deserialize_pte_binary
from executorch.exir.dialects._ops import ops
from torch.fx import GraphModule

COPIES = (ops.edge.aten.expand_copy.default, ops.edge.dim_order_ops._to_dim_order_copy.default)
"""Operators of the edge dialect that may copy a tensor unchanged."""


def has_flatc() -> bool:
    """Whether the program flatc is there, with which the two functions below read flatbuffers."""
    return shutil.which(_get_flatc_path()) is not None


def read_program(content: bytes) -> Any:
    """The program in a `.pte`: an `executorch.exir.schema.Program`."""
    return deserialize_pte_binary(content).program


def read_xnnpack_graph(blob: bytes) -> dict[str, Any]:
    """The graph of an XNNPACK delegate, as `executorch/backends/xnnpack/serialization/schema.fbs` describes it.

    Args:
        blob: XNNPACK's header, in which 10 bytes in offset and size of the flatbuffer stand, and what follows it.
    """
    offset, size = struct.unpack_from("<II", blob, 10)
    schema = resources.files("executorch.backends.xnnpack.serialization").joinpath("schema.fbs")
    with TemporaryDirectory() as folder, resources.as_file(schema) as schema_file:
        packed = Path(folder) / "graph.bin"
        packed.write_bytes(blob[offset : offset + size])
        flags = ["--json", "--defaults-json", "--strict-json", "--raw-binary"]
        command = [_get_flatc_path(), *flags, "-o", folder, str(schema_file), "--", str(packed)]
        subprocess.run(command, check=True, capture_output=True)
        text = packed.with_suffix(".json").read_text()
    graph: dict[str, Any] = json.loads(text.replace(": inf", ": 1e999").replace(": -inf", ": -1e999"))
    return graph


def annotate_patterns(quantizer: Any, model: GraphModule) -> GraphModule:
    """Annotate what an `XNNPACKQuantizer` knows, in place, without the transformations of its `annotate`."""
    annotated: GraphModule = quantizer._annotate_for_quantization_config(model)
    return annotated


def drop_batch_norm_patterns(quantizer: Any) -> None:
    """Let an `XNNPACKQuantizer` look for no batch norms, for which it exports two dozen patterns, in seconds."""
    quantizer.SUPPORTED_PATTERNS = [one for one in quantizer.SUPPORTED_PATTERNS if "_bn" not in one.name]
