"""Engines of other packages, unknown engines, and model files that are folders."""

import io
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from edgestill_runtime import (
    BundleFormatError,
    BundleIntegrityError,
    EngineError,
    Golden,
    InputError,
    Manifest,
    ModelFile,
    TensorSpec,
    installed_engines,
    load,
    open_bundle,
    pack_zip,
    replay_golden,
    write_bundle,
)
from edgestill_runtime.bundle import GOLDEN, golden_npz
from edgestill_runtime.engines import candidates, engine_names, find_family
from edgestill_runtime.manifest import MAX_DEPTH, MAX_FILES
from edgestill_runtime.model import bare_format

WEIGHTS = np.array([[1, 0], [2, -1], [0, 3]], np.float32)
INPUT = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
# An engine whose file is a matrix, and one whose file is a folder: a matrix, and a factor.
TOY = """
import io
import numpy as np
from edgestill_runtime import TensorSpec
from edgestill_runtime.engines import Family, Package
from edgestill_runtime.errors import engine_errors

class Refusal(Exception):
    pass

class Engine:
    checks_finite = False

    def __init__(self, content, threads, name):
        self.name, self.threads = name, threads
        with engine_errors("toy cannot load this file"):
            folder = content if isinstance(content, dict) else {"weights.npy": content, "facts/factor.txt": b"1"}
            self.weights = np.load(io.BytesIO(folder["weights.npy"])) * float(folder["facts/factor.txt"])
        self.inputs = (TensorSpec((1, len(self.weights)), "float32"),)
        self.outputs = (TensorSpec((1, self.weights.shape[1]), "float32"),)

    def run(self, tensors):
        if tensors[0].max() > 1000:
            raise Refusal("too large")
        return [tensors[0] @ self.weights.astype(np.float32)]

    def close(self):
        self.weights = None

def family(name, folder):
    package = Package("toy-engine", Engine, modules=("toy_engine",))
    return Family(name, f".{name}", (package,), "toy-engine", folder=folder)

TOY, PARTS = family("toy", False), family("parts", True)
"""
GROUP = "edgestill_runtime.engines"


@pytest.fixture
def toy(bring_package):
    bring_package("toy-engine", {"toy_engine": TOY}, {GROUP: {"toy": "toy_engine:TOY", "parts": "toy_engine:PARTS"}})


def matrix(weights=WEIGHTS):
    buffer = io.BytesIO()
    np.save(buffer, weights)
    return buffer.getvalue()


def entry(engine):
    specs = (TensorSpec((1, 3), "float32"),), (TensorSpec((1, 2), "float32"),)
    return ModelFile(engine, "fp32", *specs, "toy-engine 1.0")


def make(path, engine="toy"):
    """A bundle with one file of an engine; a folder where it is `parts`."""
    name = f"model.fp32.{engine}"
    file = (
        {f"{name}/weights.npy": matrix(), f"{name}/facts/factor.txt": b"2"} if engine == "parts" else {name: matrix()}
    )
    outputs = INPUT @ WEIGHTS * (2 if engine == "parts" else 1)
    manifest = Manifest("toy", (), None, {name: entry(engine)}, 6, 6, task="tensors")
    return write_bundle(path, manifest, {**file, GOLDEN: golden_npz(Golden((INPUT,), {name: (outputs,)}))})


@pytest.fixture
def parts(tmp_path):
    return make(tmp_path / "parts.edge", "parts")


def test_an_engine_of_another_package_runs_files_of_bundles(toy, tmp_path):
    bundle = make(tmp_path / "toy.edge")
    assert installed_engines(bundle.manifest.engines) == {"toy": "toy-engine 1.0"}
    assert installed_engines()["toy"] == "toy-engine 1.0" and [str(one) for one in candidates("toy")] == [
        "toy-engine 1.0"
    ]
    for engine in ("auto", "toy", "toy/toy-engine"):
        with load(bundle, engine, precision="fp32") as model:
            assert np.array_equal(model.infer(INPUT), INPUT @ WEIGHTS) and model.engine == "toy (toy-engine 1.0)"
    assert [one.passed for one in replay_golden(bundle)] == [True]


