"""ExecuTorch for Python without torch: numpy arrays in, numpy arrays out.

    from edgestill_executorch import Program

    with Program("model.pte") as program:               # memory-mapped; bytes are accepted too
        print(program.methods)                          # ('forward',)
        forward = program.load_method("forward")        # one thread; threads=4 takes the process's pool
        print(forward.inputs[0].shape, forward.inputs[0].dtype)
        (logits,) = forward.run(image)                  # as many inputs and outputs as the method has
        forward.run(image, out=[logits])                # into an array that you own

The engine is ExecuTorch's own C++ runtime with its portable, optimized and quantized kernels and the XNNPACK backend,
behind a small C library that `ctypes` calls: no compiler, no torch, one wheel for every Python from 3.11 on. While a
method runs, other Python threads run. The engine's log goes to `logging.getLogger("edgestill_executorch")`.

Load only files that you trust. Inputs are checked (shape, dtype, layout), but a damaged *file* can crash the native
code: only ExecuTorch's own checks are made.
"""

from .errors import ExecuTorchError, NotFiniteError
from .program import Method, Program, ScalarInfo, TensorInfo, TraceEvent, get_threads, set_threads

__all__ = [
    "ExecuTorchError",
    "Method",
    "NotFiniteError",
    "Program",
    "ScalarInfo",
    "TensorInfo",
    "TraceEvent",
    "get_threads",
    "set_threads",
]
