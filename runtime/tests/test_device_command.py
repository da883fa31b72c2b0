"""`python -m edgestill_runtime`, as run on a device."""

import json
import os
import subprocess
import sys
import wave
from dataclasses import replace

import numpy as np
import pytest

from edgestill_runtime import Golden, load, open_bundle, write_bundle
from edgestill_runtime.bundle import GOLDEN, golden_npz


def device(*words, **environment):
    command = [sys.executable, "-m", "edgestill_runtime", *map(str, words)]
    variables = {**os.environ, **environment}
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def golden(bundle_path):
    return open_bundle(bundle_path).golden()


@pytest.fixture
def picture(golden, tmp_path):
    """A golden sample as PNG."""
    from PIL import Image

    Image.fromarray(golden.inputs[0][0, :, :, 0]).save(tmp_path / "shirt.png")
    return tmp_path / "shirt.png"


def best(bundle_path, golden):
    bundle = open_bundle(bundle_path)
    return bundle.manifest.labels[int(golden.outputs["model.tflite"][0][0].argmax())]


def test_info_of_a_bundle(bundle_path):
    done = device("info", bundle_path)
    assert done.returncode == 0
    for message in ("demo-quick, image-classification, 10 labels", "(28, 28, 1)", "model.tflite", "ai-edge-litert"):
        assert message in done.stdout
    assert json.loads(device("info", bundle_path, "--json").stdout)["files"]["model.pte"]["bytes"] > 10_000


def test_info_of_a_bare_file(bundle_path, programs):
    done = device("info", bundle_path / "model.tflite")
    assert "input int8 (1, 28, 28, 1), scale" in done.stdout and "isolated" in done.stdout
    facts = json.loads(device("info", programs / "types.pte", "--json", "--in-process").stdout)
    assert [spec["dtype"] for spec in facts["inputs"]] == ["float32", "int8", "uint8", "int32", "int64", "bool"]
    assert "isolated" not in facts["engine"]


@pytest.mark.parametrize("engine", ["litert", "executorch"])
def test_run_prints_the_top_five_and_the_latency(bundle_path, golden, picture, engine):
    done = device("run", bundle_path, picture, "--engine", engine)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert engine in lines[0] and "1 thread" in lines[0]
    assert len(lines) == 7 and best(bundle_path, golden) in lines[1] and "latency: p50" in lines[6]


def test_run_takes_pixels_of_the_models_size_as_they_are(bundle_path, golden, device_cli, tmp_path):
    np.save(tmp_path / "image.npy", golden.inputs[0][0])
    found = json.loads(device_cli("run", bundle_path, tmp_path / "image.npy", "--json", "--top", 2, "--calls", 3))
    assert [set(row) for row in found["results"]] == [{"label", "score"}] * 2
    assert found["results"][0]["label"] == best(bundle_path, golden) and found["latency_ms"]["p50"] > 0


@pytest.fixture(scope="module")
def zoo(root):
    """The folder of bundles that ship with the package."""
    return root / "sdk/edgestill/zoo"


@pytest.fixture(scope="module")
def digits(zoo):
    """A bundle that hears spoken digits, at 8,000 Hz."""
    return zoo / "spoken-digits.edge"


def six(digits, rate):
    """int16 (T,): a recording of the digit 6 at any rate, a tone for each mel band as loud as in golden sample 8."""
    bundle = open_bundle(digits)
    golden, processor = bundle.golden(), bundle.manifest.processor
    assert golden.outputs["model.tflite"][0][8].argmax() == bundle.manifest.labels.index("6")
    time = np.arange(round(processor.seconds * rate)) / rate
    # Bands lie evenly on the mel scale, and a window's level is that of its middle: see processing/audio.py.
    lowest, highest = (2595 * np.log10(1 + hertz / 700) for hertz in (processor.lowest, processor.rate / 2))
    centers = 700 * (10 ** (np.linspace(lowest, highest, processor.height + 2)[1:-1] / 2595) - 1)
    middles = processor.window / 2 + processor.step * np.arange(processor.width)
    samples = np.zeros(len(time))
    for number, (hertz, row) in enumerate(zip(centers, golden.inputs[0][8, :, :, 0], strict=True)):
        level = np.interp(time, middles, row / 255)
        loudness = np.where(level > 0, 10 ** (processor.decibels * (level - 1) / 20), 0)
        samples += loudness * np.sin(2 * np.pi * hertz * time + number**2)
    return np.round(30_000 * samples / np.abs(samples).max()).astype(np.int16)


