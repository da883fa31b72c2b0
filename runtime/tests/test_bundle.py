import json
import shutil
from dataclasses import replace

import pytest

from edgestill_runtime import (
    BundleFormatError,
    BundleIntegrityError,
    StorageError,
    load,
    open_bundle,
    pack_zip,
    write_bundle,
)
from edgestill_runtime.manifest import MAX_BYTES

FILES = {"model.pte", "model.tflite", "model.fp32.pte", "model.fp32.tflite", "golden.npz"}


def edit_manifest(path, change):
    manifest = json.loads((path / "manifest.json").read_text())
    change(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))


def flip_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_bundle_says_what_is_in_it(bundle_path):
    bundle = open_bundle(bundle_path)
    bundle.verify()
    assert bundle.files.keys() == FILES
    manifest = bundle.manifest
    assert len(manifest.labels) == 10 and manifest.labels[9] == "Ankle boot"
    assert manifest.processor.image_shape == (28, 28, 1)
    assert {(entry.engine, entry.precision) for entry in manifest.models.values()} == {
        ("executorch", "int8"), ("executorch", "fp32"), ("litert", "int8"), ("litert", "fp32"),
    }  # fmt: skip
    assert manifest.models["model.tflite"].inputs[0].dtype == "int8"
    assert manifest.models["model.tflite"].inputs[0].shape == (1, 28, 28, 1)
    assert manifest.models["model.pte"].inputs[0].shape == (1, 1, 28, 28)
    assert set(manifest.quality) == {"teacher", "student_alone", "student_distilled"}
    assert all(0 <= entry.quality["accuracy"] <= 1 for entry in manifest.models.values())
    assert {"torch", "executorch", "litert-torch"} <= manifest.versions.keys()


def test_changed_missing_and_extra_files_are_named(bundle_copy):
    flip_byte(bundle_copy / "model.pte")
    (bundle_copy / "model.fp32.pte").unlink()
    (bundle_copy / "notes.txt").write_text("hello")
    with pytest.raises(BundleIntegrityError) as caught:
        open_bundle(bundle_copy).verify()
    assert caught.value.changed == ("model.pte",)
    assert caught.value.missing == ("model.fp32.pte",)
    assert caught.value.extra == ("notes.txt",)
    assert "changed: model.pte; missing: model.fp32.pte; extra: notes.txt" in str(caught.value)


@pytest.mark.parametrize(("engine", "file"), [("litert", "model.tflite"), ("executorch", "model.pte")])
def test_no_engine_sees_a_changed_file(bundle_copy, engine, file):
    flip_byte(bundle_copy / file)
    with pytest.raises(BundleIntegrityError, match=f"changed: {file}"):
        load(bundle_copy, engine=engine)


def test_a_missing_file_is_named_on_load(bundle_copy):
    (bundle_copy / "model.tflite").unlink()
    with pytest.raises(BundleIntegrityError, match="missing: model.tflite"):
        load(bundle_copy, engine="litert")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda manifest: manifest.update(format_version=99), "format version 99; this edgestill reads 2"),
        (lambda manifest: manifest.pop("labels"), "labels is missing"),
        (lambda manifest: manifest["models"]["model.pte"].pop("inputs"), "models.model.pte.inputs is missing"),
        (lambda manifest: manifest["files"].pop("model.pte"), "lists no hash for model.pte"),
        (lambda manifest: manifest.update(files=3), "files must be an object, not 3"),
        (
            lambda manifest: manifest["files"].update({"../x": {"sha256": "0" * 64, "bytes": 0}}),
            "names a file that no bundle holds: '../x'",
        ),
    ],
)
def test_a_manifest_that_cannot_be_used_is_refused(bundle_copy, change, message):
    edit_manifest(bundle_copy, change)
    with pytest.raises(BundleFormatError) as caught:
        open_bundle(bundle_copy)
    assert message in str(caught.value)


