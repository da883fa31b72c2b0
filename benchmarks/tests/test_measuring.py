import json
import math
import re
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from edgestill_benchmarks import (
    MLPERF,
    Rule,
    accuracy,
    describe_machine,
    evaluate_samples,
    measure,
    measure_latency,
    measurement_identity,
    standard_error,
    usable_cores,
)
from edgestill_benchmarks.machine import busy_share
from edgestill_runtime import EdgestillError, EngineError, InputError, load, open_bundle, write_bundle

LOGITS = np.array([[2, 1, 0], [0, 1, 2], [0, 3, 1], [5, 0, 0]], np.float32)  # chooses 0, 2, 1, 0
LABELS = np.array([0, 1, 1, 0])


def test_accuracy_by_hand():
    assert accuracy(LOGITS, LABELS) == 0.75


def test_nan_is_never_right():
    # argmax takes NaN for the largest: the first row would be class 0, as its label says.
    logits = np.array([[np.nan, 0], [0, 1]], np.float32)
    assert accuracy(logits, np.array([0, 1])) == 0.5


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (LOGITS[:0], LABELS[:0]),
        (LOGITS, LABELS[:, None]),  # would be compared each with each
        (LOGITS, LABELS[:3]),
        (LOGITS[:, 0], LABELS),
        (LOGITS[:, :, None], LABELS),
    ],
)
def test_an_accuracy_of_nothing_or_of_other_shapes_is_refused(logits, labels):
    with pytest.raises(InputError):
        accuracy(logits, labels)
    with pytest.raises(InputError):
        standard_error(LOGITS, logits, labels)


def test_the_standard_error_counts_samples_on_which_one_is_right():
    # Right: 1 1 0 1 0 and 1 0 1 1 0: differences 0 1 -1 0 0, mean 0, standard deviation √(2/5); divided by √5.
    labels = np.zeros(5, np.int64)
    first, second = (np.eye(2, dtype=np.float32)[wrong] for wrong in ([0, 0, 1, 0, 1], [0, 1, 0, 0, 1]))
    assert standard_error(first, second, labels) == pytest.approx(np.sqrt(2 / 5) / np.sqrt(5))


def test_every_function_gets_its_calls_and_its_first_is_apart():
    seen = []

    def slow_at_first():
        time.sleep(0 if seen else 0.05)
        seen.append(1)

    result = measure_latency({"a": slow_at_first, "b": lambda: None}, Rule(min_calls=50, min_seconds=0.05))
    assert result.keys() == {"a", "b"}
    for latency in result.values():
        assert latency.calls >= 50
        assert latency.min <= latency.p50 <= latency.p90 <= latency.p99
    # The first call slept; it stands apart and is in none of the others.
    assert result["a"].first >= 50 > result["a"].p99


def test_files_take_turns():
    order = []
    calls = {name: (lambda name=name: order.append(name)) for name in "ab"}
    measure_latency(calls, Rule(min_calls=1, min_seconds=0.25))
    turns = [name for position, name in enumerate(order) if position == 0 or order[position - 1] != name]
    assert turns[:2] == ["a", "b"] and len(turns) >= 6


def test_the_machine_is_described():
    machine = describe_machine()
    assert machine["cores"] == usable_cores() >= 1
    assert machine["cpu"] and machine["memory_bytes"] > 1e8
    assert machine["packages"]["numpy"] == np.__version__
    json.dumps(machine)


def test_other_programs_are_noticed():
    """With a busy process on every core, the cores are found busy while this one sleeps."""
    loop = [sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(loop) for _ in range(usable_cores())]
    try:
        time.sleep(0.3)
        assert busy_share(0.5) > 0.5
    finally:
        for process in busy:
            process.kill()
            process.wait()


