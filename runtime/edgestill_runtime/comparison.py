"""Two sets of outputs for the same samples: how far they lie apart, and whether that still counts as the same.

    compared = compare_outputs(found, reference, Tolerance(steps=2), entry.outputs)
    if not compared.passed: print(compared.reason)      # output 1 (scores): NaN in 3 of 160 values where the reference…

Every output counts, whatever its rank and dtype. What cannot be compared is never the same: another number of outputs,
another shape or kind of numbers, NaN or infinity on one side alone, or no value at all.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .tensor_spec import TensorSpec

BLOCK = 1 << 20  # values at a time in float64: outputs may be large
INT8_RANGE = 128  # an output without a scale has as many steps on either side of zero as int8 has
SMALLEST = 1e-6  # outputs whose largest value is below this are compared as if it were this: all zero is no scale
ROUNDING = 1 + 1e-4  # real numbers that stand for int8 are float32: a difference of one step is 1 ± 0.00002 of them
_KINDS = {"b": "boolean", "i": "whole", "u": "whole", "f": "real"}


@dataclass(frozen=True)
class Tolerance:
    """What still counts as the same output; of real numbers every limit that is set must hold.

    Args:
        steps: largest difference, in quantization steps of the reference. share: of its largest absolute value.
        rms: root mean square of the difference, as a share of the root mean square of the reference.
        changed: for integers and booleans, which are equal or not, the share of values that may differ, 0–1.
    """

    steps: float | None = None
    share: float | None = None
    rms: float | None = None
    changed: float = 0.0


@dataclass(frozen=True)
class OutputComparison:
    """One output on both sides.

    Args:
        name: `output NUMBER`, with the name that the file has for it. values: how many were compared.
        difference: largest one; infinite where the outputs cannot be compared. allowed: what was still the same.
        mean: of the differences of all values.
        steps: the largest difference in quantization steps; None for integers and booleans that stand for themselves.
        rms: see `Tolerance`. changed: share of values, 0–1, that are more than one step apart, or not equal.
        reason: why it fails; None when it passes.
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
        """Whether both sides count as the same."""
        return self.reason is None

    @property
    def severity(self) -> float:
        """The difference as a multiple of what is allowed, to find the worst output by; infinite beyond comparison."""
        return self.difference / max(self.allowed, 1e-30) if self.difference else 0.0


@dataclass(frozen=True)
class Comparison:
    """All outputs on both sides; `problem` is what keeps them from being compared as a whole, None if nothing does."""

    outputs: tuple[OutputComparison, ...]
    problem: str | None = None

    @property
    def passed(self) -> bool:
        """Whether something was compared, and every output counts as the same."""
        return self.problem is None and all(one.passed for one in self.outputs)

    @property
    def worst(self) -> OutputComparison | None:
        """The output that is furthest beyond what is allowed, or else nearest to it."""
        return max(self.outputs, key=lambda one: (not one.passed, one.severity), default=None)

    @property
    def reason(self) -> str | None:
        """Why it fails, naming the worst output; None when it passes."""
        if self.problem is not None or self.passed or self.worst is None:
            return self.problem
        return f"{self.worst.name}: {self.worst.reason}"

    def to_json(self) -> dict[str, Any]:
        """Plain data; what is not finite becomes None."""
        return {"passed": self.passed, "reason": self.reason, "outputs": [finite(asdict(one)) for one in self.outputs]}


def finite(data: Any) -> Any:
    """Plain data as JSON can hold it, which has no NaN and no infinity: None in their place."""
    if isinstance(data, dict):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def compare_outputs(
    found: Sequence[Any], reference: Sequence[Any], tolerance: Tolerance, specs: Sequence[TensorSpec] = ()
) -> Comparison:
    """Compare outputs, one array each, of any rank and dtype, real numbers rather than what int8 stands for.

    Args:
        specs: of the outputs of the reference, for their names and the size of their quantization steps; an output
            without a scale counts 128 steps to its largest absolute value.
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
    """Integers and booleans: a class that is one further is no nearer than any other, so they are equal or not."""
    differ = found != reference
    count, changed = int(differ.sum()), float(differ.mean()) if len(differ) else 0.0
    apart = np.abs(found[differ].astype(np.float64) - reference[differ].astype(np.float64))
    # In float64 two large integers may seem equal that are not.
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
    """What is not finite is the same on both sides here, and stays out of the arithmetic."""
    largest = max((_largest(other[np.isfinite(other)]) for _, other in _blocks(found, reference)), default=0.0)
    step = scale or max(largest, SMALLEST) / INT8_RANGE
    difference, total, deviation, power, far, count = 0.0, 0.0, 0.0, 0.0, 0, 0
    with np.errstate(over="ignore"):  # an infinite difference is an answer, and no pass
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
    """What is wrong with NaN and infinities: they must be the same on both sides."""
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
    """Of sums of squares over `count` values: the deviation as a share of the reference."""
    return math.sqrt(deviation) / max(math.sqrt(power), 1e-12 * math.sqrt(count)) if deviation else 0.0


def _largest(values: NDArray[np.float64]) -> float:
    return float(np.abs(values).max(initial=0))


def _blocks(found: NDArray[Any], reference: NDArray[Any]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Both sides as float64, some at a time."""
    for start in range(0, len(found), BLOCK):
        part = slice(start, start + BLOCK)
        yield found[part].astype(np.float64), reference[part].astype(np.float64)
