"""Each rewrite finds its pattern, leaves the function as it is, and leaves other graphs alone."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgestill_converters.graph import export
from edgestill_converters.rewrites import after_quantisation, fold_batch_norms, tidy
from edgestill_converters.rewrites.editing import cleaned

aten = torch.ops.aten
IMAGE = torch.linspace(-3, 3, 2 * 3 * 12 * 10).reshape(2, 3, 12, 10)[:1]


class Run(nn.Module):
    """A function as a module, with a convolution and a batch norm that have seen something."""

    def __init__(self, function):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(3)
        self.after = nn.BatchNorm2d(6)
        for norm in (self.norm, self.after):
            norm.running_mean.uniform_(-1, 1)
            norm.running_var.uniform_(0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 2)
            nn.init.uniform_(norm.bias, -1, 1)
        self.function = function

    def forward(self, *inputs):
        return self.function(self, *inputs)


def rewritten(function, *inputs):
    model = Run(function).eval()
    graph, counts = tidy(export(model, inputs).module(check_guards=False))
    torch.testing.assert_close(graph(*inputs), model(*inputs), rtol=1e-5, atol=1e-5)
    return graph, counts


def targets(graph):
    return [node.target for node in graph.graph.nodes if node.op == "call_function"]


@pytest.mark.parametrize(
    ("function", "name", "gone"),
    [
        (lambda m, x: m.conv(x[:, :, :, :]).contiguous().to(torch.float32), "drop_no_ops", aten.slice.Tensor),
        (lambda m, x: F.dropout(m.conv(x), 0.5, training=False), "drop_no_ops", aten.dropout.default),
        (lambda m, x: m.conv(x).mean((2, 3)), "mean_to_pooling", aten.mean.dim),
        (lambda m, x: m.conv(x).mean((-1, -2), keepdim=True), "mean_to_pooling", aten.mean.dim),
        (lambda m, x: F.silu(m.conv(x)), "silu_to_product", aten.silu.default),
        (lambda m, x: F.avg_pool2d(x, 2), "average_pooling_to_convolution", aten.avg_pool2d.default),
        (lambda m, x: F.avg_pool2d(x, 3, 1, 1), "average_pooling_to_convolution", aten.avg_pool2d.default),
        (lambda m, x: F.relu(m.norm(x)), "batch_norm_to_convolution", aten.batch_norm.default),
        (lambda m, x: x + torch.arange(10.0).cumsum(0).sin(), "fold_constants", aten.cumsum.default),
    ],
)
def test_a_pattern_is_found_and_the_function_stays(function, name, gone):
    graph, counts = rewritten(function, IMAGE)
    assert counts[name] >= 1
    assert gone not in targets(graph)


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: m.conv(x).mean(1),  # over channels
        lambda m, x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False),  # not one weight everywhere
        lambda m, x: F.avg_pool2d(x, 3, 2, ceil_mode=True),  # the last window is smaller
        lambda m, x: m.conv(x[:, :, 1:, :]),
        lambda m, x: m.after(m.conv(x)),  # folded by the quantizer
        lambda m, x: m.conv(x).transpose(2, 3).contiguous().view(1, 6, -1),  # the copy makes the view possible
        lambda m, x: m.conv(x).half().float(),
    ],
)
def test_what_only_looks_like_a_pattern_is_left_alone(function):
    assert rewritten(function, IMAGE)[1] == {}


class Waves(nn.Module):
    """Convolution, norm, activation, pooling, addition and mean over waveforms."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv1d(2, 8, 5, 2, 2), nn.Conv1d(8, 8, 3, padding=2, dilation=2)
        self.norm = nn.BatchNorm1d(8)
        self.norm.running_mean.uniform_(-1, 1)
        self.head = nn.Linear(8, 4)

    def forward(self, waves):
        features = F.max_pool1d(F.relu(self.norm(self.first(waves))), 3, 2, 1)
        return self.head((features + F.hardswish(self.second(features))).mean(2))


def test_waveforms_become_images_of_height_one():
    model, waves = Waves().eval(), torch.randn(1, 2, 64)
    graph, counts = tidy(export(model, (waves,)).module(check_guards=False))
    torch.testing.assert_close(graph(waves), model(waves))
    assert counts["one_dimension_as_two"] == 4  # two convolutions, a pooling, a mean
    # One way in, and none back: pooling to 1 × 1 is flat already.
    assert targets(graph).count(aten.unsqueeze.default) == 1
    assert aten.squeeze.dim not in targets(graph) and aten.conv1d.default not in targets(graph)


def test_hard_sigmoid_is_split_only_after_quantisation():
    model = Run(lambda m, x: F.hardsigmoid(m.conv(x) * 3)).eval()
    graph, counts = tidy(export(model, (IMAGE,)).module(check_guards=False))
    assert counts == {} and aten.hardsigmoid.default in targets(graph)
    after_quantisation(graph)
    assert aten.hardsigmoid.default not in targets(graph)
    torch.testing.assert_close(graph(IMAGE), model(IMAGE))


def test_batch_norms_fold_into_their_convolutions_for_training():
    model = Run(lambda m, x: m.after(m.conv(x))).eval()
    graph = export(model, (IMAGE,)).module(check_guards=False)
    assert fold_batch_norms(graph) == 1
    cleaned(graph)
    assert targets(graph) == [aten.conv2d.default]
    torch.testing.assert_close(graph(IMAGE), model(IMAGE), rtol=1e-4, atol=1e-5)
