"""Each operator between int8 convolutions: is it int8 in both engines, with the same outputs, and faster than fp32?

python -m benchmarks.suite.converters.operators runs/converters/operators.json
"""

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgestill_benchmarks import Rule, measure, open_models
from edgestill_converters import ConversionOptions, Description, convert, relative_error
from edgestill_converters.inspection import inspect_bytes

SHAPE = (16, 56, 56)
OPERATORS: dict[str, nn.Module] = {
    "ReLU": nn.ReLU(),
    "hard-swish": nn.Hardswish(),
    "SiLU": nn.SiLU(),
    "sigmoid": nn.Sigmoid(),
    "hard sigmoid": nn.Hardsigmoid(),
    "GELU": nn.GELU(),
    "leaky ReLU": nn.LeakyReLU(0.1),
    "tanh": nn.Tanh(),
    "softmax over channels": nn.Softmax(1),
    "average pooling 2×2": nn.AvgPool2d(2),
    "average pooling 3×3, padded": nn.AvgPool2d(3, 1, 1),
    "max pooling 2×2": nn.MaxPool2d(2),
    "ELU": nn.ELU(),
}


class Between(nn.Module):
    """1×1 convolution, operator, depthwise 3×3, operator, 1×1, pooling."""

    def __init__(self, operator: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(SHAPE[0], 72, 1), nn.Conv2d(72, 16, 1)
        self.middle, self.operator = nn.Conv2d(72, 72, 3, padding=1, groups=72), operator
        with torch.no_grad():
            for layer in (self.first, self.middle, self.last):
                layer.weight *= 3

    def forward(self, values: Tensor) -> Tensor:
        values = self.operator(self.middle(self.operator(self.first(values))))
        return F.adaptive_avg_pool2d(self.last(values), 1).flatten(1)


def main() -> None:
    """All operators, in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    output = parser.parse_args().output
    rows = []
    for name, operator in OPERATORS.items():
        rows.append(one_operator(name, operator))
        print(rows[-1], flush=True)
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(rows, indent=1) + "\n")


def one_operator(name: str, operator: nn.Module) -> dict[str, Any]:
    """Convert, compare, measure."""
    values = np.random.default_rng(0).normal(0, 2, (80, *SHAPE)).astype(np.float32)
    model = Between(operator).eval()
    with TemporaryDirectory() as folder:
        description = Description(name, (), None, 0, 0, {})
        bundle = convert(
            model,
            [values[:16]],
            description,
            Path(folder) / "x.edge",
            options=ConversionOptions(log=Path(folder) / "log"),
        )
        outputs = {}
        for file, opened in open_models(bundle).items():
            with opened:
                outputs[file] = opened.infer(values[16:])
        rule = Rule(min_calls=200, min_seconds=1.0)
        times = {one.file: one.latency_ms.min for one in measure(bundle, 1, rule).files}
        seen = inspect_bytes(bundle.read("model.tflite"), "litert", "model.tflite")
        other = inspect_bytes(bundle.read("model.pte"), "executorch", "model.pte")
    with torch.inference_mode():
        reference = model(torch.from_numpy(values[16:])).numpy()
    step = bundle.manifest.models["model.tflite"].outputs[0].scale or 1.0
    floats = {side: {one.name for one in inside.operators if one.precision == "float32"} for side, inside in
              (("tflite", seen), ("pte", other))}  # fmt: skip
    return {
        "name": name,
        "ratio": {
            file: times[file] / times[file.replace("model.", "model.fp32.")] for file in ("model.pte", "model.tflite")
        },
        "identical": float((np.abs(outputs["model.pte"] - outputs["model.tflite"]) < step / 2).mean()),
        "error": max(relative_error(outputs[file], reference) for file in ("model.pte", "model.tflite")),
        "int8": " / ".join("no" if floats[side] else "yes" for side in ("pte", "tflite")),
        "float": "; ".join(f"{side}: {', '.join(sorted(names))}" for side, names in floats.items() if names),
        "partitions": [other.partitions, seen.partitions],
    }


if __name__ == "__main__":
    main()
