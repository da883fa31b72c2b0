"""Which layers are carried to both engines, which are refused, and why → the table in docs/converters.md.

python -m benchmarks.suite.converters.coverage docs/converters.md
python -m benchmarks.suite.converters.coverage docs/converters.md --layers Mish GRU   # these alone, printed

Many layers share one model and one conversion: each is an output of it. What a conversion names as its failure is taken
out and noted, and the rest is tried again.
"""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgestill_converters import ConversionError, Description, convert, relative_error
from edgestill_runtime import Bundle, load

from .coverage_layers import IMAGES, SEQUENCES

IMAGE, SEQUENCE, CHANNELS = (3, 12, 10), (6, 8), 8
GROUP = 16
"""Layers that share a conversion."""


@dataclass(frozen=True)
class Row:
    """What became of a layer.

    Args:
        precision: in words. steps: largest difference of the two int8 files in quantization steps, NaN where none.
        error: of int8, as a share of the values. refused: the message, empty where it is carried.
    """

    name: str
    precision: str = ""
    steps: float = float("nan")
    error: float = float("nan")
    refused: str = ""


class SideBySide(nn.Module):
    """A layer of its own before each of the layers, which are named for the messages; one output each."""

    def __init__(self, layers: Mapping[str, nn.Module], images: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleDict({key_of(name): layer for name, layer in layers.items()})
        self.before = nn.ModuleList(
            nn.Conv2d(IMAGE[0], CHANNELS, 1) if images else nn.Linear(SEQUENCE[1], SEQUENCE[1]) for _ in layers
        )

    def forward(self, values: Tensor) -> tuple[Tensor, ...]:
        """One output for each layer."""
        return tuple(layer(before(values)) for before, layer in zip(self.before, self.layers.values(), strict=True))


def key_of(name: str) -> str:
    """A module's name, in which no dot may be."""
    return re.sub(r"\W+", "_", name)


def main() -> None:
    """All layers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--layers", nargs="*", default=[], help="these alone, printed; the page stays as it is")
    arguments = parser.parse_args()
    rows: list[Row] = []
    for layers, images in ((IMAGES, True), (SEQUENCES, False)):
        chosen = [name for name in layers if not arguments.layers or name in arguments.layers]
        for start in range(0, len(chosen), GROUP):
            found = examine({name: layers[name] for name in chosen[start : start + GROUP]}, images)
            print(table(found), flush=True)
            rows += found
    if not arguments.layers:
        text = arguments.page.read_text()
        mark = r"(<!-- coverage -->\n).*?(<!-- /coverage -->)"
        arguments.page.write_text(re.sub(mark, lambda match: f"{match[1]}{table(rows)}\n{match[2]}", text, flags=re.S))


def examine(layers: Mapping[str, nn.Module], images: bool) -> list[Row]:
    """A row for each layer, in their order."""
    found: dict[str, Row] = {}
    waiting = [list(layers)]
    while waiting:
        names = waiting.pop()
        shape = IMAGE if images else SEQUENCE
        samples = [np.random.default_rng(0).normal(0, 1, (24, *shape)).astype(np.float32)]
        model = SideBySide({name: layers[name] for name in names}, images).eval()
        with TemporaryDirectory() as folder:
            try:
                bundle = convert(model, samples, Description("x", (), None, 0, 0, {}), Path(folder) / "x.edge")
            except ConversionError as error:
                message = str(error).partition("; see ")[0]
                print(message, file=sys.stderr, flush=True)
                blamed = [name for name in names if re.search(rf"'layers\.{key_of(name)}['.]", message)]
                blamed = blamed or (names if len(names) == 1 else [])
                found.update({name: Row(name, refused=message) for name in blamed})
                rest = [name for name in names if name not in blamed]
                # Nobody named: each half by itself.
                waiting += [rest] if blamed and rest else [] if blamed else [names[::2], names[1::2]]
                continue
            found.update(zip(names, _judged(bundle, model, names, samples), strict=True))
    return [found[name] for name in layers]


def _judged(bundle: Bundle, model: nn.Module, names: Sequence[str], samples: list[Any]) -> list[Row]:
    given = {}
    for engine in ("executorch", "litert"):
        with load(bundle, engine=engine) as loaded:
            given[engine] = loaded.outputs_of(samples)
            specs = loaded.outputs
    with torch.inference_mode():
        reference = [one.numpy() for one in model(torch.from_numpy(samples[0]))]
    floating = bundle.manifest.training.get("float_layers", ())
    rows = []
    for number, name in enumerate(names):
        one, other = given["executorch"][number], given["litert"][number]
        step = specs[number].scale or float("nan")
        rows.append(Row(
            name,
            "float" if any(re.match(rf"layers\.{key_of(name)}[:.]", one) for one in floating) else "int8",
            float(np.abs(one.astype(np.float64) - other).max() / step),
            max(relative_error(values, reference[number]) for values in (one, other)),
        ))  # fmt: skip
    return rows


def table(rows: Sequence[Row]) -> str:
    """Carried first, then refused."""
    lines = ["| layer | layers with weights in | files apart, steps | error of int8 |", "| --- | --- | --- | --- |"]
    for row in rows:
        if not row.refused:
            steps = "–" if np.isnan(row.steps) else f"{row.steps:.0f}"
            lines.append(f"| {row.name} | {row.precision} | {steps} | {100 * row.error:.1f} % |")
    refused = [row for row in rows if row.refused]
    if refused:
        lines += ["", "| refused | message |", "| --- | --- |"]
        lines += [f"| {row.name} | {row.refused.replace('|', '/')} |" for row in refused]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
