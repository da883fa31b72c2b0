"""What a run knew of its data is used again, to the last image; what changed since, or names code, is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import edgestill as es
from edgestill.cli.convert_inputs import Pixels, Request, from_data
from edgestill.cli.paths import refuse_other_files, the_bundle
from edgestill.errors import DataError, EdgestillError, ModelError
from edgestill.models import create_model, read_metadata, save_checkpoint
from edgestill.progress import SILENT
from edgestill.recipe import load_recipe
from edgestill.run_data import known_of_checkpoint, known_of_run, read_again, refuse_code
from edgestill.samples import find_samples
from edgestill.workflow.checkpoints import read_training_facts
from edgestill.workflow.plan import read_data
from edgestill.workflow.run import train_students

RECIPE = """
name = "shades"
seed = 3
[data]
source = "image-folder:{photos}"
seed = 5
image_size = 12
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]
validation = 0.25
calibration = 8
[student]
model = "dscnn_xs"
[training]
epochs = 1
batch_size = 16
views = 1
[distillation]
method = "alone"
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run that got as far as its student, on forty photos of two classes; its folder, and that of the photos."""
    place = tmp_path_factory.mktemp("run")
    generator = np.random.default_rng(0)
    for split, count in (("train", 32), ("test", 8)):
        for number in range(count):
            folder = place / "photos" / split / ("dark", "light")[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            pixels = generator.integers(0, 100, (14, 16, 3)) + 100 * (number % 2)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    (place / "shades.toml").write_text(RECIPE.format(photos=place / "photos"))
    recipe = load_recipe(place / "shades.toml")
    student = train_students(recipe, place / "run")["student_distilled"]
    return SimpleNamespace(folder=place / "run", data=read_data(recipe), student=student)


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the run that a test may damage."""
    return Path(shutil.copytree(trained.folder, tmp_path / "run"))


def same(one, other):
    assert one.digest == other.digest and one.processor == other.processor and one.seed == other.seed == 5
    for split in ("train", "validation", "calibration_split", "test"):
        np.testing.assert_array_equal(getattr(one, split).images, getattr(other, split).images)


def test_a_run_gives_the_same_cut_size_and_normalization(trained, run):
    known = known_of_run(run)
    assert known.model == "dscnn_xs" and known.recipe.data.calibration == 8
    same(read_again(known), trained.data)


def test_so_does_its_checkpoint_alone(trained, run):
    known = known_of_checkpoint(run / "stages/student-distilled/model.safetensors")
    same(read_again(known), trained.data)


def test_convert_uses_all_of_it(trained, run, monkeypatch):
    """Only the conversion itself is left out here."""
    seen = []

    def quantize(model, data, output, budget, options, description, **more):
        seen.append((model, data, budget, description))

    monkeypatch.setattr("edgestill.quantization.quantize", quantize)
    from_data(Request(str(run), run / "x.edge", SILENT))
    model, data, budget, description = seen[0]
    same(data, trained.data)
    assert budget.samples == 8 and description.processor == trained.data.processor
    kept = create_model("dscnn_xs", 2, 3)
    es.load_checkpoint(run / "stages/student-distilled/model.safetensors", kept)
    assert all((value == kept.state_dict()[name]).all() for name, value in model.state_dict().items())
    pixels = Pixels(None, (0.1,) * 3, (0.2,) * 3)  # what the user says comes first
    from_data(Request(str(run), run / "x.edge", SILENT, pixels=pixels, calibration=4))
    assert seen[1][1].processor.mean == (0.1,) * 3 and seen[1][2].samples == 4


def test_photos_that_changed_since_are_refused(trained, run):
    photo = next((trained.folder.parent / "photos/train/dark").iterdir())
    before = photo.read_bytes()
    Image.fromarray(np.zeros((14, 16, 3), np.uint8)).save(photo)
    try:
        with pytest.raises(DataError, match="changed since .* was made"):
            read_again(known_of_run(run))
    finally:
        photo.write_bytes(before)


def test_a_student_that_changed_since_is_refused(run):
    path = run / "stages/student-distilled/model.safetensors"
    save_checkpoint(path, create_model("dscnn_xs", 2, 3, seed=9), read_metadata(path))
    with pytest.raises(EdgestillError, match=r"model.safetensors in stages/student-distilled changed since the run"):
        known_of_run(run)


def test_other_data_can_be_named(run):
    with pytest.raises(DataError, match=r"takes \(12, 12, 3\).*gives \(28, 28, 1\)"):
        read_again(known_of_run(run), "fashion-mnist-mini", {"image_size": None})


def test_a_students_size_is_not_changed(run):
    """The digest is of resized pixels: photos of another size would be said to have changed."""
    with pytest.raises(DataError, match="was trained on 12×12 .*, which --image-size 24 does not change"):
        read_again(known_of_run(run), None, {"image_size": 24})


