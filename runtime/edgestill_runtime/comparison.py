"""Compare two sets of outputs for the same samples: how far they differ, and whether that is within a tolerance.

    compared = compare_outputs(found, reference, Tolerance(steps=2), entry.outputs)
    if not compared.passed: print(compared.reason)      # output 1 (scores): NaN in 3 of 160 values where the reference…

Every output counts, whatever its rank and dtype. A comparison fails if the number of outputs, a shape or the kind of
numbers differs, if NaN or infinity is on one side only, or if there is no value at all.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .tensor_spec import TensorSpec

BLOCK = 1 << 20  # values converted to float64 at a time: outputs may be large
INT8_RANGE = 128  # quantization steps assumed from zero to the largest absolute value of an output without a scale
SMALLEST = 1e-6  # lower bound of an output's largest absolute value, so that an output of zeros has a scale
ROUNDING = 1 + 1e-4  # dequantized values are float32: one quantization step is 1 ± 0.00002 steps
_KINDS = {"b": "boolean", "i": "whole", "u": "whole", "f": "real"}


@dataclass(frozen=True)
class Tolerance:
    """How far an output may differ from its reference. For floats, every limit that is set must hold.

    Args:
        steps: largest difference, in quantization steps of the reference.
        share: largest difference, as a share of the reference's largest absolute value.
        rms: root mean square of the difference, as a share of the root mean square of the reference.
        changed: for integers and booleans: share of values that may differ, 0–1.
    """

    steps: float | None = None
    share: float | None = None
    rms: float | None = None
    changed: float = 0.0


@dataclass(frozen=True)
class OutputComparison:
    """The comparison of one output with its reference.

    Args:
        name: `output NUMBER`, with its name in the file. values: number of values compared.
        difference: largest absolute difference; infinite if the outputs cannot be compared.
        allowed: largest difference within the tolerance.
        mean: mean absolute difference.
        steps: largest difference in quantization steps; None for integers and booleans that are not quantized.
        rms: see `Tolerance`. changed: share of values, 0–1, that differ by more than one step, or are not equal.
        reason: why it fails; None if it passes.
    """

    name: str
    values: int
    difference: float
    allowed: float
    mean: float = 0.0
    steps: float | None = None
    rms: float = 0.0
    changed: float = 0.0
    reason: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the output is within the tolerance."""
        return self.reason is None

    @property
    def severity(self) -> float:
        """The difference divided by the allowed one, to rank outputs; infinite if they cannot be compared."""
        return self.difference / max(self.allowed, 1e-30) if self.difference else 0.0


