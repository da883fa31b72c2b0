"""Which layers both engines support, which are refused, and why → the table in docs/converters.md.

python -m benchmarks.suite.converters.coverage docs/converters.md
python -m benchmarks.suite.converters.coverage docs/converters.md --layers Mish GRU   # only these; other rows stay

Each layer follows a convolution or linear layer, in a model of these two. `docs/results/layers.json` keeps the numbers.
"""

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgestill_converters import ConversionError, Description, convert, relative_error
from edgestill_converters.source_model import flat_outputs
from edgestill_runtime import Bundle, load

from .coverage_layers import IMAGES, SEQUENCES

KEPT = "results/layers.json"  # beside the page
IMAGE, SEQUENCE, CHANNELS = (3, 12, 10), (6, 8), 8


@dataclass(frozen=True)
class Row:
    """The result for a layer.

    Args:
        precision: `int8` or `float`. steps: largest difference of the two int8 files, in quantization steps; None if no
            output is quantized. error: of int8, relative. refused: the message, empty if supported.
    """

    name: str
    precision: str = ""
    steps: float | None = None
    error: float | None = None
    refused: str = ""


class Behind(nn.Module):
    """A layer after one whose output is int8."""

    def __init__(self, layer: nn.Module, images: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = layer
        self.before = nn.Conv2d(IMAGE[0], CHANNELS, 1) if images else nn.Linear(SEQUENCE[1], SEQUENCE[1])

    def forward(self, values: Tensor) -> Any:
        """The outputs of the layer."""
        return self.layer(self.before(values))


def main() -> None:
    """All layers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--layers", nargs="*", default=[], help="only these; other rows stay as they are")
    arguments = parser.parse_args()
    kept = arguments.page.parent / KEPT
    rows = {one["name"]: Row(**one) for one in json.loads(kept.read_text())} if kept.exists() else {}
    for layers, images in ((IMAGES, True), (SEQUENCES, False)):
        for name, layer in layers.items():
            if not arguments.layers or name in arguments.layers:
                rows[name] = examine(name, layer, images)
                print(rows[name], flush=True)
                kept.write_text(json.dumps([asdict(one) for one in rows.values()], indent=0, ensure_ascii=False) + "\n")
    known = [rows[name] for name in (*IMAGES, *SEQUENCES) if name in rows]
    text = arguments.page.read_text()
    mark = r"(<!-- coverage -->\n).*?(<!-- /coverage -->)"
    arguments.page.write_text(re.sub(mark, lambda match: f"{match[1]}{table(known)}\n{match[2]}", text, flags=re.S))


def examine(name: str, layer: nn.Module, images: bool) -> Row:
    """Convert a model with the layer, and compare."""
    samples = [np.random.default_rng(0).normal(0, 1, (24, *(IMAGE if images else SEQUENCE))).astype(np.float32)]
    model = Behind(layer, images).eval()
    with TemporaryDirectory() as folder:
        try:
            bundle = convert(model, samples, Description("x", (), None, 0, 0, {}), Path(folder) / "x.edge")
        except ConversionError as error:
            return Row(name, refused=str(error).partition("; see ")[0])
        return _judged(name, bundle, model, samples)


def _judged(name: str, bundle: Bundle, model: nn.Module, samples: list[Any]) -> Row:
    outputs: dict[str, Any] = {}
    for engine in ("executorch", "litert"):
        with load(bundle, engine=engine) as loaded:
            outputs[engine], specs = loaded.outputs_of(samples), loaded.outputs
    with torch.inference_mode():
        predictions = [flat_outputs(model(torch.from_numpy(one[None]))) for one in samples[0]]
    floating = bundle.manifest.training.get("float_layers", ())
    steps, error = [], []
    references = [torch.cat(one).numpy() for one in zip(*predictions, strict=True)]
    for spec, reference, one, other in zip(specs, references, outputs["executorch"], outputs["litert"], strict=True):
        if spec.scale is not None:
            steps.append(float(np.abs(one.astype(np.float64) - other).max() / spec.scale))
        error += [float(relative_error(values, reference)) for values in (one, other)]
    precision = "float" if any(re.match(r"layer[:.]", one) for one in floating) else "int8"
    return Row(name, precision, max(steps, default=None), max(error))


def table(rows: Sequence[Row]) -> str:
    """Supported layers first, then refused ones."""
    lines = ["| layer | layers with weights in | files apart, steps | error of int8 |", "| --- | --- | --- | --- |"]
    for row in rows:
        if row.error is not None:
            steps = "–" if row.steps is None else f"{row.steps:.0f}"
            lines.append(f"| {row.name} | {row.precision} | {steps} | {100 * row.error:.1f} % |")
    refused = [row for row in rows if row.refused]
    if refused:
        lines += ["", "| refused | message |", "| --- | --- |"]
        lines += [f"| {row.name} | {row.refused.replace('|', '/')} |" for row in refused]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
