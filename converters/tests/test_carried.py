"""Layers that an exporter cannot take as they are, side by side in one model: one conversion for all of them."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgestill_converters import ConversionError, ConversionOptions, Description, convert, relative_error
from edgestill_runtime import Tolerance, compare_outputs, load

IMAGES = [np.random.default_rng(0).normal(0, 1, (20, 3, 12, 10)).astype(np.float32)]


def transposed(outputs, kernel, **options):
    return nn.Sequential(nn.ConvTranspose2d(8, outputs, kernel, **options), nn.BatchNorm2d(outputs), nn.ReLU())


class Call(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, values):
        return self.function(values)


def without_the_large(values):
    values = values.clone()
    values[values > 0.5] = 0.5
    return values


LAYERS = {
    "mish": nn.Mish(),
    "softplus": nn.Softplus(),
    "depthwise": transposed(8, 4, stride=2, padding=1, groups=8),
    "groups": transposed(6, 3, stride=2, groups=2),
    "output_padding": transposed(6, 3, stride=2, padding=1, output_padding=1),
    "bicubic": nn.Upsample(scale_factor=2, mode="bicubic"),
    "corners": nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
    "negative": Call(lambda values: F.pad(values, (-1, 2, 1, -1))),
    "uneven": nn.AdaptiveAvgPool2d(7),
    "softsign": nn.Softsign(),
    "threshold": nn.Threshold(0.1, 0.1),
    "masked": Call(without_the_large),
    "shrunk": nn.Hardshrink(0.01),
    "unfolded": Call(
        lambda values: F.unfold(values, (3, 2), dilation=(1, 2), padding=1, stride=2).unflatten(2, (6, 5))
    ),
    "fraction": nn.Upsample(scale_factor=1.5),
    "exact": nn.Upsample(scale_factor=2, mode="nearest-exact"),
    "largest": nn.AdaptiveMaxPool2d((3, 5)),
}


class SideBySide(nn.Module):
    """A convolution, a layer, a convolution; some outputs twice, and the input itself."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleDict(LAYERS)
        self.before = nn.ModuleList(nn.Conv2d(3, 8, 1) for _ in LAYERS)
        widths = [layer(torch.zeros(1, 8, 12, 10)).shape[1] for layer in LAYERS.values()]
        self.after = nn.ModuleList(nn.Conv2d(width, 4, 1) for width in widths)

    def forward(self, images):
        found = {
            name: after(layer(before(images)))
            for (name, layer), before, after in zip(self.layers.items(), self.before, self.after, strict=True)
        }
        first = found["mish"]
        return {**found, "again": [first, images], "view": first.flatten(1), "mean": first.mean((2, 3)), "last": first}


@pytest.fixture(scope="module")
def model():
    return SideBySide().eval()


@pytest.fixture(scope="module")
def bundle(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("carried") / "carried.edge"
    return convert(model, IMAGES, Description("carried", (), None, 0, 0, {}), path)


NAMES = (*LAYERS, "again.0", "again.1", "view", "mean", "last")


@pytest.fixture(scope="module")
def outputs(bundle):
    found = {}
    for name, entry in bundle.manifest.models.items():
        with load(bundle, engine=entry.engine, precision="fp32" if entry.precision == "fp32" else "int8") as loaded:
            found[name] = dict(zip(NAMES, loaded.infer(*IMAGES), strict=True))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_file_has_the_outputs_of_the_model(model, outputs, name):
    with torch.inference_mode():
        logits = model(torch.from_numpy(IMAGES[0]))
    expected = {**logits, "again.0": logits["again"][0], "again.1": logits["again"][1]}[name].numpy()
    for file, found in outputs.items():
        assert found[name].shape == expected.shape
        assert relative_error(found[name], expected) < (1e-4 if "fp32" in file else 0.06), file


@pytest.mark.parametrize("name", NAMES)
def test_the_two_int8_files_agree(bundle, outputs, name):
    models = bundle.manifest.models
    spec = models["model.pte"].outputs[NAMES.index(name)]
    # One rounding at the last layer at most. An input that is also an output is unchanged in the .pte, and as int8
    # stands for it in the .tflite: there a value beyond the calibrated range is cut.
    tolerance = Tolerance(rms=0.02) if spec.scale is None else Tolerance(steps=1)
    found, other = (outputs[file][name] for file in ("model.tflite", "model.pte"))
    assert compare_outputs([found], [other], tolerance, [spec]).passed


def test_what_is_called_int8_is_int8(bundle):
    models = bundle.manifest.models
    for name in ("model.pte", "model.tflite"):
        assert (models[name].precision, models[name].float_macs) == ("int8", 0.0)
        assert [one.name for one in models[name].outputs] == list(NAMES)
    for name in ("model.fp32.pte", "model.fp32.tflite"):
        assert (models[name].precision, models[name].float_macs) == ("fp32", 1.0)


@pytest.mark.parametrize("target", ["executorch", pytest.param("litert", marks=pytest.mark.slow)])
def test_a_file_in_which_nothing_is_int8_is_refused(tmp_path, target):
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.cells = nn.LSTM(5, 7, batch_first=True)

        def forward(self, steps):
            return self.cells(steps)[0]

    steps = [np.random.default_rng(0).normal(0, 1, (8, 4, 5)).astype(np.float32)]
    description = Description("recurrent", (), None, 0, 0, {})
    with pytest.raises(ConversionError, match=r"nothing in it is: .*\(cells: lstm\)"):
        convert(Recurrent(), steps, description, tmp_path / "r.edge", options=ConversionOptions(targets=(target,)))