@dataclass(frozen=True)
class Comparison:
    """The comparison of all outputs; `problem` is why they cannot be compared at all, else None."""

    outputs: tuple[OutputComparison, ...]
    problem: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the outputs could be compared, and every one is within the tolerance."""
        return self.problem is None and all(one.passed for one in self.outputs)

    @property
    def worst(self) -> OutputComparison | None:
        """The output with the largest severity, failed ones first; None if there is no output."""
        return max(self.outputs, key=lambda one: (not one.passed, one.severity), default=None)

    @property
    def reason(self) -> str | None:
        """Why it fails, with the name of the worst output; None if it passes."""
        if self.problem is not None or self.passed or self.worst is None:
            return self.problem
        return f"{self.worst.name}: {self.worst.reason}"

    def to_json(self) -> dict[str, Any]:
        """Plain data; NaN and infinity become None."""
        return {"passed": self.passed, "reason": self.reason, "outputs": [finite(asdict(one)) for one in self.outputs]}


def finite(data: Any) -> Any:
    """The same plain data with None for NaN and infinity, which JSON does not have."""
    if isinstance(data, dict):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def compare_outputs(
    found: Sequence[Any], reference: Sequence[Any], tolerance: Tolerance, specs: Sequence[TensorSpec] = ()
) -> Comparison:
    """Compare outputs with reference outputs.

    Args:
        found, reference: one array per output, of any rank and dtype; quantized outputs dequantized.
        specs: of the reference's outputs, for their names and quantization steps; for an output without a scale, one
            step is its largest absolute value / 128.
    """
    if len(found) != len(reference):
        return Comparison((), f"{len(found)} outputs instead of {len(reference)}")
    outputs = []
    for number, (one, other) in enumerate(zip(found, reference, strict=True)):
        spec = specs[number] if number < len(specs) else None
        name = f"output {number} ({spec.name})" if spec is not None and spec.name else f"output {number}"
        scale = None if spec is None else spec.scale
        outputs.append(_compare(name, np.asarray(one), np.asarray(other), tolerance, scale))
    comparable = all(math.isfinite(one.difference) for one in outputs)
    empty = comparable and not any(one.values for one in outputs)
    return Comparison(tuple(outputs), "there is no value to compare" if empty else None)


def _compare(
    name: str, found: NDArray[Any], reference: NDArray[Any], tolerance: Tolerance, scale: float | None
) -> OutputComparison:
    def refused(reason: str) -> OutputComparison:
        return OutputComparison(name, 0, math.inf, 0.0, math.inf, rms=math.inf, changed=1.0, reason=reason)

    if found.shape != reference.shape:
        return refused(f"shape {found.shape} instead of {reference.shape}")
    kinds = [_KINDS.get(one.dtype.kind) for one in (found, reference)]
    if kinds[0] is None or kinds[0] != kinds[1]:
        return refused(f"{found.dtype} instead of {reference.dtype}" if kinds[0] != kinds[1] else "no plain numbers")
    one, other = found.reshape(-1), reference.reshape(-1)
    if kinds[0] != "real":
        return _compare_whole(name, one, other, tolerance)
    if reason := _not_finite(one, other):
        return refused(reason)
    return _compare_real(name, one, other, tolerance, scale)


def _compare_whole(name: str, found: NDArray[Any], reference: NDArray[Any], tolerance: Tolerance) -> OutputComparison:
    """Integers and booleans are equal or not: neighboring class numbers are no more alike than others."""
    differ = found != reference
    count, changed = int(differ.sum()), float(differ.mean()) if len(differ) else 0.0
    apart = np.abs(found[differ].astype(np.float64) - reference[differ].astype(np.float64))
    # Large integers that differ may be equal in float64.
    largest = max(float(apart.max()), 1.0) if count else 0.0
    power = float(np.square(reference.astype(np.float64)).sum())
    reason = f"{count} of {len(differ)} values differ" if changed > tolerance.changed else None
    return OutputComparison(
        name, len(differ), largest, 0.0 if reason else largest, float(apart.sum()) / max(len(differ), 1),
        rms=_rms(float(np.square(apart).sum()), power, len(differ)), changed=changed, reason=reason,
    )  # fmt: skip


def _compare_real(
    name: str, found: NDArray[Any], reference: NDArray[Any], tolerance: Tolerance, scale: float | None
) -> OutputComparison:
    """Floats. Values that are not finite are equal on both sides here, and are left out of the statistics."""
    largest = max((_largest(other[np.isfinite(other)]) for _, other in _blocks(found, reference)), default=0.0)
    step = scale or max(largest, SMALLEST) / INT8_RANGE
    difference, total, deviation, power, far, count = 0.0, 0.0, 0.0, 0.0, 0, 0
    with np.errstate(over="ignore"):  # a difference may overflow to infinity, which fails
        for one, other in _blocks(found, reference):
            finite = np.isfinite(other)
            expected = other[finite]
            apart = np.abs(one[finite] - expected)
            difference, total = max(difference, _largest(apart)), total + float(apart.sum())
            deviation, power = deviation + float(np.square(apart).sum()), power + float(np.square(expected).sum())
            far, count = far + int((apart > step * ROUNDING).sum()), count + int(finite.sum())
    rms = _rms(deviation, power, count)
    limits = (
        math.inf if tolerance.steps is None else tolerance.steps * step,
        math.inf if tolerance.share is None else tolerance.share * max(largest, SMALLEST),
    )
    reason = None
    if difference > min(limits) * ROUNDING:
        reason = f"{difference:.3g} ({difference / step:.2f} steps) apart, {min(limits):.3g} allowed"
    elif tolerance.rms is not None and not rms <= tolerance.rms:
        reason = f"deviates by {rms:.2g} of its values (allowed: {tolerance.rms:g})"
    mean, changed = total / max(count, 1), far / max(count, 1)
    return OutputComparison(name, count, difference, min(limits), mean, difference / step, rms, changed, reason)


def _not_finite(found: NDArray[Any], reference: NDArray[Any]) -> str | None:
    """How NaN and infinities differ between both sides; None if they are equal."""
    new, gone, infinite = 0, 0, 0
    for one, other in _blocks(found, reference):
        nan, expected = np.isnan(one), np.isnan(other)
        new, gone = new + int((nan & ~expected).sum()), gone + int((expected & ~nan).sum())
        infinite += int(((np.isinf(one) | np.isinf(other)) & (one != other) & ~nan & ~expected).sum())
    if new:
        return f"NaN in {new} of {len(found)} values where the reference has none"
    if gone:
        return f"numbers in {gone} of {len(found)} values where the reference has NaN"
    return f"another infinity, or none, in {infinite} of {len(found)} values" if infinite else None


def _rms(deviation: float, power: float, count: int) -> float:
    """Root mean square of the deviation as a share of the reference's, from sums of squares over `count` values."""
    return math.sqrt(deviation) / max(math.sqrt(power), 1e-12 * math.sqrt(count)) if deviation else 0.0


def _largest(values: NDArray[np.float64]) -> float:
    return float(np.abs(values).max(initial=0))


def _blocks(found: NDArray[Any], reference: NDArray[Any]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Both sides as float64, `BLOCK` values at a time."""
    for start in range(0, len(found), BLOCK):
        part = slice(start, start + BLOCK)
        yield found[part].astype(np.float64), reference[part].astype(np.float64)
