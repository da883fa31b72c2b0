"""Parquet folders of images and of sounds."""

import io
import json
import os
import pickle
import wave
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from edgestill.data import DataOptions, load_data, open_source, reading
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


PIXEL = png(np.zeros((4, 4), np.uint8))


def write(folder, word, column, cells, labels, metadata=None):
    folder.mkdir(exist_ok=True)
    table = pa.table({column: cells, "label": labels})
    parquet.write_table(table.replace_schema_metadata(metadata), folder / f"{word}.parquet")


def test_images_come_as_they_were_written(tmp_path, monkeypatch):
    pixels = GENERATOR.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)
    for word in ("train", "test"):
        write(tmp_path / "set", word, "image", [png(one) for one in pixels], [0, 1, 0, 1, 0, 1], {"classes": "cat,dog"})
    source = open_source(f"parquet:{tmp_path / 'set'}")
    np.testing.assert_array_equal(source.train.images, pixels)
    assert source.classes == ("cat", "dog") and source.test.targets.tolist() == [0, 1] * 3 and source.name == "set"
    monkeypatch.chdir(tmp_path / "set")
    assert open_source("parquet:.").name == "set"


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
    data = load_data("parquet:set", options=DataOptions(calibration=4))
    assert data.classes == ("0", "1") and data.processor.image_shape == (8, 8, 1)
    with pytest.raises(DataError, match=r"no train.parquet in other or .*EDGESTILL_DATA is searched too"):
        load_data("parquet:other")


