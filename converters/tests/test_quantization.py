"""What the quantizer marks, how weights are rounded, which layers are found sensitive."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgestill_converters import ConversionError, quantize
from edgestill_converters.graph import make_graph, tensors
from edgestill_converters.sensitivity import rank_layers
from edgestill_converters.weight_rounding import round_weights

QUANTIZE = torch.ops.quantized_decomposed.quantize_per_tensor.default
DEQUANTIZE = torch.ops.quantized_decomposed.dequantize_per_tensor.default
aten = torch.ops.aten


class Gated(nn.Module):
    """Squeeze and excite with a hard sigmoid, hard-swish, then a head."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.gate, self.last = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 6, 1)

    def forward(self, images):
        features = F.hardswish(self.conv(images))
        features = features * F.hardsigmoid(self.gate(F.adaptive_avg_pool2d(features, 1)))
        return F.adaptive_avg_pool2d(self.last(torch.sigmoid(features)), 1).flatten(1)


def samples(count=16):
    return [np.random.default_rng(0).normal(0, 1, (count, 3, 10, 10)).astype(np.float32)]


def converted(model, calibration, **options):
    graph = make_graph(model, calibration, None)
    prepared = quantize.prepare(graph.module, **options)
    quantize.calibrate(prepared, tensors(calibration, None))
    return graph, prepared


def after(node):
    return next(iter(node.users))


def test_known_ranges_are_fixed_and_activations_quantized():
    graph, prepared = converted(Gated(), samples())
    program = quantize.folded(prepared, graph.examples)
    expected = (aten.sigmoid.default, aten.hardswish.default)
    found = {node.target: after(node) for node in program.graph.nodes if node.target in expected}
    assert found[aten.sigmoid.default].args[1:3] == (1 / 256, -128)
    assert found[aten.hardswish.default].target is QUANTIZE
    # The hard sigmoid was one operator when its range was fixed; its last part carries the scale now.
    multiplied = [node for node in program.graph.nodes if node.target is aten.mul.Tensor]
    assert (1 / 256, -128) in [after(node).args[1:3] for node in multiplied]
    # Pooling of the hard-swish is int8: it reads and writes codes.
    pooling = next(node for node in program.graph.nodes if node.target is aten.mean.dim)
    assert pooling.args[0].target is DEQUANTIZE and after(pooling).target is QUANTIZE


def test_a_layer_that_is_kept_in_float_has_its_weights_in_float():
    graph, prepared = converted(Gated(), samples(), float_nodes=("conv2d_1",))
    program = quantize.folded(prepared, graph.examples)
    weights = [node.args[1].target for node in program.graph.nodes if node.target is aten.conv2d.default]
    quantized = torch.ops.quantized_decomposed.dequantize_per_channel.default
    assert weights[0] is quantized and weights[1] is not quantized and weights[2] is quantized


def test_a_layer_that_does_not_exist_is_not_kept_in_float():
    graph = make_graph(Gated(), samples(2), None)
    with pytest.raises(
        ConversionError, match="float_nodes has 'conv2d_9', which is no node of the graph; the nearest is"
    ):
        quantize.prepare(graph.module, float_nodes=("conv2d_1", "conv2d_9"))


def test_small_weights_have_all_their_levels():
    model = Gated()
    with torch.no_grad():
        model.conv.weight *= 0.02
    assert model.conv.weight.abs().max() < 127 * 2**-12  # where XNNPACKQuantizer begins to lose levels
    graph, prepared = converted(model, samples())
    program = quantize.folded(prepared, graph.examples)
    codes = [value for value in program.state_dict.values() if value.dtype == torch.int8]
    assert len(codes) == 3
    for one in codes:
        assert (one.abs().flatten(1).amax(1) == 127).all()


def test_rounded_weights_and_biases_are_whole_steps_and_stay_so():
    graph, prepared = converted(Gated(), samples())
    program = quantize.unfolded(prepared, graph.examples)
    module = program.module(check_guards=False)
    before = module(*graph.examples)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    round_weights(module)
    torch.testing.assert_close(module(*graph.examples), before, rtol=0, atol=0)
    rounded = [name for name in state if "rounded" in name]
    assert len(rounded) == 6  # weight and bias of three layers


def test_the_layer_that_suffers_most_is_found():
    """One outlier takes almost the whole range of a layer's weights, so its others become zero."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3)).eval()
    with torch.no_grad():
        model[2].weight[:, 0, 0, 0] = 30.0
        model[0].weight[0], model[0].bias[0] = 0, -1  # the outlier meets a channel that is always 0
    graph = make_graph(model, samples(), None)
    done = []
    layers = rank_layers(graph, samples(8), lambda number, total: done.append((number, total)))
    assert layers[0].module == "2"
    assert layers[0].error > 5 * layers[1].error
    assert done == [(1, 3), (2, 3), (3, 3)]


class Normed(nn.Module):
    """A convolution, a layer norm over channels and a linear layer as ConvNeXt has them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.last = nn.Conv2d(3, 8, 3), nn.LayerNorm(8), nn.Linear(8, 6)

    def forward(self, images):
        return self.last(self.norm(self.conv(images).permute(0, 2, 3, 1))).permute(0, 3, 1, 2).mean((2, 3))


@pytest.mark.parametrize("any_batch", [False, True])
def test_a_layer_norm_stays_in_float_between_int8_layers(any_batch):
    graph = make_graph(Normed(), samples(), None, any_batch=any_batch)
    if any_batch:
        prepared = quantize.FakeQuantized(graph.module).graph
    else:
        prepared = quantize.prepare(graph.module)
        assert len(rank_layers(graph, samples(8))) == 2
    inside = [node for node in prepared.graph.nodes if node.target in (aten.sub.Tensor, aten.rsqrt.default)]
    assert len(inside) == 2
    for node in inside:
        assert all(user.op == "call_function" for user in node.users)
    layers = [node for node in prepared.graph.nodes if node.target is aten.conv2d.default]
    # Three of the five are in the norm: its two means, its scale.
    assert [node.args[1].op for node in layers] == ["call_module", "get_attr", "get_attr", "get_attr", "call_module"]


def test_a_fake_quantized_net_trains_and_becomes_both_programs():
    arrays = samples(32)
    graph = make_graph(Gated(), arrays, None, any_batch=True)
    net = quantize.FakeQuantized(graph.module)
    inputs, expected = torch.from_numpy(arrays[0]), torch.full((32, 6), 0.25)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        loss = F.mse_loss(net.train()(inputs), expected)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    net.eval()
    ranges = [value.clone() for name, value in net.state_dict().items() if name.endswith("scale")]
    net(100 * inputs)  # evaluation leaves the ranges alone
    for value, kept in zip((v for n, v in net.state_dict().items() if n.endswith("scale")), ranges, strict=True):
        assert torch.equal(value, kept)
    one = (inputs[:1],)
    first, second = quantize.folded(net.graph, one).module(), quantize.unfolded(net.graph, one).module()
    torch.testing.assert_close(first(*one), second(*one))
    assert (first(*one) - net(inputs[:2])[:1]).abs().max() < 0.05
