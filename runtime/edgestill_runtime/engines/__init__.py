"""Engines behind one small protocol, each imported on its first use.

`litert.py` runs `.tflite`, `executorch.py` runs `.pte`. Both import their native package inside a function: opening a
bundle, reading its facts, or `import edgestill_runtime` must cost no more than numpy, and a device has only the
engines that somebody installed.
"""

from collections.abc import Callable
from typing import Any, Protocol

from numpy.typing import NDArray

from ..bundle import TensorSpec
from ..errors import EngineError
from . import executorch, litert


class Engine(Protocol):
    """A loaded file. One call at a time: `Model` holds the lock."""

    name: str
    """Engine, package and version, such as `litert (ai-edge-litert 2.3.0)`."""
    threads: int | None
    """Threads that a call may use; None where the engine decides and cannot be told."""
    input: TensorSpec
    output: TensorSpec

    def invoke(self, tensor: NDArray[Any]) -> NDArray[Any]:
        """Run a tensor that has exactly the shape and dtype of `input`; the result is a copy."""

    def close(self) -> None:
        """Free the native memory."""


LOADERS: dict[str, Callable[[bytes, int], Engine]] = {
    "litert": litert.LiteRTEngine,
    "executorch": executorch.load,
}
AVAILABLE: dict[str, Callable[[], str]] = {
    "litert": litert.available,
    "executorch": executorch.available,
}


def installed_engines() -> dict[str, str]:
    """Engine → package and version for those that are installed, best first; nothing is imported."""
    found = {}
    for name, available in AVAILABLE.items():
        try:
            found[name] = available()
        except EngineError:
            continue
    return found
