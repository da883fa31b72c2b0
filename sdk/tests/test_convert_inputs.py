"""What `edgestill convert` reads: a model's own pixels and classes come first, and no option is dropped silently."""

import contextlib

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from edgestill.cli.app import app
from edgestill.cli.convert_inputs import Pixels, Request, from_data, from_samples
from edgestill.data import DataOptions, load_data
from edgestill.errors import EdgestillError
from edgestill.models import create_model, save_checkpoint
from edgestill.quantization import Budget
from edgestill_runtime.processing import ImageProcessor

TIMM = "timm:mobilenetv3_small_050"
# As `timm.get_pretrained_cfg` has it.
PUBLISHED = ImageProcessor(
    224, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), filter="bicubic", crop_share=0.875
)  # fmt: skip


class Notes:
    """A progress that keeps its messages."""

    def __init__(self):
        self.said = []

    def message(self, text):
        self.said.append(text)

    def task(self, description, total):
        from edgestill.progress import SILENT

        return SILENT.task(description, total)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Forty photos of two classes, 14×16, and weights of three models with two classes that say nothing."""
    place = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for number in range(40):
        folder = place / "photos" / ("dark", "light")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 100, (14, 16, 3)) + 100 * (number % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    (place / "names.txt").write_text("light\ndark\n")
    for file, name in (("timm", TIMM), ("vision", "torchvision.models:squeezenet1_1"), ("ours", "dscnn_xs")):
        torch.save(create_model(name, 2, 3).state_dict(), place / f"{file}.pt")
    return place


@pytest.fixture
def converted(monkeypatch):
    """What the conversion would be given; the conversion itself is left out."""

    def quantize(model, data, output, budget, options, description, **more):
        seen.append((model, data, description))

    seen = []
    monkeypatch.setattr("edgestill.quantization.quantize", quantize)
    monkeypatch.setattr("edgestill.conversion.convert", lambda *given, **options: seen.append(given))
    return seen


def request(photos, model, notes=None, **said):
    said = {"targets": ("litert",)} | said
    return Request(model, photos / "x.edge", notes or Notes(), **said)


def test_weights_of_timm_see_a_data_set_as_timm_publishes(photos, converted):
    said = {"checkpoint": photos / "timm.pt", "data": f"image-folder:{photos / 'photos'}"}
    from_data(request(photos, TIMM, **said))
    _, data, description = converted[0]
    assert description.processor == data.processor == PUBLISHED and data.test.images.shape[1:] == (224, 224, 3)
    files = sorted((photos / "photos").rglob("*.png"))
    assert data.test.images[0].tobytes() in {PUBLISHED.pixels(file).tobytes() for file in files}
    from_data(request(photos, TIMM, pixels=Pixels(64, (0.5,) * 3, (0.25,) * 3), **said))
    other = converted[1][1].processor
    assert (other.image_shape, other.mean, other.filter) == ((64, 64, 3), (0.5,) * 3, "bicubic")


def test_so_do_they_see_samples_and_those_of_torchvision_too(photos, converted):
    from_samples(request(photos, TIMM, checkpoint=photos / "timm.pt", samples=photos / "photos", labels=("a", "b")))
    assert converted[0][1].processor == PUBLISHED and converted[0][1].images.shape == (40, 224, 224, 3)
    said = {"checkpoint": photos / "vision.pt", "samples": photos / "photos", "labels": ("light", "dark")}
    from_samples(request(photos, "torchvision.models:squeezenet1_1", **said))
    chosen = converted[1][1]
    assert chosen.processor.image_shape == (224, 224, 3) and chosen.processor.crop_share == pytest.approx(224 / 256)
    assert chosen.targets.tolist() == [1] * 20 + [0] * 20  # by the order of --labels


def test_a_checkpoint_of_ours_sees_samples_as_it_was_trained(photos, converted, tmp_path):
    own = ImageProcessor(10, 12, (0.1,) * 3, (0.2,) * 3, resize="letterbox")
    noted = {"processor": own.to_json(), "classes": ["light", "dark"]}
    save_checkpoint(tmp_path / "own.safetensors", create_model("dscnn_xs", 2, 3), noted)
    said = {"checkpoint": tmp_path / "own.safetensors", "samples": photos / "photos"}
    from_samples(request(photos, "dscnn_xs", **said))
    chosen = converted[0][1]
    assert chosen.processor == own and chosen.classes == ("light", "dark")
    assert chosen.targets.tolist() == [1] * 20 + [0] * 20
    with pytest.raises(Exception, match="names the model's classes in another order; it was trained with light, dark"):
        from_samples(request(photos, "dscnn_xs", labels=("dark", "light"), **said))
    # A data set counts its classes in its own order, which is not the model's.
    del said["samples"]
    from_data(request(photos, "dscnn_xs", data=f"image-folder:{photos / 'photos'}", **said))
    data = converted[1][1]
    assert data.classes == ("light", "dark") and data.processor == own
    # Pixels of dark photos are below 100; bars of the letterbox are grey.
    assert ((data.test.images[:, 5, 6, 0] < 100) == (data.test.targets == 1)).all()


def test_what_is_not_known_is_said_or_refused(photos, converted):
    data = f"image-folder:{photos / 'photos'}"
    notes = Notes()
    from_data(request(photos, "dscnn_xs", notes, data=data, checkpoint=photos / "ours.pt"))
    assert any("the normalization that dscnn_xs was trained with is unknown" in line for line in notes.said)
    notes = Notes()
    from_data(request(photos, "dscnn_xs", notes, data=data))
    assert notes.said[0].startswith("dscnn_xs has random weights") and "nothing is known" not in "".join(notes.said)
    with pytest.raises(Exception, match="nothing is known of the data that dscnn_xs was trained on"):
        from_data(request(photos, "dscnn_xs", checkpoint=photos / "ours.pt"))


def test_one_number_is_that_of_each_channel_and_the_model_says_how_many_it_has(photos, converted, tmp_path):
    said = {"samples": photos / "photos", "pixels": Pixels(16, (0.5,), (0.25,)), "labels": ("light", "dark")}
    from_samples(request(photos, "dscnn_xs", **said))
    chosen = converted[0][1]
    assert chosen.images.shape == (40, 16, 16, 3) and chosen.processor.mean == (0.5,) * 3
    torch.save(create_model("dscnn_xs", 2, 1).state_dict(), tmp_path / "grey.pt")
    notes = Notes()
    from_samples(request(photos, "dscnn_xs", notes, checkpoint=tmp_path / "grey.pt", **said))
    chosen = converted[1][1]
    assert chosen.images.shape == (40, 16, 16, 1) and chosen.processor.mean == (0.5,)
    assert "the images have 3 channels and the model takes 1: they are converted to grayscale" in notes.said
    from_samples(request(photos, TIMM, checkpoint=photos / "timm.pt", **said | {"labels": ("a", "b")}))
    assert converted[2][1].images.shape == (40, 16, 16, 3) and converted[2][1].processor.std == (0.25,) * 3
    del said["samples"], said["labels"]
    from_data(request(photos, "dscnn_xs", data=f"image-folder:{photos / 'photos'}", **said))
    assert converted[3][1].processor.mean == (0.5,) * 3


def test_grey_weights_make_photos_grey_whatever_their_head(photos, converted, tmp_path, monkeypatch):
    """Timm's with two classes, which the file does not name; ours, and the file of samples is what names them."""
    from edgestill.models import checkpoint

    torch.save(create_model(TIMM, 2, 1).state_dict(), tmp_path / "timm.pt")
    torch.save(create_model("dscnn_xs", 2, 1).state_dict(), tmp_path / "ours.pt")
    images = np.zeros((4, 16, 16, 3), np.uint8)
    np.savez(tmp_path / "x.npz", images=images, labels=np.array(["a", "b", "a", "b"]), classes=np.array(["a", "b"]))
    said = {"pixels": Pixels(16, (0.5,), (0.25,))}
    read = []
    once = checkpoint.read_weights
    monkeypatch.setattr(checkpoint, "read_weights", lambda *given: read.append(given) or once(*given))
    labels = {"samples": photos / "photos", "labels": ("light", "dark")}
    from_samples(request(photos, TIMM, checkpoint=tmp_path / "timm.pt", **labels, **said))
    from_samples(request(photos, "dscnn_xs", checkpoint=tmp_path / "ours.pt", samples=tmp_path / "x.npz", **said))
    for given in converted:
        assert given[1].images.shape[1:] == (16, 16, 1) and given[1].processor.mean == (0.5,)
    assert len(read) == 5  # for the channels and to load them, each; a folder's are checked before it is read


