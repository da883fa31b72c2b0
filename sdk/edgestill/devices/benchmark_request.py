"""What is to be measured on devices, and their answers beside this machine's."""

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
    """Test images to send along, and what is known of them.

    Args:
        images: uint8 (N, H, W, C). targets: (N, …). of: how many the test split has.
        reference: name of a model or a file → its outputs on this machine. task: what they mean.
    """

    images: NDArray[np.uint8]
    targets: NDArray[Any]
    of: int
    reference: Mapping[str, Outputs]
    task: Task


@dataclass(frozen=True)
class BenchmarkRequest:
    """What is to be measured.

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


def compare(answers: Mapping[str, Outputs], samples: Samples) -> dict[str, Any]:
    """A device's answers beside those of this machine, sample by sample.

    Returns:
        File → share of samples with the same answer, largest difference of the outputs, and the samples (their numbers
        in the test split, this machine's answer, the device's, in words) whose answer differs; `reason` where the
        outputs cannot be compared (NaN, another shape), which is no agreement at all.
    """
    found: dict[str, Any] = {}
    task = samples.task
    for name, outputs in answers.items():
        own = samples.reference.get(name)
        if own is None:
            continue
        compared = compare_outputs(outputs, own, Tolerance())
        if not compared.passed or not task.same_answer:
            reason = compared.reason or f"nothing says when two answers of {task.name} are the same"
            found[name] = {"agreement": 0.0, "difference": None, "differ": [], "reason": reason}
            continue
        same = task.same(own, outputs)
        rows = np.flatnonzero(~same)
        here, there = (
            [task.describe(answer) for answer in task.answer([part[rows] for part in side])] for side in (own, outputs)
        )
        found[name] = {
            "agreement": float(same.mean()),
            "difference": max(one.difference for one in compared.outputs),
            "differ": [[int(row), *texts] for row, *texts in zip(rows, here, there, strict=True)],
        }
    return found


def packed(samples: Samples) -> bytes:
    """The npz that a device answers: `images` and `targets`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=samples.images, targets=samples.targets)
    return buffer.getvalue()


def add_answers(found: dict[str, Any], content: bytes, samples: Samples) -> None:
    """Put into a device's measurement what its answers, an npz of outputs by file, are worth beside this machine's."""
    answers = read_outputs(io.BytesIO(content))
    found["samples"] |= {"count": len(samples.targets), "of": samples.of}
    found["answers"] = compare(answers, samples)
    found["warnings"] += [
        f"{name} cannot be compared with this machine: {one['reason']}: do not use it there"
        for name, one in found["answers"].items()
        if "reason" in one
    ]