def test_other_data_are_read_as_the_student_takes_them(trained, run):
    known = replace(known_of_run(run), processor=replace(trained.data.processor, resize="stretch", mean=(0.1,) * 3))
    folder = trained.folder.parent / "photos/test"
    data = read_again(known, f"image-folder:{folder}", {"calibration": 4, "std": (0.5,) * 3})
    assert data.processor == replace(known.processor, std=(0.5,) * 3)
    made = {known.processor.pixels(path).tobytes() for path in folder.rglob("*.png")}
    assert {image.tobytes() for image in data.test.images} < made


def test_labels_of_other_data_get_the_students_order(trained, run):
    known = replace(known_of_run(run), classes=("light", "dark"))
    data = read_again(known, f"image-folder:{trained.folder.parent / 'photos/test'}", {"calibration": 4})
    assert data.classes == ("light", "dark")
    for split in (data.train, data.test):  # dark photos are below 100
        assert ((split.images.mean((1, 2, 3)) < 100) == (split.targets == 1)).all()
    with pytest.raises(DataError, match=r"trained on the classes dim, light, .* dark, dim are on one side only"):
        read_again(replace(known, classes=("dim", "light")))


def test_bench_counts_classes_as_the_bundle_does(bundle_path):
    from edgestill_runtime import open_bundle

    manifest = open_bundle(bundle_path).manifest
    of_its_own = find_samples(SimpleNamespace(path=bundle_path, manifest=manifest), "fashion-mnist-mini", 50)
    backwards = SimpleNamespace(path=bundle_path, manifest=replace(manifest, labels=manifest.labels[::-1]))
    assert (find_samples(backwards, "fashion-mnist-mini", 50).targets == 9 - of_its_own.targets).all()
    others = SimpleNamespace(path=bundle_path, manifest=replace(manifest, labels=("hat", *manifest.labels[1:])))
    with pytest.raises(DataError, match="does not fit the model: .* are on one side only"):
        find_samples(others, "fashion-mnist-mini", 50)


def changed(run, **noted):
    """The run's checkpoint with other facts in it."""
    path = run / "stages/student-distilled/model.safetensors"
    model = create_model("dscnn_xs", 2, 3)
    metadata = read_metadata(path) | noted
    save_checkpoint(path, model, metadata)
    return path


