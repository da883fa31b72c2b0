"""Differences between the files of a bundle, output by output: between quantized files, and to fp32.

If the task defines when two predictions are equal, samples with equal predictions are counted; else values within
one quantization step.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from edgestill_runtime import ModelFile, Task, Tolerance, compare_outputs
from edgestill_runtime.manifest import find_file

from .findings import Finding, failure

MAX_STEPS = 8.0
"""Largest difference of an output between the two quantized files, in quantization steps."""
MAX_DEVIATION = 0.5
"""Root mean square by which a quantized output may deviate from fp32, relative to fp32, if no measure decides."""

Outputs = tuple[NDArray[Any], ...]


@dataclass(frozen=True)
class Difference:
    """The difference of two files in the output where it is largest.

    Args:
        files: both. output: its number, and its name where it has one.
        largest, mean: in units of the output, and in quantization steps; None if they cannot be compared.
        agreement: share of samples with the same prediction, or of values within one step, 0–1; see `agreement_of`.
    """

    files: tuple[str, str]
    output: str
    largest: float | None
    mean: float | None
    largest_quanta: float | None
    mean_quanta: float | None
    agreement: float
    agreement_of: Literal["samples", "values"]


class Pairs:
    """Pairs of files to compare: by engine and precision, not by name."""

    def __init__(self, models: Mapping[str, ModelFile]) -> None:
        self.quantized = [name for name, entry in models.items() if entry.precision != "fp32"]
        self.floats = [name for name, entry in models.items() if entry.precision == "fp32"]
        self.precisions = {models[name].engine: models[name].precision for name in self.quantized}
        self._models = models

    def baseline(self, name: str) -> str | None:
        """The fp32 file of the same engine, or else of another."""
        return find_file(self._models, self._models[name].engine, "fp32") or next(iter(self.floats), None)


def compare_files(
    outputs: Mapping[str, Outputs],
    models: Mapping[str, ModelFile],
    pairs: Pairs,
    task: Task,
    min_agreement: float,
    decided: Collection[str],
) -> tuple[list[Difference], float | None, list[Finding]]:
    """Every output: of the quantized files with each other, then of each with its fp32 file.

    Args:
        task: what the outputs mean. decided: files whose loss of quality is already decided.

    Returns:
        The output of each pair with the largest difference; the lowest agreement of the quantized files in any output,
        None for a single file; and findings.
    """
    differences, findings, shares = [], [], []
    for one, other in [pairs.quantized[number : number + 2] for number in range(len(pairs.quantized) - 1)]:
        compared = _differences((one, other), outputs, models, task, Tolerance(steps=MAX_STEPS, changed=1.0))
        differences.append(compared[0][0])
        shares += [pair.agreement for pair, _ in compared]
        findings += [_disagreement(pair, reason, min_agreement, task) for pair, reason in compared
                     if reason or pair.agreement < min_agreement]  # fmt: skip
    for name in pairs.quantized:
        baseline = pairs.baseline(name)
        if baseline is None:
            continue
        limit = math.inf if name in decided else MAX_DEVIATION
        compared = _differences((name, baseline), outputs, models, task, Tolerance(rms=limit, changed=limit))
        differences.append(compared[0][0])
        findings += [
            failure(
                f"{name}, {pair.output}: {reason} against {baseline}: quantization has destroyed it; calibrate with "
                "samples like those it will meet, or keep sensitive layers in float (precision = mixed)"
            )
            for pair, reason in compared
            if reason
        ]
    return differences, min(shares, default=None), findings


def _differences(
    files: tuple[str, str],
    outputs: Mapping[str, Outputs],
    models: Mapping[str, ModelFile],
    task: Task,
    tolerance: Tolerance,
) -> list[tuple[Difference, str | None]]:
    """Every output with the reason why it fails, the worst first."""
    one, other = files
    # In steps of the first file, which is quantized.
    compared = compare_outputs(outputs[one], outputs[other], tolerance, models[one].outputs)
    if compared.problem is not None:
        return [(Difference(files, "outputs", None, None, None, None, 0.0, "values"), compared.problem)]
    by_sample = bool(task.same_answer) and len(compared.outputs) == 1
    agreement = task.agreement(outputs[one], outputs[other]) if by_sample else None
    differences = []
    for result in sorted(compared.outputs, key=lambda result: (result.passed, -(result.steps or result.changed))):
        same = 1 - result.changed if agreement is None else agreement
        kind: Literal["samples", "values"] = "values" if agreement is None else "samples"
        steps = result.steps
        mean_steps = result.mean / result.difference * steps if steps and math.isfinite(result.difference) else steps
        one_difference = Difference(
            files, result.name, _plain(result.difference), _plain(result.mean), _plain(steps), _plain(mean_steps),
            same, kind,
        )  # fmt: skip
        differences.append((one_difference, result.reason))
    return differences


def _plain(value: float | None) -> float | None:
    """None for values that JSON does not support."""
    return None if value is None or not math.isfinite(value) else value


def _disagreement(pair: Difference, reason: str | None, min_agreement: float, task: Task) -> Finding:
    advice = (
        "deploy one of the two alone (target), or look with `edgestill inspect` for operators that only one of them "
        "computes in float and report them"
    )
    both = f"{pair.files[0]} and {pair.files[1]}"
    if reason and not reason.endswith("allowed"):
        return failure(f"{both}, {pair.output}: {reason}: {advice}")
    within = f"lie within one quantization step ({pair.output}) in"
    what = f"give {task.same_answer} on" if pair.agreement_of == "samples" else within
    share = f"{100 * pair.agreement:.2f} % of {pair.agreement_of}"
    apart = "" if pair.largest_quanta is None else f", at most {pair.largest_quanta:.1f} quantization steps apart"
    limits = f"at least {100 * min_agreement:g} % and at most {MAX_STEPS:g} steps are asked for"
    return failure(f"{both} {what} {share}{apart}; {limits}: {advice}")
