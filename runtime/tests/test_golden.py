"""A self-test passes only if at least one file was run and every output matches the recorded one."""

import json

import numpy as np
import pytest

from edgestill_runtime import (
    BundleFormatError,
    Golden,
    Manifest,
    ModelFile,
    load,
    open_bundle,
    replay_golden,
    why_failed,
    write_bundle,
)
from edgestill_runtime.bundle import GOLDEN, golden_npz


def changed(bundle, folder, change):
    """The same bundle with other recorded outputs: `change` of each file's outputs."""
    golden = bundle.golden()
    outputs = {name: change([*one]) for name, one in golden.outputs.items()}
    contents = {name: bundle.read(name) for name in bundle.files} | {GOLDEN: golden_npz(Golden(golden.inputs, outputs))}
    return write_bundle(folder / "changed.edge", bundle.manifest, contents)


def around(program, inputs, folder):
    """A bundle around a program, with what it gives for the inputs as golden samples."""
    content = program.read_bytes()
    with load(program) as model:
        outputs = model.infer(*inputs)
        entry = ModelFile("executorch", "fp32", model.inputs, model.outputs, "test")
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    manifest = Manifest("test", (), None, {program.name: entry}, 0, 0, task="tensors")
    golden = golden_npz(Golden(tuple(inputs), {program.name: outputs}))
    return write_bundle(folder / "test.edge", manifest, {program.name: content, GOLDEN: golden})


@pytest.fixture
def pair(programs, tmp_path):
    """Two inputs, two outputs."""
    inputs = [np.array([[1, 2]], np.float32), np.array([[3, 5]], np.float32)]
    return around(programs / "pair.pte", inputs, tmp_path)


def test_samples_replay_as_recorded(bundle_path):
    replays = replay_golden(open_bundle(bundle_path))
    assert why_failed(replays) is None and [one.passed for one in replays] == [True] * 4


def test_the_second_output_is_compared_too(pair, tmp_path):
    assert why_failed(replay_golden(pair)) is None

    def spoil(value):
        return lambda outputs: [outputs[0], np.where([[True, False]], value, outputs[1]).astype(np.float32)]

    nan = replay_golden(changed(pair, tmp_path, spoil(np.nan)))
    assert "output 1: numbers in 1 of 2 values where the reference has NaN" in why_failed(nan)
    (tmp_path / "more").mkdir()
    other = replay_golden(changed(pair, tmp_path / "more", spoil(7)))
    assert why_failed(other).startswith("pair.pte: DIFFERENT: output 1: 9 (")  # 1 - 3 = -2, not 7


def test_outputs_of_every_dtype_are_compared(programs, tmp_path):
    with np.load(programs / "answers.npz") as arrays:
        inputs = [arrays[f"types/in/{number}"] for number in range(6)]
    bundle = around(programs / "types.pte", inputs, tmp_path)
    assert why_failed(replay_golden(bundle)) is None
    for number in range(6):
        folder = tmp_path / str(number)
        folder.mkdir()

        def spoil(outputs, number=number):
            one = outputs[number].copy()
            one.flat[0] = not one.flat[0] if one.dtype == bool else one.flat[0] + 1
            return [*outputs[:number], one, *outputs[number + 1 :]]

        failure = why_failed(replay_golden(changed(bundle, folder, spoil)))
        assert failure is not None and f"output {number}:" in failure


def test_recorded_outputs_of_another_shape_fail(pair, tmp_path):
    replays = replay_golden(changed(pair, tmp_path, lambda outputs: [outputs[0], outputs[1][:, :1]]))
    assert why_failed(replays) == "pair.pte: DIFFERENT: output 1: shape (1, 2) instead of (1, 1)"


def test_samples_that_the_file_refuses_fail(pair, tmp_path):
    golden = pair.golden()
    inputs = (golden.inputs[0], np.full((1, 2), np.nan, np.float32))
    contents = {name: pair.read(name) for name in pair.files} | {GOLDEN: golden_npz(Golden(inputs, golden.outputs))}
    replays = replay_golden(write_bundle(tmp_path / "nan.edge", pair.manifest, contents))
    assert "not finite" in why_failed(replays)


def test_no_samples_are_no_test(bundle_path, tmp_path):
    bundle = open_bundle(bundle_path)
    golden = bundle.golden()
    none = Golden((golden.inputs[0][:0],), {name: (one[0][:0],) for name, one in golden.outputs.items()})
    contents = {name: bundle.read(name) for name in bundle.files}
    empty = write_bundle(tmp_path / "empty.edge", bundle.manifest, contents | {GOLDEN: golden_npz(none)})
    assert "there is no value to compare" in why_failed(replay_golden(empty))
    del contents[GOLDEN]
    without = write_bundle(tmp_path / "without.edge", bundle.manifest, contents)
    with pytest.raises(BundleFormatError, match="has no file 'golden.npz'"):
        replay_golden(without)


def test_nothing_run_is_a_failure():
    assert why_failed([]) == "nothing was run: no model files"


def test_the_device_command_fails_where_no_engine_is_installed(bundle_path, without_engines):
    code = "from edgestill_runtime.__main__ import main; sys.exit(main())"
    done = without_engines(code, "selftest", bundle_path)
    assert done.returncode == 1, done.stderr
    last = done.stdout.strip().splitlines()[-1]
    assert last == "FAILED: nothing was run: executorch is not installed; litert is not installed"
    assert done.stdout.count("not run: ") == 4
    done = without_engines(code, "selftest", bundle_path, "--json")
    assert done.returncode == 1 and json.loads(done.stdout)["passed"] is False
