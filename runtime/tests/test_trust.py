"""Malicious bundles: each case is refused with its own message, and no engine is called."""

import json
import os
import stat
import subprocess
import sys
import zipfile

import pytest

from edgestill_runtime import BundleError, BundleFormatError, BundleIntegrityError, load, open_bundle, pack_zip
from edgestill_runtime import model as model_module
from edgestill_runtime.manifest import MAX_BYTES


@pytest.fixture(autouse=True)
def no_engine_is_reached(monkeypatch):
    def refuse(*words):
        raise AssertionError(f"an engine was called: {words[0]}")

    monkeypatch.setattr(model_module, "load_engine", refuse)


def rewrite(path, change):
    manifest = json.loads((path / "manifest.json").read_text())
    change(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))


def nested(depth):
    return b'{"format_version": 2, "training": ' + b"[" * depth + b"]" * depth + b"}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be used"),
        (b"[]", "no JSON object"),
        (b"null", "no JSON object"),
        (b"{", "cannot be used"),
        (b"\xff\xfe\x00", "cannot be used"),
        (nested(100_000), "nested too deeply"),
        (b'{"format_version": 2, "format_version": 2}', "'format_version' twice"),
        (b'{"format_version": NaN}', "NaN is no JSON number"),
        (b'{"format_version": true}', "format version True; this edgestill reads 2 and 3"),
        (b'{"format_version": 5}', "format version 5; this edgestill reads 2 and 3 and 4"),
        (b'{"format_version": 2.0}', "format version 2.0; this edgestill reads 2 and 3"),
        (b'{"format_version": [3]}', "format version [3]; this edgestill reads 2 and 3"),
        (b'{"a": "' + b"x" * MAX_BYTES + b'"}', f"larger than {MAX_BYTES} bytes"),
        (b'{"format_version": ' + b"9" * 5000 + b"}", "cannot be used"),
        (
            b'{"format_version": 2, "files": {}, "models": {}, "preprocessing": {"height": 1, "width": 1, '
            b'"mean": [1e999], "std": [1]}}',
            "mean (inf,) and std (1.0,) must be finite numbers",
        ),
    ],
)
def test_a_manifest_that_is_none(bundle_copy, content, message):
    (bundle_copy / "manifest.json").write_bytes(content)
    with pytest.raises(BundleFormatError) as caught:
        load(bundle_copy)
    assert message in str(caught.value)


def put(*path, value):
    def change(manifest):
        for key in path[:-1]:
            manifest = manifest[key]
        manifest[path[-1]] = value

    return change


PTE = ("models", "model.pte")


