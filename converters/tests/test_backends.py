"""The registry of backends, and a toy of another package that goes through a conversion like ours do."""

import numpy as np
import pytest
import torch
from torch import nn

from edgestill.file_findings import look_inside
from edgestill.gate import check_bundle
from edgestill_benchmarks import benchmark_bundle
from edgestill_benchmarks.latency import Rule
from edgestill_converters import ConversionError, ConversionOptions, Description, convert, steps
from edgestill_converters.backends import TARGETS, backend_names, backends_of, find_backend, quantizing
from edgestill_converters.inspection import InspectionError, inspect_bytes
from edgestill_runtime import load, open_bundle, pack_zip

# A file of `toy` is the matrix of a linear model; of `parts` a folder with the same in it.
TOY = """
import io
import numpy as np
from edgestill_converters.backends import Backend, Exported
from edgestill_runtime import TensorSpec
from edgestill_runtime.engines import Family, Package

class Engine:
    checks_finite = False

    def __init__(self, content, threads, name):
        self.name, self.threads = name, threads
        matrix = content["data/matrix.npy"] if isinstance(content, dict) else content
        self.matrix = np.load(io.BytesIO(matrix))
        self.inputs = (TensorSpec((1, self.matrix.shape[0]), "float32"),)
        self.outputs = (TensorSpec((1, self.matrix.shape[1]), "float32"),)

    def run(self, tensors):
        return [tensors[0] @ self.matrix]

    def close(self):
        pass

def export(program, quantized):
    import torch
    model = program.module(check_guards=False)
    with torch.inference_mode():
        rows = [model(row[None]) for row in torch.eye(program.example_inputs[0][0].shape[1])]
    buffer = io.BytesIO()
    np.save(buffer, torch.cat(rows).numpy())
    return Exported(buffer.getvalue())

def export_parts(program, quantized):
    return Exported({"data/matrix.npy": export(program, quantized).content, "about.txt": b"a matrix"})

PACKAGE = Package("acme-toy", Engine)
TOY = Family("toy", ".toy", (PACKAGE,), "acme-toy")
PARTS = Family("parts", ".parts", (PACKAGE,), "acme-toy", folder=True)
BACKEND, PARTS_BACKEND = Backend("toy", ".toy", export), Backend("parts", ".parts", export_parts, lacks={"relu": "abs"})
"""
ENGINES, BACKENDS = "edgestill_runtime.engines", "edgestill.backends"
SAMPLES = [np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)]


@pytest.fixture
def toy(bring_package):
    entries = {
        ENGINES: {"toy": "acme_toy:TOY", "parts": "acme_toy:PARTS"},
        BACKENDS: {"toy": "acme_toy:BACKEND", "parts": "acme_toy:PARTS_BACKEND"},
    }
    bring_package("acme-toy", {"acme_toy": TOY}, entries, version="1.5")


def linear():
    torch.manual_seed(0)
    return nn.Linear(6, 4, bias=False).eval()


def description():
    return Description("linear", (), None, 24, 24, {})


def test_ours_are_known_and_in_the_order_of_their_files():
    assert backend_names()[:2] == list(TARGETS) == ["executorch", "litert"]
    assert [one.name for one in backends_of(["litert", "executorch", "litert"])] == ["executorch", "litert"]
    assert [find_backend(name).suffix for name in TARGETS] == [".pte", ".tflite"]
    assert steps() == ("quantize", "model.pte", "model.fp32.pte", "model.tflite", "model.fp32.tflite", "check")
    assert steps(["litert"], "fp32") == ("quantize", "model.fp32.tflite", "check")


def test_a_float_backend_gets_an_fp32_file_beside_the_int8_files_of_others(toy, tmp_path):
    assert quantizing(("executorch", "toy")) == ("executorch",)
    bundle = convert(
        linear(), SAMPLES, description(), tmp_path / "x.edge", options=ConversionOptions(targets=["toy", "executorch"])
    )
    found = {name: (entry.engine, entry.precision) for name, entry in bundle.manifest.models.items()}
    assert found == {
        "model.pte": ("executorch", "int8"),
        "model.fp32.pte": ("executorch", "fp32"),
        "model.fp32.toy": ("toy", "fp32"),
    }
    assert bundle.manifest.models["model.fp32.toy"].exporter == "acme-toy 1.5"
    assert bundle.manifest.models["model.fp32.toy"].float_macs is None  # nobody can look into it
    assert bundle.manifest.versions["acme-toy"] == "1.5"
    with load(bundle, "toy", precision="fp32") as model:
        assert np.allclose(model.infer(SAMPLES[0]), SAMPLES[0] @ linear().weight.detach().numpy().T, atol=1e-5)
    gate = check_bundle(bundle, SAMPLES, latency=False)
    assert gate.passed and ("model.pte", "model.fp32.pte") in {one.files for one in gate.differences}


def test_a_file_that_is_a_folder_goes_all_the_way(toy, tmp_path):
    made = convert(linear(), SAMPLES, description(), tmp_path / "x.edge", options=ConversionOptions(targets=["parts"]))
    assert made.files.keys() == {"golden.npz", "model.fp32.parts/about.txt", "model.fp32.parts/data/matrix.npy"}
    packed = pack_zip(made, tmp_path / "packed.edge")
    for bundle in (made, packed):
        (measured,) = benchmark_bundle(bundle, rule=Rule(min_calls=5, min_seconds=0.01))["files"]
        assert (measured["file"], measured["engine"]) == ("model.fp32.parts", "parts")
        assert measured["bytes"] == bundle.size("model.fp32.parts") > len(b"a matrix")
        assert measured["profile"]["why_not"] == "parts (acme-toy 1.5) does not report the times of operators"
        assert check_bundle(bundle, SAMPLES, latency=False).passed


