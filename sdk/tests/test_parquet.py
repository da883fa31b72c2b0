"""Parquet folders of images and of sounds, and the log-mel front end."""

import io
import json
import os
import wave
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from edgestill.data import load_data, log_mel, open_source
from edgestill.errors import DataError

GENERATOR = np.random.default_rng(0)
RATE = 8000


def png(pixels):
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def wav(samples, channels=1, width=2):
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(RATE)
        file.writeframes((np.asarray(samples) * 32767).astype("<i2").tobytes())
    return content.getvalue()


def write(folder, word, column, cells, labels, metadata=None):
    folder.mkdir(exist_ok=True)
    table = pa.table({column: cells, "label": labels})
    parquet.write_table(table.replace_schema_metadata(metadata), folder / f"{word}.parquet")


def test_images_come_as_they_were_written(tmp_path):
    pixels = GENERATOR.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)
    for word in ("train", "test"):
        write(tmp_path / "set", word, "image", [png(one) for one in pixels], [0, 1, 0, 1, 0, 1], {"classes": "cat,dog"})
    source = open_source(f"parquet:{tmp_path / 'set'}")
    np.testing.assert_array_equal(source.train.images, pixels)
    assert source.classes == ("cat", "dog") and source.test.labels.tolist() == [0, 1] * 3 and source.name == "set"


def test_as_hugging_face_writes_it(tmp_path):
    grey = GENERATOR.integers(0, 256, (2, 5, 4), dtype=np.uint8)
    names = {"info": {"features": {"label": {"names": ["zero", "one"]}}}}
    cells = [{"bytes": png(one), "path": None} for one in grey]
    write(tmp_path, "train", "image", cells, [0, 1], {"huggingface": json.dumps(names)})
    write(tmp_path, "validation", "image", cells, [0, 1])
    source = open_source(f"parquet:{tmp_path}")
    np.testing.assert_array_equal(source.train.images[..., 0], grey)
    assert source.classes == ("zero", "one") and source.train.images.shape == (2, 5, 4, 1)


def test_a_relative_folder_is_looked_for_under_edgestill_data(tmp_path, monkeypatch):
    cells = [png(one) for one in GENERATOR.integers(0, 256, (40, 8, 8), dtype=np.uint8)]
    for word in ("train", "test"):
        write(tmp_path / "set", word, "image", cells, [0, 1] * 20)
    monkeypatch.setenv("EDGESTILL_DATA", str(tmp_path))
    data = load_data("parquet:set", calibration=4)
    assert data.classes == ("0", "1") and data.processor.image_shape == (8, 8, 1)
    with pytest.raises(DataError, match=r"no train.parquet in other or .*EDGESTILL_DATA is searched too"):
        load_data("parquet:other")


def test_folders_that_cannot_be_used(tmp_path):
    one = png(np.zeros((4, 4), np.uint8))
    write(tmp_path, "train", "image", [one, one], [0, 1])
    with pytest.raises(DataError, match=r"has no test.parquet or validation.parquet"):
        open_source(f"parquet:{tmp_path}")
    write(tmp_path, "test", "picture", [one], [0])
    with pytest.raises(DataError, match="has the columns picture, label; it needs label, and image or audio"):
        open_source(f"parquet:{tmp_path}")
    write(tmp_path, "test", "image", [one, b"no image"], [0, 1])
    with pytest.raises(DataError, match=r"test.parquet, row 1: image cannot be read"):
        open_source(f"parquet:{tmp_path}")
    write(tmp_path, "test", "image", [one, png(np.zeros((4, 5), np.uint8))], [0, 1])
    with pytest.raises(DataError, match="images of 2 sizes"):
        open_source(f"parquet:{tmp_path}")
    (tmp_path / "test.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(DataError, match="cannot be read as parquet"):
        open_source(f"parquet:{tmp_path}")
    for content, said in ((wav([0.1] * 99, channels=2), "2 channels"), (b"RIFFxxxx", "no WAV file")):
        write(tmp_path, "test", "audio", [content], [0])
        with pytest.raises(DataError, match=f"row 0: audio cannot be read: .*{said}"):
            open_source(f"parquet:{tmp_path}")


def test_sounds_become_pictures(tmp_path):
    tones = [np.sin(2 * np.pi * frequency * np.arange(4000) / RATE) / 2 for frequency in (300, 1000, 3000)]
    for word in ("train", "test"):
        write(tmp_path, word, "audio", [wav(tone) for tone in tones], [0, 1, 2])
    images = open_source(f"parquet:{tmp_path}").train.images
    assert images.shape == (3, 40, 61, 1) and images.dtype == np.uint8
    # The loudest band rises with the pitch, and is where the mel scale has it.
    middle = images[:, :, 30, 0].argmax(1)
    top, bottom = (2595 * np.log10(1 + hertz / 700) for hertz in (RATE / 2, 20))
    expected = [(2595 * np.log10(1 + hertz / 700) - bottom) / (top - bottom) * 41 - 1 for hertz in (300, 1000, 3000)]
    np.testing.assert_allclose(middle, expected, atol=0.75)


def test_log_mel_is_the_formula():
    """A second computation, written out: one frame by a plain Fourier sum, one band by its triangle."""
    samples = GENERATOR.normal(size=RATE) / 10
    picture = log_mel.log_mel(samples, RATE).astype(float)[..., 0]
    time = np.arange(256)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * time / 256)
    mel = np.linspace(2595 * np.log10(1 + 20 / 700), 2595 * np.log10(1 + 4000 / 700), 42)
    edges = 700 * (10 ** (mel / 2595) - 1)

    def decibels(frame, band):
        part = samples[frame * 128 : frame * 128 + 256] * window
        total = 0.0
        for line in range(129):
            power = abs((part * np.exp(-2j * np.pi * line * time / 256)).sum()) ** 2
            hertz, (low, centre, high) = line * RATE / 256, edges[band : band + 3]
            total += power * max(0.0, min((hertz - low) / (centre - low), (high - hertz) / (high - centre)))
        return 10 * np.log10(total)

    # 80 dB are 255 steps; differences do not depend on the loudest value of the picture.
    places = [(10, 20), (40, 35), (60, 8)]
    for first, second in pairwise(places):
        steps = picture[first[1], first[0]] - picture[second[1], second[0]]
        assert steps == pytest.approx((decibels(*first) - decibels(*second)) / 80 * 255, abs=1.01)


def test_a_picture_does_not_depend_on_volume_and_silence_is_black():
    samples = GENERATOR.normal(size=3001)
    np.testing.assert_array_equal(log_mel.log_mel(samples, RATE), log_mel.log_mel(samples / 8, RATE))
    padded = log_mel.log_mel(samples, RATE)[..., 0]
    assert padded[:, :15].max() == 0 and padded[:, -15:].max() == 0 and padded[:, 30].min() > 0
    assert log_mel.log_mel(np.zeros(RATE), RATE).shape == (40, 61, 1)
    assert log_mel.log_mel(np.ones(3 * RATE), RATE).shape == (40, 61, 1)


@pytest.mark.skipif(
    not Path(os.environ.get("EDGESTILL_DATA", ""), "fsdd", "train.parquet").is_file(),
    reason="the spoken digits are not on this machine (EDGESTILL_DATA)",
)
def test_the_spoken_digits():
    data = load_data("parquet:fsdd")
    assert (len(data.test), len(data.classes), data.processor.image_shape) == (300, 10, (40, 61, 1))
    assert np.bincount(data.test.labels).tolist() == [30] * 10
