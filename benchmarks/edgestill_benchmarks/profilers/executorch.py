"""ExecuTorch's events, traced by the binding in runtime/native."""

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from edgestill_runtime import EngineError

from .base import Run


def runs(
    content: bytes,
    tensors: Sequence[NDArray[Any]],
    outputs: Sequence[tuple[tuple[int, ...], str]],
    enough: Callable[[], bool],
) -> list[Run]:
    """Each run of a `.pte` with its operators; see `edgestill_benchmarks.operators`.

    Raises:
        EngineError: ExecuTorch refuses the file.
    """
    from edgestill_executorch import ExecuTorchError, Program

    found: list[Run] = []
    try:
        with Program(content) as program, program.load_method(trace=True) as method:
            method.run(*tensors)
            while not found or not enough():
                method.run(*tensors)
                events = method.events()
                # Events nest, and begin in order: one that ends before the next begins has nothing inside it.
                ends = [event.start_ns + event.duration_ns for event in events]
                starts = [event.start_ns for event in events[1:]] + [ends[0]]
                leaves = [event for event, end, next_ in zip(events, ends, starts, strict=True) if end <= next_]
                operators = [(_plain(event.name), event.duration_ns / 1000) for event in leaves]
                found.append((events[0].duration_ns / 1000, operators))
    except ExecuTorchError as error:
        raise EngineError(str(error)) from error
    return found


def _plain(name: str) -> str:
    """The operator's name, without XNNPACK's running number and without the prefix of kernels' names."""
    return name.rpartition(" #")[0] or name.removeprefix("native_call_")
