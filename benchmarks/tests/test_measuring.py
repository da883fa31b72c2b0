import json
import subprocess
import sys
import time

import numpy as np
import pytest

from edgestill_benchmarks import (
    accuracy,
    accuracy_per_class,
    agreement,
    confusion_matrix,
    describe_machine,
    measure,
    measure_latency,
    peak_bytes,
    standard_error,
    usable_cores,
)
from edgestill_benchmarks.machine import busy_share
from edgestill_runtime import open_bundle

LOGITS = np.array([[2, 1, 0], [0, 1, 2], [0, 3, 1], [5, 0, 0]], np.float32)  # chooses 0, 2, 1, 0
LABELS = np.array([0, 1, 1, 0])


def test_accuracy_by_hand():
    assert accuracy(LOGITS, LABELS) == 0.75


def test_agreement_by_hand():
    assert agreement(LOGITS, LOGITS[:, ::-1]) == 0.25  # the third row alone
    assert agreement(LOGITS, LOGITS * 3) == 1


def test_the_standard_error_counts_samples_on_which_one_is_right():
    # Right: 1 1 0 1 0 and 1 0 1 1 0: differences 0 1 -1 0 0, mean 0, standard deviation √(2/5); divided by √5.
    labels = np.zeros(5, np.int64)
    first, second = (np.eye(2, dtype=np.float32)[wrong] for wrong in ([0, 0, 1, 0, 1], [0, 1, 0, 0, 1]))
    assert standard_error(first, second, labels) == pytest.approx(np.sqrt(2 / 5) / np.sqrt(5))


def test_confusion_has_true_rows_and_chosen_columns():
    assert confusion_matrix(LOGITS, LABELS).tolist() == [[2, 0, 0], [0, 1, 1], [0, 0, 0]]
    per_class = accuracy_per_class(LOGITS, LABELS)
    assert per_class[:2].tolist() == [1.0, 0.5] and np.isnan(per_class[2])


def test_every_function_gets_its_calls_and_its_first_is_apart():
    seen = []

    def slow_at_first():
        time.sleep(0 if seen else 0.05)
        seen.append(1)

    result = measure_latency({"a": slow_at_first, "b": lambda: None}, min_calls=50, min_seconds=0.05)
    assert result.keys() == {"a", "b"}
    for latency in result.values():
        assert latency.calls >= 50
        assert latency.min <= latency.p50 <= latency.p90 <= latency.p99
    # The first call slept; it stands apart and is in none of the others.
    assert result["a"].first >= 50 > result["a"].p99


def test_files_take_turns():
    order = []
    calls = {name: (lambda name=name: order.append(name)) for name in "ab"}
    measure_latency(calls, min_calls=1, min_seconds=0.25)
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


def test_peak_memory_grows_with_what_is_used():
    before = peak_bytes()
    block = np.ones(64 * 2**20, np.uint8)
    assert peak_bytes() >= before + 0.5 * block.nbytes or before > 2 * block.nbytes


def test_a_bundle_is_measured_file_by_file(bundle_path):
    measurement = measure(open_bundle(bundle_path), threads=1, min_calls=20, min_seconds=0.05).to_json()
    assert {one["file"] for one in measurement["files"]} == {
        "model.pte", "model.tflite", "model.fp32.pte", "model.fp32.tflite",
    }  # fmt: skip
    assert all(one["latency_ms"]["calls"] >= 20 for one in measurement["files"])


def device(*words, **more):
    command = [sys.executable, "-m", "edgestill_benchmarks", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


def test_a_device_measures_and_prints_json(bundle_path, tmp_path):
    done = device("measure", bundle_path, "--threads", "all", "--min-calls", 10, "--min-seconds", 0.02)
    assert done.returncode == 0, done.stderr
    assert {one["threads"] for one in json.loads(done.stdout)["files"]} == {usable_cores()}
    output = tmp_path / "memory.json"
    assert device("memory", bundle_path, "--file", "model.tflite", "--output", output).returncode == 0
    memory = json.loads(output.read_text())
    assert 0 < memory["before_bytes"] < memory["peak_bytes"]


def test_a_damaged_bundle_is_not_measured(bundle_copy):
    (bundle_copy / "extra.bin").write_bytes(b"x")
    done = device("measure", bundle_copy)
    assert done.returncode == 1
    assert "extra: extra.bin" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words", [("measure", "--threads", "two"), ("memory", "--file", "nothing.pte"), ("memory", "--file", "golden.npz")]
)
def test_wrong_arguments_are_errors_without_a_traceback(bundle_path, words):
    done = device(words[0], bundle_path, *words[1:])
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
