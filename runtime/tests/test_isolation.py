"""What an engine does in its own process stays there."""

import gc
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from edgestill_runtime import (
    EngineCrashError,
    EngineError,
    EngineMemoryError,
    EngineTimeoutError,
    InputError,
    Limits,
    load,
)

ENGINES = ("litert", "executorch")
BLANK = np.zeros((28, 28), np.uint8)


@pytest.fixture(params=ENGINES)
def model(request, bundle_path):
    with load(bundle_path, engine=request.param, isolated=True) as loaded:
        yield loaded


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] not in "ZX"
    except FileNotFoundError:
        return False


def test_the_same_answers_as_in_this_process(model, bundle_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 28, 28, 1)).astype(np.uint8)
    with load(bundle_path, engine=model.engine.partition(" ")[0]) as here:
        np.testing.assert_array_equal(model.logits(images), here.logits(images))
    assert model.engine.endswith(", isolated") and model.threads == 1


def test_wrong_inputs_are_refused_on_this_side(model):
    pid = model._engine.pid
    with pytest.raises(InputError, match="takes"):
        model.invoke(np.zeros((1, 2), np.float32))
    assert model._engine.pid == pid


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGKILL])
def test_a_crash_is_an_error_that_names_the_signal(model, number):
    expected = model.logits(BLANK)
    os.kill(model._engine.pid, number)
    with pytest.raises(EngineCrashError, match=f"was ended by {number.name}; this process is unharmed") as caught:
        model.logits(BLANK)
    assert caught.value.signal == number.name
    # The next call starts afresh.
    np.testing.assert_array_equal(model.logits(BLANK), expected)


def test_a_hang_ends_at_the_time_limit(bundle_path):
    with load(bundle_path, isolated=Limits(call_seconds=0.3)) as model:
        expected = model.logits(BLANK)
        pid = model._engine.pid
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(EngineTimeoutError, match=r"gave no answer in 0\.3 s and was ended"):
            model.logits(BLANK)
        assert not alive(pid)
        np.testing.assert_array_equal(model.logits(BLANK), expected)


def test_memory_beyond_the_limit_ends_it(bundle_path):
    """Fifteen megabytes are not even enough for Python with numpy."""
    with pytest.raises(EngineMemoryError, match="more than the 15,000,000 that it may"):
        load(bundle_path, isolated=Limits(memory_bytes=15_000_000))


def test_what_grows_between_two_looks_meets_a_wall(bundle_path, tmp_path, programs):
    """A plan of many gigabytes, as a damaged file may ask for, is refused by the kernel, and that is named."""
    with pytest.raises(EngineMemoryError, match="memory"):
        load(programs / "huge.pte", isolated=Limits(memory_bytes=300_000_000))


def test_a_file_that_the_engine_refuses_is_an_ordinary_error(tmp_path):
    (tmp_path / "x.tflite").write_bytes(b"not a model" * 100)
    with pytest.raises(EngineError, match="LiteRT cannot load this file") as caught:
        load(tmp_path / "x.tflite", isolated=True)
    assert type(caught.value) is EngineError


def test_close_ends_the_child_and_leaves_no_descriptor(bundle_path):
    gc.collect()  # what earlier tests left behind
    before = {path.name for path in Path("/proc/self/fd").iterdir()}
    model = load(bundle_path, isolated=True)
    pid = model._engine.pid
    model.logits(BLANK)
    model.close()
    model.close()
    assert not alive(pid)
    assert {path.name for path in Path("/proc/self/fd").iterdir()} == before
    with pytest.raises(EngineError, match="was closed"):
        model.logits(BLANK)


def test_several_threads_share_an_isolated_model(model):
    expected = model.logits(BLANK)
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: model.logits(BLANK), range(120)):
            np.testing.assert_array_equal(result, expected)


def test_the_child_goes_when_its_parent_is_killed(bundle_path):
    code = (
        "import sys; from edgestill_runtime import load\n"
        f"model = load({str(bundle_path)!r}, isolated=True)\n"
        "print(model._engine.pid, flush=True); sys.stdin.read()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    pid = int(parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while alive(pid) and time.monotonic() < deadline:
        os.sched_yield()
    assert not alive(pid)


def test_bundles_are_checked_before_a_child_is_started(bundle_copy):
    content = bytearray((bundle_copy / "model.tflite").read_bytes())
    content[100] ^= 1
    (bundle_copy / "model.tflite").write_bytes(content)
    from edgestill_runtime import BundleIntegrityError

    with pytest.raises(BundleIntegrityError):
        load(bundle_copy, engine="litert", isolated=True)
