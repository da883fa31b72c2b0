"""A Keras model or a SavedModel → an int8 `.tflite` bundle, through TensorFlow's own converter.

TensorFlow and the torch stack do not install side by side, so it works in an environment of its own: one that the
user names, or one that is made once and kept. `tensorflow_worker.py` runs there, and imports nothing of ours.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np

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

REQUIREMENT = "tensorflow>=2.21,<2.22"
GOLDEN_SAMPLES = 16
LIMIT_SECONDS = 1800.0
INT8, FP32 = BACKEND.file_name(quantized=True), BACKEND.file_name(quantized=False)
STEPS = ("environment", f"{INT8} and {FP32}", "check")
Kind = Literal["keras", "saved-model"]


def convert_tensorflow(
    source: Path,
    kind: Kind,
    samples: Samples,
    output: str | Path,
    *,
    name: str,
    labels: Sequence[str] = (),
    processor: Processor | None = None,
    training: Mapping[str, Any] | None = None,
    task: str = "",
    task_settings: Mapping[str, Any] | None = None,
    environment: Path | None = None,
    limit_seconds: float = LIMIT_SECONDS,
    overwrite: bool = False,
    log: Path | None = None,
    on_step: Callable[[str], None] = lambda name: None,
) -> Bundle:
    """Quantize with TensorFlow's converter: int8 weights per channel, int8 activations, int8 input and output.

    Args:
        source: a `.keras` or `.h5` file, or the folder of a SavedModel with one signature.
        samples: real ones to calibrate with, as `edgestill_converters.convert` takes them; images go in as
            (1, H, W, C), preprocessed.
        task, task_settings: as of `Description`.
        environment: a folder with a Python environment that has tensorflow; None makes and keeps one.

    Raises:
        ConversionError: no environment, no such model, or TensorFlow's converter fails; names the log.
        CalibrationError: samples that do not fit.
        StorageError: `output` exists and `overwrite` is false, or it or the log cannot be written.
    """
    if not overwrite:
        refuse_existing(output)
    if not source.exists():
        raise ConversionError(f"{source} does not exist; --from {kind} takes a Keras file or a SavedModel's folder")
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        written = log or folder / "tensorflow.log"
        make_log(written)
        on_step(STEPS[0])
        python = find_environment(environment, written)
        rows = list(tensors(samples, processor))
        columns = [np.concatenate([row[one].numpy() for row in rows]) for one in range(len(rows[0]))]
        if processor is not None:
            columns = [np.ascontiguousarray(columns[0].transpose(0, 2, 3, 1))]
        named: dict[str, Any] = {str(number): one for number, one in enumerate(columns)}
        np.savez(folder / "samples.npz", **named)
        on_step(STEPS[1])
        version = _work(python, source, kind, folder, written, limit_seconds, log is not None)
        on_step(STEPS[2])
        contents = {word: (folder / word).read_bytes() for word in (INT8, FP32)}
        with np.load(folder / "outputs.npz") as arrays:
            reference = [arrays[str(number)] for number in range(len(arrays.files))]
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
    task = task or usual_task(processor, [spec.shape for spec in models[FP32].outputs])
    manifest = Manifest(
        name=name,
        task=task,
        task_settings=dict(task_settings or {}),
        labels=tuple(labels),
        processor=processor,
        models=models,
        parameters=count_parameters(contents[FP32]),
        macs=seen.macs,
        training=dict(training or {}),
        versions={"tensorflow": version},
        scores=scores_of(task, seen.last),
    )
    few = [np.asarray(one)[:GOLDEN_SAMPLES] for one in ([samples] if processor is not None else samples)]
    outputs = {}
    for file, content in contents.items():
        with Model(manifest, file, content) as model:
            outputs[file] = model.outputs_of(few)
    check_against_model([one[: len(few[0])] for one in reference], outputs, manifest)
    everything = {**contents, GOLDEN: golden_npz(Golden(tuple(few), outputs))}
    return write_bundle(output, manifest, everything, overwrite=overwrite)


def find_environment(folder: Path | None, log: Path) -> Path:
    """The Python of an environment with tensorflow; without a folder, of one that is made once under the user's cache.

    Raises:
        ConversionError: it has no tensorflow, or none could be installed.
    """
    if folder is not None:
        python = folder / "bin" / "python"
        if not python.exists() or _run([python, "-c", "import tensorflow"], log) != 0:
            raise ConversionError(
                f"{folder} is no environment with tensorflow; make one: python3 -m venv {folder} && "
                f"{folder}/bin/pip install '{REQUIREMENT}'"
            )
        return python
    try:
        return cached_environment("tensorflow-2.21", [REQUIREMENT], log)
    except ConversionError as error:
        raise ConversionError(
            f"{error}; make one yourself with `pip install '{REQUIREMENT}'` and name it with --environment"
        ) from error


def cached_environment(name: str, requirements: Sequence[str], log: Path) -> Path:
    """The Python of an environment under the user's cache, which is made if it is not there.

    Raises:
        ConversionError: a package cannot be installed.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "edgestill" / name
    python, ready = folder / "bin" / "python", folder / ".ready"
    if ready.exists():
        return python
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Another command may be making it: this one waits, and uses it then.
    with open(folder.with_name(f".{name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            _make_environment(folder, name, requirements, log)
            ready.touch()
    return python


def _make_environment(folder: Path, name: str, requirements: Sequence[str], log: Path) -> None:
    python = folder / "bin" / "python"
    shutil.rmtree(folder, ignore_errors=True)
    uv = [sys.executable, "-m", "uv"] if _run([sys.executable, "-m", "uv", "--version"], log) == 0 else []
    if uv:
        commands = [
            [*uv, "venv", "--python", sys.executable, folder],
            [*uv, "pip", "install", "--python", python, *requirements],
        ]
    else:
        commands = [[sys.executable, "-m", "venv", folder], [python, "-m", "pip", "install", *requirements]]
    for command in commands:
        if _run(command, log) != 0:
            failed = ConversionError(f"an environment with {name.partition('-')[0]} could not be made in {folder}")
            raise with_log(failed, log, None)


def _work(python: Path, source: Path, kind: str, folder: Path, log: Path, limit_seconds: float, kept: bool) -> str:
    worker = Path(__file__).with_name("tensorflow_worker.py")
    # -I: not from this folder, where a file is called tensorflow too.
    command = [python, "-I", worker, source, kind, folder]
    try:
        code = _run(command, log, limit_seconds)
    except subprocess.TimeoutExpired as error:
        raise ConversionError(f"TensorFlow's converter was not done after {limit_seconds:g} s and was ended") from error
    if code != 0:
        failed = ConversionError(
            f"TensorFlow's converter failed on {source}, which may be of another version or damaged"
        )
        raise with_log(failed, log, log if kept else None)
    version: str = json.loads((folder / "facts.json").read_text())["version"]
    return version


def _run(command: Sequence[Any], log: Path, limit_seconds: float | None = None) -> int:
    # Variables of this environment must not leak into the other.
    variables = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    with open(log, "ab") as file:
        done = subprocess.run(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=False,
            timeout=limit_seconds, env={**variables, "TF_CPP_MIN_LOG_LEVEL": "2"},
        )  # fmt: skip
    return done.returncode