def test_a_manifest_of_version_2_is_read(bundle_copy):
    now = open_bundle(bundle_copy).manifest

    def change(manifest):
        processor = {key: manifest["processor"][key] for key in ("height", "width", "mean", "std")}
        shares = {who: found["accuracy"] for who, found in manifest.pop("quality").items()}
        manifest.update(format_version=2, processor=None, preprocessing=processor, accuracy=shares)
        for number, entry in enumerate(manifest["models"].values()):
            entry["accuracy"] = entry.pop("quality")["accuracy"]
            entry["kept_float"] = [*entry.pop("float_nodes"), f"conv2d_{number}"]

    edit_manifest(bundle_copy, change)
    read = open_bundle(bundle_copy).manifest
    nodes = [entry.float_nodes for entry in read.models.values()]
    assert nodes == [(f"conv2d_{number}",) for number in range(len(nodes))]
    assert replace(read, models={name: replace(one, float_nodes=()) for name, one in read.models.items()}) == now


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"null"])
def test_a_manifest_of_garbage_is_refused(bundle_copy, content):
    (bundle_copy / "manifest.json").write_bytes(content)
    with pytest.raises(BundleFormatError):
        open_bundle(bundle_copy)


def test_what_is_no_bundle_is_refused(tmp_path):
    (tmp_path / "file.edge").write_bytes(b"neither")
    for path, message in (
        (tmp_path / "nothing", "does not exist"),
        (tmp_path / "file.edge", "neither a bundle directory nor"),
        (tmp_path, "no manifest.json"),
    ):
        with pytest.raises(BundleFormatError, match=message):
            open_bundle(path)


def test_a_zip_that_was_cut_off_says_so(bundle_path, tmp_path):
    """Wherever it was: before golden.npz, behind its own directory, in the last file, in the directory."""
    path = tmp_path / "packed.edge"
    content = pack_zip(open_bundle(bundle_path), path).path.read_bytes()
    inside = content.index(b"PK\5\6")  # where golden.npz ends
    assert inside < content.rindex(b"PK\5\6")
    for size in (5, 3000, inside - 10, inside + 22, inside + 5000, len(content) - 1000, len(content) - 5):
        path.write_bytes(content[:size])
        with pytest.raises(BundleFormatError) as caught:
            open_bundle(path)
        assert str(caught.value) == (
            f"{path} starts like a zip bundle, but is cut off or damaged: its directory at the end is missing or does "
            "not fit; copy the bundle again"
        )


def test_an_unknown_name_is_refused_with_the_known_ones(bundle_path):
    with pytest.raises(BundleFormatError, match="has no file 'weights'; it has golden.npz"):
        open_bundle(bundle_path).read("weights")


def test_a_zip_is_the_same_bundle_and_as_strict(bundle_path, tmp_path):
    path = tmp_path / "packed.edge"
    packed = pack_zip(open_bundle(bundle_path), path)
    packed.verify()
    assert packed.manifest == open_bundle(bundle_path).manifest
    assert (packed.golden().inputs[0] == open_bundle(bundle_path).golden().inputs[0]).all()
    content = bytearray(path.read_bytes())
    where = content.index(packed.read("model.tflite")) + 1000
    content[where] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleIntegrityError, match=r"changed: model\.tflite"):
        open_bundle(path).verify()


def test_a_bundle_is_not_overwritten_unasked(bundle_copy):
    bundle = open_bundle(bundle_copy)
    contents = {name: bundle.read(name) for name in bundle.files}
    with pytest.raises(StorageError, match="exists already"):
        write_bundle(bundle_copy, bundle.manifest, contents)
    shutil.rmtree(bundle_copy)
    assert write_bundle(bundle_copy, bundle.manifest, contents).files == bundle.files


