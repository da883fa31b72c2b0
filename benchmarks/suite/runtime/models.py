"""The files that bench_runtime.py runs: `python models.py FOLDER BUNDLE`. Needs the exporters.

one.pte, one.tflite        one element + 1: what a call costs when there is nothing to compute
student.pte, .tflite       the int8 files of a demo bundle
mobilenetv2.pte, .tflite   MobileNetV2 at 224 × 224, int8, weights at random: 3.5 M parameters, 300 M MACs
"""

import sys
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from edgestill_converters import quantize
from edgestill_converters.backends.executorch.export import export_pte
from edgestill_converters.backends.litert.export import export_tflite
from edgestill_converters.graph import export, make_graph, tensors
from edgestill_runtime import open_bundle


class AddOne(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1


def main(folder: Path, bundle: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    one = torch.zeros(1, 1, 1, 1)
    (folder / "one.pte").write_bytes(export_pte(export(AddOne().eval(), (one,)))[0])
    (folder / "one.tflite").write_bytes(export_tflite(export(AddOne().eval(), (one,)), quantized=False))
    opened = open_bundle(bundle)
    for suffix in ("pte", "tflite"):
        (folder / f"student.{suffix}").write_bytes(opened.read(f"model.{suffix}"))
    model, samples = timm.create_model("mobilenetv2_100", pretrained=False), [torch.randn(8, 3, 224, 224).numpy()]
    graph = make_graph(model, samples, None)
    prepared = quantize.calibrate(quantize.prepare(graph.module), tensors(samples, None))
    (folder / "mobilenetv2.pte").write_bytes(export_pte(quantize.folded(prepared, graph.examples))[0])
    unfolded = quantize.unfolded(prepared, graph.examples)
    (folder / "mobilenetv2.tflite").write_bytes(export_tflite(unfolded, quantized=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
