"""An isolated engine that crashes, hangs or uses too much memory does not affect this process."""

import gc
import os
import resource
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
from edgestill_runtime.isolation import IsolatedEngine

ENGINES = ("litert", "executorch")
BLANK = np.zeros((28, 28), np.uint8)
WHITE = np.full((28, 28), 255, np.uint8)


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
    with pytest.raises(EngineCrashError, match=f"was ended by {number.name}; this process is not affected") as caught:
        model.logits(BLANK)
    assert caught.value.signal == number.name
    # The next call starts afresh.
    np.testing.assert_array_equal(model.logits(BLANK), expected)


def test_a_hang_ends_at_the_time_limit(bundle_path):
    with load(bundle_path, isolated=Limits(call_seconds=0.3)) as model:
        expected = model.logits(BLANK)
        pid = model._engine.pid
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(EngineTimeoutError, match=r"did not reply within 0\.3 s and was ended"):
            model.logits(BLANK)
        assert not alive(pid)
        np.testing.assert_array_equal(model.logits(BLANK), expected)


def test_memory_beyond_the_limit_ends_it(bundle_path):
    """Fifteen megabytes are not even enough for Python with numpy."""
    with pytest.raises(EngineMemoryError, match="more than the 15,000,000 allowed"):
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


@pytest.fixture
def interrupting():
    """A function that makes a signal raise an exception in this thread, a moment after it was called."""
    before = signal.getsignal(signal.SIGALRM)

    def start(error, moment=0.1):
        def handler(*_):
            raise error

        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, moment)

    # Python drops what is raised in a callback of its garbage collector, and JAX has one: nothing would be interrupted.
    gc.disable()
    yield start
    gc.enable()
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


class DeadlineError(RuntimeError):
    """Of a caller's own signal handler."""


@pytest.mark.parametrize("error", [KeyboardInterrupt, TimeoutError, DeadlineError])
def test_an_interrupted_call_does_not_answer_the_next_one(model, interrupting, error):
    blank, white = model.logits(BLANK), model.logits(WHITE)
    assert (blank != white).any()
    pid = model._engine.pid
    os.kill(pid, signal.SIGSTOP)  # so that the answer cannot come before the interrupt
    interrupting(error)
    with pytest.raises(error):
        model.logits(BLANK)
    assert not alive(pid)
    np.testing.assert_array_equal(model.logits(WHITE), white)
    np.testing.assert_array_equal(model.logits(BLANK), blank)


@pytest.mark.parametrize("isolated", [True, False])
def test_interrupts_at_any_moment_leave_the_right_answers(bundle_path, interrupting, isolated):
    with load(bundle_path, isolated=isolated) as model:
        expected = {0: model.logits(BLANK), 1: model.logits(WHITE)}
        for number in range(5 if isolated else 40):
            with pytest.raises(KeyboardInterrupt):
                interrupting(KeyboardInterrupt, 0.001 + 0.0007 * number)
                while True:
                    model.logits(BLANK)
            np.testing.assert_array_equal(model.logits(WHITE), expected[1])
            np.testing.assert_array_equal(model.logits(BLANK), expected[0])


