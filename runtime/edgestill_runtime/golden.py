"""Replaying a bundle's golden samples: does this device answer as the files did when they were made?"""

from dataclasses import dataclass

import numpy as np

from .bundle import Bundle
from .engines import installed_engines
from .model import Model

# Quantised files answer alike on every CPU to a quantum or so; float files differ in the order of their sums.
TOLERANCE = {"int8": 2.0, "fp32": 1e-3}
"""int8: quanta of the output. fp32: share of the largest logit."""


@dataclass(frozen=True)
class Replay:
    """One file on this device.

    Args:
        difference: largest deviation from the recorded logits. allowed: what still counts as the same answer.
        same_class: share of the samples with the same best class, 0–1.
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
        expected = golden.logits[file]
        with Model(bundle.manifest, file, bundle.read(file)) as model:
            logits = model.logits(golden.images)
        largest = float(np.abs(expected).max())
        quantum = entry.output.scale or largest / 128
        replays.append(
            Replay(
                file,
                entry.engine,
                difference=float(np.abs(logits - expected).max()),
                allowed=TOLERANCE["int8"] * quantum if entry.precision == "int8" else TOLERANCE["fp32"] * largest,
                same_class=float((logits.argmax(1) == expected.argmax(1)).mean()),
            )
        )
    return replays
