"""Writes in place: no operator of a graph has one, and none is lost."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgestill_converters import quantize, relative_error
from edgestill_converters.graph import export, make_graph, tensors

aten = torch.ops.aten
SAMPLES = [np.random.default_rng(0).normal(0, 1, (16, 3, 8, 8)).astype(np.float32)]


class Between(nn.Module):
    """Two convolutions, a batch norm, and a function between them."""

    def __init__(self, function):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm, self.last = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Conv2d(6, 4, 3)
        self.norm.running_mean.uniform_(-1, 1)
        self.register_buffer("seen", torch.zeros(6, 1, 1))
        self.function = function

    def forward(self, images):
        return self.last(self.function(self, self.norm(self.first(images))))


def zeroed(m, a):
    a[:, :, 0] = 0.0
    return a


def scaled(m, a):
    a[:, :2].mul_(3.0)
    return a


def shifted(m, a):
    a[:, :, :4].add_(1.0)
    return a


def copied(m, a):
    b = a.clone()
    b.add_(1)
    return b + a


def moved(m, a):
    a[:, 1:3, 2:5] = a[:, 3:5, 2:5]
    a[..., 1:-1, 1:-1] = a.mean((2, 3), keepdim=True)
    return a


def viewed(m, a):
    a.view(1, 6, -1).add_(1)
    return a


def passed_through(m, a):
    b = F.dropout(a, training=False)
    b.add_(1)
    return b + a


def parted(m, a):
    first, second = a.chunk(2, 1)
    first.relu_()
    second[:, -1] = 1
    return a


def given_a_place(m, a):
    torch.add(a, 1, out=a)
    return a


def under_autocast(m, a):
    with torch.autocast("cpu", enabled=False):
        a[:, :, 0] = 0.0
    return a


def masked(m, a):
    mask = torch.zeros(8, 8)
    mask[2:5, 3:6] = 1
    return a * mask


def kept_small(m, a):
    a[a > 0.5] = 0.5
    a[a.mean((2, 3)) < 0] = 0.0
    return a


def remembered(m, a):
    m.seen += 1
    m.seen[1] = 5
    return a + m.seen - m.seen


WRITES = (
    zeroed,
    scaled,
    shifted,
    copied,
    moved,
    viewed,
    passed_through,
    parted,
    given_a_place,
    under_autocast,
    masked,
    kept_small,
    remembered,
)


@pytest.mark.parametrize("function", WRITES, ids=lambda one: one.__name__)
def test_an_int8_graph_computes_what_was_written(function):
    model = Between(function).eval()
    graph = make_graph(model, SAMPLES, None)
    assert not any(node.target._schema.is_mutable for node in graph.module.graph.nodes if node.op == "call_function")
    with torch.inference_mode():
        expected = model(torch.from_numpy(SAMPLES[0])).numpy()
        prepared = quantize.prepare(graph.module)
        quantize.calibrate(prepared, tensors(SAMPLES, None))
        program = quantize.folded(prepared, graph.examples).module(check_guards=False)
        for module, allowed in ((graph.module, 1e-5), (program, 0.04)):
            found = torch.cat([module(*one) for one in tensors(SAMPLES, None)]).numpy()
            assert relative_error(found, expected) < allowed


def test_a_write_that_only_its_result_shows_is_the_same_operator_without_it():
    model = Between(lambda m, a: F.hardtanh(F.relu(a, inplace=True), inplace=True).mul_(2.0)).eval()
    program = export(model, (torch.zeros(1, 3, 8, 8),))
    assert [node.target for node in program.graph.nodes if node.op == "call_function"] == [
        aten.conv2d.default, aten.batch_norm.default, aten.relu.default, aten.hardtanh.default, aten.mul.Tensor,
        aten.conv2d.default,
    ]  # fmt: skip


class Writes(nn.Module):
    """Spoils its input and a buffer, and counts how often."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, images):
        self.calls += 1
        images[:, 0] = 0
        return self.conv(images.relu_())


def test_what_a_model_leaves_behind_is_not_in_its_graph():
    images = torch.from_numpy(SAMPLES[0][:1])
    graph = make_graph(Writes(), SAMPLES, None)
    before = [one.clone() for one in (images, *graph.module.buffers())]
    graph.module(images)
    assert all(map(torch.equal, before, (images, *graph.module.buffers())))
