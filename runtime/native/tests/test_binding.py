"""The binding against torch's own answers; also run under the sanitizers and on emulated ARM."""

import gc
import logging
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from edgestill_executorch import (
    ExecuTorchError,
    NotFiniteError,
    Program,
    ScalarInfo,
    TensorInfo,
    get_threads,
    set_threads,
)


@pytest.fixture(scope="module")
def answers(programs):
    with np.load(programs / "answers.npz") as arrays:
        return dict(arrays)


@pytest.fixture
def net(programs):
    with Program(programs / "net.pte") as program:
        yield program.load_method()


def close(result, expected):
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_a_file_and_its_bytes_answer_as_torch_did(programs, answers):
    path = programs / "net.pte"
    content = path.read_bytes()
    for source in (path, str(path), content, bytearray(content), memoryview(b"?" + content)[1:]):
        with Program(source) as program, program.load_method() as method:
            (result,) = method.run(answers["net/in"])
            assert result.dtype == np.float32 and result.shape == (1, 5)
            close(result, answers["net/out"])


def test_every_dtype_goes_in_and_out(programs, answers):
    with Program(programs / "types.pte") as program, program.load_method() as method:
        assert [info.dtype.name for info in method.inputs] == ["float32", "int8", "uint8", "int32", "int64", "bool"]
        assert [info.shape for info in method.inputs] == [(2, 3), (2,), (2,), (1,), (1,), (2,)]
        results = method.run(*(answers[f"types/in/{index}"] for index in range(6)))
        assert len(results) == 6
        for index, result in enumerate(results):
            assert result.dtype == answers[f"types/out/{index}"].dtype
            np.testing.assert_array_equal(result, answers[f"types/out/{index}"])


def test_a_file_says_what_its_tensors_are(net):
    (image,), (logits,) = net.inputs, net.outputs
    assert image == TensorInfo(
        image.name, (1, 3, 8, 8), np.dtype("float32"), (0, 1, 2, 3), dynamic=False, planned=True, nbytes=768
    )
    assert (logits.shape, logits.nbytes) == ((1, 5), 20)
    assert net.planned_bytes >= image.nbytes + logits.nbytes


@pytest.mark.parametrize("name", ["dynamic.pte", "dynamic-unplanned.pte"])
def test_dynamic_shapes_up_to_their_bound(programs, answers, name):
    with Program(programs / name) as program, program.load_method() as method:
        assert method.inputs[0].dynamic and method.inputs[0].shape == (16, 4)
        for rows in (1, 16, 3, 7):
            (result,) = method.run(answers["dynamic/in"][:rows])
            close(result, answers["dynamic/out"][:rows])
        room = np.zeros((16, 3), np.float32)
        (view,) = method.run(answers["dynamic/in"][:2], out=[room])
        assert view.shape == (2, 3) and np.shares_memory(view, room)
        close(room[:2], answers["dynamic/out"][:2])
        for wrong in (np.zeros((17, 4), np.float32), np.zeros((2, 5), np.float32), np.zeros(4, np.float32)):
            with pytest.raises(ValueError, match=r"input 0 has shape .*; the method takes at most \(16, 4\)"):
                method.run(wrong)


def test_several_methods_and_constants(programs, answers):
    with Program(programs / "methods.pte") as program:
        assert set(program.methods) == {"first", "second", "classes", "scale", "quantized"}
        constants = {name: program.load_method(name) for name in ("classes", "scale", "quantized")}
        assert constants["classes"].outputs == (ScalarInfo(int),)
        assert {name: method.run() for name, method in constants.items()} == {
            "classes": (5,), "scale": (0.25,), "quantized": (True,),
        }  # fmt: skip
        first, second = program.load_method("first"), program.load_method("second")
        close(first.run(np.array([41], np.float32))[0], [42])
        close(second.run(answers["net/in"])[0], answers["net/out"])
        with pytest.raises(ValueError, match="has no method 'third'; it has .*first"):
            program.load_method("third")


@pytest.mark.parametrize("name", ["net.pte", "unplanned.pte"])
def test_outputs_go_into_the_callers_array(programs, answers, name):
    with Program(programs / name) as program, program.load_method() as method:
        mine = np.full((1, 5), np.nan, np.float32)
        (result,) = method.run(answers["net/in"], out=[mine])
        assert result is mine
        close(mine, answers["net/out"])
        kept = mine.copy()
        # Without `out` the next call must not touch what belongs to the caller.
        (other,) = method.run(answers["net/in"] * 2)
        np.testing.assert_array_equal(mine, kept)
        assert not np.shares_memory(other, mine) and not np.array_equal(other, mine)


def test_without_a_plan_the_engine_reads_and_writes_the_callers_memory(programs):
    with Program(programs / "unplanned.pte") as program, program.load_method() as method:
        assert not method.inputs[0].planned and not method.outputs[0].planned
        with Program(programs / "net.pte") as other, other.load_method() as planned:
            assert method.planned_bytes <= planned.planned_bytes - 768


