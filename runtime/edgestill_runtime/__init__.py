"""Run a bundle on a device: numpy and one engine, nothing else.

    from edgestill_runtime import load

    model = load("fashion.edge")                    # the int8 file for the installed engine
    label, score = model.predict(image)[0]          # uint8 (H, W, C) → labels with probabilities, best first

    model = load("fashion.edge", engine="executorch", threads=4)
    logits = model.logits(images)                   # uint8 (N, H, W, C) → float32 (N, classes)
    raw = model.invoke(tensor)                      # raw tensors in and out: see model.input, model.output

    model = load("untrusted.tflite", isolated=True) # a bare file, in a child process
    result = model.infer(values)                    # float32 in and out, also for quantized files

A bundle is a folder or a zip with two int8 files made from one quantization. `open_bundle` reads its manifest,
`Bundle.verify` compares every file's hash, `replay_golden` runs the samples recorded when it was made, and
`compare_outputs` decides whether two sets of outputs agree.
No engine reads a file of a bundle before its hash was checked; `load(..., trusted_keys=…)` requires a signature too.
Engines are imported on first use; importing this package imports only numpy. `python -m edgestill_runtime` shows, runs
and tests a file on a device.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .bundle import Bundle, Golden, open_bundle, pack_zip, write_bundle
from .engines import installed_engines
from .errors import (
    BundleError,
    BundleFormatError,
    BundleIntegrityError,
    EdgestillError,
    EngineCrashError,
    EngineError,
    EngineMemoryError,
    EngineTimeoutError,
    InputError,
    SignatureError,
    StorageError,
)
from .limits import Limits
from .manifest import FileEntry, Manifest, ModelFile
from .model import Model, load
from .processing import Processor
from .tensor_spec import TensorSpec

if TYPE_CHECKING:
    from .comparison import Comparison, OutputComparison, Tolerance, compare_outputs
    from .golden import Replay, replay_golden, why_failed
    from .processing import AudioProcessor, ImageProcessor
    from .tasks import Measure, Task
    from .tasks.image_classification import Prediction
    from .tasks.regression import Value

__all__ = [
    "AudioProcessor",
    "Bundle",
    "BundleError",
    "BundleFormatError",
    "BundleIntegrityError",
    "Comparison",
    "EdgestillError",
    "EngineCrashError",
    "EngineError",
    "EngineMemoryError",
    "EngineTimeoutError",
    "FileEntry",
    "Golden",
    "ImageProcessor",
    "InputError",
    "Limits",
    "Manifest",
    "Measure",
    "Model",
    "ModelFile",
    "OutputComparison",
    "Prediction",
    "Processor",
    "Replay",
    "SignatureError",
    "StorageError",
    "Task",
    "TensorSpec",
    "Tolerance",
    "Value",
    "compare_outputs",
    "installed_engines",
    "load",
    "open_bundle",
    "pack_zip",
    "replay_golden",
    "why_failed",
    "write_bundle",
]

_LATER = {
    "Comparison": "comparison",
    "OutputComparison": "comparison",
    "Tolerance": "comparison",
    "compare_outputs": "comparison",
    "Replay": "golden",
    "replay_golden": "golden",
    "why_failed": "golden",
    "AudioProcessor": "processing",
    "ImageProcessor": "processing",
    "Measure": "tasks",
    "Task": "tasks",
    "Prediction": "tasks.image_classification",
    "Value": "tasks.regression",
}


def __getattr__(name: str) -> Any:
    """Names that loading and running a bundle does not need are imported on first access, for a fast start."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LATER[name]}", __name__), name)
