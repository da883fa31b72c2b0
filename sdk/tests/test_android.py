"""A bundle in the assets of an Android app."""

import tomllib

import numpy as np
import pytest
from PIL import Image

from edgestill import android
from edgestill.android import AndroidError, export_android
from edgestill.errors import StorageError
from edgestill_runtime import BundleIntegrityError, load, open_bundle, pack_zip


@pytest.fixture
def app(tmp_path):
    """The smallest project with an app in it."""
    module = tmp_path / "project" / "app"
    (module / "src/main").mkdir(parents=True)
    (module / "src/main/AndroidManifest.xml").write_text("<manifest/>")
    return module


def test_the_whole_bundle_lies_in_the_assets_and_is_one(bundle_path, app):
    bundle = open_bundle(bundle_path)
    done = export_android(bundle, app.parent, name="net.edge")
    assert done.folder == app / "src/main/assets/net.edge"
    copied = open_bundle(done.folder)
    copied.verify()
    assert copied.digest() == bundle.digest()
    assert done.changed and done.bytes == sum(file.stat().st_size for file in done.folder.iterdir())


def test_from_a_zip_into_the_module_itself(bundle_path, app, tmp_path):
    packed = pack_zip(open_bundle(bundle_path), tmp_path / "packed.edge")
    done = export_android(packed, app)
    assert done.folder.name == f"{packed.manifest.name}.edge"
    assert open_bundle(done.folder).digest() == packed.digest()


def test_repeating_it_changes_nothing(bundle_path, app):
    first = export_android(open_bundle(bundle_path), app)
    before = {file: file.stat().st_mtime_ns for file in first.folder.iterdir()}
    assert not export_android(open_bundle(bundle_path), app).changed
    assert {file: file.stat().st_mtime_ns for file in first.folder.iterdir()} == before


def test_another_bundle_is_replaced_only_when_asked(bundle_path, app):
    target = export_android(open_bundle(bundle_path), app).folder
    (target / "model.pte").write_bytes(b"damaged")
    with pytest.raises(StorageError, match="holds another bundle; choose another --name, or ask for --overwrite"):
        export_android(open_bundle(bundle_path), app)
    assert (target / "model.pte").read_bytes() == b"damaged"
    assert export_android(open_bundle(bundle_path), app, overwrite=True).changed
    open_bundle(target).verify()


def test_a_signature_goes_along(cli, bundle_copy, app, tmp_path):
    assert cli("sign", bundle_copy, "--key", tmp_path / "key.pem", "--new-key").returncode == 0
    done = export_android(open_bundle(bundle_copy), app)
    assert (done.folder / "signature.json").read_bytes() == (bundle_copy / "signature.json").read_bytes()


def test_samples_are_the_golden_inputs_pixel_by_pixel(bundle_path, app):
    bundle = open_bundle(bundle_path)
    done = export_android(bundle, app, samples=3)
    assert done.samples == ("00.png", "01.png", "02.png")
    with load(bundle) as model:
        for number, name in enumerate(done.samples):
            drawn = np.asarray(Image.open(done.folder.parent / "samples" / name))
            assert np.array_equal(model.logits(drawn), model.logits(bundle.golden().inputs[0][number]))


def test_what_is_no_app_or_several_is_said(bundle_path, tmp_path, app):
    bundle = open_bundle(bundle_path)
    with pytest.raises(AndroidError, match="holds no Android app"):
        export_android(bundle, tmp_path / "nowhere")
    second = app.parent / "wear"
    (second / "src/main").mkdir(parents=True)
    (second / "src/main/AndroidManifest.xml").write_text("<manifest/>")
    with pytest.raises(AndroidError, match=r"several modules; say which: .*app, .*wear"):
        export_android(bundle, app.parent)
    for name in ("../x", ".hidden", "samples", "a/b"):
        with pytest.raises(AndroidError, match="no name for a folder of the assets"):
            export_android(bundle, app, name=name)


def test_a_damaged_bundle_is_not_copied(bundle_copy, app):
    content = bytearray((bundle_copy / "model.tflite").read_bytes())
    content[-1] ^= 1
    (bundle_copy / "model.tflite").write_bytes(content)
    bundle = open_bundle(bundle_copy)
    with pytest.raises(BundleIntegrityError, match=r"changed: model\.tflite"):
        export_android(bundle, app)
    assert not list(app.glob("src/main/assets/*"))


def test_a_bundle_that_takes_tensors_has_no_samples(app):
    from dataclasses import replace

    from edgestill import zoo

    bundle = zoo.find("spoken-digits")
    without = replace(bundle, manifest=replace(bundle.manifest, processor=None))
    with pytest.raises(AndroidError, match="takes no images"):
        export_android(without, app, samples=1)


def test_samples_of_recordings_are_their_log_mel_pictures(app):
    from edgestill import zoo

    bundle = zoo.find("spoken-digits")
    done = export_android(bundle, app, samples=2)
    drawn = [np.asarray(Image.open(done.folder.parent / "samples" / name)) for name in done.samples]
    assert np.array_equal(drawn, bundle.golden().inputs[0][:2, ..., 0])


def test_the_command_prints_the_lines_that_gradle_needs(cli, bundle_path, app, root):
    done = cli("export-android", bundle_path, "--into", app, "--samples", "2")
    assert done.returncode == 0, done.stderr
    assert "hashes verified" in done.stdout and "2 pictures" in done.stdout
    versions = tomllib.loads((root / "android-demo/gradle/libs.versions.toml").read_text())["versions"]
    for line in ("", ":android-arm64"):
        assert f'"org.bytedeco:tensorflow-lite:{versions["tensorflow-lite"]}{line}"' in done.stdout
    assert f'"org.bytedeco:javacpp:{versions["javacpp"]}:android-arm64"' in done.stdout
    assert f'"org.pytorch:executorch-android:{versions["executorch"]}"' in done.stdout
    assert android.gradle(open_bundle(bundle_path)) in done.stdout


def test_the_command_takes_a_bundle_of_the_zoo(cli, app):
    done = cli("export-android", "spoken-digits", "--into", app)
    assert done.returncode == 0, done.stderr
    open_bundle(app / "src/main/assets/spoken-digits.edge").verify()


def test_the_demos_own_assets_are_as_exported(root):
    """`edgestill export-android runs/demo/demo.edge --into android-demo --samples 12` made them."""
    assets = root / "android-demo/app/src/main/assets"
    bundle = open_bundle(assets / "demo.edge")
    bundle.verify()
    for number, image in enumerate(bundle.golden().inputs[0][:12]):
        assert np.array_equal(np.asarray(Image.open(assets / "samples" / f"{number:02}.png")), image[..., 0])