def write_wav(path, samples, rate):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def scores(predictions):
    """As the command line prints them."""
    return [{"label": label, "score": round(score, 4)} for label, score in predictions]


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_run_hears_a_recording_of_any_rate_as_the_model_does(digits, device_cli, tmp_path, rate):
    """A WAV, which says its rate, and samples of which `--rate` says it."""
    samples = six(digits, rate)
    file = write_wav(tmp_path / "six.wav", samples, rate)
    np.save(tmp_path / "six.npy", samples)
    of_file = device_cli("run", digits, file, "--json", "--calls", 1, "--top", 10)
    of_samples = device_cli("run", digits, tmp_path / "six.npy", "--rate", rate, "--json", "--calls", 1, "--top", 10)
    with load(digits) as model:
        heard = model.predict(file)
        assert model.predict(samples, rate=rate) == heard
        logits = model.logits(samples, rate=rate)[0].astype(np.float64)
    softmax = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    np.testing.assert_allclose([score for _, score in heard], np.sort(softmax)[::-1], atol=1e-6)
    assert json.loads(of_file)["results"] == json.loads(of_samples)["results"] == scores(heard)
    assert heard[0].label == "6" and heard[0].score > 0.9


# `python -m edgestill_runtime` where neither Pillow nor soundfile can be imported.
NUMPY_ALONE = """
import sys
sys.modules["PIL"] = sys.modules["soundfile"] = None
from edgestill_runtime.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize("kind", ["recording", "frame"])
def test_run_of_a_wav_and_of_a_frame_needs_numpy_alone(zoo, digits, tmp_path, kind):
    """A frame in colour, larger than the model's images: it is made grey and resized as the model does it here."""
    if kind == "recording":
        bundle, source = digits, write_wav(tmp_path / "six.wav", six(digits, 16_000), 16_000)
    else:
        bundle, source = zoo / "fashion-mnist-resnet8.edge", tmp_path / "frame.npy"
        np.save(source, np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8))
    command = [sys.executable, "-c", NUMPY_ALONE, "run", bundle, source, "--json", "--calls", "1", "--top", "10"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with load(bundle) as model:
        assert json.loads(done.stdout)["results"] == scores(model.predict(source))


def test_run_of_a_bare_file_is_isolated_unless_it_is_trusted(programs, tmp_path):
    for name, value in (("left", [[1, 2]]), ("right", [[10, 20]])):
        np.save(tmp_path / f"{name}.npy", np.array(value, np.float32))
    arrays = (tmp_path / "left.npy", tmp_path / "right.npy")
    done = device("run", programs / "pair.pte", *arrays)
    assert done.returncode == 0, done.stderr
    assert "isolated" in done.stdout and "value 22.0" in done.stdout and "value -18.0" in done.stdout
    assert "isolated" not in device("run", programs / "pair.pte", *arrays, "--in-process").stdout


@pytest.fixture(scope="module")
def two_outputs(bundle_path, tmp_path_factory):
    """Bundles of the demo's float file with the input of its last layer as a second output: with and without processor.

    From the flatbuffer, where that is the only way to a file of an image and two outputs without an exporter.
    """
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import Builder

    folder, bundle = tmp_path_factory.mktemp("outputs"), open_bundle(bundle_path)
    name = "model.fp32.tflite"
    tree = schema.ModelT.InitFromPackedBuf(bundle.read(name), 0)
    graph = tree.subgraphs[0]
    graph.outputs = [graph.outputs[0], graph.operators[-1].inputs[0]]
    tree.signatureDefs = None
    builder = Builder(1 << 16)
    builder.Finish(tree.Pack(builder), b"TFL3")
    content = bytes(builder.Output())
    (folder / name).write_bytes(content)
    with load(folder / name) as model:
        entry = replace(bundle.manifest.models[name], outputs=model.outputs)
    manifest = replace(bundle.manifest, models={name: entry}, labels=(), task="tensors")
    write_bundle(folder / "image.edge", manifest, {name: content})
    write_bundle(folder / "tensors.edge", replace(manifest, processor=None), {name: content})
    return folder


def test_run_of_several_outputs_prints_each(two_outputs, picture):
    words = (two_outputs / "image.edge", picture, "--precision", "fp32", "--json", "--calls", 1, "--top", 2)
    done = device("run", *words)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["results"]
    assert [row["shape"] for row in rows if "shape" in row] == [[1, 10], [1, 96]] and len(rows) == 6
    with load(two_outputs / "image.edge", precision="fp32") as model:
        logits, features = model.outputs_of((model.pixels(picture),))
    assert [rows[1]["index"], rows[4]["index"]] == [logits.argmax(), features.argmax()]


def test_a_bundle_without_a_processor_is_not_called_a_bare_file(two_outputs, picture, tmp_path):
    words = ("--precision", "fp32", "--calls", 1)
    done = device("run", two_outputs / "tensors.edge", picture, *words)
    assert done.returncode == 1
    assert "this bundle's model takes float32 (1, 28, 28, 1), and nothing says how an image becomes that" in done.stderr
    assert "bare" not in done.stderr and "load a bundle" not in done.stderr
    np.save(tmp_path / "x.npy", np.zeros((1, 1, 28, 28), np.float32))
    assert device("run", two_outputs / "tensors.edge", tmp_path / "x.npy", *words).returncode == 0


def test_values_that_are_not_finite_are_null_in_json(programs, tmp_path):
    np.save(tmp_path / "x.npy", np.array([[3e38, 1]], np.float32))
    done = device("run", programs / "pair.pte", *[tmp_path / "x.npy"] * 2, "--json", "--calls", 1, "--in-process")
    assert "Infinity" not in done.stdout and "Warning" not in done.stderr
    assert [row["value"] for row in json.loads(done.stdout)["results"] if "value" in row] == [None, 2.0, 0.0, 0.0]


def test_selftest_passes_and_fails(bundle_path, bundle_copy):
    done = device("selftest", bundle_path)
    assert done.returncode == 0 and done.stdout.count("as recorded") == 4 and "passed" in done.stdout
    bundle = open_bundle(bundle_copy)
    golden = bundle.golden()
    shifted = Golden(golden.inputs, {name: (outputs[0] + np.float32(1),) for name, outputs in golden.outputs.items()})
    contents = {name: bundle.read(name) for name in bundle.files} | {GOLDEN: golden_npz(shifted)}
    write_bundle(bundle_copy, bundle.manifest, contents, overwrite=True)
    differing = device("selftest", bundle_copy)
    assert differing.returncode == 1 and "DIFFERENT" in differing.stdout and "FAILED" in differing.stdout
    (bundle_copy / "model.pte").write_bytes(b"else")
    damaged = device("selftest", bundle_copy)
    assert damaged.returncode == 1 and "changed: model.pte" in damaged.stderr


@pytest.mark.parametrize(("option", "value"), [("--calls", "0"), ("--top", "-1"), ("--threads", "0"), ("--rate", "x")])
def test_counts_that_are_none_are_wrong_usage(option, value):
    done = device("run", "any.edge", "any.npy", f"{option}={value}")
    assert done.returncode == 2
    message = f"argument {option}: must be a whole number from 1, not {value!r}"
    assert done.stderr.strip().splitlines()[-1].endswith(message)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "BUNDLE", "nothing.png"), "nothing.png"),
        (("run", "BUNDLE", "TEXT"), "is no image in a format that Pillow knows"),
        (("run", "BUNDLE", "WRONG"), "an image must be uint8"),
        (("run", "BUNDLE", "WRONG", "WRONG"), "one photo or recording at a time, not 2"),
        (("run", "BARE", "TEXT"), "nothing says how an image becomes that"),
        (("run", "BUNDLE", "WRONG", "--engine", "onnx"), "unknown engine 'onnx'"),
        (("selftest", "BARE"), "is a bare file, with nothing to test it against"),
        (("info", "nothing.edge"), "does not exist"),
        (("info", "TEXT"), "neither a bundle directory nor"),
    ],
)
def test_mistakes_are_answered_in_a_line(bundle_path, tmp_path, words, message):
    (tmp_path / "x.png").write_bytes(b"no picture")
    np.save(tmp_path / "x.npy", np.zeros((5, 5), np.float32))
    places = {"BUNDLE": bundle_path, "BARE": bundle_path / "model.tflite", "TEXT": tmp_path / "x.png"}
    places["WRONG"] = tmp_path / "x.npy"
    done = device(*(places.get(word, word) for word in words))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]  # LiteRT says on standard error that it is there
    assert last.startswith("error: ") and message in last