def test_only_a_bundle_is_replaced(bundle_path, tmp_path):
    """Somebody's folder or file at the output path stays as it is, however much replacing was asked for."""
    bundle = open_bundle(bundle_path)
    contents = {name: bundle.read(name) for name in bundle.files}
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "p.txt").write_text("mine")
    (tmp_path / "data.npz").write_bytes(b"mine")
    for path in (tmp_path / "photos", tmp_path / "data.npz"):
        with pytest.raises(StorageError, match="is no bundle, and only a bundle is replaced"):
            write_bundle(path, bundle.manifest, contents, overwrite=True)
    assert (tmp_path / "photos" / "p.txt").read_text() == "mine" and (tmp_path / "data.npz").read_bytes() == b"mine"
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "empty", tmp_path / "new"):
        assert write_bundle(path, bundle.manifest, contents, overwrite=True).manifest.name == bundle.manifest.name


def test_a_zip_is_replaced_by_a_zip(bundle_path, tmp_path):
    bundle = open_bundle(bundle_path)
    packed = pack_zip(bundle, tmp_path / "packed.edge")
    contents = {name: bundle.read(name) for name in bundle.files}
    written = write_bundle(packed.path, replace(bundle.manifest, name="another"), contents, overwrite=True)
    assert written.path.is_file() and written.manifest.name == "another"


def test_what_a_tensor_is_called_is_read_back(bundle_copy):
    edit_manifest(bundle_copy, lambda manifest: manifest["models"]["model.pte"]["outputs"][0].update(name="scores"))
    assert open_bundle(bundle_copy).manifest.models["model.pte"].outputs[0].name == "scores"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"training": {"loss": float("nan")}}, "NaN is no JSON number"),
        ({"training": {"notes": "x" * MAX_BYTES}}, "larger than"),
        ({"training": {"model": object()}}, "object is not JSON serializable"),
        ({"training": {"notes": "\ud800"}}, "surrogates not allowed"),
        ({"agreement": 1.5}, "agreement must be 0 to 1"),
    ],
)
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_manifest_that_could_not_be_read_replaces_nothing(bundle_copy, tmp_path, kind, change, message):
    bundle = open_bundle(bundle_copy)
    contents = {name: bundle.read(name) for name in bundle.files}
    path = bundle_copy if kind == "folder" else pack_zip(bundle, tmp_path / "packed.edge").path
    before = open_bundle(path).digest()
    for overwrite, target in ((True, path), (False, tmp_path / "new.edge")):
        with pytest.raises(BundleFormatError, match=f"was not written: .*{message}"):
            write_bundle(target, replace(bundle.manifest, **change), contents, overwrite)
    assert open_bundle(path).digest() == before and not (tmp_path / "new.edge").exists()
    open_bundle(path).verify()


def test_a_name_that_no_bundle_has_is_not_written(bundle_copy, tmp_path):
    bundle = open_bundle(bundle_copy)
    contents = {name: bundle.read(name) for name in bundle.files}
    with pytest.raises(BundleFormatError, match=r"was not written: .*a file that no bundle holds: '\.\./x'"):
        write_bundle(tmp_path / "a" / "new.edge", bundle.manifest, {**contents, "../x": b"out"})
    assert not (tmp_path / "a").exists()


def test_packing_replaces_nothing_unasked_and_only_a_bundle(bundle_path, tmp_path):
    bundle = open_bundle(bundle_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StorageError, match="exists already"):
        pack_zip(bundle, tmp_path / "notes.txt")
    with pytest.raises(StorageError, match="is no bundle, and only a bundle is replaced"):
        pack_zip(bundle, tmp_path / "notes.txt", overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    packed = pack_zip(bundle, tmp_path / "packed.edge")
    with pytest.raises(StorageError, match="exists already"):
        pack_zip(bundle, packed.path)
    assert pack_zip(packed, packed.path, overwrite=True).digest() == bundle.digest()
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", "packed.edge"}


def test_what_is_no_bundle_says_what_it_is(bundle_path, tmp_path):
    (tmp_path / "run" / "stages").mkdir(parents=True)
    (tmp_path / "run" / "demo.edge").mkdir()
    with pytest.raises(BundleFormatError, match=r"has no manifest.json, so it is no bundle; is .*demo.edge meant\?"):
        open_bundle(tmp_path / "run")
    with pytest.raises(BundleFormatError, match="is a bare model file"):
        open_bundle(bundle_path / "model.tflite")
