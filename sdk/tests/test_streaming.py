"""Images that are not in memory: read by workers, the same pictures as from memory."""

import io
import pickle
import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from edgestill.data import (
    Augmentation,
    DataOptions,
    ImageSource,
    Split,
    Views,
    load_data,
    open_source,
    reading,
    source_arrays,
    sources,
    types,
)
from edgestill.errors import DataError
from edgestill.models import create_model
from edgestill.objectives import CrossEntropy
from edgestill.options import TrainOptions
from edgestill.schedule import Schedule
from edgestill.training import quality_of, train

AUGMENTATION = Augmentation.parse(["flip", "shift:2", "cutout:6", "mixup:0.2"])


@pytest.fixture(scope="module")
def data():
    whole = load_data("fashion-mnist-mini", options=DataOptions(calibration=64))
    return replace(whole, train=whole.train.take(np.arange(200)), validation=whole.validation.take(np.arange(100)))


@pytest.fixture
def on_disk(data, tmp_path):
    """The same train split as a memory map."""
    np.save(tmp_path / "images.npy", data.train.images)
    return replace(data, train=Split(np.load(tmp_path / "images.npy", mmap_mode="r"), data.train.targets))


def views(data, *arguments):
    """The train split of some data."""
    return Views(data.train.images, data.encoded(data.train), data.processor, *arguments)


@pytest.mark.parametrize("workers", [0, 2])
def test_views_from_disk_are_those_from_memory(data, on_disk, workers):
    held, read = (views(one, AUGMENTATION, 3) for one in (data, on_disk))
    indices = torch.split(torch.from_numpy(np.random.default_rng(0).permutation(200)), 64)
    pairs = zip(held.batches(1, indices), read.batches(1, indices, workers=workers), strict=True)
    for (images, targets), (other_images, other_targets) in pairs:
        assert torch.equal(images, other_images) and torch.equal(targets, other_targets)


def test_training_from_disk_gives_the_weights_of_training_from_memory(data, on_disk):
    schedule = Schedule(epochs=1, batch_size=64)
    held, read = (
        train(
            create_model("dscnn_xs", 10), one, CrossEntropy(), options=TrainOptions(schedule, augmentation=AUGMENTATION)
        ).model
        for one in (data, on_disk)
    )
    for name, value in held.state_dict().items():
        assert torch.equal(value, read.state_dict()[name]), name
    assert quality_of(read, on_disk.train, on_disk)["accuracy"] == quality_of(held, data.train, data)["accuracy"]


def test_taking_from_disk_reads_nothing(on_disk):
    part = on_disk.train.take(np.arange(100, 200)).take(np.array([5, 7]))
    assert not isinstance(part.images, np.ndarray) and part.images.shape == (2, 28, 28, 1)
    np.testing.assert_array_equal(part.load().images, on_disk.train.images[[105, 107]])


