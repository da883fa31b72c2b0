"""A bundle in this process → latency, memory, outputs and quality of its files, as plain data."""

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from edgestill_runtime import Bundle, EngineError, InputError, Model, installed_engines
from edgestill_runtime.engines import how_to_install
from edgestill_runtime.files import atomic_file

from .energy import open_meter
from .latency import INTERLEAVED, Latency, Rule, measure_latency
from .machine import busy_share, describe_machine
from .measurement_warnings import latency_warnings
from .memory import peak_bytes, resident_bytes


@dataclass(frozen=True)
class FileMeasurement:
    """One model file, called with one sample at a time through `Model.invoke`.

    Args:
        engine: engine, package and version. threads: as asked for; `threads_set`: whether the engine uses that number.
    """

    file: str
    engine: str
    threads: int
    threads_set: bool
    latency_ms: Latency


@dataclass(frozen=True)
class Measurement:
    """All files of a bundle at one number of threads, and the machine.

    Args:
        warnings: what makes the numbers unreliable, and what to do about it.
        energy: name of the energy meter; None without one.
    """

    files: tuple[FileMeasurement, ...]
    machine: dict[str, Any]
    warnings: tuple[str, ...]
    energy: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class StartMeasurement:
    """A process that only runs one file.

    Args:
        answered_at: `time.monotonic` at its first output; all processes of a machine share this clock.
        before_bytes: resident memory before the engine was loaded. resident_bytes, peak_bytes: after some calls.
    """

    file: str
    answered_at: float
    before_bytes: int | None
    resident_bytes: int | None
    peak_bytes: int | None


def measure(
    bundle: Bundle,
    threads: int = 1,
    rule: Rule = INTERLEAVED,
    on_progress: Callable[[float], None] = lambda share: None,
) -> Measurement:
    """Latency of every file of a bundle whose engine is installed. See `measure_latency`.

    Use a process of its own for each number of threads: ExecuTorch has one pool a process.
    """
    busy = busy_share()
    sample = [array[:1] for array in bundle.golden().inputs]
    # The meter and the models are closed after the measurement, also when it raises.
    with ExitStack() as opened:
        meter = opened.enter_context(open_meter())
        models = {name: opened.enter_context(model) for name, model in open_models(bundle, threads).items()}
        calls = {name: _call(model, sample) for name, model in models.items()}
        latencies = measure_latency(calls, rule, meter, on_progress)
        files = tuple(
            FileMeasurement(name, model.engine, threads, model.threads == threads, latencies[name])
            for name, model in models.items()
        )
    machine = describe_machine()
    warnings = (*_not_measured(bundle, models), *latency_warnings([asdict(one) for one in files], machine, busy))
    return Measurement(files, machine, warnings, None if meter is None else meter.source)


def measure_start(bundle: Bundle, file: str, calls: int = 20) -> StartMeasurement:
    """Time of the first output, and memory of this process with one file loaded. Use a fresh process."""
    before = resident_bytes()
    with _open(bundle, file, 1) as model:
        call = _call(model, [array[:1] for array in bundle.golden().inputs])
        call()
        answered_at = time.monotonic()
        for _ in range(calls):
            call()
        return StartMeasurement(file, answered_at, before, resident_bytes(), peak_bytes())


def evaluate_samples(
    bundle: Bundle, samples: str | PathLike[str], output: str | PathLike[str],
    on_progress: Callable[[float], None] = lambda share: None,
) -> dict[str, dict[str, float] | None]:  # fmt: skip
    """Run every file whose engine is installed on samples, and store the outputs.

    Returns:
        File → quality by its task's measures; None where the task has no measures, or is a custom one whose class is
        not installed here.

    Args:
        samples: an npz with `images`, uint8 (N, H, W, C), and `targets`, the ground truth, (N, …), in the form of the
            task's data; older hosts call them `labels`.
        output: the npz to write, with the outputs of each file, real numbers (N, …): under the file's name where it has
            one output, else under `FILE/0`, `FILE/1` and so on.

    Raises:
        InputError: no samples in the file, or targets that do not fit the task.
        EngineError: no engine is installed.
    """
    images, targets = _read_samples(Path(samples))
    outputs: dict[str, Any] = {}
    qualities = {}
    models = open_models(bundle)
    for number, (name, model) in enumerate(models.items()):
        with model:
            predicted = model.outputs_of([images])
        if len(predicted) == 1:
            outputs[name] = predicted[0]
        else:
            outputs |= {f"{name}/{index}": output for index, output in enumerate(predicted)}
        qualities[name] = model.task.quality(predicted, targets) if model.task.measures else None
        on_progress((number + 1) / len(models))
    with atomic_file(Path(output)) as part, open(part, "wb") as file:
        np.savez_compressed(file, **outputs)
    return qualities


def _read_samples(samples: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """Images and their targets, one each; see `evaluate_samples`."""
    try:
        with np.load(samples, allow_pickle=False) as arrays:
            images, targets = arrays["images"], arrays["targets" if "targets" in arrays.files else "labels"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise InputError(f"{samples} holds no samples (images and targets in an npz): {error}") from error
    if not images.ndim or targets.shape[:1] != images.shape[:1] or not len(targets):
        raise InputError(f"{samples} holds {images.shape} images and {targets.shape} targets; give one target an image")
    return images, targets


def open_models(bundle: Bundle, threads: int = 1) -> dict[str, Model]:
    """Every model file of a bundle whose engine is installed, loaded.

    Raises:
        EngineError: there is none.
    """
    with ExitStack() as opened:
        models = {name: opened.enter_context(_open(bundle, name, threads)) for name in _runnable(bundle)}
        opened.pop_all()  # all of them were loaded, so they stay open
    return models


def _runnable(bundle: Bundle) -> list[str]:
    entries = bundle.manifest.models
    installed = installed_engines(bundle.manifest.engines)
    found = [name for name, entry in entries.items() if entry.engine in installed]
    if not found:
        engines = ", ".join(bundle.manifest.engines) or "no engine"
        how = how_to_install({entry.engine: entry.exporter for entry in entries.values()})
        raise EngineError(
            f"nothing can be run: {bundle.path} has files for {engines}, and none of these is installed. {how}"
        )
    return found


def _not_measured(bundle: Bundle, measured: Collection[str]) -> list[str]:
    return [
        f"{name} was not measured: {entry.engine} is not installed"
        for name, entry in bundle.manifest.models.items()
        if name not in measured
    ]


def _open(bundle: Bundle, file: str, threads: int) -> Model:
    return Model(bundle.manifest, file, bundle.read_model(file), threads)


def _call(model: Model, sample: Sequence[NDArray[Any]]) -> Callable[[], Any]:
    tensors = model.tensors_of(sample)
    return lambda: model.invoke(*tensors)
