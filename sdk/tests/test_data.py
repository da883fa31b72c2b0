import http.server
import os
import threading
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from torch.nn import Linear

from edgestill.data import DataOptions, ImageSource, Split, load_data, open_source
from edgestill.data.formats import fashion_mnist
from edgestill.distillation import distill
from edgestill.errors import DataError, ModelError

MINI = "fashion-mnist-mini"


def complete_folder():
    """Where this machine has the complete set, or None."""
    folders = (Path(os.environ.get("EDGESTILL_DATA", "/nowhere")) / "fashion-mnist", fashion_mnist.SYSTEM)
    return next((folder for folder in folders if folder.is_dir()), None)


COMPLETE = complete_folder()
NEEDS_COMPLETE = pytest.mark.skipif(
    COMPLETE is None, reason="the complete Fashion-MNIST is not on this machine (EDGESTILL_DATA)"
)


class Bars:
    """Keeps (description, total, done) of every bar."""

    def __init__(self):
        self.seen = []

    def message(self, text):
        pass

    @contextmanager
    def task(self, description, total):
        done = []
        yield SimpleNamespace(advance=lambda steps=1, **facts: done.append(steps))
        self.seen.append((description, total, sum(done)))


@pytest.fixture(scope="module")
def mini():
    return open_source(MINI)


def test_the_embedded_set_is_real_and_balanced(mini):
    assert mini.train.images.shape == (10_000, 28, 28, 1) and mini.test.images.shape == (2_000, 28, 28, 1)
    assert np.bincount(mini.train.targets).tolist() == [1000] * 10
    assert np.bincount(mini.test.targets).tolist() == [200] * 10
    # The figures of the complete train split, give or take the sample.
    assert mini.train.images.mean() / 255 == pytest.approx(0.286, abs=0.005)
    assert len({image.tobytes() for image in mini.train.images}) == 10_000


@NEEDS_COMPLETE
def test_the_embedded_set_is_part_of_the_complete_one(mini):
    complete = open_source("fashion-mnist")
    assert complete.train.images.shape == (60_000, 28, 28, 1) and len(complete.test) == 10_000
    for word in ("train", "test"):
        pairs = zip(getattr(complete, word).images, getattr(complete, word).targets, strict=True)
        known = {(image.tobytes(), int(label)) for image, label in pairs}
        drawn = getattr(mini, word)
        assert all(
            (image.tobytes(), int(label)) in known for image, label in zip(drawn.images, drawn.targets, strict=True)
        )


@NEEDS_COMPLETE
def test_a_damaged_file_of_the_complete_set_is_named(tmp_path, monkeypatch):
    for name in fashion_mnist.FILES:
        content = (COMPLETE / name).read_bytes()
        target = tmp_path / "fashion-mnist" / name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(content[:-100] if name.startswith("t10k-images") else content)
    monkeypatch.setenv("EDGESTILL_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz is (damaged|not the published file)"):
        open_source("fashion-mnist")


def test_without_the_complete_set_and_without_network_people_are_told_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGESTILL_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(fashion_mnist, "SYSTEM", tmp_path / "nothing")
    monkeypatch.setattr(fashion_mnist, "MIRROR", "http://127.0.0.1:9/")  # nobody listens there
    with pytest.raises(DataError, match="EDGESTILL_DATA.*dataset-fashion-mnist.*fashion-mnist-mini"):
        open_source("fashion-mnist")
    assert not (tmp_path / "cache").exists()


class Liar(http.server.BaseHTTPRequestHandler):
    """Answers every request with something else."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"not the file")

    def log_message(self, *_):
        pass


class Honest(http.server.SimpleHTTPRequestHandler):
    """Serves the complete set's folder."""

    def __init__(self, *arguments):
        super().__init__(*arguments, directory=COMPLETE)

    def log_message(self, *_):
        pass