@pytest.fixture
def folder(tmp_path):
    generator = np.random.default_rng(0)
    for word in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / word / name).mkdir(parents=True)
            for number in range(12):
                pixels = generator.integers(0, 256, (20, 24, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / word / name / f"{number}.png")
    return tmp_path


def test_a_folder_that_is_too_large_for_memory_is_left_on_disk(folder, monkeypatch):
    held = load_data(f"image-folder:{folder}", options=DataOptions(image_size=16, calibration=4))
    monkeypatch.setattr(reading, "MEMORY", 1000)
    read = load_data(f"image-folder:{folder}", options=DataOptions(image_size=16, calibration=4))
    assert not isinstance(read.train.images, np.ndarray)
    np.testing.assert_array_equal(read.train.load().images, held.train.images)
    assert read.processor == held.processor
    # Told from other folders by names and sizes, without decoding.
    again = load_data(f"image-folder:{folder}", options=DataOptions(image_size=16, calibration=4))
    assert again.digest == read.digest
    Image.new("RGB", (9, 9)).save(folder / "train" / "dog" / "1.png")
    assert load_data(f"image-folder:{folder}", options=DataOptions(image_size=16, calibration=4)).digest != read.digest
    # What the engines and the report take is in memory.
    assert all(isinstance(one.images, np.ndarray) for one in (read.validation, read.calibration_split, read.test))
    train(create_model("dscnn_xs", 2, 3), read, CrossEntropy(), options=TrainOptions(Schedule(epochs=1, batch_size=8)))


def test_unlabelled_images_of_a_large_source_are_left_on_disk_too(folder, tmp_path, monkeypatch):
    """Both are counted before anything is decoded: each alone would fit here."""
    more = tmp_path / "more"
    more.mkdir()
    for number in range(30):
        Image.fromarray(np.full((20, 24, 3), number, np.uint8)).save(more / f"{number:02d}.png")
    options = DataOptions(image_size=16, calibration=4, unlabelled=more)
    held = load_data(f"image-folder:{folder}", options=options)
    monkeypatch.setattr(reading, "MEMORY", 50 * 16 * 16 * 3)  # 48 with a label, 30 without
    decoded, decode = [], reading.decode
    monkeypatch.setattr(reading, "decode", lambda *arguments: decoded.append(arguments[1]) or decode(*arguments))
    read = load_data(f"image-folder:{folder}", options=options)
    assert len(read.train) == len(held.train) and not isinstance(read.train.images, np.ndarray)
    assert len(decoded) < 48 + 30  # validation, calibration and test, and what mean and std are taken from
    assert any("stay encoded" in note for note in read.notes)
    np.testing.assert_array_equal(read.train.load().images, held.train.images)
    assert read.train.targets.tolist() == held.train.targets.tolist()
    batch = torch.tensor([len(read.train) - 1, 0])
    pairs = (views(one).batch(0, batch) for one in (held, read))
    assert torch.equal(*(images for images, _ in pairs))


def test_unlabelled_images_beside_arrays_are_read_later_where_they_are_too_many(data, tmp_path, monkeypatch):
    for number in range(3):
        Image.fromarray(data.test.images[number, ..., 0]).save(tmp_path / f"{number}.png")
    monkeypatch.setattr(reading, "MEMORY", 1000)
    read = load_data("fashion-mnist-mini", options=DataOptions(unlabelled=tmp_path))
    np.testing.assert_array_equal(read.train.load().images[-3:], data.test.images[:3])
    assert not isinstance(read.train.images, np.ndarray)


def test_loading_reads_a_block_at_a_time_in_the_order_of_the_disk(data, monkeypatch):
    monkeypatch.setattr(types, "_BLOCK", 10 * 28 * 28)
    images = Strict(data.train.images)
    order = np.random.default_rng(0).permutation(50)
    found = Split(images, data.train.targets).take(order).load()
    np.testing.assert_array_equal(found.images, data.train.images[order])
    assert images.most == 10 and found.targets.tolist() == data.train.targets[order].tolist()


def test_images_of_several_sizes_are_refused_however_many_they_are(tmp_path, monkeypatch):
    pyarrow = pytest.importorskip("pyarrow")
    cells = []
    for side in (8, 8, 9):
        content = io.BytesIO()
        Image.new("RGB", (side, side)).save(content, "PNG")
        cells.append(content.getvalue())
    for word in ("train", "test"):
        table = pyarrow.table({"image": cells, "label": [0, 1, 1]})
        pyarrow.parquet.write_table(table, tmp_path / f"{word}.parquet")
    for room in (reading.MEMORY, 10):
        monkeypatch.setattr(reading, "MEMORY", room)
        with pytest.raises(DataError, match=r"train.parquet, row 2 has 9×9 pixels, the first one 8×8: images of sever"):
            open_source(f"parquet:{tmp_path}")
    assert len(open_source(f"parquet:{tmp_path}", image_size=8).train) == 3


def test_a_broken_image_is_named_by_the_worker_that_reads_it(folder, monkeypatch):
    monkeypatch.setattr(reading, "MEMORY", 1000)
    read = load_data(f"image-folder:{folder}", options=DataOptions(image_size=16, calibration=4))
    broken = folder / "train" / "cat" / "3.png"
    broken.write_bytes(b"no image")
    made = views(read)
    with pytest.raises(DataError, match=r"cat/3.png is no image in a format that Pillow knows") as caught:
        list(made.batches(0, torch.split(torch.arange(len(made)), 8)))
    assert "\n" not in str(caught.value)  # no stack of the worker


class Strict:
    """To the letter of `Images`: int64 rows, ascending, each once; everything else is an error."""

    def __init__(self, images):
        self._images, self.shape, self.dtype, self.most = images, images.shape, images.dtype, 0

    def __len__(self):
        return len(self._images)

    def __getitem__(self, rows):
        assert isinstance(rows, np.ndarray) and rows.dtype == np.int64 and rows.ndim == 1
        assert len(rows) and (np.diff(rows) > 0).all()
        self.most = max(self.most, len(rows))
        return self._images[rows]


def test_the_documented_protocol_is_the_one_that_is_used(data, monkeypatch):
    images, labels = data.train.images, data.train.targets
    test = data.test.take(np.arange(50))
    module = ModuleType("my_sources")
    module.array = lambda: ImageSource("mine", data.classes, Split(images, labels), test)
    module.lazy = lambda: ImageSource(
        "mine", data.classes, Split(Strict(images), labels), Split(Strict(test.images), test.targets)
    )
    monkeypatch.setitem(sys.modules, "my_sources", module)
    held, read = (load_data(f"my_sources:{name}", options=DataOptions(calibration=8)) for name in ("array", "lazy"))
    assert held.digest == read.digest and held.processor == read.processor
    assert isinstance(read.train.images.images, Strict)  # still not in memory
    np.testing.assert_array_equal(held.validation.images, read.validation.images)
    indices = torch.split(torch.from_numpy(np.random.default_rng(0).permutation(len(read.train))), 64)
    for workers in (0, 2):
        pairs = zip(
            views(held, AUGMENTATION).batches(1, indices),
            views(read, AUGMENTATION).batches(1, indices, workers=workers),
            strict=True,
        )
        assert all(torch.equal(one[0], other[0]) for one, other in pairs)


def test_a_digest_and_statistics_look_at_few_images_at_a_time(data, monkeypatch):
    monkeypatch.setattr(types, "_BLOCK", 10 * 28 * 28)
    images, labels = data.train.images, data.train.targets
    lazy = ImageSource("x", data.classes, Split(Strict(images), labels), Split(Strict(images), labels))
    held = ImageSource("x", data.classes, Split(images, labels), Split(images, labels))
    assert sources.digest(lazy) == sources.digest(held)
    assert source_arrays.statistics_of(lazy.train) == source_arrays.statistics_of(held.train)
    assert lazy.train.images.most == 10


def test_lazy_images_that_give_something_else_are_told_so():
    class Wrong(Strict):
        def __getitem__(self, rows):
            return self._images[rows].astype(np.float32)

    images = Wrong(np.zeros((4, 6, 5, 1), np.uint8))
    with pytest.raises(DataError, match=r"Wrong states .* returned float32 \(2, 6, 5, 1\) for 2"):
        Split(images, np.arange(4)).take(np.array([1, 0])).load()


def test_what_stays_on_disk_goes_through_a_pickle(folder, monkeypatch):
    monkeypatch.setattr(reading, "MEMORY", 1000)
    read = load_data(f"image-folder:{folder}", options=DataOptions(image_size=16, calibration=4)).train
    again = pickle.loads(pickle.dumps(read))  # as a worker that is not forked gets it
    np.testing.assert_array_equal(again.load().images, read.load().images)