@pytest.mark.parametrize("engine", ["toy", "parts"])
def test_it_can_be_isolated(toy, tmp_path, engine):
    with load(make(tmp_path / "x.edge", engine), precision="fp32", isolated=True) as model:
        assert np.array_equal(model.infer(INPUT), INPUT @ WEIGHTS * (2 if engine == "parts" else 1))
        assert model.engine == f"{engine} (toy-engine 1.0), isolated"


def test_a_bare_file_is_known_by_its_suffix(toy, tmp_path):
    (tmp_path / "x.toy").write_bytes(matrix())
    assert bare_format(tmp_path / "x.toy") == "toy"
    assert np.array_equal(load(tmp_path / "x.toy").infer(INPUT), INPUT @ WEIGHTS)
    folder = tmp_path / "x.parts"
    (folder / "facts").mkdir(parents=True)
    (folder / "weights.npy").write_bytes(matrix())
    (folder / "facts/factor.txt").write_text("3")
    assert np.array_equal(load(folder).infer(INPUT), 3 * INPUT @ WEIGHTS)
    with pytest.raises(EngineError, match=r"x\.toy is a file for toy, not for litert"):
        load(tmp_path / "x.toy", "litert")


def test_what_its_own_exceptions_say_is_an_engines_refusal(toy, tmp_path):
    with load(make(tmp_path / "toy.edge"), precision="fp32") as model:
        with pytest.raises(EngineError, match="failed on model.fp32.toy: too large"):
            model.infer(np.full((1, 3), 2000, np.float32))
        with pytest.raises(InputError):
            model.infer(INPUT.astype(np.float64))
        assert np.array_equal(model.infer(INPUT), INPUT @ WEIGHTS)  # loaded again


def test_the_usual_path_looks_nothing_up(bundle_path):
    """`importlib.metadata` takes longer to import than all of the runtime."""
    code = (
        "import sys\nfrom edgestill_runtime import load, open_bundle\n"
        "for engine in ('auto', 'litert', 'executorch'): load(sys.argv[1], engine)\n"
        "open_bundle(sys.argv[1]).verify()\n"
        "print('importlib.metadata' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, bundle_path], capture_output=True, text=True, check=False)
    assert done.stdout == "False\n", done.stderr


def test_a_bundle_with_an_engine_that_nobody_knows_opens_and_its_other_files_work(bundle_path, tmp_path):
    bundle = open_bundle(bundle_path)
    manifest = replace(bundle.manifest, models={
        **bundle.manifest.models,
        "model.npu": replace(bundle.manifest.models["model.tflite"], engine="npu", exporter="acme-npu 2.1"),
    })  # fmt: skip
    golden = bundle.golden()
    outputs = {**golden.outputs, "model.npu": golden.outputs["model.tflite"]}
    contents = {name: bundle.read(name) for name in bundle.files}
    contents |= {"model.npu": b"?", GOLDEN: golden_npz(replace(golden, outputs=outputs))}
    made = write_bundle(tmp_path / "x.edge", manifest, contents)
    assert load(made).predict(golden.inputs[0][0])
    assert {one.file: one.skipped for one in replay_golden(made)}["model.npu"] == "npu is not installed"
    message = "the engine 'npu' is not known here; its file was made by acme-npu 2.1: install that package here"
    with pytest.raises(EngineError, match=message):
        load(made, "npu")


def test_where_no_file_can_be_run_it_is_said_what_made_them(tmp_path):
    bundle = make(tmp_path / "toy.edge")
    with pytest.raises(
        EngineError, match=r"none of these engines is installed\. The engine 'toy' is not known here; its"
    ):
        load(bundle, precision="fp32")
    with pytest.raises(EngineError, match="unknown engine 'other'; valid: auto, litert, executorch, litert/ai-edge"):
        load(bundle, "other", precision="fp32")


def test_a_file_is_found_by_engine_and_precision(bundle_path):
    manifest = open_bundle(bundle_path).manifest
    assert manifest.engines == ("executorch", "litert")
    assert manifest.find("litert", "fp32") == "model.fp32.tflite" and manifest.find("litert", "int8") == "model.tflite"
    assert manifest.find("litert", "quantized") == "model.tflite" and manifest.find("litert", "mixed") is None
    assert manifest.find("onnx", "fp32") is None
    assert manifest.deployable() == {"executorch": "model.pte", "litert": "model.tflite"}


# Packages that bring something that cannot be used.


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_module", "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"),
        ("FAMILY = 3", "is of class int, not Family"),
        (TOY + "FAMILY = TOY", "calls itself 'toy'; both names must be the same"),
        (TOY + "FAMILY = family('Bad Name', False)", "cannot be imported: ValueError: an engine's name is lower-case"),
    ],
)
def test_an_engine_that_cannot_be_used_names_its_package(bring_package, source, message):
    bring_package("acme-engine", {"acme": source}, {GROUP: {"acme": "acme:FAMILY"}})
    assert engine_names() == ["litert", "executorch", "acme"]  # its name is known without an import
    with pytest.raises(EngineError) as caught:
        find_family("acme")
    assert "the engine 'acme' of the package acme-engine (acme:FAMILY)" in str(caught.value)
    assert message in str(caught.value) and "uninstall it" in str(caught.value)
    assert find_family("litert")  # built-in engines need no other package