def gated(stem):
    """Two classes; written down before the stem is a gate on one channel, and neither depends on `in_channels`."""
    net = torch.nn.Module()
    net.gate = torch.nn.Conv2d(1, 1, 1)
    net.stem = torch.nn.Conv2d(stem, 2, 3)

    def forward(x):
        y = net.stem(x)
        return (y * net.gate(y.mean(1, keepdim=True))).mean((2, 3))

    net.forward = forward
    return net


def test_a_gate_before_the_stem_says_nothing_of_the_images(photos, converted, tmp_path, monkeypatch):
    from edgestill.teacher_inputs import processor_of
    from edgestill.teacher_loading import TeacherInputs, load_teacher

    data = load_data(f"image-folder:{photos / 'photos'}", options=DataOptions(image_size=16))
    monkeypatch.setattr("edgestill.gated_net", lambda num_classes=2: gated(3), raising=False)
    monkeypatch.setattr("edgestill.gated_net_of_any", lambda in_channels: gated(in_channels), raising=False)
    torch.save(gated(3).state_dict(), tmp_path / "gated.pt")
    said = {"checkpoint": tmp_path / "gated.pt", "samples": photos / "photos", "pixels": Pixels(16, (0.5,), (0.25,))}
    for name in ("edgestill:gated_net", "edgestill:gated_net_of_any"):
        from_samples(request(photos, name, labels=("light", "dark"), **said))
        assert converted[-1][1].images.shape[3] == 3
        inputs = TeacherInputs(mean=(0.5,), std=(0.25,), image_size=16)
        teacher = load_teacher(name, data, checkpoint=tmp_path / "gated.pt", inputs=inputs)
        assert processor_of(teacher).channels == 3


