"""The environment that TensorFlow works in; what is made in it is in `test_tensorflow.py`."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

from edgestill_converters import tensorflow_environment
from edgestill_converters.tensorflow_environment import cached_environment


def test_two_that_need_an_environment_at_once_make_it_once(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made, both = [], threading.Barrier(2)

    def make(folder, *_):
        made.append(folder)
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.5)  # long enough for another one to come
        (folder / "bin").mkdir(parents=True, exist_ok=True)
        (folder / "bin" / "python").touch()

    monkeypatch.setattr(tensorflow_environment, "_make_environment", make)
    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(cached_environment, "some-1.0", [], tmp_path / "log") for _ in range(2)]
        pythons = [one.result() for one in asked]
    assert made == [tmp_path / "edgestill" / "some-1.0"]
    assert pythons == [made[0] / "bin" / "python"] * 2 and pythons[0].exists()
    assert cached_environment("some-1.0", [], tmp_path / "log") == pythons[0] and len(made) == 1
