"""What to measure on devices, and the comparison of their outputs with this machine's."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgestill_benchmarks import INTERLEAVED, Rule
from edgestill_runtime import Task, Tolerance, compare_outputs

from ..outputs import Outputs, read_outputs
from .packages import check_engines


@dataclass(frozen=True)
class Samples:
    """Test images to send, with their targets and this machine's outputs.

    Args:
        images: uint8 (N, H, W, C). targets: (N, …). of: size of the whole test split.
        reference: name of a model or a file → its outputs on this machine. task: of the outputs.
    """

    images: NDArray[np.uint8]
    targets: NDArray[Any]
    of: int
    reference: Mapping[str, Outputs]
    task: Task


@dataclass(frozen=True)
class BenchmarkRequest:
    """What to measure on a device.

    Args:
        threads: numbers, or `all`. samples: None measures no quality. engines, wheels, offline: see `install`.

    Raises:
        EngineError: an unknown engine.
    """

    threads: Sequence[str] = ("1", "all")
    rule: Rule = INTERLEAVED
    samples: Samples | None = None
    engines: Sequence[str] | None = None
    wheels: Sequence[Path] = ()
    offline: bool = False

    def __post_init__(self) -> None:
        check_engines(self.engines or ())


def compare(outputs: Mapping[str, Outputs], samples: Samples) -> dict[str, Any]:
    """Compare a device's outputs with those of this machine, sample by sample.

    Returns:
        File → `agreement`: share of samples with the same prediction; `difference`: the largest of the outputs;
        `differ`: samples whose predictions differ (number in the test split, this machine's prediction, the device's).
        `reason`: why outputs cannot be compared (NaN, another shape); their agreement is 0.
    """
    found: dict[str, Any] = {}
    task = samples.task
    for name, there in outputs.items():
        here = samples.reference.get(name)
        if here is None:
            continue
        compared = compare_outputs(there, here, Tolerance())
        if not compared.passed or not task.same_answer:
            reason = compared.reason or f"{task.name} does not define when two predictions are the same"
            found[name] = {"agreement": 0.0, "difference": None, "differ": [], "reason": reason}
            continue
        same = task.same(here, there)
        rows = np.flatnonzero(~same)
        predictions = (
            [task.describe(one) for one in task.answer([part[rows] for part in side])] for side in (here, there)
        )
        found[name] = {
            "agreement": float(same.mean()),
            "difference": max(one.difference for one in compared.outputs),
            "differ": [[int(row), *texts] for row, *texts in zip(rows, *predictions, strict=True)],
        }
    return found


def pack_samples(samples: Samples) -> bytes:
    """The npz that a device reads: `images` and `targets`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=samples.images, targets=samples.targets)
    return buffer.getvalue()


def add_outputs(found: dict[str, Any], content: bytes, samples: Samples) -> None:
    """Add to a device's measurement how its outputs, an npz of them by file, compare with this machine's."""
    found["samples"] |= {"count": len(samples.targets), "of": samples.of}
    found["answers"] = compare(read_outputs(io.BytesIO(content)), samples)
    found["warnings"] += [
        f"{name} cannot be compared with this machine: {one['reason']}: do not use it there"
        for name, one in found["answers"].items()
        if "reason" in one
    ]