def test_peak_memory_grows_with_what_is_used_and_stays():
    code = (
        "import numpy as np; from edgestill_benchmarks import peak_bytes, resident_bytes\n"
        "before = peak_bytes(); block = np.ones(256 * 2**20, np.uint8); del block\n"
        "print(peak_bytes() - before, peak_bytes() - resident_bytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    grown, above = map(int, done.stdout.split())
    assert 200 * 2**20 < grown < 300 * 2**20 and above > 200 * 2**20


def test_a_bundle_is_measured_file_by_file(bundle_path):
    measurement = measure(open_bundle(bundle_path), 1, Rule(min_calls=20, min_seconds=0.05)).to_json()
    assert {one["file"] for one in measurement["files"]} == {
        "model.pte", "model.tflite", "model.fp32.pte", "model.fp32.tflite",
    }  # fmt: skip
    assert all(one["latency_ms"]["calls"] >= 20 for one in measurement["files"])


def test_files_that_were_not_measured_are_named_and_none_is_an_error(bundle_path, monkeypatch):
    bundle, rule = open_bundle(bundle_path), Rule(min_calls=1, min_seconds=0.0, turn_seconds=0.0)
    monkeypatch.setattr("edgestill_benchmarks.measurement.installed_engines", lambda engines: {"litert": "installed"})
    found = measure(bundle, 1, rule)
    assert [one.file for one in found.files] == ["model.fp32.tflite", "model.tflite"]
    assert "model.pte was not measured: executorch is not installed" in found.warnings
    monkeypatch.setattr("edgestill_benchmarks.measurement.installed_engines", lambda engines: {})
    with pytest.raises(EngineError, match="nothing can be run: .* has files for executorch, litert, and none of these"):
        measure(bundle, 1, rule)


def device(*words, **more):
    command = [sys.executable, "-m", "edgestill_benchmarks", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


def test_a_device_measures_everything_and_prints_json(bundle_path, tmp_path):
    images = open_bundle(bundle_path).golden().inputs[0]
    labels = np.zeros(len(images), np.int64)
    np.savez(tmp_path / "samples.npz", images=images, targets=labels)
    limits = ("--min-calls", 10, "--min-seconds", 0.02)
    samples = ("--samples", tmp_path / "samples.npz", "--answers", tmp_path / "answers.npz")
    done = device("measure", bundle_path, "--threads", "1", "--threads", "all", *limits, *samples, "--progress")
    assert done.returncode == 0, done.stderr
    assert "progress 1.000 outputs" in done.stdout
    found = json.loads(done.stdout[done.stdout.index("{\n") :])
    assert found["bundle"]["digest"] == open_bundle(bundle_path).digest()
    outputs = np.load(tmp_path / "answers.npz")
    assert len(found["files"]) == 4
    for file in found["files"]:
        assert [row["threads"] for row in file["threads"]] == sorted({1, usable_cores()})
        assert 0 < file["memory"]["before_bytes"] < file["memory"]["resident_bytes"] <= file["memory"]["peak_bytes"]
        # Starting Python alone takes longer than any call of such a model.
        assert file["cold_start_ms"]["p50"] > max(row["latency_ms"]["p50"] for row in file["threads"])
        assert file["quality"] == {"accuracy": accuracy(outputs[file["file"]], labels)}
    assert found["schema_version"] == 2
    assert found["rule"]["min_calls"] == 10 and found["sensors"].keys() == {"before", "after"}


def test_the_rule_of_mlperf(bundle_path):
    assert (MLPERF.headline, MLPERF.min_calls, MLPERF.min_seconds) == ("p90", 1024, 60.0)
    order = []
    calls = {name: (lambda name=name: order.append(name)) for name in "ab"}
    measure_latency(calls, replace(MLPERF, min_seconds=0.2, turn_seconds=0.2))
    kept = order[order.index("b") :]  # after the warm-up of the first
    turns = [name for place, name in enumerate(kept) if place == 0 or kept[place - 1] != name]
    assert turns == ["b", "a", "b"], "one after the other, not in turns"


def test_a_machine_that_changes_is_told_by_the_halves():
    calls = []

    def slower():
        calls.append(1)
        time.sleep(0.001 if len(calls) < 150 else 0.003)

    rule = Rule(min_calls=300, min_seconds=0.0)
    assert measure_latency({"x": slower}, rule)["x"].drift > 0.5


def test_a_damaged_bundle_is_not_measured(bundle_copy):
    (bundle_copy / "extra.bin").write_bytes(b"x")
    done = device("measure", bundle_copy)
    assert done.returncode == 1
    assert "extra: extra.bin" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "²"])
def test_a_number_of_calls_that_is_none_is_one_clear_line(bundle_path, value):
    done = device("latency", bundle_path, f"--min-calls={value}")
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.endswith(f"argument --min-calls: must be a whole number from 1, not {value!r}")


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "soon"])
def test_a_time_that_is_none_is_one_clear_line(bundle_path, value):
    done = device("latency", bundle_path, f"--min-seconds={value}")
    assert done.returncode == 2 and "must be a number of seconds from 0" in done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    "change", [{"min_calls": 0}, {"min_seconds": -1.0}, {"min_seconds": math.nan}, {"turn_seconds": math.inf}]
)
def test_a_rule_that_measures_nothing_or_never_ends_is_refused(change):
    with pytest.raises(EdgestillError, match=f"{next(iter(change))} must be"):
        Rule(**change)


def test_a_rule_without_time_still_makes_its_calls():
    rule = Rule(min_calls=3, min_seconds=0.0, turn_seconds=0.0)
    assert measure_latency({"a": lambda: None}, rule)["a"].calls == 3


def test_what_a_measurement_depends_on_stays_the_same():
    first, again = measurement_identity(), measurement_identity()
    assert first == again and json.dumps(first)
    assert first["packages"]["numpy"] == np.__version__ and "ai-edge-litert" in first["packages"]
    assert first["cpu"] and first["cores"] == usable_cores() and "governor" not in first


@pytest.mark.parametrize(
    "words", [("measure", "--threads", "two"), ("start", "--file", "nothing.pte"), ("start", "--file", "golden.npz")]
)
def test_wrong_arguments_are_errors_without_a_traceback(bundle_path, words):
    done = device(words[0], bundle_path, *words[1:])
    assert done.returncode != 0
    assert "Traceback" not in done.stderr