@contextmanager
def mirror(handler, monkeypatch, tmp_path):
    """A server on this machine as the only place to get the set from."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("EDGESTILL_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(fashion_mnist, "SYSTEM", tmp_path / "nothing")
    monkeypatch.setattr(fashion_mnist, "MIRROR", f"http://127.0.0.1:{server.server_port}/")
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def test_a_download_that_is_something_else_is_not_kept(tmp_path, monkeypatch):
    with mirror(Liar, monkeypatch, tmp_path), pytest.raises(DataError, match="damaged"):
        open_source("fashion-mnist")
    assert not (tmp_path / "cache").exists()


@NEEDS_COMPLETE
def test_a_download_is_checked_kept_and_not_repeated(tmp_path, monkeypatch):
    bars = Bars()
    with mirror(Honest, monkeypatch, tmp_path):
        assert len(open_source("fashion-mnist", progress=bars).train) == 60_000
    assert [name.partition(" ")[0] for name, _, _ in bars.seen] == ["download"] * 4
    assert all(done == total > 0 for _, total, done in bars.seen)
    # The server is gone; the cache is enough.
    assert len(open_source("fashion-mnist").test) == 10_000


def test_the_cut_is_disjoint_stratified_and_repeatable():
    first, second, other = (load_data(MINI, options=DataOptions(calibration=200, seed=seed)) for seed in (1, 1, 2))
    parts = [first.train, first.validation]
    assert [len(part) for part in parts] == [9000, 1000]
    seen = [image.tobytes() for part in parts for image in part.images]
    assert len(set(seen)) == 10_000
    for part, expected in zip((*parts, first.calibration_split), (900, 100, 20), strict=True):
        assert np.abs(np.bincount(part.targets, minlength=10) - expected).max() <= 1
    # What calibrates is learnt from as well.
    assert len(first.calibration_split) == 200
    assert (first.calibration_split.images == first.train.images[:200]).all()
    assert (first.train.images == second.train.images).all()
    assert not (first.train.images == other.train.images).all()
    assert first.digest == other.digest


def test_calibration_takes_what_there_is():
    data = load_data(MINI, options=DataOptions(calibration=64))
    calibration = data.calibration(32)
    assert (calibration.images == data.calibration_split.images[:32]).all()
    assert calibration.classes == data.classes and calibration.processor == data.processor
    assert len(data.calibration(65).images) == 64
    with pytest.raises(DataError, match="at least one"):
        data.calibration(0)
    more = load_data(MINI, options=DataOptions(calibration=9_500))
    assert len(more.calibration_split) == 9000
    assert "calibration takes all 9,000 train samples: 9,500 were asked for" in more.notes


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"source": "fashion-mnits"}, "did you mean 'fashion-mnist'?"),
        ({"source": "no_such_module:load"}, "cannot be imported"),
        ({"source": "json:dumps_"}, "cannot be imported"),
        ({"source": MINI, "validation": 0.7}, "between 0 and 0.5, not 0.7"),
        ({"source": MINI, "calibration": 0}, "1 or more, not 0"),
        ({"source": MINI, "labelled": 9}, "between 10 (one a class) and 9000"),
        ({"source": MINI, "std": (0.0,)}, "greater than 0"),
        (
            {"source": MINI, "mean": (0.5,)},
            "mean and std belong together, 3 values (RGB) each, or 1 for all",
        ),
        ({"source": MINI, "rate": 8000}, "rate is for recordings only"),
        ({"source": MINI, "resize": "squash"}, "resize must be one of crop, letterbox, stretch"),
        ({"source": MINI, "seconds": float("nan")}, "seconds must be 0.032 to 3600, not nan"),
        ({"seed": -1}, "seed is a whole number, 0 or more, not -1"),
        ({"source": "image_folder:photos"}, "did you mean image-folder:photos?"),
        ({"source": ""}, "unknown data source ''"),
        ({"source": "image-folder:x", "image_size": -3}, "image_size must be 1 to 16384, not -3"),
        ({"source": "image-folder:"}, "names no folder"),
        ({"source": 3}, "a data source is named in text, such as image-folder:PATH, not 3"),
        ({"mean": ("a",)}, "mean is a number for each channel, 1 or 3 of them, not ('a',)"),
        ({"mean": 0.5}, "mean is a number for each channel, 1 or 3 of them, not 0.5"),
        ({"std": "abc"}, "std is a number for each channel, 1 or 3 of them, not 'abc'"),
        ({"validation": "much"}, "between 0 and 0.5, not much"),
        ({"calibration": 2.5}, "a number of samples, 1 or more, not 2.5"),
        ({"image_size": "64"}, "image_size is a whole number, not '64'"),
        ({"seconds": None}, "seconds is a number, not None"),
        ({"source": MINI, "image_size": 64}, "one size"),
        ({"source": MINI, "mean": (0.1, 0.2, 0.3), "std": (0.1, 0.2, 0.3)}, "1 channels"),
        ({"source": "image-folder:/no/such/folder"}, "does not exist"),
    ],
)
def test_what_cannot_be_loaded_says_why(arguments, said):
    with pytest.raises(DataError) as caught:
        options = {name: value for name, value in arguments.items() if name != "source"}
        load_data(arguments.get("source", MINI), options=DataOptions(**options))
    assert said in str(caught.value)


def tiny_source():
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    split = Split(images, np.arange(40) % 2)
    return ImageSource("tiny", ("a", "b"), split, split)


def wrong_source():
    return {"images": []}


def labels_out_of_range():
    source = tiny_source()
    return ImageSource("odd", ("a", "b"), source.train, Split(source.test.images, source.test.targets + 1))


def test_a_function_of_the_users_own(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    data = load_data("test_data:tiny_source", options=DataOptions(calibration=4))
    # Statistics of the images themselves, since the source names none.
    pixels = data.train.images / 255
    assert data.processor.mean == pytest.approx(pixels.mean((0, 1, 2)), abs=1e-3)
    assert data.processor.std == pytest.approx(pixels.std((0, 1, 2)), abs=1e-3)
    with pytest.raises(DataError, match=r"must return an edgestill\.ImageSource, not dict"):
        load_data("test_data:wrong_source")
    with pytest.raises(DataError, match="test labels run from 1 to 2, but there are 2 classes"):
        load_data("test_data:labels_out_of_range")


def failing_source():
    return {}["photos"]


def lazy_source(images):
    source = tiny_source()
    return ImageSource("lazy", ("a", "b"), Split(images, source.train.targets), source.test)


def shapeless_source():
    return lazy_source(SimpleNamespace())


def rowless_source():
    class Rowless:
        shape, dtype = (40, 8, 8, 3), np.dtype(np.uint8)

        def __len__(self):
            return 40

        def __getitem__(self, rows):
            raise OSError("the disk is gone\nand more")

    return lazy_source(Rowless())


def ragged_source():
    return lazy_source([[0], [0, 1]])


def bare_source():
    return ImageSource("bare", ("a", "b"), tiny_source().train, None)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("failing_source", "data source test_data:failing_source failed: KeyError: 'photos'"),
        ("lazy_source", "failed: TypeError: lazy_source() missing"),
        ("shapeless_source", "SimpleNamespace has no shape, dtype, __len__, __getitem__"),
        ("rowless_source", "Rowless returned no rows: OSError: the disk is gone"),
        ("ragged_source", "lazy: train images make no array: ValueError"),
        ("bare_source", "bare: test must be an edgestill.Split, not NoneType"),
    ],
)
def test_code_of_the_users_own_that_fails_is_one_line(monkeypatch, name, said):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    with pytest.raises(DataError) as caught:
        load_data(f"test_data:{name}", options=DataOptions(calibration=4))
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("teacher", [3, "selv", [], [Linear(1, 1), 3]])
def test_a_teacher_that_is_no_model_is_refused(teacher):
    with pytest.raises(ModelError, match="a teacher is a torch.nn.Module"):
        distill(teacher, Linear(1, 1), None)
    with pytest.raises(ModelError, match="the student is a torch.nn.Module, not int"):
        distill("self", 3, None)


def write_images(folder, count, colour=None, size=(20, 14)):
    folder.mkdir(parents=True)
    generator = np.random.default_rng(count)
    for number in range(count):
        pixels = generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        if colour is None:
            pixels[:] = pixels[..., :1]
        Image.fromarray(pixels).save(folder / f"{number}.png")


def test_a_folder_of_images_any_size(tmp_path):
    write_images(tmp_path / "cat", 30, "rgb", size=(20, 14))
    write_images(tmp_path / "dog", 25, "rgb", size=(9, 31))
    source = open_source(f"image-folder:{tmp_path}", image_size=16)
    assert source.classes == ("cat", "dog")
    assert source.train.images.shape == (44, 16, 16, 3) and len(source.test) == 11
    again = open_source(f"image-folder:{tmp_path}", image_size=16)
    assert (again.test.images == source.test.images).all()
    data = load_data(f"image-folder:{tmp_path}", options=DataOptions(image_size=16, calibration=8))
    assert data.processor.channels == 3


def test_grey_folders_keep_one_channel_and_their_own_test_split(tmp_path):
    for word, count in (("train", 12), ("val", 5)):
        for name in ("x", "y"):
            write_images(tmp_path / word / name, count)
    source = open_source(f"image-folder:{tmp_path}", image_size=8)
    assert source.train.images.shape == (24, 8, 8, 1) and len(source.test) == 10


def test_the_centre_is_kept_and_the_shorter_side_fits(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        pixels = np.zeros((10, 30, 3), np.uint8)
        pixels[:, 10:20] = 255  # the middle third
        for number in range(5):
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    assert (open_source(f"image-folder:{tmp_path}", image_size=10).train.images == 255).all()


def test_bad_folders_are_named(tmp_path):
    with pytest.raises(DataError, match="no class folders"):
        open_source(f"image-folder:{tmp_path}")
    write_images(tmp_path / "cat", 4)
    with pytest.raises(DataError, match=r"one class folder \(cat\)"):
        open_source(f"image-folder:{tmp_path}")
    (tmp_path / "dog").mkdir()
    with pytest.raises(DataError, match="dog has no images"):
        open_source(f"image-folder:{tmp_path}")
    (tmp_path / "dog" / "broken.jpg").write_bytes(b"\xff\xd8\xff but no picture")
    with pytest.raises(
        DataError, match=r"dog/broken\.jpg is no image in a format that Pillow knows; repair or remove it"
    ):
        open_source(f"image-folder:{tmp_path}")


def test_train_and_test_folders_need_the_same_classes(tmp_path):
    for path in ("train/a", "train/b", "test/a", "test/c"):
        write_images(tmp_path / path, 3)
    with pytest.raises(DataError, match="train lacks c, and test lacks b"):
        open_source(f"image-folder:{tmp_path}")