def test_no_file_names_code_that_is_run(run, tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text("raise SystemExit('it was run')")
    monkeypatch.syspath_prepend(tmp_path)
    recipe = read_metadata(run / "stages/student-distilled/model.safetensors")["recipe"]
    recipe["data"]["source"] = "evil:data"
    path = changed(run, recipe=recipe)
    with pytest.raises(DataError, match="is evil:data, code that only the file names; name it explicitly with --data"):
        read_again(known_of_checkpoint(path))
    known = known_of_checkpoint(changed(run, model="evil:net"))
    with pytest.raises(ModelError, match="name it explicitly: edgestill convert evil:net --checkpoint"):
        refuse_code(known)


def test_bench_runs_no_code_of_a_results_file(quick_run, tmp_path, monkeypatch):
    """A downloaded bundle with a results.json beside it."""
    from edgestill_runtime import open_bundle

    (tmp_path / "evil.py").write_text("raise SystemExit('it was run')")
    monkeypatch.syspath_prepend(tmp_path)
    shutil.copytree(quick_run / "demo-quick.edge", tmp_path / "demo-quick.edge")
    results = json.loads((quick_run / "results.json").read_text())
    shutil.copytree(quick_run / "stages/evaluation", tmp_path / "stages/evaluation")
    gone = {"model": "evil:net", "checkpoint": str(tmp_path / "gone.pt")}
    for table, changes in (
        ("teacher", gone | {"team": [gone]}), ("student", {"model": "evil:net"}), ("data", {"source": "evil:data"})
    ):  # fmt: skip
        results["recipe"][table] |= changes
        (tmp_path / "results.json").write_text(json.dumps(results))
        if table != "data":
            assert find_samples(open_bundle(tmp_path / "demo-quick.edge"), count=4).reference
            continue
        with pytest.raises(DataError, match="is evil:data, code that only the file names"):
            find_samples(open_bundle(tmp_path / "demo-quick.edge"))


@pytest.mark.parametrize("damaged", [False, True])
def test_bench_without_a_runs_stages_compares_no_answers(quick_run, tmp_path, damaged):
    """A bundle and a results.json, as they are handed on."""
    from edgestill_runtime import open_bundle

    class Notes:
        lines: list[str] = []  # noqa: RUF012

        def message(self, text):
            self.lines.append(text)

    shutil.copytree(quick_run / "demo-quick.edge", tmp_path / "demo-quick.edge")
    shutil.copy(quick_run / "results.json", tmp_path)
    if damaged:
        (tmp_path / "stages/evaluation").mkdir(parents=True)
        (tmp_path / "stages/evaluation/logits.npz").write_bytes(b"PK\x03\x04 and no more")
    found = find_samples(open_bundle(tmp_path / "demo-quick.edge"), count=3, progress=Notes())
    assert len(found.images) == 3 and found.reference == {}
    why = "cannot be read" if damaged else "is not there"
    assert Notes.lines[-1].endswith(f"logits.npz {why}: outputs are not compared with this machine's")


def test_checkpoints_of_older_versions_know_their_seed_and_cut(trained, tmp_path):
    noted = read_metadata(trained.student.folder / "model.safetensors")
    data = noted["data"] | {"name": f"image-folder:{trained.folder.parent / 'photos'}"}
    data["train"] -= data["calibration"]  # they were kept apart then
    processor = {key: value for key, value in noted["processor"].items() if key in ("mean", "std", "height", "width")}
    save_checkpoint(tmp_path / "old.safetensors", create_model("dscnn_xs", 2, 3),
                    {"model": "dscnn_xs", "data": data, "preprocessing": processor})  # fmt: skip
    known = known_of_checkpoint(tmp_path / "old.safetensors")
    assert known.recipe.data.seed == 5 and known.recipe.data.validation == 0.25 and known.recipe.data.calibration == 8
    same(read_again(known, changes={"image_size": 12, "mean": (0.5,) * 3, "std": (0.25,) * 3}), trained.data)


def test_what_was_true_of_a_training_is_noted(trained):
    assert read_training_facts(trained.student) == {"seed": 3, "cuda": None}


# What else a path may be.


def test_a_folder_that_is_no_run(tmp_path, bundle_path):
    with pytest.raises(ModelError, match="is a folder, but not of a run"):
        refuse_other_files(str(tmp_path), None)
    with pytest.raises(ModelError, match="is a bundle; it is converted already"):
        refuse_other_files(str(bundle_path), None)
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ModelError, match="a SavedModel of TensorFlow; say so with --from saved-model"):
        refuse_other_files(str(tmp_path), None)
    (tmp_path / "stages").mkdir()
    with pytest.raises(EdgestillError, match="has no trained student in it"):
        known_of_run(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x08\x08\x12\x07pytorch\x1a\x052.4.0:\x80\x01", "is an ONNX model; Edgestill converts PyTorch modules"),
        (b"\x1c\0\0\0TFL3" + bytes(32), "LiteRT.* model; it is converted already"),
        (b"\x1c\0\0\0ET12" + bytes(32), "ExecuTorch program; it is converted already"),
        (b"\x89HDF\r\n\x1a\n" + bytes(32), "say so with --from keras"),
        (b"<html></html>", "a web page"),
    ],
)
def test_convert_says_what_a_file_is(tmp_path, content, said):
    (tmp_path / "net.bin").write_bytes(content)
    with pytest.raises(ModelError, match=said):
        refuse_other_files(str(tmp_path / "net.bin"), None)


def test_convert_of_nothing(tmp_path, monkeypatch):
    for name in (str(tmp_path / "runs/none"), "net.onnx"):
        with pytest.raises(ModelError, match="does not exist, and is no model's name"):
            refuse_other_files(name, None)
    refuse_other_files("dscnn_s", None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dscnn_s").write_text("a file that only has the name of a model")
    refuse_other_files("dscnn_s", None)
    refuse_other_files("own.module:net", None)
    save_checkpoint(tmp_path / "m.safetensors", create_model("dscnn_xs", 2))
    with pytest.raises(ModelError, match="weights alone: name the model too"):
        refuse_other_files(str(tmp_path / "m.safetensors"), None)


def test_a_file_that_may_not_be_read_is_said_to_be_so(tmp_path, bundle_path, monkeypatch):
    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    path = tmp_path / "x.edge"
    path.touch()
    monkeypatch.setattr(Path, "open", refuse)
    said = "x.edge cannot be read: permission denied"
    for call in (
        lambda: the_bundle(path),
        lambda: refuse_other_files(str(path), None),
        lambda: read_metadata(path),
        lambda: create_model(str(path), 2),
    ):
        with pytest.raises(ModelError, match=said):
            call()
    assert the_bundle(bundle_path).manifest.labels  # a folder


def test_a_command_for_bundles_says_what_else_it_got(tmp_path, bundle_path):
    with pytest.raises(EdgestillError, match="a LiteRT.* model alone, without a bundle around it; `edgestill inspect`"):
        the_bundle(bundle_path / "model.tflite")
    with pytest.raises(EdgestillError, match=r"is .*demo-quick.edge meant\?"):
        the_bundle(bundle_path.parent)
    (tmp_path / "net.onnx").write_bytes(b"\x08\x08\x12\x07pytorch\x1a\x052.4.0")
    with pytest.raises(EdgestillError, match="an ONNX model, and a bundle is wanted"):
        the_bundle(tmp_path / "net.onnx")
    assert the_bundle(bundle_path).manifest.labels