def as_task(bundle_path, folder, **changes):
    bundle = open_bundle(bundle_path)
    contents = {name: bundle.read(name) for name in bundle.files}
    return write_bundle(folder / "other.edge", replace(bundle.manifest, **changes), contents)


def evaluated(bundle, folder, **samples):
    """The qualities, and the npz of outputs."""
    np.savez(folder / "samples.npz", **samples)
    found = evaluate_samples(bundle, folder / "samples.npz", folder / "answers.npz")
    with np.load(folder / "answers.npz") as arrays:
        return found, {name: arrays[name] for name in arrays.files}


def test_an_older_host_calls_the_targets_labels(bundle_path, tmp_path):
    bundle = open_bundle(bundle_path)
    images = bundle.golden().inputs[0]
    targets = np.arange(len(images)) % 10
    found, outputs = evaluated(bundle, tmp_path, images=images, labels=targets)
    assert found == evaluated(bundle, tmp_path, images=images, targets=targets)[0]
    # Of both, the targets are what is right.
    assert found == evaluated(bundle, tmp_path, images=images, targets=targets, labels=targets + 1)[0]
    assert found == {name: {"accuracy": accuracy(predicted, targets)} for name, predicted in outputs.items()} != {}


def test_quality_is_by_the_bundles_task(bundle_path, tmp_path):
    names = tuple(f"value {number}" for number in range(10))
    bundle = as_task(bundle_path, tmp_path, task="regression", labels=names, task_settings={"mean": 2, "std": 3})
    images = bundle.golden().inputs[0]
    targets = np.random.default_rng(0).normal(size=(len(images), 10))
    found, outputs = evaluated(bundle, tmp_path, images=images, targets=targets)
    for name, predicted in outputs.items():
        assert found[name]["MAE"] == pytest.approx(np.abs(2 + 3 * predicted.astype(np.float64) - targets).mean())
        assert found[name].keys() == {"R²", "MAE"}
    with pytest.raises(InputError, match="need targets of that shape"):
        evaluated(bundle, tmp_path, images=images, targets=targets[:, :3])


@pytest.mark.parametrize("task", ["tensors", "somebodys-own"])
def test_a_task_without_measures_has_outputs_and_no_quality(bundle_path, tmp_path, task):
    bundle = as_task(bundle_path, tmp_path, task=task, labels=())
    images = bundle.golden().inputs[0]
    found, outputs = evaluated(bundle, tmp_path, images=images, targets=np.zeros((len(images), 4)))
    assert set(found.values()) == {None} and found.keys() == outputs.keys() == set(bundle.manifest.models)


def test_every_output_is_stored(bundle_path, tmp_path):
    """The demo's float file that gives what is before its last layer as well."""
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import Builder

    bundle, name = open_bundle(bundle_path), "model.fp32.tflite"
    tree = schema.ModelT.InitFromPackedBuf(bundle.read(name), 0)
    graph = tree.subgraphs[0]
    graph.outputs = [graph.outputs[0], graph.operators[-1].inputs[0]]
    tree.signatureDefs = None
    builder = Builder(1 << 16)
    builder.Finish(tree.Pack(builder), b"TFL3")
    (tmp_path / name).write_bytes(bytes(builder.Output()))
    with load(tmp_path / name) as model:
        entry = replace(bundle.manifest.models[name], outputs=model.outputs)
    manifest = replace(bundle.manifest, models={name: entry}, labels=(), task="tensors")
    made = write_bundle(tmp_path / "two.edge", manifest, {name: (tmp_path / name).read_bytes()})
    images = bundle.golden().inputs[0][:3]
    found, outputs = evaluated(made, tmp_path, images=images, targets=np.zeros(3, np.int64))
    assert found == {name: None} and outputs.keys() == {f"{name}/0", f"{name}/1"}
    with load(bundle, "litert", precision="fp32") as model:
        np.testing.assert_allclose(outputs[f"{name}/0"], model.logits(images), rtol=1e-5, atol=1e-5)
    assert outputs[f"{name}/1"].shape == (3, 96)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.zeros((2, 28, 28, 1), np.uint8)}, "holds no samples (images and targets in an npz)"),
        ({"images": np.zeros((2, 28, 28, 1), np.uint8), "targets": np.zeros(3)}, "give one target an image"),
        ({"images": np.zeros((0, 28, 28, 1), np.uint8), "targets": np.zeros(0)}, "give one target an image"),
        ({"images": np.uint8(1), "targets": np.zeros(1)}, "give one target an image"),
    ],
)
def test_targets_that_do_not_belong_to_the_images(bundle_path, tmp_path, arrays, message):
    with pytest.raises(InputError, match=re.escape(message)):
        evaluated(open_bundle(bundle_path), tmp_path, **arrays)


def test_samples_that_are_none(bundle_path, tmp_path):
    (tmp_path / "samples.npz").write_bytes(b"no archive")
    done = device("answers", bundle_path, tmp_path / "samples.npz", "--answers", tmp_path / "answers.npz")
    assert done.returncode == 1 and "holds no samples" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "answers.npz").exists()
