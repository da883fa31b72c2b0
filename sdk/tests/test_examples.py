"""The examples, as someone would run them."""

import subprocess
import sys
import wave

import numpy as np
import pytest
from PIL import Image

from edgestill import zoo
from edgestill_runtime import load, open_bundle


@pytest.fixture
def classify(root, bundle_path):
    def run(*words):
        command = [sys.executable, root / "examples/raspberry_pi/classify.py", bundle_path, *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def photos(bundle_path, tmp_path):
    """A bundle's golden samples as pictures: one as it is, one larger, coloured and turned on its side by its EXIF."""
    images = open_bundle(bundle_path).golden().inputs[0]
    Image.fromarray(images[0][..., 0]).save(tmp_path / "a.png")
    large = Image.fromarray(images[1][..., 0]).convert("RGB").resize((84, 84), Image.Resampling.NEAREST)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right to see it upright
    large.rotate(90).save(tmp_path / "b.jpg", exif=exif, quality=95)
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_an_image_and_a_folder_are_classified(classify, bundle_path, photos):
    images = open_bundle(bundle_path).golden().inputs[0]
    with load(bundle_path) as model:
        first, second = (model.predict(image, top=1)[0].label for image in images[:2])
    done = classify(photos / "a.png")
    assert done.returncode == 0 and done.stdout.startswith(f"a.png: {first} "), done.stderr
    lines = classify(photos).stdout.splitlines()
    assert len(lines) == 2 and lines[1].startswith(f"b.jpg: {second} ")


def test_a_recording_is_classified(root, tmp_path):
    bundle = zoo.find("spoken-digits")
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(np.random.default_rng(0).integers(-3000, 3000, 8000).astype("<i2").tobytes())
    with load(bundle.path) as model:
        expected = model.predict(tmp_path / "a.wav", top=1)[0].label
    command = [sys.executable, root / "examples/raspberry_pi/classify.py", bundle.path, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.startswith(f"a.wav: {expected} "), done.stderr


def test_what_cannot_be_classified(classify, photos, tmp_path):
    (tmp_path / "empty").mkdir()
    for words, code, says in (
        ((), 2, "give a file, a folder, or --camera"),
        ((tmp_path / "empty",), 1, "holds no image and no recording"),
        ((tmp_path / "none.png",), 1, "does not exist"),
        ((photos / "notes.txt",), 1, "no image in a format that Pillow knows"),
        (("--camera",), 1, "neither picamera2 nor OpenCV is installed"),
    ):
        done = classify(*words)
        assert done.returncode == code and says in done.stderr and "Traceback" not in done.stderr, done.stderr
