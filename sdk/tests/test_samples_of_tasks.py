"""Samples for converting a model of another task than image classification, and what its bundle says of it."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from edgestill.cli.app import app
from edgestill.cli.convert_inputs import Pixels, Request, from_data, from_samples
from edgestill.conversion import describe_model
from edgestill.data.samples import ImageOptions, read_samples
from edgestill.errors import DataError
from edgestill.progress import SILENT
from edgestill.tasks import find_task

LABELS = find_task("multi-label-classification")
VALUES = find_task("regression")
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)


@pytest.fixture
def npz(tmp_path):
    """Write an `.npz` and read it for a task."""

    def read(task, names=(), **arrays):
        np.savez(tmp_path / "x.npz", images=IMAGES, **arrays)
        return read_samples(tmp_path / "x.npz", classes=names, task=task)

    return read


def test_targets_of_an_npz(npz):
    flags = np.array([[1, 0], [0, 1], [1, 1]] * 2)
    read = npz(LABELS, labels=flags, classes=["sea", "sky"])
    assert read.targets.tolist() == flags.tolist() and read.classes == ("sea", "sky")
    other = npz(LABELS, ("sky", "sea"), targets=flags, classes=["sea", "sky"])  # in the model's order
    assert other.targets.tolist() == flags[:, ::-1].tolist() and other.classes == ("sky", "sea")
    assert npz(LABELS, labels=np.array(["sea; sky", "sea", ""] * 2)).targets.tolist() == [[1, 1], [1, 0], [0, 0]] * 2
    values = np.linspace(0, 1, 6)
    read = npz(VALUES, ("age",), targets=values)
    assert read.classes == ("age",) and read.targets == pytest.approx(values[:, None])
    assert len(read.gate_samples()) == 6 and npz(VALUES).targets is None


def test_targets_of_an_npz_that_do_not_fit(npz):
    with pytest.raises(DataError, match="x.npz has `labels` and `targets`; keep one of them"):
        npz(VALUES, labels=np.zeros(6), targets=np.zeros(6))
    with pytest.raises(DataError, match="different numbers of samples, or none: images 6, targets 5"):
        npz(VALUES, targets=np.zeros(5))
    with pytest.raises(DataError, match="sample 0: target is nan"):
        npz(VALUES, targets=np.full(6, np.nan))
    with pytest.raises(DataError, match="the model was trained on the classes a, b, the data has c, d"):
        npz(LABELS, ("a", "b"), labels=np.eye(2)[[0, 1] * 3], classes=["c", "d"])
    with pytest.raises(DataError, match="`images` must be alone; besides it there is targets"):
        npz(None, targets=np.zeros(6))  # without a task it is one of the model's inputs


def photos(place, count):
    """Photos with a table of two values, and of the labels that they show."""
    place.mkdir()
    for number in range(count):
        Image.fromarray(IMAGES[number % len(IMAGES)]).save(place / f"{number}.png")
    rows = "".join(f"{number}.png,{number},{number / 2},{'a;b' if number % 2 else 'b'}\n" for number in range(count))
    (place / "t.csv").write_text(f"file,age,size,tags\n{rows}")
    return place


@pytest.fixture
def folder(tmp_path):
    return photos(tmp_path / "photos", 6)


def test_targets_of_a_folder_are_those_of_its_table(folder):
    read = read_samples(folder, ImageOptions(8), task=VALUES)
    np.testing.assert_array_equal(read.images, IMAGES)
    assert read.classes == ("age", "size") and read.targets.tolist() == [[n, n / 2] for n in range(6)]
    turned = read_samples(folder / "t.csv", ImageOptions(8), task=VALUES, classes=("size", "age"))
    assert turned.classes == ("size", "age") and turned.targets.tolist() == [[n / 2, n] for n in range(6)]
    tags = read_samples(folder, ImageOptions(8), task=LABELS, classes=("b", "c", "a"))
    assert tags.targets.tolist() == [[1, 0, n % 2] for n in range(6)]
    (folder / "t.csv").unlink()
    bare = read_samples(folder, ImageOptions(8), task=VALUES)
    assert bare.targets is None and len(bare.images) == 6
    assert bare.notes == ("no table has the values of the samples, so no quality is measured",)


class Two(nn.Module):
    """Two outputs."""

    def __init__(self, num_classes=2):
        super().__init__()
        self.head = nn.Linear(3, num_classes)

    def forward(self, images):
        return self.head(images.mean((2, 3)))


@pytest.fixture
def converted(monkeypatch):
    """What a conversion would be given."""

    def quantize(model, data, output, budget, options, description, **more):
        seen.append((model, data, description))

    seen = []
    monkeypatch.setattr("edgestill.own_two", lambda num_classes=2: Two(num_classes), raising=False)
    monkeypatch.setattr("edgestill.quantization.quantize", quantize)
    monkeypatch.setattr("edgestill.conversion.convert", lambda *given, **options: seen.append(given))
    return seen


def request(folder, **said):
    torch.save(Two().state_dict(), folder.parent / "two.pt")
    said = {"checkpoint": folder.parent / "two.pt", "targets": ("litert",)} | said
    return Request("edgestill:own_two", folder.parent / "x.edge", SILENT, **said)


def test_a_bundle_says_its_task_and_takes_outputs_as_the_values_themselves(folder, converted):
    pixels = Pixels(8, (0.5,) * 3, (0.25,) * 3)
    from_samples(request(folder, samples=folder, pixels=pixels, task=VALUES))
    calibration = converted[0][1]
    assert calibration.task == "regression" and calibration.classes == ("age", "size")
    assert calibration.task_settings["mean"] == [0.0, 0.0] and calibration.task_settings["std"] == [1.0, 1.0]
    described = describe_model(Two(), calibration, "x")
    assert (described.task, described.labels) == ("regression", ("age", "size"))
    # A twentieth of the standard deviation of 0, 1, … 5.
    assert described.task_settings["tolerance"][0] == pytest.approx(0.05 * np.sqrt(35 / 12))
    from_samples(request(folder, samples=folder, pixels=pixels, checkpoint=None))
    assert describe_model(Two(), converted[1][1], "x").task == ""  # no names, and nobody said


def test_data_of_a_task_convert_a_model_of_somebody_elses(tmp_path, converted, monkeypatch):
    monkeypatch.setattr("edgestill.model_check.check_classes", lambda *given, **options: None)
    pixels = Pixels(8, (0.5,) * 3, (0.25,) * 3)
    many = photos(tmp_path / "many", 60)
    from_data(request(many, data=f"image-folder:{many}", pixels=pixels, task=VALUES, calibration=4))
    _, data, description = converted[0]
    assert data.task_settings["mean"] == [0.0, 0.0] and description.task == "regression"
    assert description.task_settings == data.task_settings


def test_one_value_to_validate_with_is_too_few(tmp_path, converted):
    few = photos(tmp_path / "few", 6)
    with pytest.raises(DataError, match="the validation split has one sample, so there is no R² of it"):
        from_data(request(few, data=f"image-folder:{few}", pixels=Pixels(8, (0.5,) * 3, (0.25,) * 3), task=VALUES))


def test_a_model_that_has_other_outputs_is_refused(folder, converted):
    pixels = Pixels(8, (0.5,) * 3, (0.25,) * 3)
    one = find_task("regression", {"columns": ["age"]})
    with pytest.raises(Exception, match="the model gives 2 values for a sample, and 1 are named|head has 2"):
        from_samples(request(folder, samples=folder, pixels=pixels, task=one))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--task", "regresion"), "unknown task 'regresion'; did you mean 'regression'?"),
        (("--task", "no_module:Task"), "task no_module:Task cannot be imported"),
    ],
)
def test_a_task_that_there_is_not(tmp_path, words, said):
    done = CliRunner().invoke(app, ["convert", "dscnn_xs", *words, "--output", str(tmp_path / "x.edge")])
    assert done.exit_code != 0 and said in str(done.exception) + done.output