def test_two_packages_with_one_name_are_both_named(bring_package):
    for package in ("acme-one", "acme-two"):
        bring_package(package, {}, {GROUP: {"acme": "acme:FAMILY"}})
    with pytest.raises(
        EngineError, match=r"the packages acme-\w+ and acme-\w+ both provide the engine 'acme'; uninstall one"
    ):
        find_family("acme")


def test_a_name_or_a_suffix_of_ours_is_refused(bring_package):
    same = TOY + "FAMILY = Family('acme', '.pte', TOY.packages, 'acme')"
    bring_package("acme-engine", {"acme": same}, {GROUP: {"acme": "acme:FAMILY"}})
    with pytest.raises(EngineError, match=r"of the package acme-engine has files \.pte, which are those of executorch"):
        find_family("acme")
    bring_package("shadow", {}, {GROUP: {"litert": "shadow:FAMILY"}})
    with pytest.raises(
        EngineError, match="the package shadow provides the engine 'litert', a name that edgestill has itself"
    ):
        engine_names()


# Files that are folders.


def test_a_folder_is_read_member_by_member(toy, parts, tmp_path):
    assert parts.read_model("model.fp32.parts") == {"weights.npy": matrix(), "facts/factor.txt": b"2"}
    assert parts.size("model.fp32.parts") == len(matrix()) + 1
    packed = pack_zip(parts, tmp_path / "packed.edge")
    for bundle in (parts, packed):
        bundle.verify()
        assert bundle.files.keys() == {
            "golden.npz",
            "model.fp32.parts/weights.npy",
            "model.fp32.parts/facts/factor.txt",
        }
        assert np.array_equal(load(bundle, precision="fp32").infer(INPUT), 2 * INPUT @ WEIGHTS)


@pytest.mark.parametrize("engine", ["toy", "parts"])
def test_a_folder_where_a_file_is_meant_is_refused_and_the_reverse(toy, tmp_path, engine):
    bundle = make(tmp_path / "x.edge", engine)
    other = "toy" if engine == "parts" else "parts"
    with pytest.raises(EngineError, match=r"the file is a (folder|single file), and files for \w+ are"):
        load_as(bundle, other)


