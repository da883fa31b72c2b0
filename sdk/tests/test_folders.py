"""Folders of photos: which are splits, which classes, what is not read, and that a device sees the same pixels."""

import errno
import io
import json
import os
import shutil
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgestill import zoo
from edgestill.data import DataOptions, Reading, load_data, open_source
from edgestill.data.reading import Files, read_all
from edgestill.data.samples import ImageOptions, read_samples
from edgestill.data.splits import shard_of, split_of
from edgestill.errors import DataError
from edgestill_runtime import load

GENERATOR = np.random.default_rng(0)


class Said:
    """A progress that keeps its messages."""

    def __init__(self):
        self.lines = []

    def message(self, text):
        self.lines.append(text)

    def task(self, description, total):
        from edgestill.progress import SILENT

        return SILENT.task(description, total)


def photo(path, size=(9, 12), mode="RGB", **save):
    """A photo of random pixels, (height, width)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = size if mode == "L" else (*size, len(mode))
    Image.fromarray(GENERATOR.integers(0, 256, shape, dtype=np.uint8), mode).save(path, **save)
    return path


def write_classes(folder, count=10, names=("cat", "dog")):
    for name in names:
        for number in range(count):
            photo(folder / name / f"{number}.png")


def odd_photos(folder):
    """Everything that people have, by name."""
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        photo(folder / f"exif{orientation}.jpg", (30, 50), exif=exif)
    photo(folder / "grey.png", (40, 21), "L")
    photo(folder / "rgba.png", (33, 20), "RGBA")
    photo(folder / "la.png", (20, 33), "LA")
    photo(folder / "narrow.png", (40, 1))
    photo(folder / "cmyk.jpg", (31, 17), "CMYK")
    palette = Image.fromarray(GENERATOR.integers(0, 4, (25, 25), dtype=np.uint8), "P")
    palette.putpalette([0, 0, 0, 250, 10, 10, 10, 250, 10, 9, 9, 240])
    palette.save(folder / "palette.png", transparency=0)
    deep = np.linspace(0, 65535, 400).astype(np.uint16).reshape(20, 20)
    Image.fromarray(deep).save(folder / "deep.png")
    # Pillow writes no RGB of 16 bits: by hand.
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in np.repeat(deep[..., None], 3, axis=2))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 20, 20, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    made = b"".join(struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks)
    (folder / "deep-rgb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + made)


@pytest.mark.parametrize(
    "keys", [{}, {"resize": "letterbox", "fill": 7}, {"resize": "stretch", "filter": "bicubic", "ground": 0}]
)
def test_training_sees_what_the_device_sees_to_the_last_bit(tmp_path, keys):
    for name in ("a", "b"):
        odd_photos(tmp_path / name)
    source = open_source(f"image-folder:{tmp_path}", reading=Reading(16, **keys))
    data = load_data(f"image-folder:{tmp_path}", options=DataOptions(image_size=16, calibration=4, **keys))
    assert data.processor.resize == keys.get("resize", "crop") and data.processor.channels == 3
    files = sorted(tmp_path.rglob("*.*"))
    expected = {path: data.processor.pixels(path)[0].tobytes() for path in files}
    got = {image.tobytes() for split in source.splits.values() for image in split.images}
    assert got == set(expected.values()) and len(got) > len(files) / 2
    cut = {image.tobytes() for part in (data.train, data.validation, data.test) for image in part.images}
    assert cut == got
    # Nothing saturates: a ramp of 16 bits stays a ramp.
    ramp = np.frombuffer(expected[tmp_path / "a" / "deep.png"], np.uint8).reshape(16, 16, 3)
    assert len(np.unique(ramp)) > 100


@pytest.mark.parametrize("name", ["cifar10-resnet8", "fashion-mnist-resnet8"])
def test_a_device_classifies_any_photo_as_training_read_it(root, device_cli, tmp_path, monkeypatch, name):
    """A file on the device's command line, and the pixels that training's reader made of it: the same scores.

    A model of RGB and one of grey, every odd photo and every encoded one of the runtime's tests.
    """
    monkeypatch.syspath_prepend(root / "runtime/tests")
    import inputs

    odd_photos(tmp_path)
    for number, (title, photo) in enumerate(inputs.photos().items()):
        if isinstance(photo, bytes):
            (tmp_path / f"{number}{Path(title).suffix}").write_bytes(photo)
    files = sorted(tmp_path.iterdir())
    with load(zoo.find(name)) as model:
        images, _ = read_all(Files(files), model.processor)
        expected = [[[label, round(score, 4)] for label, score in model.predict(image)] for image in images]
    assert len(files) > 45 and len({str(row) for row in expected}) > 0.7 * len(files)
    for file, scores in zip(files, expected, strict=True):
        rows = json.loads(device_cli("run", zoo.FOLDER / f"{name}.edge", file, "--json", "--calls", 1, "--top", 10))
        assert [[row["label"], row["score"]] for row in rows["results"]] == scores, file.name


def test_grey_photos_make_one_channel_and_the_device_agrees(tmp_path):
    for name in ("a", "b"):
        for number in range(4):
            photo(tmp_path / name / f"{number}.png", (11, 13), "L")
        grey = np.repeat(GENERATOR.integers(0, 256, (9, 9, 1), dtype=np.uint8), 3, axis=2)
        Image.fromarray(grey).save(tmp_path / name / "rgb.png")  # grey in colour
    data = load_data(f"image-folder:{tmp_path}", options=DataOptions(image_size=8, calibration=2))
    assert data.processor.channels == 1
    got = {image.tobytes() for part in (data.train, data.validation, data.test) for image in part.images}
    assert got == {data.processor.pixels(path)[0].tobytes() for path in tmp_path.rglob("*.png")}
    # A photo of coloured noise is not grey, even where it is so when it is small.
    Image.fromarray(np.array([[[255, 0, 0], [0, 255, 255]]], np.uint8)).save(tmp_path / "a" / "noise.png")
    assert open_source(f"image-folder:{tmp_path}", image_size=1).train.images.shape[3] == 3


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"), ("Training", "train"), ("VALID", "validation"), ("val", "validation"),
        ("dev", "validation"),
        ("Testing", "test"), ("eval", "test"), ("test_set", "test"), ("training-data", "train"), ("trainer", None),
        ("contest", None), ("protest", None), ("cat", None), ("devil", None),
    ],
)  # fmt: skip
def test_names_of_splits(name, split):
    assert split_of(name) == split
    assert shard_of(f"{name}-00001-of-00012") == (split, 12 if split else None)


@pytest.mark.parametrize(("train", "valid", "test"), [("train", "valid", "test"), ("Training", "VAL", "Testing")])
def test_three_splits_are_used_as_they_are(tmp_path, train, valid, test):
    for word, count in ((train, 6), (valid, 3), (test, 2)):
        write_classes(tmp_path / word, count)
    data = load_data(f"image-folder:{tmp_path}", options=DataOptions(image_size=8, calibration=4))
    assert data.classes == ("cat", "dog")
    assert (len(data.train), len(data.validation), len(data.test)) == (12, 6, 4)


def test_train_and_valid_alone_say_what_is_done(tmp_path):
    write_classes(tmp_path / "train", 20)
    write_classes(tmp_path / "valid", 3)
    said = Said()
    data = load_data(f"image-folder:{tmp_path}", options=DataOptions(image_size=8), progress=said)
    assert data.classes == ("cat", "dog") and len(data.test) == 6 and len(data.validation) == 4
    assert "there is no test split: valid serves as test, and validation is cut from train" in said.lines


def test_train_alone_gives_a_fifth_to_test(tmp_path):
    write_classes(tmp_path / "train", 10)
    said = Said()
    data = load_data(f"image-folder:{tmp_path}", options=DataOptions(image_size=8), progress=said)
    assert len(data.test) == 4 and any("a fifth is set aside as one, 4 images" in line for line in said.lines)


def test_a_split_beside_classes_is_no_class_and_that_is_said(tmp_path):
    write_classes(tmp_path, 10)
    photo(tmp_path / "test" / "1.png")
    said = Said()
    assert load_data(f"image-folder:{tmp_path}", options=DataOptions(image_size=8), progress=said).classes == (
        "cat",
        "dog",
    )
    assert any(
        "test is taken as a split, not as a class, and has no folder per class: its 1 images" in s for s in said.lines
    )
    write_classes(tmp_path / "test", 2)
    data = load_data(f"image-folder:{tmp_path}", options=DataOptions(image_size=8), progress=said)
    assert data.classes == ("cat", "dog") and len(data.test) == 4
    assert "test, beside the class folders cat, dog, is taken as the test split" in said.lines


def test_folders_beside_splits_are_not_read_and_that_is_said(tmp_path):
    write_classes(tmp_path / "train", 10)
    write_classes(tmp_path / "test", 2)
    photo(tmp_path / "extra" / "1.png")
    (tmp_path / "docs").mkdir()
    notes = open_source(f"image-folder:{tmp_path}", image_size=8).notes
    assert notes == (f"{tmp_path}: extra (1 images) is not read: it lies beside the splits test, train",)


def test_a_class_that_is_named_like_a_split_inside_a_split_is_said(tmp_path):
    write_classes(tmp_path / "train", 10, ("cat", "test"))
    write_classes(tmp_path / "test", 2, ("cat", "test"))
    source = open_source(f"image-folder:{tmp_path}", image_size=8)
    assert source.classes == ("cat", "test")
    assert source.notes == (f"{tmp_path / 'train'}: the folder test, named like a split, is read as a class",)


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (("car/1.png", "plane/1.png", "train/1.png"), "train holds images, not a folder per class. If it is a split"),
        (("seg_train/1.png", "seg_test/1.png"), "seg_test and seg_train may be splits or classes; name splits"),
        (("val/a/1.png", "validation/a/1.png"), "has two validation splits, val and validation; keep one"),
        (("test/a/1.png", "test/b/1.png"), "test: splits, not classes, and none is train"),
        (("inner/a/1.png", "inner/b/1.png"), r"one class folder \(inner\).*Is it .*/inner that you mean"),
        (("JPEGImages/1.png", "Annotations/1.xml"), "JPEGImages and Annotations are no classes.*detection"),
        (("train/images/1.png", "train/masks/1.png"), "images and masks are no classes.*segmentation"),
        (("my-images/1.png", "my_masks/1.png"), "my-images and my_masks are no classes.*If they are"),
        (("x/1.png", "labels/1.txt"), "labels has no images.*labels/ or masks/ belong to detection"),
        (("train/images/1.png", "train/labels/1.txt"), "labels/ or masks/ belong to detection"),
        (("1.png", "2.png"), "no class folders; it needs a folder per class"),
        (("a\x1b[31m/1.png", "b/1.png"), "has a name that cannot be printed"),
        (("a/.cache/1.png", "b/1.png"), r"a has no images .*not read: 1 hidden \(a/.cache\)"),
    ],
)
def test_layouts_that_mean_nothing_or_two_things_are_refused(tmp_path, paths, said):
    for path in paths:
        photo(tmp_path / path) if path.endswith("png") else (tmp_path / path).parent.mkdir(parents=True)
    with pytest.raises(DataError, match=said) as caught:
        open_source(f"image-folder:{tmp_path}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("extra", ["masks", "labels", "images", "Annotations"])
def test_a_class_with_the_name_of_something_else_is_doubtful_and_that_is_said(tmp_path, extra):
    write_classes(tmp_path, 4, ("cat", "dog", extra))
    source = open_source(f"image-folder:{tmp_path}")
    assert len(source.classes) == 3
    assert f"doubtful: {tmp_path / extra} is read as a class. If it is none, move it out of {tmp_path}" in source.notes


def test_classes_about_masks_are_not_doubtful(tmp_path):
    write_classes(tmp_path, 4, ("mask", "no_mask"))
    assert not any("doubtful" in note for note in open_source(f"image-folder:{tmp_path}").notes)


def test_classes_that_differ_in_case_alone_are_doubtful_and_that_is_said(tmp_path):
    write_classes(tmp_path, 4, ("Cat", "cat", "hot dog", "hot_dog", "cow"))
    doubtful = [note for note in open_source(f"image-folder:{tmp_path}").notes if note.startswith("doubtful")]
    assert [note.split(",")[0] for note in doubtful] == ["doubtful: 'Cat'", "doubtful: 'hot dog'"]


@pytest.mark.parametrize("train", ["train2017", "train", "train_v2", ""])
def test_splits_with_a_number_are_splits(tmp_path, train):
    for word, count in ((train, 6), ("val2017", 3), ("test_2017", 2)):
        write_classes(tmp_path / word, count)
    source = open_source(f"image-folder:{tmp_path}")
    assert source.classes == ("cat", "dog")
    assert {name: len(split) for name, split in source.splits.items()} == {"train": 12, "validation": 6, "test": 4}


def test_classes_with_a_number_stay_classes(tmp_path):
    write_classes(tmp_path, 6, ("test1", "test2"))
    source = open_source(f"image-folder:{tmp_path}")
    assert source.classes == ("test1", "test2") and "test1 is read as a class" in source.notes[0]


@pytest.mark.parametrize(
    ("there", "left"),
    [
        (("train", "test"), "test_v2"), (("train", "test"), "test2"), (("train2017", "test"), "test2017"),
        (("train", "val"), "val2"), (("train", "test"), "train2"), (("", "val"), "val2"),
    ],
)  # fmt: skip
def test_a_split_without_a_number_comes_before_one_with_a_number_and_that_is_said(tmp_path, there, left):
    for word in (*there, left):
        write_classes(tmp_path / word, 5 if word == left else 4)
    source = open_source(f"image-folder:{tmp_path}")
    assert source.classes == ("cat", "dog")
    assert {len(split) for split in source.splits.values()} == {8}
    assert any(f": {left} (10 images) is not read: it lies beside" in note for note in source.notes)


def test_two_splits_with_a_number_are_refused_with_both_names(tmp_path):
    for word in ("train2014", "train2017", "val2017"):
        write_classes(tmp_path / word, 4)
    says = "has two train splits, train2014 and train2017; name the one that is meant train, or"
    with pytest.raises(DataError, match=says):
        open_source(f"image-folder:{tmp_path}")
    (tmp_path / "train2017").rename(tmp_path / "train")
    source = open_source(f"image-folder:{tmp_path}")
    assert len(source.train) == len(source.test) == 8 and "train2014 (8 images) is not read" in source.notes[0]


@pytest.mark.parametrize("inside", ["", "day night"])
def test_a_class_train1_among_others_stays_a_class(tmp_path, inside):
    for name in ("bus1", "car1", "train1"):
        for inner in inside.split() or [""]:
            for number in range(3):
                photo(tmp_path / name / inner / f"{number}.png")
    source = open_source(f"image-folder:{tmp_path}")
    assert source.classes == ("bus1", "car1", "train1")
    assert any("train1 is read as a class. If it is a split, name it without a number" in note for note in source.notes)


def test_a_split_with_a_number_that_has_no_class_folders_is_not_read(tmp_path):
    for word in ("train", "test"):
        write_classes(tmp_path / word, 4)
    photo(tmp_path / "val2" / "1.png")  # without labels
    source = open_source(f"image-folder:{tmp_path}")
    assert set(source.splits) == {"train", "test"} and "val2 (1 images) is not read" in source.notes[0]
    with pytest.raises(DataError, match=r"one class folder \(inner\).*Is it .*/inner that you mean"):
        write_classes(tmp_path / "outer" / "inner" / "train2017", 1)
        open_source(f"image-folder:{tmp_path / 'outer'}")


def test_names_of_many_classes_are_looked_at_once(tmp_path, monkeypatch):
    from edgestill.data.formats import image_folder

    seen = []
    words = image_folder._words
    monkeypatch.setattr(image_folder, "_words", lambda folder: seen.append(folder) or words(folder))
    write_classes(tmp_path, 2, ("no_mask", "mask", *(f"masks {number}" for number in range(18))))
    open_source(f"image-folder:{tmp_path}")
    assert len(seen) <= 3 * 20  # and not 20 for each class


@pytest.mark.parametrize(
    ("there", "other", "said"),
    [
        (("train", "test"), "val_of_mine", "if val_of_mine is the validation split, name it validation; without that "
         "it is cut from train"),
        (("train",), "test_of_mine", "if test_of_mine is the test split, name it test; without that a fifth of train "
         "is set aside as test"),
        (("train", "valid"), "test_of_mine", "if test_of_mine is the test split, name it test; without that valid "
         "serves as test"),
    ],
)  # fmt: skip
def test_a_folder_that_may_be_a_split_is_said_with_what_is_done_without_it(tmp_path, there, other, said):
    for word in (*there, other):
        write_classes(tmp_path / word, 6)
    assert f"doubtful: {said}" in open_source(f"image-folder:{tmp_path}").notes


def test_a_class_that_a_split_lacks_is_named_with_the_split(tmp_path):
    write_classes(tmp_path / "train", 10)
    write_classes(tmp_path / "test", 3, ("cat",))
    said = Said()
    load_data(f"image-folder:{tmp_path}", options=DataOptions(image_size=8), progress=said)
    assert "test has no sample of the class dog" in said.lines
    write_classes(tmp_path / "test", 3, ("cow",))
    with pytest.raises(DataError, match="train and test have different classes: train lacks cow, and test lacks dog"):
        open_source(f"image-folder:{tmp_path}")


def test_what_is_not_read_is_counted_and_named_in_one_line(tmp_path):
    write_classes(tmp_path, 10)
    photo(tmp_path / "cat" / ".thumbnails" / "1.png")
    photo(tmp_path / "__MACOSX" / "cat" / "1.png")
    photo(tmp_path / "loose.png")
    (tmp_path / "cat" / "._1.png").write_bytes(b"\0\5\x16\7")
    (tmp_path / "cat" / "IMG.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (tmp_path / "cat" / "notes.txt").write_text("x")
    (tmp_path / "dog" / "empty.jpg").write_bytes(b"")
    (tmp_path / "dog" / "page.jpg").write_text("<html>not found</html>")
    (tmp_path / "dog" / "lfs.jpg").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0")
    (tmp_path / "dog" / "loop").symlink_to(tmp_path / "dog")
    (tmp_path / "dog" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "dog" / "pipe.png")  # opening it would wait for ever
    said = Said()
    data = load_data(f"image-folder:{tmp_path}", options=DataOptions(image_size=8), progress=said)
    assert len(data.train) + len(data.validation) + len(data.test) == 20
    (line,) = (line for line in said.lines if line.startswith("not read: "))
    for part in (
        "3 hidden (__MACOSX, cat/._1.png, …)", "1 outside of the class folders (loose.png)", "1 .heic (cat/IMG.HEIC)",
        "1 .txt", "1 empty (dog/empty.jpg)", "1 no images by their content (dog/page.jpg)", "1 Git LFS pointers",
        "1 links that lead back to a folder they lie in (dog/loop)", "1 links to nothing", "1 no plain files",
    ):  # fmt: skip
        assert part in line
    assert "\n" not in line


def test_links_to_folders_are_followed(tmp_path):
    write_classes(tmp_path / "elsewhere", 6)
    (tmp_path / "set").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "set" / name).symlink_to(tmp_path / "elsewhere" / name)
    (tmp_path / "set" / "cat" / "more").symlink_to(tmp_path / "elsewhere" / "dog")
    source = open_source(f"image-folder:{tmp_path / 'set'}", image_size=8)
    assert len(source.train) + len(source.test) == 18


def test_a_damaged_photo_is_named_and_one_that_is_too_large_says_the_limit(tmp_path, monkeypatch):
    write_classes(tmp_path, 10)
    whole = (tmp_path / "dog" / "4.png").read_bytes()
    (tmp_path / "dog" / "4.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"dog/4.png is damaged and cannot be read as an image; repair or remove it"):
        open_source(f"image-folder:{tmp_path}")
    # 200 megapixels in some kilobytes: only the head is looked at.
    head = struct.pack(">IIBBBBB", 20_000, 10_000, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    body = struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    (tmp_path / "dog" / "4.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + body)
    with pytest.raises(DataError, match=r"dog/4.png has 200,000,000 pixels, more than .*EDGESTILL_MAX_PIXELS"):
        open_source(f"image-folder:{tmp_path}")


@pytest.mark.parametrize("prefix", ["image-folder:", "audio-folder:"])
def test_no_folder_a_file_and_no_permission(tmp_path, monkeypatch, prefix):
    with pytest.raises(DataError, match="there is no user ~nosuchuser on this machine"):
        load_data(f"{prefix}~nosuchuser/x")
    with pytest.raises(DataError, match="nowhere does not exist"):
        load_data(f"{prefix}{tmp_path / 'nowhere'}")
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="file is a file, not a folder"):
        load_data(f"{prefix}{tmp_path / 'file'}")
    with pytest.raises(DataError, match="is a path; add its kind: image-folder:"):
        load_data(str(tmp_path / "file"))
    (tmp_path / "closed").mkdir()
    iterdir = Path.iterdir

    def refuse(folder):
        """As the system does; it lets the super-user read everything, and tests may run as that."""
        if folder.name == "closed":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return iterdir(folder)

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataError, match="closed cannot be read: permission denied"):
        load_data(f"{prefix}{tmp_path / 'closed'}")


def test_480_photos_leave_346_to_train_and_the_cut_is_said_before_a_photo_is_read(tmp_path):
    source = photo(tmp_path / "one.png", (4, 4))
    for name in ("cat", "dog"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(240):
            shutil.copy(source, tmp_path / "set" / name / f"{number}.png")
    (tmp_path / "set" / "cat" / "0.png").write_bytes(source.read_bytes()[:60])  # found when it is read
    said = Said()
    with pytest.raises(DataError, match=r"cat/0.png is damaged"):
        load_data(f"image-folder:{tmp_path / 'set'}", options=DataOptions(image_size=8), progress=said)
    cut = [line for line in said.lines if "to train" in line]
    assert cut == [
        "image-folder:set: 346 samples to train, 256 of which calibrate too; 38 to validate, 96 to test; 2 classes"
    ]
    assert any(line.startswith("thin: 38 validation samples for 2 classes") for line in said.lines)


def test_no_class_loses_all_its_photos_to_test(tmp_path):
    write_classes(tmp_path, 30, ("common",))
    for number in range(12):  # whatever the hash says
        photo(tmp_path / f"rare{number}" / "1.png")
    data = load_data(f"image-folder:{tmp_path}", options=DataOptions(image_size=8))
    assert set(data.train.targets.tolist()) == set(range(13))


@pytest.mark.parametrize(
    ("names", "doubtful"),
    [
        (("entrenamiento/a", "entrenamiento/b", "prueba/a", "prueba/b"), True),
        (("train/fold1/a", "train/fold1/b", "train/fold2/a", "train/fold2/b"), True),
        (("cat/images", "dog/images"), False),
        (("cat/in", "cat/out", "dog/in", "dog/out", "dog"), False),
    ],
)
def test_classes_with_the_same_folders_in_them_are_doubtful_and_that_is_said(tmp_path, names, doubtful):
    write_classes(tmp_path, 2, names)
    notes = open_source(f"image-folder:{tmp_path}").notes
    assert any("If those are the classes, name the splits train" in note for note in notes) == doubtful


def test_a_photo_is_set_aside_as_test_wherever_a_class_can_spare_one(tmp_path):
    write_classes(tmp_path, 1)
    with pytest.raises(DataError, match="has one file in each of its 2 classes, and none to test with"):
        open_source(f"image-folder:{tmp_path}")
    for number in range(1, 4):
        photo(tmp_path / "dog" / f"{number}.png")
        assert set(open_source(f"image-folder:{tmp_path}").test.targets.tolist()) == {1}


def test_samples_for_a_conversion(tmp_path):
    write_classes(tmp_path, 2)
    (tmp_path / "cat" / "x.txt").write_text("x")
    files = sorted(tmp_path.rglob("*.png"))
    said = Said()
    read = read_samples(tmp_path, ImageOptions(16), progress=said, classes=("dog", "cat"))
    assert read.targets.tolist() == [1, 1, 0, 0] and said.lines == ["not read: 1 .txt (cat/x.txt)"]
    np.testing.assert_array_equal(read.images, read.processor.pixels(files))
    said.lines.clear()
    assert read_samples(tmp_path, ImageOptions(16), progress=said, classes=("Cat", "Dog")).targets is None
    assert said.lines[1].endswith("no accuracy is measured: 'cat', 'dog' are none of the classes Cat, Dog")
    assert not read_samples(tmp_path / "dog", classes=("dog",)).notes  # no subfolders, which name nothing
    processor = Reading(resize="letterbox").images(10, 12)
    some = read_samples(files[:3], processor=processor)
    np.testing.assert_array_equal(some.images, processor.pixels(files[:3]))
    assert some.processor == processor and len(read_samples(files[0]).images) == 1
    with pytest.raises(DataError, match="does not exist; give a folder of photos or recordings, files, or an .npz"):
        read_samples(tmp_path / "nothing")
    with pytest.raises(DataError, match="cat/x.txt has no images or recordings that can be read, and is no .npz"):
        read_samples(tmp_path / "cat" / "x.txt")


@pytest.mark.parametrize(
    ("labels", "read", "said"),
    [
        ([0, 1, 1], [0, 1, 1], ""),
        ([[0], [1], [1]], [0, 1, 1], ""),
        (np.eye(3)[[2, 0, 1]], [2, 0, 1], ""),
        ([0.0, 2.0, 1.0], [0, 2, 1], ""),
        ([0.5, 2.25, 1.0], None, "no accuracy is measured"),
        (["a", "b", "a"], None, "x.npz has no `classes` that says which output is which"),
        ([[1, 1], [0, 1], [0, 0]], None, "a classifier learns exactly one a sample"),
    ],
)
def test_labels_of_an_npz(tmp_path, labels, read, said):
    np.savez(tmp_path / "x.npz", images=np.zeros((3, 4, 4), np.uint8), labels=np.array(labels))
    found = read_samples(tmp_path / "x.npz")
    assert (None if found.targets is None else found.targets.tolist()) == read
    assert (said in found.notes[0]) if said else not found.notes
    assert found.images.shape == (3, 4, 4, 1)


def test_one_number_for_mean_makes_nothing_grey(tmp_path):
    write_classes(tmp_path / "colour", 2)
    photo(tmp_path / "grey" / "1.png", mode="L")
    np.savez(tmp_path / "colour.npz", images=np.zeros((2, 8, 8, 3), np.uint8))
    np.savez(tmp_path / "grey.npz", images=np.zeros((2, 8, 8, 1), np.uint8))
    for name, channels in (("colour", 3), ("colour.npz", 3), ("grey", 1), ("grey.npz", 1)):
        read = read_samples(tmp_path / name, ImageOptions(mean=(0.0,), std=(1.0,)))
        assert read.images.shape[3] == channels and read.processor.mean == (0.0,) * channels and not read.notes
    assert read_samples(tmp_path / "grey").images.shape[3] == 1  # with no number at all as well
    three = read_samples(tmp_path / "grey", ImageOptions(mean=(0.0,) * 3, std=(1.0,) * 3))
    assert three.images.shape[3] == 3
    assert (
        "converted to grayscale"
        in read_samples(tmp_path / "colour", ImageOptions(mean=(0.0,), std=(1.0,), channels=1)).notes[-1]
    )


def test_labels_of_an_npz_become_the_numbers_of_the_model(tmp_path):
    def read(**arrays):
        np.savez(tmp_path / "x.npz", images=np.zeros((3, 4, 4), np.uint8), **arrays)
        return read_samples(tmp_path / "x.npz", classes=("b", "a"))

    for arrays in ({"labels": ["a", "b", "a"]}, {"labels": [0, 1, 0], "classes": ["a", "b"]}, {"labels": [1, 0, 1]}):
        found = read(**arrays)
        assert found.targets.tolist() == [1, 0, 1] and found.classes == ("b", "a") and not found.notes
    with pytest.raises(DataError, match="x.npz: the file has labels that are none of the classes b, a: x"):
        read(labels=["a", "b", "x"])
    with pytest.raises(DataError, match="labels run from 0 to 2, but classes from 0 to 1"):
        read(labels=[0, 1, 2])


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"images": np.zeros((4, 8, 8, 3), np.uint8), "labels": np.zeros(3, int)}, "images 4, labels 3"),
        ({"images": np.zeros((4, 8, 8), np.uint8), "b": np.zeros(4)}, "must be alone; besides it there is b"),
        ({"labels": np.zeros(3, int)}, "no samples in it"),
        ({"a": np.zeros((0, 3))}, "or none: a 0"),
        ({"a": np.zeros(3), "labels": np.array([-1, 0, 1])}, "labels run from -1 to 1"),
        ({"a": np.zeros(2), "labels": np.array([0, 2]), "classes": np.array(["x", "y"])}, "but classes from 0 to 1"),
    ],
)  # fmt: skip
def test_samples_that_do_not_belong_together(tmp_path, arrays, said):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(DataError, match=said):
        read_samples(tmp_path / "x.npz")


@pytest.mark.parametrize("content", [b"no zip", b"PK\3\4xx", b""])
def test_an_npz_that_is_none(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read as an \.npz of plain arrays"):
        read_samples(tmp_path / "x.npz")


def test_an_npz_whose_arrays_have_damaged_headers(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 3)))
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", buffer.getvalue().replace(b"'shape'", b"'shape("))
    with pytest.raises(DataError, match="cannot be read as an"):
        read_samples(tmp_path / "x.npz")


def test_images_of_an_npz(tmp_path):
    deep = np.linspace(0, 65535, 64).astype(np.uint16).reshape(1, 8, 8, 1)
    np.savez(tmp_path / "deep.npz", images=deep)
    np.testing.assert_array_equal(read_samples(tmp_path / "deep.npz").images, (deep >> 8).astype(np.uint8))
    np.savez(tmp_path / "any.npz", images=GENERATOR.integers(0, 256, (2, 9, 12, 3), dtype=np.uint8))
    assert read_samples(tmp_path / "any.npz", ImageOptions(8)).images.shape == (2, 8, 8, 3)
    np.savez(tmp_path / "float.npz", images=np.zeros((2, 4, 4, 3), np.float32))
    with pytest.raises(DataError, match=r"`images` must be uint8 or uint16 .*round 255"):
        read_samples(tmp_path / "float.npz")
    np.savez(tmp_path / "first.npz", images=np.zeros((2, 3, 40, 40), np.uint8))
    with pytest.raises(DataError, match=r"images.transpose\(0, 2, 3, 1\)"):
        read_samples(tmp_path / "first.npz")


def test_unlabelled_photos_are_read_as_the_labelled_ones(tmp_path):
    write_classes(tmp_path / "set", 10)
    more = photo(tmp_path / "more" / "deep" / "1.jpg", (50, 31))
    data = load_data(
        f"image-folder:{tmp_path / 'set'}",
        options=DataOptions(image_size=8, resize="letterbox", calibration=4, unlabelled=tmp_path / "more"),
    )
    assert data.train.targets[-1] == -1
    np.testing.assert_array_equal(data.train.images[-1], data.processor.pixels(Path(more))[0])


def test_a_model_that_is_there_reads_the_test_photos_as_it_takes_them(tmp_path):
    for name in ("a", "b"):
        for number in range(4):
            photo(tmp_path / name / f"{number}.png", (11, 13), "L")
    processor = Reading(resize="letterbox").images(10, 12)  # in colour, not square
    source = open_source(f"image-folder:{tmp_path}", processor=processor)
    got = {image.tobytes() for split in source.splits.values() for image in split.images}
    assert got == {processor.pixels(path)[0].tobytes() for path in tmp_path.rglob("*.png")}


def test_what_a_model_brings_does_not_change_which_photos_they_are(tmp_path, monkeypatch):
    """Also of photos that stay encoded, whose digest is of what is done to them."""
    write_classes(tmp_path, 10)
    for memory in (1 << 20, 1):
        monkeypatch.setattr("edgestill.data.reading.MEMORY", memory)
        data = load_data(f"image-folder:{tmp_path}", options=DataOptions(image_size=8, calibration=4))
        again = load_data(f"image-folder:{tmp_path}", options=DataOptions(calibration=4), processor=data.processor)
        assert again.digest == data.digest and again.processor == data.processor and again.processor.mean != (0.0,) * 3
    with pytest.raises(DataError, match="comes from a processor, or from image_size"):
        load_data(f"image-folder:{tmp_path}", options=DataOptions(image_size=8), processor=data.processor)


def test_pixels_that_are_there_are_those_that_a_model_takes(tmp_path, monkeypatch):
    (tmp_path / "own_cut.py").write_text(
        "import numpy as np, edgestill as es\n"
        "from edgestill.data import Reading\n"
        "split = es.Split(np.zeros((20, 8, 8, 3), np.uint8), np.arange(20) % 2)\n"
        "def cut(): return es.ImageSource('own', ('a', 'b'), split, split, processor=Reading().images(8, 8))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert (
        load_data("own_cut:cut", options=DataOptions(calibration=2), processor=Reading().images(8, 8)).processor.resize
        == "crop"
    )
    with pytest.raises(
        DataError, match="makes its pixels differently from the model's training: resize crop instead of stretch"
    ):
        load_data("own_cut:cut", processor=Reading(resize="stretch").images(8, 8))
    with pytest.raises(DataError, match=r"takes \(9, 9, 3\) .* gives \(8, 8, 3\)"):
        load_data("own_cut:cut", processor=Reading().images(9, 9))


def test_names_that_are_no_utf_8(tmp_path):
    write_classes(tmp_path, 10)
    shutil.copy(tmp_path / "cat" / "1.png", os.fsdecode(os.fsencode(tmp_path / "cat") + b"/caf\xe9.png"))
    assert len(load_data(f"image-folder:{tmp_path}", options=DataOptions(image_size=8)).train) == 15