def twice(side):
    """A second input or output, which the other files do not have."""

    def change(manifest):
        manifest["models"]["model.pte"][side] *= 2

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("name", value=7), "name must be text, not 7"),
        (put("labels", value="shirt"), "labels must be a list"),
        (put("labels", value=["shirt", 3]), "labels must be text, not 3"),
        (put("scores", value="odds"), "scores must be one of logits, probabilities, not 'odds'"),
        (put("scores", value=1), "scores must be text, not 1"),
        (put("parameters", value=-1), "parameters must be 0 to"),
        (put("parameters", value=True), "parameters must be a whole number, not True"),
        (put("macs", value=1.5), "macs must be a whole number"),
        (put("agreement", value=1.2), "agreement must be 0 to 1"),
        (put("quality", "teacher", value="high"), "quality.teacher. must be an object"),
        (put("quality", "teacher", value={"accuracy": "high"}), "quality.teacher.accuracy must be a finite number"),
        (put("quality", "teacher", value={"accuracy": 91.3}), "quality.teacher.accuracy must be 0 to 1, not 91.3"),
        (put(*PTE, "quality", value={"accuracy": -0.5}), "models.model.pte.quality.accuracy must be 0 to 1, not -0.5"),
        (put(*PTE, "quality", value={"accuracy": True}), "models.model.pte.quality.accuracy must be a finite number"),
        (put("task", value=3), "task must be text, not 3"),
        (put("task_settings", value=[]), "task_settings must be an object"),
        (
            put("task_settings", value={"thresholds": 0.5}),
            "task_settings: image-classification has no setting 'thresholds'",
        ),
        (put("processor", "height", value=0), "processor: height must be 1 to"),
        (put("processor", "height", value=10**6), "processor: height must be 1 to"),
        (put("processor", "std", value=[0.0]), "must be greater than 0"),
        (put("processor", "height", value=28.0), "processor: height must be a whole number, not 28.0"),
        (put("processor", "height", value=True), "processor: height must be a whole number, not True"),
        (put("processor", "mean", value=[0.0] * 17), "processor: mean must be a list of at most 16 numbers"),
        (put("processor", "std", value=["1"]), "processor: std[0] must be a number, not '1'"),
        (put("processor", "resize", value="squash"), "resize must be one of crop, letterbox, stretch, not 'squash'"),
        (put("processor", "filter", value=3), "processor: filter must be text, not 3"),
        (put("processor", "ground", value=256), "ground must be 0 to 255, not 256"),
        (put("processor", "crop_share", value=0), "crop_share must be above 0 and at most 1"),
        (put("processor", "kind", value="video"), "kind must be one of image, audio, not 'video'"),
        (put("processor", "kind", value=["image"]), "kind must be one of image, audio"),
        (put("processor", "kind", value="audio"), "it has the unknown field 'crop_share'"),
        (put("processor", "gamma", value=2.2), "it has the unknown field 'gamma'"),
        (put("processor", "mean", value=[1e999]), "Infinity is no JSON number"),
        (put(*PTE, "engine", value="../onnx"), "models.model.pte.engine must be a name of lower-case letters"),
        (put(*PTE, "precision", value="int4"), "precision must be one of int8, mixed, fp32"),
        (put(*PTE, "inputs", 0, "dtype", value="str"), "inputs.0.dtype must be one of"),
        (put(*PTE, "inputs", 0, "layout", value="CHWN"), "layout must be NCHW or NHWC"),
        (put(*PTE, "inputs", 0, "shape", value=[1, -1]), "shape has a size below 1"),
        (put(*PTE, "inputs", 0, "shape", value=list(range(17))), "shape has more than 16 entries"),
        (put(*PTE, "outputs", 0, "scale", value=0), "scale must be above 0"),
        (put(*PTE, "inputs", 0, "bounded", value=1), "inputs.0.bounded must be true or false, not 1"),
        (put(*PTE, "inputs", value=[]), "inputs must have 1 to 64 entries, not 0"),
        (put(*PTE, "outputs", value={}), "outputs must be a list"),
        (put(*PTE, "outputs", value=[{}] * 65), "outputs must have 1 to 64 entries, not 65"),
        (put(*PTE, "outputs", value=[7]), "outputs.0. must be an object"),
        (put(*PTE, "float_nodes", value=[7]), "float_nodes must be text, not 7"),
        (put("processor", value="none"), "processor must be an object"),
        (put("files", "model.pte", "sha256", value="ABC"), "sha256 must be 64 lower-case hex digits"),
        (put("files", "model.pte", "bytes", value=2**40), "bytes must be 0 to"),
        (put("files", "model.pte", value=[]), "files.model.pte. must be an object"),
        (put("files", value={str(number): {} for number in range(65)}), "files has more than 64 entries"),
        *(
            (put("files", name, value={"sha256": "0" * 64, "bytes": 0}), "a file that no bundle holds")
            for name in (
                "/etc/passwd",
                "../x",
                "a/b",
                "a\\b",
                "",
                ".hidden",
                "c:x",
                "manifest.json",
                "signature.json",
                "é",
            )
        ),
        (put("models", "other.pte", value={}), "models.other.pte.engine is missing"),
        (put(*PTE, "inputs", 0, "zero_point", value=10**400), "zero_point must be -128 to 127 for int8, not 1000"),
        (put(*PTE, "inputs", 0, "zero_point", value=128), "zero_point must be -128 to 127 for int8, not 128"),
        (put(*PTE, "outputs", 0, "zero_point", value=None), "scale and zero_point must be there both, or neither"),
        (put(*PTE, "outputs", 0, "scale", value=None), "scale and zero_point must be there both, or neither"),
        (put(*PTE, "outputs", 0, "scale", value=10**400), "outputs.0.scale must be a finite number"),
        (put(*PTE, "outputs", 0, "scale", value=1e-300), "scale must be above 0 and a number that float32 has"),
        (put(*PTE, "outputs", 0, "scale", value=1e300), "scale must be above 0 and a number that float32 has"),
        (put(*PTE, "outputs", 0, "dtype", value="float32"), "scale is for int8, uint8, int16, int32, not for float32"),
        (put(*PTE, "outputs", 0, "layout", value="NCHW"), "layout is for 4 axes, not for shape (1, 10)"),
        (put(*PTE, "outputs", 0, "dynamic", value=[2]), "dynamic names axes that shape (1, 10) has not: (2,)"),
        (put("labels", value=["a", "b", "c"]), "3 labels need one output"),
        (put("labels", value=[str(number) for number in range(15)]), "models.model.fp32.pte.outputs has (1, 10)"),
        (put(*PTE, "outputs", 0, "shape", value=[1, 3]), "models.model.pte.outputs has (1, 3)"),
        (put(*PTE, "outputs", 0, "shape", value=[]), "models.model.pte.outputs has ()"),
        (twice("outputs"), "models.model.pte.outputs has (1, 10), (1, 10)"),
        (twice("inputs"), "its files take different numbers of inputs"),
        (
            put("processor", "height", value=32),
            "processor makes one tensor of shape (1, 1, 32, 28); models.model.fp32.pte",
        ),
        (put(*PTE, "inputs", 0, "shape", value=[1, 3, 28, 28]), "models.model.pte.inputs has (1, 3, 28, 28)"),
        (put(*PTE, "inputs", 0, "layout", value="NHWC"), "processor makes one tensor of shape (1, 28, 28, 1); models"),
        (put("models", "model.fp32.pte", "inputs", 0, "dtype", value="uint8"), "has uint8 without one"),
    ],
)
def test_a_manifest_that_lies(bundle_copy, change, message):
    rewrite(bundle_copy, change)
    with pytest.raises(BundleFormatError) as caught:
        load(bundle_copy)
    assert message in str(caught.value)


