"""Times of a model file's operators, as its engine's profiler reports them."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import numpy as np

from edgestill_runtime import Bundle, EngineError, Model, installed_engines
from edgestill_runtime.engines import candidates

from .profilers.base import Run

MIN_RUNS, MIN_SECONDS = 20, 0.5  # of one file, both at least


@dataclass(frozen=True)
class Operator:
    """One operator that the engine executes; fused operators count as one.

    Args:
        name: the engine's name. us: microseconds, the mean over the runs of the profile.
    """

    name: str
    us: float


@dataclass(frozen=True)
class Profile:
    """A file's operators in the order of computation, on one thread.

    XNNPACK rounds each time down to a whole microsecond: of a net of very fast operators, the sum is too small.

    Args:
        call_us: microseconds of a whole run, by the same profiler. runs: how many the means are of, the fastest
            quarter of all: in the others some operator was interrupted.
        why_not: reason why there are no operators; None where there are.
    """

    call_us: float | None
    runs: int
    operators: tuple[Operator, ...]
    why_not: str | None = None


def profile_bundle(bundle: Bundle) -> dict[str, Profile]:
    """File → profile, for every file whose engine is installed. Use a process of its own."""
    installed = installed_engines(bundle.manifest.engines)
    entries = bundle.manifest.models.items()
    return {name: _profile(bundle, name) for name, entry in entries if entry.engine in installed}


def no_profiles(bundle: Bundle, why_not: str) -> dict[str, Profile]:
    """The result in place of `profile_bundle`'s where that failed."""
    return dict.fromkeys(bundle.manifest.models, Profile(None, 0, (), why_not))


def _profile(bundle: Bundle, file: str) -> Profile:
    with Model(bundle.manifest, file, bundle.read_model(file)) as model:
        tensors = model.tensors_of([array[:1] for array in bundle.golden().inputs])
        package = model.engine
        outputs = [(spec.shape, spec.dtype) for spec in model.outputs]
        if any(spec.dynamic for spec in (*model.inputs, *model.outputs)):
            return Profile(None, 0, (), "the file's shapes vary, and only files of fixed shapes are profiled")
    profiler = _profiler(bundle.manifest.models[file].engine)
    if profiler is None:
        return Profile(None, 0, (), f"{package} does not report the times of operators")
    try:
        runs = profiler(bundle.read_model(file), tensors, outputs, _enough())
    except EngineError as error:
        return Profile(None, 0, (), str(error))
    fastest = sorted(runs, key=lambda run: run[0])[: len(runs) // 4]
    names = [name for name, _ in fastest[0][1]]
    if any([name for name, _ in operators] != names for _, operators in fastest):
        return Profile(None, 0, (), "the operators differ from run to run")
    means = np.mean([[us for _, us in operators] for _, operators in fastest], axis=0)
    operators = tuple(Operator(name, round(float(us), 2)) for name, us in zip(names, means, strict=True))
    return Profile(round(float(np.mean([whole for whole, _ in fastest])), 2), len(fastest), operators)


def _profiler(engine: str) -> Callable[..., list[Run]] | None:
    """The profiler of the package that runs an engine's files here; None where it has none."""
    (package,) = [one.package for one in candidates(engine) if one.selected]
    if not package.profiler:
        return None
    module, _, function = package.profiler.partition(":")
    found: Callable[..., list[Run]] = getattr(import_module(module), function)
    return found


def _enough() -> Callable[[], bool]:
    started, count = time.monotonic(), 0

    def enough() -> bool:
        nonlocal count
        count += 1
        return count >= MIN_RUNS and time.monotonic() - started >= MIN_SECONDS

    return enough