def refusal(folder, *words):
    """What a command that fails says, in one line."""
    with contextlib.chdir(folder):
        done = CliRunner().invoke(app, ["convert", *words, "--output", "x.edge"], terminal_width=200)
    assert done.exit_code != 0
    return " ".join((done.output + str(done.exception)).replace("│", " ").split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("dscnn_xs", "--labels", "none.txt"), "--labels is for a model and --samples, or --from keras"),
        (("dscnn_xs", "--data", "image-folder:photos", "--labels", "none.txt"), "with a model and a data set it would"),
        (("photos", "--labels", "none.txt"), "with a run's folder it would do nothing"),
        (("dscnn_xs", "--data", "image-folder:photos", "--samples", "photos"), "--data is for a model and a data set"),
        (("dscnn_xs", "--environment", "."), "--environment is for --from keras and --from saved-model"),
        (("dscnn_xs", "--weights", "ema"), "name the file with --checkpoint"),
        (("dscnn_xs", "--quantize", "qat", "--precision", "fp32"), 'precision = "fp32" makes float files'),
        (("dscnn_xs", "--min-agreement", "995"), "Invalid value for '--min-agreement'"),
        (("dscnn_xs", "--max-drop", "nan"), "Invalid value for '--max-drop'"),
        (("dscnn_xs", "--mean", "nan", "--std", "1"), "--mean takes numbers"),
        *(
            (("net.keras", "--from", "keras", f"--{name}", value), f"--{name} is for a model and a data set")
            for name, value in (
                ("precision", "fp32"), ("target", "litert"), ("quantize", "qat"), ("checkpoint", "x.pt"),
                ("weights", "ema"), ("data", "fashion-mnist-mini"),
            )
        ),
    ],
)  # fmt: skip
def test_options_that_would_do_nothing_or_contradict_are_refused(photos, words, said):
    """None of these reads the file that it names: there is none."""
    assert said in refusal(photos, *words)


def test_float_files_are_not_trained_in_int8():
    for quantize in ("qat", "auto"):
        with pytest.raises(EdgestillError, match="makes float files"):
            Budget(quantize, "fp32")
