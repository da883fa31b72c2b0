"""Each rewrite finds its pattern, leaves the function as it is, and leaves other graphs alone."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgestill_converters.graph import export
from edgestill_converters.rewrites import after_quantization, fold_batch_norms, tidy
from edgestill_converters.rewrites.editing import cleaned

aten = torch.ops.aten
ROW = torch.linspace(-1, 2, 10)
CHANNELS = torch.linspace(0.5, 2, 6).reshape(6, 1, 1)
SQUARE = CHANNELS * CHANNELS.reshape(6, 1, 1, 1)
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
        (lambda m, x: m.conv(x)[:, -6:].relu(), "drop_no_ops", aten.slice.Tensor),
        (lambda m, x: F.dropout(m.conv(x), 0.5, training=False), "drop_no_ops", aten.dropout.default),
        (lambda m, x: m.conv(torch.cat([x], 1)), "drop_no_ops", aten.cat.default),
        (lambda m, x: m.conv(x).mean((2, 3)), "mean_to_pooling", aten.mean.dim),
        (lambda m, x: m.conv(x).mean((-1, -2), keepdim=True), "mean_to_pooling", aten.mean.dim),
        (lambda m, x: F.silu(m.conv(x)), "silu_to_product", aten.silu.default),
        (
            lambda m, x: F.scaled_dot_product_attention(x, x.sin(), x.cos()),
            "attention_to_products",
            aten.scaled_dot_product_attention.default,
        ),
        (
            lambda m, x: F.scaled_dot_product_attention(x, x.sin(), x.cos(), scale=0.7),
            "attention_to_products",
            aten.scaled_dot_product_attention.default,
        ),
        (lambda m, x: F.avg_pool2d(x, 2), "average_pooling_to_convolution", aten.avg_pool2d.default),
        (lambda m, x: F.avg_pool2d(x, 3, 1, 1), "average_pooling_to_convolution", aten.avg_pool2d.default),
        (lambda m, x: F.relu(m.norm(x)), "batch_norm_to_convolution", aten.batch_norm.default),
        (lambda m, x: m.conv(x).chunk(3, 1)[1].relu(), "split_to_slices", aten.chunk.default),
        (lambda m, x: m.conv(x).unbind(1)[3] + m.conv(x).unbind(1)[0], "split_to_slices", aten.unbind.int),
        (lambda m, x: m.conv(x).split([1, 2, 3], 1)[2], "split_to_slices", aten.split_with_sizes.default),
        (lambda m, x: m.conv(x).select(1, -2).relu(), "select_to_slice", aten.select.int),
        (
            lambda m, x: F.conv2d(m.conv(x).view(1, 2, 3, 12, 10).permute(0, 2, 1, 3, 4).reshape(1, 6, 12, 10), SQUARE),
            "channel_shuffle_to_order",
            aten.permute.default,
        ),
        (lambda m, x: F.pad(m.conv(x), (-1, -2)), "negative_padding_to_slice", aten.pad.default),
        (lambda m, x: F.layer_norm(x, (10,), ROW), "layer_norm_to_products", aten.layer_norm.default),
        (lambda m, x: F.layer_norm(x, (10,), None, ROW), "layer_norm_to_products", aten.layer_norm.default),
        (lambda m, x: F.layer_norm(x[0], (10,), eps=0.1), "layer_norm_to_products", aten.layer_norm.default),
        (lambda m, x: F.normalize(m.conv(x), dim=-1), "vector_norm_to_products", aten.linalg_vector_norm.default),
        (lambda m, x: F.normalize(m.conv(x), dim=-1), "vector_norm_to_products", aten.expand.default),
        (lambda m, x: m.conv(x).flatten(2).mean(1), "mean_of_tokens_to_pooling", aten.mean.dim),
        (lambda m, x: m.conv(x).flatten(2).mean(-2, keepdim=True), "mean_of_tokens_to_pooling", aten.mean.dim),
        (lambda m, x: m.conv(x) * m.after.weight[:, None, None], "layer_scale_to_weights", aten.mul.Tensor),
        (
            lambda m, x: m.after.weight[None, :, None, None] * m.after(m.conv(x)),
            "layer_scale_to_weights",
            aten.mul.Tensor,
        ),
        (lambda m, x: F.linear(x, ROW.outer(ROW), ROW) * ROW.cos(), "layer_scale_to_weights", aten.mul.Tensor),
        (lambda m, x: m.conv(x) / 3, "division_to_product", aten.div.Tensor),
        (lambda m, x: x.unsqueeze(1).relu().squeeze(), "squeezes_to_reshapes", aten.squeeze.default),
        (lambda m, x: x + torch.arange(10.0).cumsum(0).sin(), "fold_constants", aten.cumsum.default),
    ],
)
def test_a_pattern_is_found_and_the_function_stays(function, name, gone):
    graph, counts = rewritten(function, IMAGE)
    assert counts[name] >= 1
    assert gone not in targets(graph)


def transposed(outputs, kernel, **options):
    """A transposed convolution of six channels, with a batch norm behind it."""
    torch.manual_seed(1)
    norm = nn.BatchNorm2d(outputs)
    norm.running_mean.uniform_(-1, 1)
    norm.running_var.uniform_(0.5, 2)
    return nn.Sequential(nn.ConvTranspose2d(6, outputs, kernel, **options), norm).eval()


TRANSPOSED = [
    transposed(4, 4, stride=2, padding=1),
    transposed(6, 4, stride=2, padding=1, groups=6),
    transposed(4, 3, stride=2, groups=2),
    transposed(4, 3, stride=2, padding=1, output_padding=1),
    transposed(6, 3, stride=2, padding=1, output_padding=1, groups=6, bias=False),
    transposed(4, 3, stride=2, dilation=2, output_padding=1),
    transposed(4, 3, padding=2),
    transposed(4, 2, stride=3, output_padding=(2, 0)),
    transposed(4, (3, 4), stride=(2, 1), padding=(1, 0)),
    transposed(4, (2, 5), stride=(1, 3), padding=(0, 4), dilation=(3, 1)),
]


@pytest.mark.parametrize("layer", TRANSPOSED, ids=lambda layer: str(layer[0]))
def test_a_transposed_convolution_is_a_plain_one(layer):
    graph, counts = rewritten(lambda m, x: layer(m.conv(x)), IMAGE)
    assert counts["batch_norm_into_transposed_convolution"] == counts["transposed_convolution_to_plain"] == 1
    assert not {aten.conv_transpose2d.input, aten.batch_norm.default} & set(targets(graph))


def test_a_transposed_convolution_in_one_dimension():
    layer = nn.ConvTranspose1d(3, 6, 3, 2, 1, output_padding=1, groups=3)
    graph, counts = rewritten(lambda m, x: layer(x[:, :, 0]).relu(), IMAGE)
    assert counts["one_dimension_as_two"] == counts["transposed_convolution_to_plain"] == 1
    assert aten.conv_transpose1d.default not in targets(graph)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (F.mish, "mish_to_product"),
        (F.softplus, "softplus_to_logarithm"),
        (lambda x: F.softplus(40 * x, 0.5, 3), "softplus_to_logarithm"),
        (F.logsigmoid, "softplus_to_logarithm"),
        (lambda x: F.pad(x, (-1, 2, 1, -3)), "negative_padding_to_slice"),
        (lambda x: F.pad(x, (-1, -2), value=0.5), "negative_padding_to_slice"),
        (lambda x: F.pad(x, (-1, 2, 1, -3), mode="reflect"), "negative_padding_to_slice"),
        (lambda x: F.pixel_shuffle(x[:, :1].repeat(1, 4, 1, 1), 2), "pixel_shuffle_to_permutation"),
        (lambda x: F.pixel_unshuffle(x, 2), "pixel_shuffle_to_permutation"),
        (lambda x: F.adaptive_avg_pool2d(x, (5, 7)), "resizing_to_products"),
        (lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"), "resizing_to_products"),
        (lambda x: F.interpolate(x, scale_factor=(1.7, 0.4), mode="bicubic"), "resizing_to_products"),
        (lambda x: F.interpolate(x, size=(9, 31), mode="bicubic", align_corners=True), "resizing_to_products"),
        (lambda x: F.interpolate(x, size=(6, 5), mode="bicubic", antialias=True), "resizing_to_products"),
        (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True), "resizing_to_products"),
        (lambda x: F.interpolate(x, size=(5, 31), mode="bilinear", align_corners=True), "resizing_to_products"),
        (lambda x: F.interpolate(x, size=(5, 9), mode="bilinear", antialias=True), "resizing_to_products"),
    ],
)
def test_what_an_exporter_cannot_carry_is_written_otherwise(function, name):
    graph, counts = rewritten(lambda m, x: function(8 * x), IMAGE)
    assert counts[name] == 1
    assert name not in tidy(graph)[1]  # nothing of it is left


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: m.conv(x).mean(1),  # over channels
        lambda m, x: m.conv(x) + F.conv2d(x.sin(), m.conv.weight, padding=1),  # of two tensors
        lambda m, x: m.conv(x)[:, :, :10, :8] + F.conv2d(x, m.conv.weight),  # one pads, one does not
        lambda m, x: m.conv(x).relu() + m.conv(x),
        lambda m, x: m.conv(x) + F.conv2d(x, x[:, :, :3, :3].repeat(6, 1, 1, 1), padding=1),  # one computes its weight
        lambda m, x: F.batch_norm(m.conv(x), m.after.running_mean, m.after.running_var) * CHANNELS,  # no weight
        lambda m, x: F.layer_norm(x, (10,), x.mean((0, 1, 2)).sin()),  # its scale is no constant
        lambda m, x: (x > 0).int() + 0.0,  # another type
        lambda m, x: m.conv(x) / x.sin().mean(),
        lambda m, x: torch.div(m.conv(x), 3, rounding_mode="floor"),
        lambda m, x: x + m.conv(x)[:, :3],  # a plain residual
        lambda m, x: F.layer_norm(x, (12, 10)),  # over two axes
        lambda m, x: F.normalize(m.conv(x), dim=1),  # not over the last axis
        lambda m, x: F.normalize(m.conv(x), p=3, dim=-1),
        lambda m, x: m.conv(x) * ROW,  # a factor for each column
        lambda m, x: m.conv(x) * m.conv(x).sin(),
        lambda m, x: F.relu(m.conv(x)) * CHANNELS,
        lambda m, x: x.permute(0, 2, 3, 1).flatten(1).relu(),  # never back
        lambda m, x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False),  # not one weight everywhere
        lambda m, x: F.avg_pool2d(x, 3, 2, ceil_mode=True),  # the last window is smaller
        lambda m, x: m.conv(x[:, :, 1:, :]),
        lambda m, x: m.after(m.conv(x)),  # folded by the quantizer
        lambda m, x: m.conv(x).transpose(2, 3).contiguous().view(1, 6, -1),  # the copy makes the view possible
        lambda m, x: m.conv(x).half().float(),
        lambda m, x: F.scaled_dot_product_attention(x, x.sin(), x.cos(), is_causal=True),
        lambda m, x: shuffle(m.conv(x), 3),  # the order would leave the net
        lambda m, x: shuffle(m.conv(x), 2).relu().mean(1),
        lambda m, x: F.conv2d(shuffle(m.conv(x), 3), m.conv.weight, groups=2),  # each group has channels of its own
        lambda m, x: F.conv2d(m.conv(x).view(1, 2, 3, 12, 10).transpose(2, 3).reshape(1, 6, 12, 10), SQUARE),  # others
        lambda m, x: F.conv2d(shuffle(m.conv(x), 2)[:, ::2], m.conv.weight),  # every second channel
        lambda m, x: torch.mean(m.conv(x), dim=None, keepdim=True),  # over everything
        lambda m, x: F.conv2d(x, x[:, :, :3, :3]),  # its weight is no constant
        lambda m, x: F.batch_norm(m.conv(x), m.after.running_mean, m.after.running_var, x.amax((0, 2, 3)).repeat(2)),
    ],
)
def test_what_only_looks_like_a_pattern_is_left_alone(function):
    assert rewritten(function, IMAGE)[1] == {}


class Block(nn.Module):
    """A block of ConvNeXt (Liu et al. 2022, arXiv:2201.03545) as torchvision writes it."""

    def __init__(self, channels=6):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.middle = nn.Conv2d(3, channels, 1), nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm, self.last = nn.LayerNorm(channels), nn.LayerNorm(channels, bias=False)
        self.wide, self.narrow = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels, bias=False)
        self.scale = nn.Parameter(torch.rand(channels))
        for norm in (self.norm, self.last):
            nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.uniform_(self.norm.bias, -1, 1)

    def forward(self, images):
        images = self.stem(images)
        found = self.norm(self.middle(images).permute(0, 2, 3, 1))
        found = self.scale * self.narrow(F.gelu(self.wide(found)) + 1)
        images = images + found.permute(0, 3, 1, 2)
        return self.last(images.permute(0, 2, 3, 1) + images.permute(0, 2, 3, 1).sigmoid()).permute(0, 3, 1, 2)


def test_channels_last_parts_become_channels_first():
    model = Block().eval()
    graph, counts = tidy(export(model, (IMAGE,)).module(check_guards=False))
    torch.testing.assert_close(graph(IMAGE), model(IMAGE), rtol=1e-5, atol=1e-5)
    assert counts["channels_last_to_first"] == 11 and counts["layer_scale_to_weights"] == 1
    assert not {aten.permute.default, aten.linear.default, aten.layer_norm.default} & set(targets(graph))


def test_a_norm_over_channels_may_have_a_shift_alone():
    model = Run(
        lambda m, x: F.layer_norm(m.conv(x).permute(0, 2, 3, 1), (6,), None, CHANNELS[:, 0, 0]).permute(0, 3, 1, 2)
    )
    graph, counts = tidy(export(model.eval(), (IMAGE,)).module(check_guards=False))
    torch.testing.assert_close(graph(IMAGE), model(IMAGE), rtol=1e-5, atol=1e-5)
    assert counts["channels_last_to_first"] == 2


def test_parts_that_are_shared_or_leave_channels_last_stay_right():
    model = Run(lambda m, x: F.gelu(m.conv(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2) + m.conv(x)).eval()
    graph, _ = tidy(export(model, (IMAGE,)).module(check_guards=False))
    torch.testing.assert_close(graph(IMAGE), model(IMAGE))
    model = Run(lambda m, x: F.gelu(m.conv(x).permute(0, 2, 3, 1)).reshape(1, -1, 6)).eval()
    graph, _ = tidy(export(model, (IMAGE,)).module(check_guards=False))
    torch.testing.assert_close(graph(IMAGE), model(IMAGE))


class Branches(nn.Module):
    """A block of RepVGG or MobileOne as it is trained, in front of one as FastViT mixes tokens."""

    def __init__(self, groups, stride):
        super().__init__()
        torch.manual_seed(0)
        self.large = nn.Conv2d(8, 8, 3, stride, 1, groups=groups, bias=False)
        self.wide = nn.Conv2d(8, 8, (3, 5), stride, (1, 2), groups=8)
        self.small = nn.Conv2d(8, 8, 1, stride, groups=groups)
        self.mixer = nn.Conv2d(8, 8, 5, 1, 2, groups=8)
        self.norms = nn.ModuleList(nn.BatchNorm2d(8) for _ in range(5))
        for norm in self.norms:
            norm.running_mean.uniform_(-1, 1)
            norm.running_var.uniform_(0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 2)
            nn.init.uniform_(norm.bias, -1, 1)
        self.scale = nn.Parameter(torch.rand(8, 1, 1))

    def forward(self, images):
        found = self.norms[0](self.large(images)) + 0
        found += self.norms[1](self.wide(images))
        found += self.norms[2](self.small(images))
        if found.shape == images.shape:
            found += self.norms[3](images)
        found = F.relu(found)
        return found + self.scale * (self.mixer(found) - self.norms[4](found))


def small(m, x):
    x = x.clone()
    x[x > 0.5] = torch.tensor([0.25])
    return x


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (small, "masked_writes_to_choices"),
        (lambda m, x: F.hardshrink(x, 0.0), "hard_shrink_to_choice"),
        (lambda m, x: F.hardshrink(x, -0.2), "hard_shrink_to_choice"),
        (lambda m, x: F.adaptive_max_pool2d(x, (3, 5)), "adaptive_max_pooling_to_plain"),
        (lambda m, x: F.adaptive_max_pool1d(x[:, :, 0], 5), "adaptive_max_pooling_to_plain"),
        (lambda m, x: F.unfold(x, (3, 2), (1, 2), (0, 1), (2, 1)), "unfolding_to_convolution"),
        (lambda m, x: F.interpolate(x, scale_factor=1.5), "resizing_to_products"),
        (lambda m, x: F.interpolate(x, scale_factor=2.05), "resizing_to_products"),
        (lambda m, x: F.interpolate(x, scale_factor=0.5), "resizing_to_products"),
        (lambda m, x: F.interpolate(x, (18, 15), mode="nearest-exact"), "resizing_to_products"),
        (lambda m, x: F.interpolate(x, scale_factor=2.05, mode="nearest-exact"), "resizing_to_products"),
        (lambda m, x: F.interpolate(x, scale_factor=0.5, mode="nearest-exact"), "resizing_to_products"),
        (lambda m, x: F.interpolate(x, (24, 30), mode="nearest-exact"), "exactly_nearest_to_nearest"),
    ],
)
def test_what_one_engine_lacks_is_written_otherwise(function, name):
    graph, counts = rewritten(function, IMAGE)
    assert counts[name] == 1 and name not in tidy(graph)[1]


@pytest.mark.parametrize(("groups", "stride"), [(1, 1), (2, 1), (8, 1), (1, 2), (8, 2)])
def test_parallel_convolutions_become_one(groups, stride):
    model, images = Branches(groups, stride).eval(), torch.randn(1, 8, 12, 10)
    graph, counts = tidy(export(model, (images,)).module(check_guards=False))
    torch.testing.assert_close(graph(images), model(images), rtol=1e-4, atol=1e-4)
    assert counts["parallel_convolutions_to_one"] == 2
    assert targets(graph) == [aten.conv2d.default, aten.relu.default, aten.conv2d.default]


def shuffle(images, groups):
    """Channel shuffle as ShuffleNet has it (Zhang et al. 2018, arXiv:1707.01083)."""
    batch, channels, height, width = images.shape
    parted = images.view(batch, groups, channels // groups, height, width)
    return parted.transpose(1, 2).contiguous().view(batch, channels, height, width)


class Unit(nn.Module):
    """A unit of ShuffleNetV2: half of the channels pass by, the others are convolved, both are shuffled."""

    def __init__(self, channels):
        super().__init__()
        half = channels // 2
        self.first, self.norm = nn.Conv2d(half, half, 1, bias=False), nn.BatchNorm2d(half)
        self.middle = nn.Conv2d(half, half, 3, padding=1, groups=half)
        self.last = nn.Conv2d(half, half, 1)
        self.norm.running_mean.uniform_(-1, 1)

    def forward(self, images):
        passing, convolved = images.chunk(2, dim=1)
        convolved = self.last(self.middle(F.relu(self.norm(self.first(convolved)))))
        return shuffle(torch.cat((passing, F.relu(convolved)), 1), 2)


class Shuffled(nn.Module):
    """Six units, then what takes the order through a depthwise convolution, a norm and pooling to a dense one."""

    def __init__(self, channels=32):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.units = nn.Conv2d(3, channels, 3), nn.Sequential(*(Unit(channels) for _ in range(6)))
        self.middle, self.norm = nn.Conv2d(channels, channels, 3, groups=channels), nn.BatchNorm2d(channels)
        self.norm.running_mean.uniform_(-1, 1)
        self.norm.running_var.uniform_(0.5, 2)
        self.last = nn.Conv2d(channels, 5, 1)

    def forward(self, images):
        return self.last(F.max_pool2d(F.relu(self.norm(self.middle(self.units(self.stem(images))))), 2)).flatten(1)


def test_channel_shuffles_are_taken_by_the_weights():
    model = Shuffled().eval()
    graph, counts = tidy(export(model, (IMAGE,)).module(check_guards=False))
    torch.testing.assert_close(graph(IMAGE), model(IMAGE), rtol=1e-4, atol=1e-5)
    assert counts["channel_shuffle_to_order"] == 6 and counts["split_to_slices"] == 6
    assert aten.transpose.int not in targets(graph) and aten.view.default not in targets(graph)
    # LiteRT's delegate takes five at most.
    assert max(len(node.args[0]) for node in graph.graph.nodes if node.target is aten.cat.default) <= 4
    # Two for each unit would be as before; the rest is what the order costs.
    assert 12 < targets(graph).count(aten.slice.Tensor) < 100
    native = nn.Sequential(nn.Conv2d(3, 6, 1), nn.ChannelShuffle(3), nn.Conv2d(6, 6, 3, groups=6), nn.Conv2d(6, 2, 1))
    graph, counts = tidy(export(native.eval(), (IMAGE,)).module(check_guards=False))
    assert counts == {"channel_shuffle_to_order": 1} and targets(graph) == [aten.conv2d.default] * 3
    torch.testing.assert_close(graph(IMAGE), native(IMAGE))


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
    assert targets(graph).count(aten.reshape.default) == 1
    assert not {aten.squeeze.dim, aten.unsqueeze.default, aten.conv1d.default} & set(targets(graph))


@pytest.mark.parametrize("operator", [torch.add, torch.mul])
@pytest.mark.parametrize("shape", [(8, 1), (1, 8, 1), (1, 8, 16), (16,)])
def test_a_constant_between_1d_layers_meets_the_same_axes(operator, shape):
    torch.manual_seed(0)
    first, last, constant = nn.Conv1d(2, 8, 3, padding=1), nn.Conv1d(8, 4, 3), nn.Parameter(torch.rand(shape))
    waves = torch.randn(1, 2, 16)
    model = Waves()
    model.first, model.second, model.constant = first, last, constant
    model.forward = lambda waves: model.second(operator(model.first(waves), model.constant))
    graph, counts = tidy(export(model.eval(), (waves,)).module(check_guards=False))
    torch.testing.assert_close(graph(waves), model(waves))
    assert counts["one_dimension_as_two"] == 2
    # One way in, one way out: the constant leaves nothing between the two.
    assert targets(graph).count(aten.reshape.default) == 2


@pytest.mark.parametrize("mean", [lambda x: torch.mean(x, dim=None, keepdim=True), lambda x: x.mean((0, 1, 2))])
def test_a_mean_over_every_axis_of_waves_stays(mean):
    layer = nn.Conv1d(3, 6, 3)
    _, counts = rewritten(lambda m, x: mean(layer(x[:, :, 0])), IMAGE)
    assert counts["one_dimension_as_two"] == 1


def test_a_pooling_of_waves_whose_last_window_is_smaller_stays():
    layer = nn.Conv1d(3, 6, 3)
    _, counts = rewritten(lambda m, x: F.max_pool1d(layer(x[:, :, 0]), 3, 2, ceil_mode=True), IMAGE)
    assert counts["one_dimension_as_two"] == 1


def test_a_large_weight_that_is_computed_is_folded_and_a_large_table_is_not():
    layer = nn.utils.parametrizations.weight_norm(nn.Conv1d(1030, 1030, 1))  # over 4 MiB
    waves = torch.randn(1, 1030, 4)
    graph, counts = tidy(export(layer.eval(), (waves,)).module(check_guards=False))
    torch.testing.assert_close(graph(waves), layer(waves), rtol=1e-4, atol=1e-4)
    assert counts["fold_constants"] == counts["one_dimension_as_two"] == 1
    # 16 MB out of 16 KB would make the file a thousand times as large.
    graph, counts = rewritten(lambda m, x: x.mean() * torch.arange(2000.0).outer(torch.arange(2000.0)), IMAGE)
    assert aten.outer.default in targets(graph) and counts == {}


def test_pooling_is_a_mean_only_after_quantization():
    model = Run(lambda m, x: F.adaptive_avg_pool2d(m.conv(x), 1)).eval()
    graph, counts = tidy(export(model, (IMAGE,)).module(check_guards=False))
    assert counts == {}
    after_quantization(graph)
    assert targets(graph)[-1] is aten.mean.dim
    torch.testing.assert_close(graph(IMAGE), model(IMAGE))


def test_hard_sigmoid_is_split_only_after_quantization():
    model = Run(lambda m, x: F.hardsigmoid(m.conv(x) * 3)).eval()
    graph, counts = tidy(export(model, (IMAGE,)).module(check_guards=False))
    assert counts == {} and aten.hardsigmoid.default in targets(graph)
    after_quantization(graph)
    assert aten.hardsigmoid.default not in targets(graph)
    torch.testing.assert_close(graph(IMAGE), model(IMAGE))


def test_batch_norms_fold_into_their_convolutions_for_training():
    model = Run(lambda m, x: m.after(m.conv(x))).eval()
    graph = export(model, (IMAGE,)).module(check_guards=False)
    assert fold_batch_norms(graph) == 1
    cleaned(graph)
    assert targets(graph) == [aten.conv2d.default]
    torch.testing.assert_close(graph(IMAGE), model(IMAGE), rtol=1e-4, atol=1e-5)