def test_fp32_files_of_every_backend_are_taken_over(toy, tmp_path):
    first = convert(
        linear(),
        SAMPLES,
        description(),
        tmp_path / "1.edge",
        options=ConversionOptions(targets=["executorch", "parts"]),
    )
    second = convert(
        linear(),
        SAMPLES,
        description(),
        tmp_path / "2.edge",
        options=ConversionOptions(targets=["executorch", "parts"], fp32_baseline=first),
    )
    assert {**second.files, "golden.npz": None} == {**first.files, "golden.npz": None}
    assert second.read_model("model.fp32.parts") == first.read_model("model.fp32.parts")


def test_an_fp32_baseline_without_the_only_file_of_a_backend_is_refused(toy, bundle_path, tmp_path):
    with pytest.raises(ConversionError, match="has no fp32 file for toy, which makes no other; leave it out"):
        convert(
            linear(),
            SAMPLES,
            description(),
            tmp_path / "x.edge",
            options=ConversionOptions(targets=["toy"], fp32_baseline=open_bundle(bundle_path)),
        )


def test_what_a_backend_lacks_is_said_before_anything_is_exported(toy, tmp_path):
    reason = r"uses relu, which parts has not; leave parts out of the targets, or use abs"
    with pytest.raises(ConversionError, match=reason):
        convert(
            nn.Sequential(linear(), nn.ReLU()),
            SAMPLES,
            description(),
            tmp_path / "x.edge",
            options=ConversionOptions(targets=["parts"]),
        )


def test_nothing_looks_into_a_file_without_an_inspector(toy, tmp_path):
    bundle = convert(linear(), SAMPLES, description(), tmp_path / "x.edge", options=ConversionOptions(targets=["toy"]))
    with pytest.raises(InspectionError, match="is a file for toy, and nothing is installed that looks into such files"):
        inspect_bytes(bundle.read_model("model.fp32.toy"), "toy", "model.fp32.toy")
    shares, (finding,) = look_inside(open_bundle(bundle.path), ["model.fp32.toy"])
    assert shares == {} and "nothing looks into files for toy" in finding.text


@pytest.mark.parametrize(
    ("targets", "reason"),
    [
        ("litert", "targets are one or several names in a list or tuple, not 'litert'; valid: executorch, litert"),
        ((), r"targets are one or several names in a list or tuple, not \(\); valid: executorch, litert"),
        (("onnx",), "unknown target 'onnx'; valid: executorch, litert"),
    ],
)
def test_targets_that_are_none(tmp_path, targets, reason):
    with pytest.raises(ConversionError, match=reason):
        convert(linear(), SAMPLES, description(), tmp_path / "x.edge", options=ConversionOptions(targets=targets))


BROKEN = """
from edgestill_converters.backends import Backend
BACKEND = Backend("acme", "{suffix}", print, modules=({modules}), why_not_here=lambda: "{here}")
"""


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({}, "every file is run as it is made, and no package here brings an engine 'acme'"),
        (
            {"here": "acme's files run on its own chip alone"},
            "every file is run as it is made, and acme's files run on",
        ),
        ({"modules": "'no_such_module',"}, r"converting needs no_such_module\. Install with: pip install"),
        ({"suffix": ".tflite"}, r"of the package acme-npu makes files \.tflite, which are those of litert"),
        (
            {"suffix": "acme"},
            r"package acme-npu \(acme_npu:BACKEND\) cannot be imported: ValueError: a suffix is a dot",
        ),
    ],
)
def test_a_backend_that_cannot_be_used_is_said_before_anything_takes_time(bring_package, tmp_path, facts, reason):
    source = BROKEN.format(**({"suffix": ".acme", "modules": "", "here": ""} | facts))
    bring_package("acme-npu", {"acme_npu": source}, {BACKENDS: {"acme": "acme_npu:BACKEND"}})
    with pytest.raises(ConversionError, match=reason):
        convert(
            linear(),
            SAMPLES,
            description(),
            tmp_path / "x.edge",
            options=ConversionOptions(targets=["executorch", "acme"]),
        )
    assert find_backend("litert")


def test_a_shadow_of_ours_and_two_of_one_name_are_refused(bring_package):
    bring_package("acme-npu", {}, {BACKENDS: {"acme": "acme_npu:BACKEND"}})
    assert backend_names() == ["executorch", "litert", "acme"]
    bring_package("acme-again", {}, {BACKENDS: {"acme": "acme_again:BACKEND"}})
    with pytest.raises(ConversionError, match=r"the packages acme-\w+ and acme-\w+ both provide the backend 'acme'"):
        find_backend("acme")
    bring_package("shadow", {}, {BACKENDS: {"litert": "shadow:BACKEND"}})
    with pytest.raises(
        ConversionError, match="the package shadow provides the backend 'litert', a name that edgestill has"
    ):
        backend_names()


def test_the_page_shows_the_package_that_a_test_installs(root):
    page = (root / "docs/backends.md").read_text()
    package = root / "converters/tests/onnx_backend"
    for file in ("pyproject.toml", "edgestill_onnx/engine.py", "edgestill_onnx/backend.py"):
        assert (package / file).read_text() in page, file
