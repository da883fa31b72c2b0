"""What is to be measured on devices, and their answers beside this machine's."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgestill_benchmarks import INTERLEAVED, Rule
from edgestill_runtime import Tolerance, compare_outputs

from .packages import check_engines


@dataclass(frozen=True)
class Samples:
    """Test images to send along, and what is known of them.

    Args:
        images: uint8 (N, H, W, C). labels: int64 (N,). of: how many the test split has.
        reference: name of a model or a file → logits (N, classes) of this machine.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    of: int
    reference: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Wanted:
    """What is to be measured.

    Args:
        threads: numbers, or `all`. samples: None measures no accuracy. engines, wheels, offline: see `install`.

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


def compare(answers: Mapping[str, NDArray[np.float32]], samples: Samples) -> dict[str, Any]:
    """A device's answers beside those of this machine, sample by sample.

    Returns:
        File → share of samples with the same class, largest difference of the logits, and the samples (their numbers in
        the test split, this machine's class, the device's) whose class differs; `reason` where the outputs cannot be
        compared (NaN, another shape), which is no agreement at all.
    """
    found: dict[str, Any] = {}
    for name, logits in answers.items():
        own = samples.reference.get(name)
        if own is None:
            continue
        compared = compare_outputs([logits], [own], Tolerance())
        only = compared.outputs[0]
        if not compared.passed or only.same_class is None:
            reason = only.reason or compared.reason or f"outputs {own.shape} are no scores a class"
            found[name] = {"agreement": 0.0, "difference": None, "differ": [], "reason": reason}
            continue
        here, there = own.argmax(1), logits.argmax(1)
        differ = np.flatnonzero(here != there)
        found[name] = {
            "agreement": only.same_class,
            "difference": only.difference,
            "differ": [[int(number), int(here[number]), int(there[number])] for number in differ],
        }
    return found


def packed(samples: Samples) -> bytes:
    """The npz that a device answers: `images` and `labels`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=samples.images, labels=samples.labels)
    return buffer.getvalue()


def add_answers(found: dict[str, Any], content: bytes, samples: Samples) -> None:
    """Put into a device's measurement what its answers, an npz of logits by file, are worth beside this machine's."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        answers = {name: arrays[name] for name in arrays.files}
    found["samples"] |= {"count": len(samples.labels), "of": samples.of}
    found["answers"] = compare(answers, samples)
    found["warnings"] += [
        f"{name} cannot be compared with this machine: {one['reason']}: do not use it there"
        for name, one in found["answers"].items()
        if "reason" in one
    ]