def test_sizes_are_checked_as_hashes_are(bundle_copy):
    rewrite(bundle_copy, lambda manifest: manifest["files"]["model.tflite"].update(bytes=5))
    with pytest.raises(BundleIntegrityError, match=r"changed: model\.tflite"):
        load(bundle_copy, engine="litert")


def test_links_are_refused_by_name(bundle_copy, tmp_path):
    target = tmp_path / "elsewhere.tflite"
    (bundle_copy / "model.tflite").rename(target)
    (bundle_copy / "model.tflite").symlink_to(target)
    with pytest.raises(BundleFormatError, match=r"no plain file \(a link, an empty folder\): model\.tflite"):
        load(bundle_copy)


def test_a_linked_manifest_is_refused(bundle_copy, tmp_path):
    (bundle_copy / "manifest.json").rename(tmp_path / "manifest.json")
    (bundle_copy / "manifest.json").symlink_to(tmp_path / "manifest.json")
    with pytest.raises(BundleFormatError, match=r"manifest\.json"):
        load(bundle_copy)


def test_a_link_to_a_bundle_is_a_bundle(bundle_copy, tmp_path):
    """How a new version takes the place of an old one."""
    (tmp_path / "current.edge").symlink_to(bundle_copy)
    open_bundle(tmp_path / "current.edge").verify()


def test_pipes_and_folders_are_refused_without_waiting(bundle_copy):
    (bundle_copy / "model.pte").unlink()
    os.mkfifo(bundle_copy / "model.pte")
    with pytest.raises(BundleFormatError, match=r"no plain file.*model\.pte"):
        load(bundle_copy)
    (bundle_copy / "model.pte").unlink()
    (bundle_copy / "model.pte").mkdir()
    with pytest.raises(BundleFormatError, match=r"no plain file.*model\.pte"):
        load(bundle_copy)


def test_unlisted_and_missing_files_are_refused_on_opening(bundle_copy):
    (bundle_copy / "more.bin").write_bytes(b"?")
    with pytest.raises(BundleIntegrityError, match=r"extra: more\.bin"):
        load(bundle_copy)
    (bundle_copy / "more.bin").unlink()
    (bundle_copy / "golden.npz").unlink()
    with pytest.raises(BundleIntegrityError, match=r"missing: golden\.npz"):
        load(bundle_copy)


