"""A bundle on this machine → a measurement: plain data that can be written as JSON and sent home from a device."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import NDArray

from edgestill_runtime import Bundle, Model, installed_engines

from .latency import Latency, measure_latency
from .machine import busy_share, describe_machine
from .memory import peak_bytes

NOISY_SHARE = 0.1


@dataclass(frozen=True)
class FileMeasurement:
    """One model file, called with one sample at a time through `Model.invoke`.

    Args:
        engine: engine, package and version. threads: as asked for; `threads_set`: the engine took the number.
    """

    file: str
    engine: str
    threads: int
    threads_set: bool
    latency_ms: Latency


@dataclass(frozen=True)
class Measurement:
    """All files of a bundle at one number of threads, and the machine; `warnings` say what to do about the doubtful."""

    files: tuple[FileMeasurement, ...]
    machine: dict[str, Any]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class MemoryMeasurement:
    """Peak resident bytes of a process that did nothing but run one file: before the engine was loaded, and after."""

    file: str
    before_bytes: int | None
    peak_bytes: int | None


def measure(bundle: Bundle, threads: int = 1, min_calls: int = 1000, min_seconds: float = 5.0) -> Measurement:
    """Latency of every file of a bundle whose engine is installed, interleaved. See `measure_latency`.

    Use a process of its own for each number of threads: ExecuTorch has one pool a process.
    """
    busy = busy_share()
    models = open_models(bundle, threads)
    sample = [array[:1] for array in bundle.golden().inputs]
    try:
        calls = {name: _call(model, sample) for name, model in models.items()}
        latencies = measure_latency(calls, min_calls, min_seconds)
        files = tuple(
            FileMeasurement(name, model.engine, threads, model.threads == threads, latencies[name])
            for name, model in models.items()
        )
    finally:
        for model in models.values():
            model.close()
    return Measurement(files, describe_machine(), _warnings(files, busy))


def measure_memory(bundle: Bundle, file: str, calls: int = 20) -> MemoryMeasurement:
    """Peak memory of this process around one file. Use a fresh process."""
    before = peak_bytes()
    with _open(bundle, file, 1) as model:
        call = _call(model, [array[:1] for array in bundle.golden().inputs])
        for _ in range(calls):
            call()
    return MemoryMeasurement(file, before, peak_bytes())


def open_models(bundle: Bundle, threads: int = 1) -> dict[str, Model]:
    """Every model file of a bundle whose engine is installed, loaded."""
    installed = installed_engines()
    entries = bundle.manifest.models.items()
    return {name: _open(bundle, name, threads) for name, entry in entries if entry.engine in installed}


def _open(bundle: Bundle, file: str, threads: int) -> Model:
    return Model(bundle.manifest, file, bundle.read(file), threads)


def _call(model: Model, sample: Sequence[NDArray[Any]]) -> Callable[[], Any]:
    tensors = model.tensors_of(sample)
    return lambda: model.invoke(*tensors)


def _warnings(files: tuple[FileMeasurement, ...], busy: float | None) -> tuple[str, ...]:
    found = []
    if busy is not None and busy > NOISY_SHARE:
        found.append(
            f"other programs used {100 * busy:.0f} % of the processor just before the measurement: "
            "end them and measure again"
        )
    for one in files:
        spread = one.latency_ms.p90 / one.latency_ms.p50
        if spread > 2:
            found.append(
                f"{one.file}, {one.threads} threads: p90 is {spread:.1f} × p50, so the machine was disturbed: "
                "compare ratios of p50, or measure again when it is quiet"
            )
        if not one.threads_set:
            found.append(f"{one.file}: {one.engine} chooses its number of threads itself; {one.threads} was not set")
    return tuple(found)