def load_as(bundle, engine):
    (name,) = bundle.manifest.models
    manifest = replace(bundle.manifest, models={name: entry(engine)})
    contents = {one: bundle.read(one) for one in bundle.files}
    return load(write_bundle(bundle.path.with_name("as.edge"), manifest, contents), precision="fp32")


def test_members_that_changed_are_missing_or_extra_are_named(parts):
    folder = parts.path / "model.fp32.parts"
    (folder / "weights.npy").write_bytes(matrix(WEIGHTS + 1))
    with pytest.raises(BundleIntegrityError, match=r"changed: model\.fp32\.parts/weights\.npy"):
        open_bundle(parts.path).read_model("model.fp32.parts")
    (folder / "facts/factor.txt").rename(folder / "facts/other.txt")
    with pytest.raises(BundleIntegrityError) as caught:
        open_bundle(parts.path)
    assert caught.value.changed == ("model.fp32.parts/weights.npy",)
    assert caught.value.missing == ("model.fp32.parts/facts/factor.txt",)
    assert caught.value.extra == ("model.fp32.parts/facts/other.txt",)


def test_links_and_empty_folders_inside_are_refused(parts, tmp_path):
    folder = parts.path / "model.fp32.parts"
    (folder / "facts").rename(tmp_path / "elsewhere")
    (folder / "facts").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(
        BundleFormatError, match=r"no plain file \(a link, an empty folder\): model\.fp32\.parts/facts$"
    ):
        open_bundle(parts.path)
    opened = parts  # before the link was put there
    with pytest.raises(BundleIntegrityError):
        opened.read_model("model.fp32.parts")
    (folder / "facts").unlink()
    (folder / "facts").mkdir()
    with pytest.raises(BundleFormatError, match=r"empty folder\): model\.fp32\.parts/facts$"):
        open_bundle(parts.path)
    (folder / "facts").rmdir()
    os.mkfifo(folder / "facts")
    with pytest.raises(BundleFormatError, match=r"model\.fp32\.parts/facts$"):
        open_bundle(parts.path)


@pytest.mark.parametrize(
    "name",
    [
        "model.fp32.parts/../x", "/model.fp32.parts/x", "model.fp32.parts//x", "model.fp32.parts/.hidden",
        "model.fp32.parts/a b", "model.fp32.parts/", "model.fp32.parts\\x", "other.parts/x",
        "model.fp32.parts/" + "/".join("x" * (MAX_DEPTH + 1)), "model.fp32.parts/" + "/".join(["x" * 90] * 3),
    ],
)  # fmt: skip
def test_names_of_members_are_checked_strictly(parts, name):
    path = parts.path / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"][name] = {"sha256": "0" * 64, "bytes": 1}
    path.write_text(json.dumps(manifest))
    with pytest.raises(BundleFormatError, match="it names a file that no bundle holds"):
        open_bundle(parts.path)


def test_a_path_is_a_file_or_a_folder(parts):
    path = parts.path / "manifest.json"
    manifest = json.loads(path.read_text())
    for name in ("model.fp32.parts", "model.fp32.parts/facts"):
        changed = manifest | {"files": manifest["files"] | {name: {"sha256": "0" * 64, "bytes": 1}}}
        path.write_text(json.dumps(changed))
        with pytest.raises(BundleFormatError, match=f"'{name}' as a file and as a folder"):
            open_bundle(parts.path)


def test_no_more_members_than_a_bundle_has_files(tmp_path):
    name = "model.fp32.parts"
    manifest = Manifest("toy", (), None, {name: entry("parts")}, 6, 6, task="tensors")
    with pytest.raises(BundleFormatError, match=f"files has more than {MAX_FILES} entries"):
        write_bundle(tmp_path / "x.edge", manifest, {f"{name}/{number}": b"" for number in range(MAX_FILES + 1)})
    assert not (tmp_path / "x.edge").exists()
