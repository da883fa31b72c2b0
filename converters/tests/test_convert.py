import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from edgestill.data import load_data
from edgestill.models import create_model, multiply_accumulates, parameters
from edgestill_converters import STEPS, CalibrationError, ConversionError, Description, convert, relative_error
from edgestill_runtime import Preprocessing, StorageError, load


@pytest.fixture(scope="module")
def data():
    return load_data("fashion-mnist-mini")


def describe(model, data, **changes):
    facts = {
        "name": "test",
        "labels": data.classes,
        "preprocessing": data.preprocessing,
        "parameters": parameters(model),
        "macs": multiply_accumulates(model, (1, 28, 28)),
        "training": {},
    }
    return Description(**(facts | changes))


def coloured(images):
    """Real images, uint8 (N, 30, 28, 3): not square, each channel another function of the pixels."""
    images = np.pad(images, ((0, 0), (1, 1), (0, 0), (0, 0)))
    return np.concatenate([images, 255 - images, images // 2 + 30], axis=3)


def test_a_residual_net_in_colour_becomes_two_int8_files_that_agree(data, tmp_path):
    pixels = Preprocessing(30, 28, mean=(0.3, 0.7, 0.25), std=(0.35, 0.35, 0.2))
    model, steps, log = create_model("resnet8", 10, in_channels=3).train(), [], tmp_path / "conversion.log"
    with torch.no_grad():  # batch norms that have seen real images give activations real ranges
        for batch in np.split(coloured(data.train.images[:2048]), 16):
            model(torch.from_numpy(pixels.tensor(batch)))
    images = coloured(data.calibration(64).images)
    description = Description("test", data.classes, pixels, parameters(model), 0, {})
    bundle = convert(model, images, description, tmp_path / "x.edge", log=log, on_step=steps.append)
    assert tuple(steps) == STEPS
    assert "LiteRT" in log.read_text(errors="replace")
    sizes = {name: entry.bytes for name, entry in bundle.files.items()}
    for kind in ("pte", "tflite"):
        # int8 weights: about a quarter of the float file, plus scales and the graph.
        assert sizes[f"model.{kind}"] < 0.45 * sizes[f"model.fp32.{kind}"]
    held_out = coloured(data.validation.images[:300])
    with torch.inference_mode():
        reference = model(torch.from_numpy(pixels.tensor(held_out))).numpy()
    logits = {}
    for engine in ("litert", "executorch"):
        for precision in ("int8", "fp32"):
            with load(bundle, engine=engine, precision=precision) as loaded:
                logits[engine, precision] = loaded.logits(held_out)
        assert relative_error(logits[engine, "fp32"], reference) < 1e-4
        assert relative_error(logits[engine, "int8"], reference) < 0.1
    # One quantisation: the same integers, so the same answers. Measured, 0 of 300 differ.
    assert (logits["litert", "int8"].argmax(1) == logits["executorch", "int8"].argmax(1)).all()
    with pytest.raises(StorageError, match="exists already"):
        convert(model, images, description, tmp_path / "x.edge")


def test_calibration_images_of_the_wrong_shape_are_refused(data, tmp_path):
    model = create_model("dscnn_xs", 10)
    for images, said in (
        (np.zeros((8, 32, 32, 3), np.uint8), r"\(8, 32, 32, 3\); the model takes \(28, 28, 1\)"),
        (np.zeros((8, 28, 28, 1), np.float32), "uint8 pixels"),
        (np.zeros((0, 28, 28, 1), np.uint8), "no images"),
    ):
        with pytest.raises(CalibrationError, match=said):
            convert(model, images, describe(model, data), tmp_path / "x.edge")
    assert list(tmp_path.iterdir()) == []


def test_labels_that_are_not_the_models_classes_are_refused(data, tmp_path):
    model = create_model("dscnn_xs", 10)
    with pytest.raises(ConversionError, match=r"shape \(1, 10\); 3 labels need \(1, 3\)"):
        convert(model, data.calibration(8).images, describe(model, data, labels=("a", "b", "c")), tmp_path / "x.edge")


class Branching(nn.Module):
    """Cannot be exported: its path depends on its values."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(784, 10)

    def forward(self, images):
        if images.sum() > 0:
            images = images * 2
        return self.head(images.flatten(1))


def test_a_model_that_cannot_be_exported_is_an_error_with_its_log(data, tmp_path):
    model, log = Branching(), tmp_path / "conversion.log"
    with pytest.raises(ConversionError) as caught:
        convert(model, data.calibration(8).images, describe(model, data), tmp_path / "x.edge", log=log)
    assert "conversion failed" in str(caught.value) and str(log) in str(caught.value)
    assert "Traceback" in log.read_text()
    assert not (tmp_path / "x.edge").exists()


QUIET = """
import os, sys, warnings
from pathlib import Path
from edgestill_converters.quiet import logged_to
print("before", flush=True)
with logged_to(Path(sys.argv[1])):
    print("from Python")
    os.write(1, b"from native code\\n")
    os.write(2, b"also on standard error\\n")
    warnings.warn("a warning")
print("after")
"""


def test_what_exporters_write_goes_to_the_log_alone(tmp_path):
    log = tmp_path / "logs" / "conversion.log"
    done = subprocess.run([sys.executable, "-c", QUIET, log], capture_output=True, text=True, check=True)
    assert done.stdout == "before\nafter\n" and done.stderr == ""
    for words in ("from Python", "from native code", "also on standard error", "a warning"):
        assert words in log.read_text()


def test_relative_error_by_hand():
    reference = np.array([[3.0, 4.0]], np.float32)  # rms √12.5
    assert relative_error(reference + np.float32(0.5), reference) == pytest.approx(0.5 / np.sqrt(12.5))
    assert relative_error(reference * np.nan, reference) == np.inf
