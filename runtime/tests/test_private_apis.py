"""The private API of the official executorch package, which `edgestill_runtime/engines/executorch.py` alone uses."""

import numpy as np
import pytest

from edgestill_runtime.engines.executorch import OfficialEngine


def test_executorch_loads_a_program_from_bytes_on_some_threads(programs):
    pytest.importorskip("executorch", reason="needs the official package")
    try:
        engine = OfficialEngine((programs / "net.pte").read_bytes(), 1, "net.pte")
    except Exception as error:
        pytest.fail(
            "executorch has moved or changed extension.pybindings._C, its _load_program_from_buffer or "
            f"_unsafe_reset_threadpool: {type(error).__name__}: {error}"
        )
    image = np.zeros([1, 3, 8, 8], np.float32)
    assert engine.inputs[0].shape == image.shape and np.isfinite(engine.run([image])[0]).all()
    engine.close()