def test_one_interrupted_thread_does_not_answer_the_other(model, interrupting):
    """The main thread is interrupted while another waits for its turn."""
    white = model.logits(WHITE)
    os.kill(model._engine.pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        interrupting(KeyboardInterrupt, 0.2)
        # The lock is held, so that the other can only be second; it has its turn when the interrupt has gone through.
        with pytest.raises(KeyboardInterrupt), model._lock:
            waiting = pool.submit(model.logits, WHITE)
            model.logits(BLANK)
        np.testing.assert_array_equal(waiting.result(), white)


def test_an_engine_that_was_ended_says_so(model):
    engine = model._engine
    os.kill(engine.pid, signal.SIGKILL)
    with pytest.raises(EngineCrashError):
        model.logits(BLANK)
    with pytest.raises(EngineError, match="was ended; load the file again"):
        engine.run([])


@pytest.mark.parametrize("isolated", [True, False])
def test_a_signal_handler_cannot_call_into_a_call(bundle_path, isolated):
    """It would wait for itself for ever, or overwrite the inputs of the call that it came into."""
    errors = []
    with load(bundle_path, isolated=isolated) as model:
        expected = model.logits(WHITE)

        def handler(*_):
            try:
                model.logits(BLANK)
            except EngineError as error:
                errors.append(str(error))

        before = signal.signal(signal.SIGALRM, handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
            for _ in range(5000):
                np.testing.assert_array_equal(model.logits(WHITE), expected)
                if errors:
                    break
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert errors and "from a signal handler during a call" in errors[0]


def test_close_in_a_signal_handler_ends_the_child_after_the_call(bundle_path):
    model = load(bundle_path, isolated=True)
    pid = model._engine.pid
    before = signal.signal(signal.SIGALRM, lambda *_: model.close())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(EngineError, match="was closed"):
            while True:
                model.logits(BLANK)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not alive(pid)


def test_close_waits_for_a_call_of_another_thread(bundle_path):
    model = load(bundle_path, isolated=True)
    expected, pid = model.logits(BLANK), model._engine.pid

    def call_until_closed():
        while True:
            try:
                np.testing.assert_array_equal(model.logits(BLANK), expected)
            except EngineError as error:
                return str(error)

    with ThreadPoolExecutor(2) as pool:
        callers = [pool.submit(call_until_closed) for _ in range(2)]
        model.close()
        assert all("was closed" in caller.result() for caller in callers)
    assert not alive(pid)


def test_the_keyboard_interrupts_this_process_alone(bundle_path):
    """Ctrl-C goes to the whole group of a terminal's processes; the child is in a group of its own."""
    with load(bundle_path, isolated=True) as model:
        assert os.getpgid(model._engine.pid) != os.getpgid(0)


def test_more_descriptors_than_select_knows(bundle_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1200:
        pytest.skip("this system lets a process have too few descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    opened = []
    try:
        opened += [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
        with load(bundle_path, isolated=True) as model:
            assert model._engine._replies.fileno() > 1023
            assert model.logits(BLANK).shape == (1, 10)
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_forked_process_has_a_child_of_its_own(model):
    """It shares no pipe with its parent's, whose child goes on when it ends."""
    blank, white, pid = model.logits(BLANK), model.logits(WHITE), model._engine.pid
    reading, writing = os.pipe()
    forked = os.fork()
    if forked == 0:
        try:
            right = (model.logits(WHITE) == white).all() and model._engine.pid != pid
            model.close()
            os.write(writing, b"right" if right else b"wrong")
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        assert answer.read() == b"right"
    os.waitpid(forked, 0)
    assert alive(pid) and model._engine.pid == pid
    np.testing.assert_array_equal(model.logits(BLANK), blank)


HOSTILE = {
    "another number": b'{"number": 7, "name": "x", "threads": 1, "inputs": [], "outputs": []}\n',
    "no number": b'{"name": "x"}\n',
    "no JSON": b"\xff\xfe\n",
    "no object": b"[1]\n",
    "facts missing": b'{"number": 1, "name": "x"}\n',
    "wrong types": b'{"number": 1, "name": 3, "threads": 1, "inputs": 5, "outputs": null}\n',
}


@pytest.mark.parametrize("line", HOSTILE.values(), ids=list(HOSTILE))
def test_a_reply_that_is_none_is_refused(bundle_path, monkeypatch, line):
    """A file may take over its process, which then says what it likes."""

    def command(shared, replies):
        code = f"import os, sys; os.write({replies}, {line!r}); sys.stdin.read()"
        return [sys.executable, "-I", "-S", "-c", code]

    monkeypatch.setattr("edgestill_runtime.isolation._command", command)
    with pytest.raises(EngineCrashError, match="sent a reply that cannot be read and was ended"):
        load(bundle_path, isolated=True)


def test_outputs_that_the_file_does_not_have_are_refused(bundle_path, monkeypatch):
    facts = b'"name": "x", "threads": 1, "inputs": [{"shape": [1], "dtype": "int8", "dynamic": []}], "outputs": []'
    lines = b'{"number": 1, %s}\n{"number": 2, "size": 1, "outputs": [{"offset": 0, "shape": [1], "dtype": "int8"}]}\n'

    def command(shared, replies):
        code = f"import os, sys; os.write({replies}, {lines % facts!r}); sys.stdin.read()"
        return [sys.executable, "-I", "-S", "-c", code]

    monkeypatch.setattr("edgestill_runtime.isolation._command", command)
    engine = IsolatedEngine("litert", b"x", 1, Limits())
    with pytest.raises(EngineCrashError, match="sent a reply that cannot be read"):
        engine.run([np.zeros(1, np.int8)])
    assert not alive(engine.pid)


@pytest.mark.parametrize(
    "limit",
    [
        {"call_seconds": 0},
        {"load_seconds": float("nan")},
        {"load_seconds": "60"},
        {"call_seconds": True},
        {"call_seconds": 10**400},
        {"memory_bytes": -1},
        {"memory_bytes": 1e9},
        {"memory_bytes": None},
    ],
)
def test_a_limit_that_is_none_is_refused(limit):
    ((name, _),) = limit.items()
    words = "a whole number" if name == "memory_bytes" else "a number"
    with pytest.raises(EngineError, match=f"Limits: {name} must be {words} above 0"):
        Limits(**limit)


def test_a_child_that_never_ends_its_line_is_ended(bundle_path, monkeypatch):
    def command(shared, replies):
        return [sys.executable, "-I", "-S", "-c", f"import os\nwhile True: os.write({replies}, b'x' * 4096)"]

    monkeypatch.setattr("edgestill_runtime.isolation._command", command)
    with pytest.raises(EngineTimeoutError, match="did not reply"):
        load(bundle_path, isolated=True)


def worker_that(change):
    """A `_command` whose child is the real worker after a line of Python has changed it."""

    def command(shared, replies):
        path = [folder for folder in sys.path if isinstance(folder, str)]
        start = f"import sys; sys.path[:] = {path!r}; import edgestill_runtime.worker as worker"
        return [sys.executable, "-I", "-S", "-c", f"{start}\n{change}\nworker.main({shared}, {replies})"]

    return command


def test_native_code_that_lets_go_of_its_pipes_and_hangs_is_ended(monkeypatch):
    change = "import os, time; worker.load_engine = lambda *words: (os.closerange(3, 60), time.sleep(600))"
    monkeypatch.setattr("edgestill_runtime.isolation._command", worker_that(change))
    with pytest.raises(EngineCrashError, match="closed its reply pipe and was ended"):
        IsolatedEngine("litert", b"x", 1, Limits())


@pytest.mark.parametrize(
    "change",
    [
        "worker._limit_memory = lambda most: [][7]",
        "worker.load_engine = lambda *words: sys.exit('IndexError: list index out of range')",
        "worker.asdict = lambda spec: [][7]\n"
        "worker.load_engine = lambda *words: type('Engine', (), {'inputs': [1], 'outputs': []})",
    ],
)
def test_whatever_goes_wrong_in_the_child_is_replied(monkeypatch, change):
    """Not left to Python's own end, which aborts while a thread reads standard input."""
    monkeypatch.setattr("edgestill_runtime.isolation._command", worker_that(change))
    with pytest.raises(EngineError, match="IndexError: list index out of range") as caught:
        IsolatedEngine("litert", b"x", 1, Limits())
    assert type(caught.value) is EngineError


def test_a_child_that_cannot_reply_says_so_in_its_last_line(monkeypatch):
    monkeypatch.setattr("edgestill_runtime.isolation._command", worker_that("worker._reply = lambda *words: [][7]"))
    with pytest.raises(EngineCrashError, match=r"ended with exit code 1; .* Its last output: IndexError: list index"):
        IsolatedEngine("litert", b"x", 1, Limits())


def test_what_python_does_not_look_at_in_its_path_is_left_out(bundle_path, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", [tmp_path, b"bytes", *sys.path])
    with load(bundle_path, isolated=True) as model:
        assert model.logits(BLANK).shape == (1, 10)


def test_descriptors_that_are_used_up_are_an_engine_error():
    """At whichever descriptor they run out; those opened before are closed again."""
    gc.collect()
    before = {path.name for path in Path("/proc/self/fd").iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for free in range(6):
        descriptors = [os.dup(0) for _ in range(free + 1)]  # the lowest that are free
        for descriptor in descriptors:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors[-1], hard))
        try:
            with pytest.raises(EngineError, match="could not be started: "):
                IsolatedEngine("litert", b"x", 1, Limits())
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert {path.name for path in Path("/proc/self/fd").iterdir()} == before
