"""Where the time of a call goes: a model file → the times of its operators, as its own engine counts them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgestill_runtime import Bundle, EngineError, Model, installed_engines

MIN_RUNS, MIN_SECONDS = 20, 0.5  # a file is run until it was run so often and so long
Run = tuple[float, list[tuple[str, float]]]
"""One run: µs of the whole, and name and µs of each operator in the order in which they are computed."""


@dataclass(frozen=True)
class Operator:
    """One operator that the engine executes; what a converter fused is one.

    Args:
        name: as the engine calls it. us: microseconds, the mean over the runs of the profile.
    """

    name: str
    us: float


@dataclass(frozen=True)
class Profile:
    """A file's operators in the order in which they are computed, on one thread.

    XNNPACK counts whole microseconds and rounds each down: of a net whose operators take a few, the sum falls short.

    Args:
        call_us: microseconds of a whole run, counted by the engine too. runs: those that the means are over, the
            fastest quarter of all: the others were interrupted, each at another operator.
        why_not: why there are no operators; None where there are.
    """

    call_us: float | None
    runs: int
    operators: tuple[Operator, ...]
    why_not: str | None = None


def profile_bundle(bundle: Bundle) -> dict[str, Profile]:
    """File → profile, for every file whose engine is installed. Use a process of its own."""
    installed = installed_engines()
    entries = bundle.manifest.models.items()
    return {name: _profile(bundle, name) for name, entry in entries if entry.engine in installed}


def no_profiles(bundle: Bundle, why_not: str) -> dict[str, Profile]:
    """As `profile_bundle`, where that did not come to an end."""
    return dict.fromkeys(bundle.manifest.models, Profile(None, 0, (), why_not))


def _profile(bundle: Bundle, file: str) -> Profile:
    with Model(bundle.manifest, file, bundle.read(file)) as model:
        tensors = model.tensors_of([array[:1] for array in bundle.golden().inputs])
        package = model.engine
        outputs = [(spec.shape, spec.dtype) for spec in model.outputs]
        if any(spec.dynamic for spec in (*model.inputs, *model.outputs)):
            return Profile(None, 0, (), "the file's shapes vary, and profiles are made of fixed ones")
    try:
        if "ai-edge-litert" in package:
            runs = _of_litert(bundle.read(file), tensors, outputs)
        elif "edgestill-executorch" in package:
            runs = _of_executorch(bundle.read(file), tensors)
        else:
            return Profile(None, 0, (), f"{package} does not tell the times of operators")
    except EngineError as error:
        return Profile(None, 0, (), str(error))
    fastest = sorted(runs, key=lambda run: run[0])[: len(runs) // 4]
    names = [name for name, _ in fastest[0][1]]
    if any([name for name, _ in operators] != names for _, operators in fastest):
        return Profile(None, 0, (), "the operators differ from run to run")
    means = np.mean([[us for _, us in operators] for _, operators in fastest], axis=0)
    operators = tuple(Operator(name, round(float(us), 2)) for name, us in zip(names, means, strict=True))
    return Profile(round(float(np.mean([whole for whole, _ in fastest])), 2), len(fastest), operators)


def _of_litert(
    content: bytes, tensors: Sequence[NDArray[Any]], outputs: Sequence[tuple[tuple[int, ...], str]]
) -> list[Run]:
    from .litert_profiler import DELEGATED, OPERATOR, WHOLE, trace

    runs = []
    for events in trace(content, tensors, outputs, _enough()):
        (whole,) = (us for name, kind, us in events if kind == WHOLE and name == "Invoke")
        runs.append((float(whole), [(name, float(us)) for name, kind, us in events if kind in (OPERATOR, DELEGATED)]))
    return runs


def _of_executorch(content: bytes, tensors: Sequence[NDArray[Any]]) -> list[Run]:
    from edgestill_executorch import ExecuTorchError, Program

    enough = _enough()
    runs: list[Run] = []
    try:
        with Program(content) as program, program.load_method(trace=True) as method:
            method.run(*tensors)
            while not runs or not enough():
                method.run(*tensors)
                events = method.events()
                # Events nest, and begin in order: one that ends before the next begins has nothing inside it.
                ends = [event.start_ns + event.duration_ns for event in events]
                starts = [event.start_ns for event in events[1:]] + [ends[0]]
                leaves = [event for event, end, next_ in zip(events, ends, starts, strict=True) if end <= next_]
                operators = [(_plain(event.name), event.duration_ns / 1000) for event in leaves]
                runs.append((events[0].duration_ns / 1000, operators))
    except ExecuTorchError as error:
        raise EngineError(str(error)) from error
    return runs


def _plain(name: str) -> str:
    """Without the number among those of its kind that XNNPACK's part gives, and the word that kernels begin with."""
    return name.rpartition(" #")[0] or name.removeprefix("native_call_")


def _enough() -> Callable[[], bool]:
    started, count = time.monotonic(), 0

    def enough() -> bool:
        nonlocal count
        count += 1
        return count >= MIN_RUNS and time.monotonic() - started >= MIN_SECONDS

    return enough
