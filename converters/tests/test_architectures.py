"""Nets as people write them, through both exporters in this process: whole in the delegate, and in agreement."""

from contextlib import closing

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from edgestill_converters import quantize
from edgestill_converters.backends.executorch.export import export_pte
from edgestill_converters.backends.litert.export import export_tflite
from edgestill_converters.graph import export, make_graph, tensors
from edgestill_converters.inspection import inspect_bytes
from edgestill_runtime.engines import load_engine


class Transformer(nn.Module):
    """One block (Vaswani et al. 2017, arXiv:1706.03762, norms first) and a classifier over the mean of the tokens."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.norms = nn.ModuleList(nn.LayerNorm(32) for _ in range(3))
        self.stem, self.together, self.last = nn.Linear(32, 32), nn.Linear(32, 96), nn.Linear(32, 32)
        self.wide, self.narrow, self.head = nn.Linear(32, 64), nn.Linear(64, 32), nn.Linear(32, 10)
        for norm in self.norms:
            nn.init.uniform_(norm.weight, 0.5, 2)
            nn.init.uniform_(norm.bias, -0.5, 0.5)

    def forward(self, values):
        values = self.stem(values)
        parts = self.together(self.norms[0](values)).view(1, 12, 3, 4, 8)
        queries, keys, outputs = parts.permute(2, 0, 3, 1, 4).unbind(0)
        found = F.scaled_dot_product_attention(queries, keys, outputs).transpose(1, 2).reshape(1, 12, 32)
        values = values + self.last(found)
        values = values + self.narrow(F.gelu(self.wide(self.norms[1](values))))
        return self.head(self.norms[2](values).mean(1))


def test_a_transformer_is_one_piece_and_both_files_agree():
    model, values = Transformer().eval(), np.random.default_rng(0).normal(size=(96, 12, 32)).astype(np.float32)
    graph = make_graph(model, [values[:32]], None)
    prepared = quantize.prepare(graph.module, graph.inputs)
    quantize.calibrate(prepared, tensors([values[:32]], None))
    contents = {
        "executorch": export_pte(quantize.folded(prepared, graph.examples))[0],
        "litert": export_tflite(quantize.unfolded(prepared, graph.examples), quantized=True),
    }
    with closing(load_engine("litert", contents["litert"], 1)) as engine:
        (spec,) = engine.inputs
    taken = np.clip(np.round(values / spec.scale) + spec.zero_point, -128, 127).astype(np.int8)
    codes = {}
    for kind, content in contents.items():
        inside = inspect_bytes(content, kind, kind)
        assert inside.partitions == 1 and not inside.outside
        # Nothing but the products between queries, keys and values, and the means of the norms.
        assert inside.float_macs < 0.2
        with closing(load_engine(kind, content, 1)) as engine:
            assert engine.inputs[0].dtype == engine.outputs[0].dtype == "int8"
            codes[kind] = np.concatenate([engine.run([one[None]])[0] for one in taken]).astype(int)
    difference = np.abs(codes["executorch"] - codes["litert"])
    assert difference.max() <= 1 and (difference > 0).mean() < 0.01
    assert np.ptp(codes["litert"]) > 100


def test_a_model_that_lies_channels_last_in_memory_converts():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3)).eval()
    model.to(memory_format=torch.channels_last)
    images = np.random.default_rng(0).normal(size=(8, 3, 10, 12)).astype(np.float32)
    graph = make_graph(model, [images], None)
    prepared = quantize.calibrate(quantize.prepare(graph.module), tensors([images], None))
    prepared.to(memory_format=torch.channels_last)  # as training with fake quantization leaves it
    programs = [export(graph.module, graph.examples), quantize.folded(prepared, graph.examples)]
    for program in programs:
        content, _, _ = export_pte(program)
        assert inspect_bytes(content, "executorch", "x.pte").delegated_macs == 1
    assert not model[0].weight.is_contiguous()  # the caller's own is left alone