@pytest.mark.parametrize(
    ("column", "cells", "labels", "said"),
    [
        ("picture", [PIXEL], [0], "has the columns picture, label; it needs label, and image or audio"),
        ("image", [PIXEL, b"no image"], [0, 1], "test.parquet, row 1: the image is no image in a format"),
        ("image", [PIXEL, b""], [0, 1], "test.parquet, row 1: .*it is empty"),
        ("image", [PIXEL, None], [0, 1], "test.parquet, row 1 has no image in it"),
        ("image", [{"path": "a.png", "bytes": None}], [0], "test.parquet, row 0 has only a path in it"),
        ("image", [PIXEL, png(np.zeros((4, 5), np.uint8))], [0, 1], "row 1 has 4×5 pixels, the first .*image_size"),
        ("image", [], [], "test is empty"),
        ("image", [PIXEL], [2], "test has labels that train does not have: 2"),
        ("image", [PIXEL], [-1], "test, sample 0 has the label -1; labels run from 0"),
        ("image", [PIXEL], ["cat"], "labels are text in one split and numbers in another"),
        ("image", [PIXEL], [0.5], "has the label 0.5: a class is a whole number or text"),
        ("image", [PIXEL], [None], "row 0 has no label"),
        ("image", [PIXEL], [[0, 1]], "labels are text in one|one-hot|labels that train"),
        ("image", [PIXEL], [[1, 1]], "sample 0 has 2 classes of 2"),
        ("audio", [wav([0.1] * 99)], [0], "train has image, test has audio"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_one_line(tmp_path, column, cells, labels, said):
    write(tmp_path, "train", "image", [PIXEL, PIXEL], [0, 1])
    with pytest.raises(DataError, match="has no test.parquet or validation.parquet"):
        open_source(f"parquet:{tmp_path}")
    write(tmp_path, "test", column, cells, labels)
    if labels == [[0, 1]]:  # one-hot: label 1
        source = open_source(f"parquet:{tmp_path}")
        assert source.test.targets.tolist() == [1]
        assert "the labels are lists and read as one-hot: the place of the 1 is the class" in source.notes
        return
    with pytest.raises(DataError, match=said) as caught:
        open_source(f"parquet:{tmp_path}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"PAR1 but not really", b"", b"version https://git-lfs.github.com/spec/v1\noid"])
def test_files_that_are_no_parquet(tmp_path, content):
    write(tmp_path, "train", "image", [PIXEL, PIXEL], [0, 1])
    (tmp_path / "test.parquet").write_bytes(content)
    with pytest.raises(
        DataError, match=r"test.parquet cannot be read as parquet: it is damaged, or something else"
    ) as caught:
        open_source(f"parquet:{tmp_path}")
    assert ("it is empty" in str(caught.value)) == (content == b"")
    with pytest.raises(DataError, match="is a file; give the folder"):
        open_source(f"parquet:{tmp_path / 'test.parquet'}")


def test_labels_as_text_become_classes_in_order(tmp_path):
    write(tmp_path, "train", "image", [PIXEL] * 3, ["dog", "ant", "cat"])
    write(tmp_path, "test", "image", [PIXEL], pa.array(["cat"]).dictionary_encode())
    source = open_source(f"parquet:{tmp_path}")
    assert source.classes == ("ant", "cat", "dog")
    assert source.train.targets.tolist() == [2, 0, 1] and source.test.targets.tolist() == [1]


def test_numbers_with_gaps_become_classes_of_these_names_and_that_is_said(tmp_path):
    write(tmp_path, "train", "image", [PIXEL] * 3, [3, 7, 1])
    write(tmp_path, "test", "image", [PIXEL], [7])
    source = open_source(f"parquet:{tmp_path}")
    assert source.classes == ("1", "3", "7") and source.test.targets.tolist() == [2]
    assert source.notes == ("the labels 1, 3, 7 become classes of these names",)


def test_classes_that_another_split_orders_differently_are_refused(tmp_path):
    write(tmp_path, "train", "image", [PIXEL] * 2, [0, 1], {"classes": "cat,dog"})
    write(tmp_path, "test", "image", [PIXEL], [1], {"classes": "dog,cat"})
    with pytest.raises(DataError, match="train and test name or order their classes differently"):
        open_source(f"parquet:{tmp_path}")


def test_parts_as_hubs_hand_them_out(tmp_path):
    """`data/train-00000-of-00002.parquet`, one of each split, with a column `img`."""
    folder = tmp_path / "data"
    names = {"huggingface": json.dumps({"info": {"features": {"label": {"names": ["a", "b"]}}}})}
    for word, labels in (("train-00000-of-00002", [0, 1]), ("train-00001-of-00002", [1]), ("test-00000-of-00001", [1]),
                         ("validation-00000-of-00001", [0])):  # fmt: skip
        write(folder, word, "img", [png(np.full((4, 4), 8 * len(word), np.uint8))] * len(labels), labels, names)
    source = open_source(f"parquet:{tmp_path}")
    assert source.classes == ("a", "b") and source.train.targets.tolist() == [0, 1, 1]
    assert source.validation is not None and source.validation.targets.tolist() == [0]
    (folder / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(DataError, match="has 1 of the 2 parts of train; fetch the others"):
        open_source(f"parquet:{tmp_path}")


def test_images_of_any_size_with_an_image_size(tmp_path):
    cells = [png(GENERATOR.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in ((9, 5), (4, 30), (8, 8))]
    cells.append(png(np.linspace(0, 65535, 400).astype(np.uint16).reshape(20, 20)))
    cells.append(png(GENERATOR.integers(0, 256, (12, 7, 4), dtype=np.uint8)))
    for word in ("train", "test"):
        write(tmp_path, word, "image", cells, [0, 1, 0, 1, 0])
    source = open_source(f"parquet:{tmp_path}", image_size=8)
    assert len(np.unique(source.train.images[3])) > 30  # 16 bits, not saturated
    for cell, image in zip(cells, source.train.images, strict=True):
        np.testing.assert_array_equal(image, source.processor.pixels(cell)[0])


def test_many_images_stay_encoded(tmp_path, monkeypatch):
    cells = [png(one) for one in GENERATOR.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)]
    for word in ("train", "test"):
        write(tmp_path, word, "image", cells, [0, 1] * 20)
    held = load_data(f"parquet:{tmp_path}", options=DataOptions(calibration=4))
    monkeypatch.setattr(reading, "MEMORY", 1000)
    read = load_data(f"parquet:{tmp_path}", options=DataOptions(calibration=4))
    assert not isinstance(read.train.images, np.ndarray)
    again = pickle.loads(pickle.dumps(read.train))
    np.testing.assert_array_equal(again.load().images, held.train.images)


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


@pytest.mark.skipif(
    not Path(os.environ.get("EDGESTILL_DATA", ""), "fsdd", "train.parquet").is_file(),
    reason="the spoken digits are not on this machine (EDGESTILL_DATA)",
)
def test_the_spoken_digits():
    data = load_data("parquet:fsdd")
    assert (len(data.test), len(data.classes), data.processor.image_shape) == (300, 10, (40, 61, 1))
    assert np.bincount(data.test.targets).tolist() == [30] * 10
