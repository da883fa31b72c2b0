"""Replaying a bundle's golden samples: does this device answer as the files did when they were made?"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bundle import Bundle
from .engines import installed_engines
from .manifest import TensorSpec
from .model import Model

# Quantised files answer alike on every CPU to a quantum or so; float files differ in the order of their sums.
TOLERANCE = {"int8": 2.0, "fp32": 1e-3}
"""int8: quanta of the output. fp32: share of the largest logit."""


@dataclass(frozen=True)
class Replay:
    """One file on this device.

    Args:
        difference: largest deviation from the recorded logits. allowed: what still counts as the same answer.
        same_class: share of the samples with the same best class, 0–1; of equal numbers where there are no classes.
        skipped: why the file was not run; None when it was.
    """

    file: str
    engine: str
    difference: float = 0.0
    allowed: float = 0.0
    same_class: float = 0.0
    skipped: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the file was run and answered as recorded."""
        return self.skipped is None and self.difference <= self.allowed


def replay_golden(bundle: Bundle) -> list[Replay]:
    """Run every model file whose engine is installed on the golden samples."""
    golden, installed, replays = bundle.golden(), installed_engines(), []
    for file, entry in bundle.manifest.models.items():
        if entry.engine not in installed:
            replays.append(Replay(file, entry.engine, skipped=f"{entry.engine} is not installed"))
            continue
        with Model(bundle.manifest, file, bundle.read(file)) as model:
            given = model.outputs_of(golden.inputs)
        pairs = list(zip(golden.outputs[file], given, entry.outputs, strict=True))
        deviations = [_deviation(expected, found, spec, entry.precision) for expected, found, spec in pairs]
        # The output that comes nearest to what is allowed, or goes furthest beyond it.
        difference, allowed = max(deviations, key=lambda pair: pair[0] / max(pair[1], 1e-30))
        first, found = pairs[0][:2]
        same = (found.argmax(1) == first.argmax(1)).mean() if first.ndim == 2 else (found == first).mean()
        replays.append(Replay(file, entry.engine, difference, allowed, same_class=float(same)))
    return replays


def _deviation(expected: NDArray[Any], found: NDArray[Any], spec: TensorSpec, precision: str) -> tuple[float, float]:
    """(largest difference, what is allowed)."""
    largest = float(np.abs(expected).max())
    quantum = spec.scale or largest / 128
    difference = float(np.abs(found.astype(np.float64) - expected).max())
    return difference, TOLERANCE["int8"] * quantum if precision != "fp32" else TOLERANCE["fp32"] * largest