@pytest.fixture
def members(bundle_path):
    bundle = open_bundle(bundle_path)
    manifest = (bundle_path / "manifest.json").read_bytes()
    return {"manifest.json": manifest, **{name: bundle.read(name) for name in bundle.files}}


def archive(path, members, *more, **options):
    with zipfile.ZipFile(path, "w", **options) as zipped:
        for name, content in [*members.items(), *more]:
            zipped.writestr(name, content)
    return path


def entry(name, mode=stat.S_IFREG | 0o644):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("/etc/cron.d/x", b""), "'/etc/cron.d/x' is no name of a file in a bundle"),
        (("../x", b""), "'../x' is no name"),
        (("a/../../x", b""), "is no name"),
        (("folder/", b""), "is no name"),
        (("..\\x", b""), "is no name"),
        (("model.pte", b"again"), "'model.pte' is there twice"),
        (("manifest.json", b"{}"), "'manifest.json' is there twice"),
        ((entry("link", stat.S_IFLNK | 0o777), b"/etc/passwd"), "'link' is no plain file"),
        ((entry("pipe", stat.S_IFIFO | 0o644), b""), "'pipe' is no plain file"),
    ],
)
def test_zip_entries_that_lead_elsewhere(members, tmp_path, more, message):
    with pytest.raises(BundleFormatError) as caught:
        load(archive(tmp_path / "x.edge", members, more))
    assert message in str(caught.value)


def test_zip_bombs_are_refused_unopened(members, tmp_path):
    bomb = archive(tmp_path / "bomb.edge", {**members, "model.pte": bytes(1 << 28)}, compression=zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 1 << 20
    with pytest.raises(BundleFormatError, match="is compressed; a bundle stores its files as they are"):
        load(bomb)
    many = {f"f{number}": b"" for number in range(100)}
    with pytest.raises(BundleFormatError, match="entries; a bundle has at most 66"):
        load(archive(tmp_path / "many.edge", {**members, **many}))


def test_an_entry_that_claims_more_than_there_is(members, tmp_path):
    """The directory at the end of the archive says four gigabytes where there are thirty kilobytes."""
    path = archive(tmp_path / "x.edge", members)
    content = bytearray(path.read_bytes())
    where = content.rindex(b"model.tflite") - 46
    assert content[where : where + 4] == b"PK\x01\x02"
    content[where + 20 : where + 28] = b"\xf0\xff\xff\xff" * 2
    path.write_bytes(content)
    with pytest.raises(BundleError):
        load(path, engine="litert")


def test_reading_writes_nothing_anywhere(bundle_path, tmp_path):
    """Under a file size limit of zero the kernel ends any process that writes one byte to a file."""
    packed = tmp_path / "packed.edge"
    pack_zip(open_bundle(bundle_path), packed)
    before = sorted(path for path in tmp_path.rglob("*"))
    code = (
        "import os, resource, sys\n"
        "from edgestill_runtime import open_bundle\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "bundle = open_bundle(sys.argv[1]); bundle.verify(); bundle.golden()\n"
        "try: os.write(os.open('mine', os.O_CREAT | os.O_WRONLY), b'x')\n"
        "except OSError: sys.exit(7)\n"
    )
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code, packed], cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 7  # the bundle was read, and only our own writing was refused
    (tmp_path / "mine").unlink()
    assert sorted(tmp_path.rglob("*")) == before


def test_many_processes_open_one_zip_at_once(bundle_path, tmp_path):
    packed = tmp_path / "packed.edge"
    pack_zip(open_bundle(bundle_path), packed)
    code = "import sys; from edgestill_runtime import open_bundle; open_bundle(sys.argv[1]).verify(); print('intact')"
    running = [subprocess.Popen([sys.executable, "-c", code, packed], stdout=subprocess.PIPE) for _ in range(6)]
    assert [process.communicate()[0] for process in running] == [b"intact\n"] * 6


def test_golden_samples_that_swell_are_refused(bundle_copy):
    import hashlib
    import io

    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=np.zeros((1 << 26,), np.uint8))
    content = buffer.getvalue()
    (bundle_copy / "golden.npz").write_bytes(content)
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    rewrite(bundle_copy, lambda manifest: manifest["files"].update({"golden.npz": entry}))
    with pytest.raises(BundleFormatError, match="images in golden.npz is compressed"):
        open_bundle(bundle_copy).golden()