@pytest.mark.parametrize("out", [
    [np.zeros((1, 4), np.float32)], [np.zeros((1, 5), np.float64)], [np.zeros((5, 1), np.float32).T[:, ::-1]],
    [np.broadcast_to(np.float32(0), (1, 5))], [], [[0.0] * 5],
])  # fmt: skip
def test_arrays_that_cannot_hold_the_output_are_refused(net, answers, out):
    with pytest.raises(ValueError, match="out"):
        net.run(answers["net/in"], out=out)


def test_channels_last_files_take_the_shape_they_say(programs, answers):
    with Program(programs / "channels-last.pte") as program, program.load_method() as method:
        assert method.inputs[0].dim_order == (0, 2, 3, 1) and method.inputs[0].shape == (1, 3, 8, 8)
        image = answers["net/in"]
        close(method.run(image)[0], answers["net/out"])
        lying_so = np.ascontiguousarray(image.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        close(method.run(lying_so)[0], answers["net/out"])


def test_other_strides_give_the_same_answer(net, answers):
    image = answers["net/in"]
    for odd in (np.asfortranarray(image), np.repeat(image, 2, axis=3)[..., ::2], image[:, ::-1][:, ::-1]):
        close(net.run(odd)[0], answers["net/out"])
    frozen = image.copy()
    frozen.flags.writeable = False
    close(net.run(frozen)[0], answers["net/out"])


def test_wrong_inputs_are_refused_and_leave_nothing_behind(net, answers):
    image = answers["net/in"]
    for wrong, error, message in (
        ((), ValueError, "takes 1 inputs, not 0"),
        ((image, image), ValueError, "takes 1 inputs, not 2"),
        ((image.tolist(),), TypeError, r"input 0 is a float32 array of shape \(1, 3, 8, 8\), not list"),
        ((image.astype(np.float64),), TypeError, "input 0 is float32, not float64"),
        ((image.astype(">f4"),), TypeError, "input 0 is float32, not >f4"),
        ((image[0],), ValueError, r"input 0 has shape \(3, 8, 8\); the method takes \(1, 3, 8, 8\)"),
        ((image.transpose(0, 2, 3, 1),), ValueError, "input 0 has shape"),
    ):
        with pytest.raises(error, match=message):
            net.run(*wrong)
    close(net.run(image)[0], answers["net/out"])


@pytest.mark.parametrize("name", ["net.pte", "unplanned.pte", "channels-last.pte"])
def test_nan_and_infinity_are_refused_where_that_is_asked_for(programs, answers, name):
    image = answers["net/in"]
    with Program(programs / name) as program:
        with program.load_method(check_finite=True) as careful:
            for value in (np.nan, np.inf, -np.inf):
                for place in (0, 100, image.size - 1):
                    bad = image.copy()
                    bad.flat[place] = value
                    with pytest.raises(NotFiniteError, match="not finite"):
                        careful.run(bad)
                close(careful.run(image)[0], answers["net/out"])
            largest = np.full_like(image, np.finfo(np.float32).max)
            careful.run(largest)  # large, and finite
        with program.load_method() as method:
            assert not np.isfinite(method.run(np.full_like(image, np.nan))[0]).all()


@pytest.mark.parametrize("content", [b"", b"x", b"not a program" * 100, bytes(4096)])
def test_what_is_no_program_is_refused(content, tmp_path):
    with pytest.raises(ExecuTorchError) as caught:
        Program(content)
    assert caught.value.name in ("InvalidProgram", "InvalidArgument")
    (tmp_path / "x.pte").write_bytes(content)
    with pytest.raises(ExecuTorchError, match=r"cannot load .*x\.pte"):
        Program(tmp_path / "x.pte")


def test_a_path_that_is_no_file_is_pythons_own_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.pte"):
        Program(tmp_path / "nothing.pte")
    with pytest.raises(IsADirectoryError):
        Program(tmp_path)


def test_half_a_program_is_refused(programs):
    content = (programs / "net.pte").read_bytes()
    with pytest.raises((ExecuTorchError, ValueError)), Program(content[: len(content) // 2]) as program:
        program.load_method()


def test_the_engines_log_goes_to_logging(caplog, capfd):
    with caplog.at_level(logging.DEBUG, logger="edgestill_executorch"), pytest.raises(ExecuTorchError) as caught:
        Program(b"not a program" * 100)
    assert caught.value.log and "identifier" in str(caught.value)
    assert caught.value.log[0] in caplog.text
    assert capfd.readouterr() == ("", "")


def test_closing_in_any_order_and_twice(programs, answers):
    program = Program((programs / "net.pte").read_bytes())
    method = program.load_method()
    program.close()
    program.close()
    with pytest.raises(ValueError, match="was closed"):
        program.load_method()
    del program
    gc.collect()
    close(method.run(answers["net/in"])[0], answers["net/out"])
    method.close()
    method.close()
    with pytest.raises(ValueError, match="'forward' was closed"):
        method.run(answers["net/in"])


def test_opening_and_closing_a_thousand_times_keeps_no_memory(programs, answers):
    def resident():
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    content = (programs / "net.pte").read_bytes()

    def use():
        with Program(content) as program, program.load_method() as method:
            method.run(answers["net/in"])

    for _ in range(100):
        use()
    before = resident()
    for _ in range(1000):
        use()
    # Anything of the file's size that was kept each time would be more than 4 MB.
    assert resident() - before < 2e6


def test_one_method_serves_many_threads(net, answers):
    images = np.random.default_rng(0).normal(size=(32, 1, 3, 8, 8)).astype(np.float32)
    expected = [net.run(image)[0] for image in images]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda number: (number % 32, net.run(images[number % 32])[0]), range(400)))
    for number, result in results:
        np.testing.assert_array_equal(result, expected[number])


def test_threads_of_the_process(programs, answers):
    with Program(programs / "net.pte") as program:
        with program.load_method(threads=3) as pooled:
            assert get_threads() == 3
            # One thread needs no pool, so it goes beside any other number; a third number would pull it away.
            with program.load_method(threads=1) as alone, program.load_method(threads=3) as also:
                for method in (pooled, alone, also):
                    close(method.run(answers["net/in"])[0], answers["net/out"])
            with pytest.raises(ValueError, match="pool of 3 threads is open; close it before asking for 2"):
                program.load_method(threads=2)
        with program.load_method(threads=2) as method:
            assert get_threads() == 2
            close(method.run(answers["net/in"])[0], answers["net/out"])
        for wrong in (0, -1):
            with pytest.raises(ValueError, match="at least 1"):
                set_threads(wrong)


def test_other_threads_run_while_a_method_does(net, answers):
    """Python never takes the GIL away here: the other thread moves only if the call itself lets go of it."""
    counted, stop = [0], threading.Event()

    def count():
        while not stop.is_set():
            counted[0] += 1
            time.sleep(0)

    interval, image, moved = sys.getswitchinterval(), answers["net/in"], False
    sys.setswitchinterval(1000)
    thread = threading.Thread(target=count)
    thread.start()
    try:
        for _ in range(100_000):
            before = counted[0]
            net.run(image)
            if moved := counted[0] > before:
                break
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(interval)
    assert moved


def test_importing_needs_numpy_alone():
    code = (
        "import sys, edgestill_executorch\n"
        "print(sorted({'torch', 'executorch', 'executorch_numpy_runtime'} & set(sys.modules)))"
    )
    # Under emulation Python is not a program that this machine can start by itself.
    python = os.environ.get("EDGESTILL_PYTHON", sys.executable)
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


BOTH = """
import sys, numpy
image = numpy.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(numpy.float32)

def ours():
    from edgestill_executorch import Program
    return Program(sys.argv[1]).load_method().run(image)[0]

def official():
    import torch
    from executorch.extension.pybindings import _C
    content = open(sys.argv[1], "rb").read()
    program = _C._load_program_from_buffer(content)
    method = program.load_method("forward")
    return method([torch.from_numpy(image)])[0].numpy().copy()

order = [ours, official] if sys.argv[2] == "ours" else [official, ours]
one, two = [function() for function in order]
assert (one == two).all(), (one, two)
assert (order[0]() == two).all()
"""


@pytest.mark.skipif(bool(os.environ.get("EDGESTILL_TEST_PROGRAMS")), reason="needs the official package")
def test_both_runtimes_live_in_one_process(programs):
    """The same libraries under two names, whichever comes first."""
    started = {
        first: subprocess.Popen(
            [sys.executable, "-c", BOTH, programs / "net.pte", first], stderr=subprocess.PIPE, text=True
        )
        for first in ("ours", "official")
    }
    for first, process in started.items():
        _, message = process.communicate()
        assert process.returncode == 0, f"{first} first: {message}"


def test_a_traced_run_tells_what_it_spent_its_time_on(programs, answers):
    with Program(programs / "net.pte") as program, program.load_method(trace=True) as method:
        assert method.events() == ()  # those of loading are not kept
        method.run(answers["net/in"])
        events = method.events()
        assert (events[0].name, events[0].delegated) == ("Method::execute", False)
        delegated = [event for event in events if event.delegated]
        assert any("Convolution" in event.name for event in delegated)
        assert any("Fully Connected" in event.name for event in delegated)
        end = events[0].start_ns + events[0].duration_ns
        assert all(events[0].start_ns <= event.start_ns <= end for event in events)
        method.run(answers["net/in"])
        again = method.events()
        assert [event.name for event in again] == [event.name for event in events], "those of one run, the last"
        assert again[0].start_ns > end
    with pytest.raises(ValueError, match="closed"):
        method.events()


def test_kernels_outside_a_backend_are_named(programs, answers):
    with Program(programs / "types.pte") as program, program.load_method(trace=True) as method:
        method.run(*(answers[f"types/in/{index}"] for index in range(6)))
        names = [event.name for event in method.events()]
    assert any(name.startswith("native_call_") for name in names), names


def test_without_trace_nothing_is_kept(net, answers):
    net.run(answers["net/in"])
    assert net.events() == ()
