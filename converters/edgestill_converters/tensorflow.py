"""A Keras model or a SavedModel → an int8 `.tflite` bundle, through TensorFlow's own converter.

It runs in an environment of its own (`tensorflow_environment.py`), as the script `tensorflow_worker.py`, which imports
nothing of ours.
"""

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgestill_runtime import Bundle, Golden, Manifest, Model, ModelFile, Processor, write_bundle
from edgestill_runtime.bundle import GOLDEN, golden_npz
from edgestill_runtime.engines import load_engine
from edgestill_runtime.files import refuse_existing

from .backends.litert import BACKEND
from .backends.litert.inspector import count_parameters
from .errors import ConversionError
from .graph import Samples, tensors
from .inspection import inspect_bytes
from .output_capture import make_log, with_log
from .parity import check_against_model
from .precision import precision_of, refuse_float
from .tasks import scores_of, usual_task
from .tensorflow_environment import find_environment, run_command

GOLDEN_SAMPLES = 16
LIMIT_SECONDS = 1800.0
INT8, FP32 = BACKEND.file_name(quantized=True), BACKEND.file_name(quantized=False)
STEPS = ("environment", f"{INT8} and {FP32}", "check")


@dataclass(frozen=True)
class TensorFlowModel:
    """A model to convert, and the facts about it that the bundle keeps.

    Args:
        source: a `.keras` or `.h5` file, or the folder of a SavedModel with one signature. kind: which of the two.
        name, labels, processor, training, task, task_settings: as of `Description`.
    """

    source: Path
    kind: Literal["keras", "saved-model"]
    name: str
    labels: Sequence[str] = ()
    processor: Processor | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    task: str = ""
    task_settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TensorFlowOptions:
    """How to convert it.

    Args:
        environment: a folder with a Python environment that has tensorflow; None makes one and keeps it.
        limit_seconds: for TensorFlow's converter. overwrite: replace a bundle that exists.
        log: file for the converter's output; None: it is kept only when something fails.
    """

    environment: Path | None = None
    limit_seconds: float = LIMIT_SECONDS
    overwrite: bool = False
    log: Path | None = None


@dataclass(frozen=True)
class _Converted:
    """Files by name, the outputs of the model itself for the samples, and the version of TensorFlow."""

    contents: dict[str, bytes]
    reference: list[NDArray[Any]]
    version: str


def convert_tensorflow(
    model: TensorFlowModel,
    samples: Samples,
    output: str | PathLike[str],
    options: TensorFlowOptions = TensorFlowOptions(),
    on_step: Callable[[str], None] = lambda name: None,
) -> Bundle:
    """Quantize with TensorFlow's converter: int8 weights per channel, int8 activations, int8 input and output.

    Args:
        samples: real data to calibrate with, as for `edgestill_converters.convert`; the model's input is
            (1, H, W, C) for images, preprocessed.
        output: path of the bundle. on_step: called with the name of each of `STEPS` as it begins.

    Raises:
        ConversionError: no environment, no such model, or TensorFlow's converter fails; names the log.
        CalibrationError: samples that do not fit.
        StorageError: `output` exists and `overwrite` is false, or it or the log cannot be written.
    """
    if not options.overwrite:
        refuse_existing(output)
    if not model.source.exists():
        raise ConversionError(
            f"{model.source} does not exist; --from {model.kind} takes a Keras file or a SavedModel's folder"
        )
    converted = _convert(model, samples, options, on_step)
    contents = converted.contents
    manifest = _manifest(model, contents, converted.version)
    few = [np.asarray(one)[:GOLDEN_SAMPLES] for one in ([samples] if model.processor is not None else samples)]
    outputs = {}
    for file, content in contents.items():
        with Model(manifest, file, content) as loaded:
            outputs[file] = loaded.outputs_of(few)
    check_against_model([one[: len(few[0])] for one in converted.reference], outputs, manifest)
    everything = {**contents, GOLDEN: golden_npz(Golden(tuple(few), outputs))}
    return write_bundle(output, manifest, everything, overwrite=options.overwrite)


def _convert(
    model: TensorFlowModel, samples: Samples, options: TensorFlowOptions, on_step: Callable[[str], None]
) -> _Converted:
    """Run the script in TensorFlow's environment."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        log = options.log or folder / "tensorflow.log"
        make_log(log)
        on_step(STEPS[0])
        python = find_environment(options.environment, log)
        arrays: dict[str, Any] = {str(number): one for number, one in enumerate(_inputs(samples, model.processor))}
        np.savez(folder / "samples.npz", **arrays)
        on_step(STEPS[1])
        version = _run_worker(python, model, folder, log, options)
        on_step(STEPS[2])
        contents = {file: (folder / file).read_bytes() for file in (INT8, FP32)}
        with np.load(folder / "outputs.npz") as found:
            reference = [found[str(number)] for number in range(len(found.files))]
    return _Converted(contents, reference, version)


def _inputs(samples: Samples, processor: Processor | None) -> list[NDArray[Any]]:
    """Samples as TensorFlow's models expect them: one array for each input, images (N, H, W, C)."""
    rows = list(tensors(samples, processor))
    columns = [np.concatenate([row[one].numpy() for row in rows]) for one in range(len(rows[0]))]
    return columns if processor is None else [np.ascontiguousarray(columns[0].transpose(0, 2, 3, 1))]


def _manifest(model: TensorFlowModel, contents: Mapping[str, bytes], version: str) -> Manifest:
    models = {}
    for file, content in contents.items():
        engine = load_engine(BACKEND.name, content, 1)
        precision, floating = precision_of(file, content, BACKEND, file == INT8)
        if precision == "fp32" and file == INT8:
            refuse_float(file, ())
        models[file] = ModelFile(
            BACKEND.name, precision, engine.inputs, engine.outputs, f"tensorflow {version}", float_macs=floating
        )
        engine.close()
    seen = inspect_bytes(contents[FP32], BACKEND.name, FP32, ask_engine=False)
    task = model.task or usual_task(model.processor, [spec.shape for spec in models[FP32].outputs])
    return Manifest(
        name=model.name,
        task=task,
        task_settings=dict(model.task_settings),
        labels=tuple(model.labels),
        processor=model.processor,
        models=models,
        parameters=count_parameters(contents[FP32]),
        macs=seen.macs,
        training=dict(model.training),
        versions={"tensorflow": version},
        scores=scores_of(task, seen.last),
    )


def _run_worker(python: Path, model: TensorFlowModel, folder: Path, log: Path, options: TensorFlowOptions) -> str:
    """Convert in TensorFlow's environment; returns the version of TensorFlow."""
    worker = Path(__file__).with_name("tensorflow_worker.py")
    # -I: not from this folder, where a file is called tensorflow too.
    command = [python, "-I", worker, model.source, model.kind, folder]
    try:
        code = run_command(command, log, options.limit_seconds)
    except subprocess.TimeoutExpired as error:
        raise ConversionError(
            f"TensorFlow's converter was not done after {options.limit_seconds:g} s and was ended"
        ) from error
    if code != 0:
        failed = ConversionError(
            f"TensorFlow's converter failed on {model.source}, which may be of another version or damaged"
        )
        raise with_log(failed, log, options.log)
    version: str = json.loads((folder / "facts.json").read_text())["version"]
    return version
