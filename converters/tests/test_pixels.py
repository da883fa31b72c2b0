"""Normalization inside the graph: the same outputs, and `uint8 - 128` as the input."""

import numpy as np
import pytest
import torch
from torch import nn

from edgestill_converters import quantize
from edgestill_converters.graph import make_graph, tensors
from edgestill_converters.scale import Scale
from edgestill_runtime import ImageProcessor
from edgestill_runtime.processing import quantize as to_int8

GREY = ImageProcessor(12, 10, (0.286,), (0.353,))
ODD_GREY = ImageProcessor(12, 10, (0.3,), (0.35,))  # 255 × 0.3 = 76.5: the furthest from a whole pixel there is
COLOUR = ImageProcessor(12, 10, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def net(channels, padding):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(channels, 8, 3, padding=padding), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1)).eval()


def images(processor, count=8):
    return np.random.default_rng(0).integers(0, 256, (count, *processor.image_shape), np.uint8)


@pytest.mark.parametrize(
    ("processor", "padding", "zero_point", "convolutions"),
    [(GREY, 1, 73 - 128, 2), (GREY, 0, -128, 2), (COLOUR, 0, -128, 2), (COLOUR, 1, -128, 3)],
)
def test_the_graph_takes_pixels(processor, padding, zero_point, convolutions):
    model, pixels = net(processor.channels, padding), images(processor)
    graph = make_graph(model, pixels, processor)
    assert graph.inputs == {0: Scale(1 / 255, zero_point)}
    targets = [node.target for node in graph.module.graph.nodes]
    # A convolution more only where no other way keeps the border as it was.
    assert targets.count(torch.ops.aten.conv2d.default) == convolutions
    # Whatever the pixel, its code is the pixel less 128.
    every = np.arange(256, dtype=np.uint8)
    codes = to_int8(graph.processor.table(), 1 / 255, zero_point)
    assert (codes == every.astype(int) - 128).all()
    for (normalized,), (raw,) in zip(tensors(pixels, processor), tensors(pixels, graph.processor), strict=True):
        # Within the rounding of a float sum, but for the part of a pixel that the mean was moved by.
        torch.testing.assert_close(
            graph.module(raw), model(normalized), rtol=1e-3, atol=2e-2 if zero_point != -128 else 1e-4
        )


def test_a_moved_mean_is_exact_inside_and_less_than_a_step_off_at_the_border():
    model, pixels = net(1, 1)[0], images(ODD_GREY)
    graph = make_graph(model, pixels, ODD_GREY)
    (normalized,), (raw,) = next(tensors(pixels, ODD_GREY)), next(tensors(pixels, graph.processor))
    apart = (graph.module(raw) - model(normalized)).abs()[0]
    assert apart[:, 1:-1, 1:-1].max() < 1e-4
    # One pixel step of the input through all weights that reach beyond the border.
    step = 1 / (255 * 0.35) * model.weight.abs().sum((1, 2, 3))
    assert (apart.amax((1, 2)) <= 0.5 * step + 1e-4).all()
    assert apart.max() > 1e-3  # the border does differ: the test looks at the right place


def test_folded_and_unfolded_agree_in_int8():
    """Through the same calibration, the simulated int8 nets differ by quantization alone."""
    model, pixels = net(3, 1), images(COLOUR, 32)
    outputs = {}
    for fold in (True, False):
        graph = make_graph(model, pixels, COLOUR, fold)
        prepared = quantize.calibrate(quantize.prepare(graph.module, graph.inputs), tensors(pixels, graph.processor))
        program = quantize.folded(prepared, graph.examples).module()
        outputs[fold] = torch.cat([program(*sample) for sample in tensors(pixels[:8], graph.processor)])
    step = outputs[False].unique().diff().min()
    with torch.inference_mode():
        reference = torch.cat([model(*sample) for sample in tensors(pixels[:8], COLOUR)])
    errors = {fold: (found - reference).abs().mean() for fold, found in outputs.items()}
    assert errors[False] < 1.5 * step
    # With an input that is exact, it is nearer to the model, not further.
    assert errors[True] < 1.1 * errors[False]
