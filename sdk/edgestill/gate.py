"""The gate: what a bundle's files really do, on real data, and whether that may go out.

    checked = check_bundle(bundle, data.validation)
    if not checked.passed: print(checked.findings)

It fails when a quantized file loses more accuracy than the budget, when the two quantized files disagree, when one of
any file's outputs is destroyed, and when nothing was judged. Where there are too few samples for a verdict it says so,
and how many would do. It warns when int8 does not pay here, or when the engines' fast path covers too little of a file.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgestill_benchmarks import Rule, accuracy, measure
from edgestill_runtime import Bundle, Model, ModelFile, Tolerance, compare_outputs, installed_engines

from .budget import Loss, check_shares, fitting_labels, loss_of_shares, measure_loss
from .chance import Chance, against_chance
from .data import Split
from .file_findings import look_inside
from .findings import Finding, failure, undecided, warning

MAX_DROP = 0.003
MIN_AGREEMENT = 0.995
MAX_STEPS = 8.0
"""Quantization steps that any output of the two quantized files may be apart."""
MAX_DEVIATION = 0.5
"""Root mean square by which a quantized output may deviate from fp32, as a share of it, where no accuracy judges."""

Outputs = tuple[NDArray[Any], ...]


@dataclass(frozen=True)
class Difference:
    """How far two files lie apart in the output where they do most.

    Args:
        files: both. output: its number, and its name where it has one.
        largest, mean: as the outputs are, and in quantization steps; None where they cannot be compared at all.
        agreement: share of samples with the same class, or of values within one step, 0–1; `agreement_of` says which.
    """

    files: tuple[str, str]
    output: str
    largest: float | None
    mean: float | None
    largest_quanta: float | None
    mean_quanta: float | None
    agreement: float
    agreement_of: Literal["samples", "values"]


@dataclass(frozen=True)
class Gate:
    """What was found.

    Args:
        samples: how many were run. float_accuracy, accuracy: of the float model and of each file, 0–1; empty where the
            labels, or the outputs, allow none.
        losses: quantized file → what it loses against the float model, with its standard error.
        agreement: of the two quantized files in the output where it is least; None for one file. Of a classifier the
            share of samples with the same class, of any other output the share of values within one quantization step.
        latency_ratio: engine → p50 of its quantized file divided by that of its fp32 file, on this machine.
        delegated: file → share of its multiply-accumulates inside the delegate.
    """

    samples: int
    float_accuracy: float | None
    accuracy: Mapping[str, float]
    losses: Mapping[str, Loss]
    agreement: float | None
    differences: tuple[Difference, ...]
    latency_ratio: Mapping[str, float]
    delegated: Mapping[str, float]
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return not any(one.level == "failure" for one in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"passed": self.passed, **asdict(self)}


def check_bundle(
    bundle: Bundle,
    samples: Split | Sequence[NDArray[Any]],
    *,
    float_accuracy: float | None = None,
    max_drop: float = MAX_DROP,
    min_agreement: float = MIN_AGREEMENT,
    latency: bool = True,
) -> Gate:
    """Run every file of a bundle on real samples and judge.

    Args:
        samples: labelled images, or one array for each input.
        float_accuracy: of the float model on the same samples, 0–1; its fp32 file's when None.
        max_drop: accuracy, 0–1, that a quantized file may lose. min_agreement: of the two quantized files, 0–1.
        latency: measure int8 against fp32 on this machine, some seconds.

    Raises:
        EdgestillError: a share that is none.
    """
    check_shares(float_accuracy=float_accuracy, max_drop=max_drop, min_agreement=min_agreement)
    arrays = [samples.images] if isinstance(samples, Split) else list(samples)
    count = min((len(one) for one in arrays), default=0)
    outputs, findings = _run(bundle, arrays) if count else ({}, [failure("there are no samples to judge with")])
    models = {name: bundle.manifest.models[name] for name in outputs}
    pairs = _Pairs(models)
    labels, reason = None, None
    if outputs and isinstance(samples, Split):
        first = next(iter(outputs.values()))
        labels, reason = fitting_labels(samples.labels, len(first), first[0].shape)
        if reason:
            findings.append(warning(f"no accuracy was measured: {reason}"))
    shares = {} if labels is None else {name: accuracy(given[0], labels) for name, given in outputs.items()}
    if float_accuracy is None:
        float_accuracy = max((share for name, share in shares.items() if name in pairs.floats), default=None)
    losses = {} if labels is None else _losses(outputs, pairs, shares, float_accuracy, labels)
    guessing = None if labels is None else _guessing(outputs, pairs, labels)
    findings += _judge_losses(losses, shares, max_drop, guessing)
    classifies = bundle.manifest.task == "image-classification" or labels is not None
    # Where accuracy tells nothing, what is left of the outputs is judged.
    decided = {name for name, loss in losses.items() if guessing is None and loss.verdict(max_drop) != "undecided"}
    differences, agreement, found = _compare_files(outputs, models, pairs, classifies, min_agreement, decided)
    delegated, inside = look_inside(bundle, pairs.quantized)
    ratios = _latency_ratios(bundle, pairs) if latency and pairs.quantized else {}
    return Gate(
        samples=count,
        float_accuracy=float_accuracy,
        accuracy=shares,
        losses=losses,
        agreement=agreement,
        differences=tuple(differences),
        latency_ratio=ratios,
        delegated=delegated,
        findings=(*findings, *found, *inside, *_latency_findings(ratios, pairs.precisions)),
    )


class _Pairs:
    """Which files belong together: by engine and precision, never by name."""

    def __init__(self, models: Mapping[str, ModelFile]) -> None:
        self.quantized = [name for name, entry in models.items() if entry.precision != "fp32"]
        self.floats = [name for name, entry in models.items() if entry.precision == "fp32"]
        self.precisions = {models[name].engine: models[name].precision for name in self.quantized}
        self._of_engine = {models[name].engine: name for name in self.floats}
        self._models = models

    def baseline(self, name: str) -> str | None:
        """The fp32 file of the same engine, or else of another."""
        return self._of_engine.get(self._models[name].engine) or next(iter(self.floats), None)


def _run(bundle: Bundle, arrays: Sequence[Any]) -> tuple[dict[str, Outputs], list[Finding]]:
    """What every file that can be run here gives, and what is to be said of the others."""
    installed, outputs, findings = installed_engines(), {}, []
    for name, entry in bundle.manifest.models.items():
        if entry.engine not in installed:
            findings.append(warning(f"{name} was not judged: {entry.engine} is not installed"))
            continue
        with Model(bundle.manifest, name, bundle.read(name)) as model:
            outputs[name] = model.outputs_of(arrays)
        for number, output in enumerate(outputs[name]):
            if output.dtype.kind == "f" and (wrong := int(np.isnan(output).sum())):
                findings.append(failure(f"{name}: output {number} is NaN in {wrong} of {output.size} values"))
    quantized = [name for name, entry in bundle.manifest.models.items() if entry.precision != "fp32"]
    if not outputs or (quantized and not outputs.keys() & set(quantized)):
        what = "none of the quantized files" if outputs else "nothing"
        findings.append(failure(f"{what} was judged: no engine for it is installed; see `edgestill doctor`"))
    return outputs, findings


def _losses(
    outputs: Mapping[str, Outputs],
    pairs: _Pairs,
    shares: Mapping[str, float],
    float_accuracy: float | None,
    labels: NDArray[np.int64],
) -> dict[str, Loss]:
    losses = {}
    for name in pairs.quantized:
        baseline = pairs.baseline(name)
        if baseline is not None:
            paired = measure_loss(outputs[baseline][0], outputs[name][0], labels)
            drop = paired.drop if float_accuracy is None else float_accuracy - shares[name]
            losses[name] = Loss(drop, paired.standard_error, paired.samples)
        elif float_accuracy is not None:
            losses[name] = loss_of_shares(float_accuracy, shares[name], len(labels))
    return losses


def _guessing(outputs: Mapping[str, Outputs], pairs: _Pairs, labels: NDArray[np.int64]) -> Chance | None:
    """How a float file does that is no better than guessing; None where none does."""
    found = [against_chance(outputs[name][0].argmax(1), labels) for name in pairs.floats if name in outputs]
    return next((one for one in found if one.near), None)


def _judge_losses(
    losses: Mapping[str, Loss], shares: Mapping[str, float], max_drop: float, guessing: Chance | None
) -> list[Finding]:
    found = [one for name, loss in losses.items() for one in _judge_loss(name, shares[name], loss, max_drop)]
    if guessing is None or not losses or any(one.level == "failure" for one in found):
        return found
    return [undecided(
        f"the float model itself is right on {100 * guessing.accuracy:.2f} % of {guessing.samples:,} samples, guessing "
        f"on {100 * guessing.chance:.2f} %, so they cannot tell what int8 costs: see whether the labels are the "
        "model's classes, in its order, and the samples like those it learnt from"
    )]  # fmt: skip


def _judge_loss(name: str, share: float, loss: Loss, max_drop: float) -> list[Finding]:
    verdict = loss.verdict(max_drop)
    if verdict == "kept":
        return []
    right = f"{name} is right on {100 * share:.2f} % of {loss.samples:,} samples, {loss} the float model"
    if verdict == "missed":
        return [failure(
            f"{right}; the budget is {100 * max_drop:g}: calibrate with more samples like those it will meet, or use "
            "quantize = auto, or precision = mixed"
        )]  # fmt: skip
    return [undecided(
        f"{right}: too few samples to tell whether it keeps the budget of {100 * max_drop:g} points, one of them is "
        f"{100 / loss.samples:.2g}; about {loss.samples_needed(max_drop):,} would tell"
    )]  # fmt: skip


def _compare_files(
    outputs: Mapping[str, Outputs],
    models: Mapping[str, ModelFile],
    pairs: _Pairs,
    classifies: bool,
    min_agreement: float,
    decided: Collection[str],
) -> tuple[list[Difference], float | None, list[Finding]]:
    """Every output: of the quantized files with each other, then of each with its fp32 file.

    Args:
        decided: files whose accuracy says already what quantization has cost.

    Returns:
        The output of each pair that lies furthest apart; the least agreement of the quantized files in any output,
        None for a single file; and what was found.
    """
    differences, findings, shares = [], [], []
    for one, other in [pairs.quantized[number : number + 2] for number in range(len(pairs.quantized) - 1)]:
        found = _differences((one, other), outputs, models, classifies, Tolerance(steps=MAX_STEPS, changed=1.0))
        differences.append(found[0][0])
        shares += [pair.agreement for pair, _ in found]
        findings += [_disagreement(pair, reason, min_agreement) for pair, reason in found
                     if reason or pair.agreement < min_agreement]  # fmt: skip
    for name in pairs.quantized:
        baseline = pairs.baseline(name)
        if baseline is None:
            continue
        limit = math.inf if name in decided else MAX_DEVIATION
        found = _differences((name, baseline), outputs, models, classifies, Tolerance(rms=limit, changed=limit))
        differences.append(found[0][0])
        findings += [
            failure(
                f"{name}, {pair.output}: {reason} against {baseline}: quantization has destroyed it; calibrate with "
                "samples like those it will meet, or keep sensitive layers in float (precision = mixed)"
            )
            for pair, reason in found
            if reason
        ]
    return differences, min(shares, default=None), findings


def _differences(
    files: tuple[str, str],
    outputs: Mapping[str, Outputs],
    models: Mapping[str, ModelFile],
    classifies: bool,
    tolerance: Tolerance,
) -> list[tuple[Difference, str | None]]:
    """Every output with the reason why it fails, the worst first."""
    one, other = files
    # In steps of the first file, which is quantized.
    compared = compare_outputs(outputs[one], outputs[other], tolerance, models[one].outputs)
    if compared.problem is not None:
        return [(Difference(files, "outputs", None, None, None, None, 0.0, "values"), compared.problem)]
    found = []
    for result in sorted(compared.outputs, key=lambda result: (result.passed, -(result.steps or result.changed))):
        classes = classifies and len(compared.outputs) == 1 and result.same_class is not None
        same = result.same_class if classes else 1 - result.changed
        kind: Literal["samples", "values"] = "samples" if classes else "values"
        steps = result.steps
        mean_steps = result.mean / result.difference * steps if steps and math.isfinite(result.difference) else steps
        one_difference = Difference(
            files, result.name, _plain(result.difference), _plain(result.mean), _plain(steps), _plain(mean_steps),
            same or 0.0, kind,
        )  # fmt: skip
        found.append((one_difference, result.reason))
    return found


def _plain(value: float | None) -> float | None:
    """None for what JSON cannot hold."""
    return None if value is None or not math.isfinite(value) else value


def _disagreement(pair: Difference, reason: str | None, min_agreement: float) -> Finding:
    advice = (
        "deploy one of the two alone (target), or look with `edgestill inspect` for operators that only one of them "
        "computes in float and report them"
    )
    both = f"{pair.files[0]} and {pair.files[1]}"
    if reason and not reason.endswith("allowed"):
        return failure(f"{both}, {pair.output}: {reason}: {advice}")
    classes = pair.agreement_of == "samples"
    what = "choose the same class on" if classes else f"lie within one quantization step ({pair.output}) in"
    share = f"{100 * pair.agreement:.2f} % of {pair.agreement_of}"
    apart = "" if pair.largest_quanta is None else f", at most {pair.largest_quanta:.1f} quantization steps apart"
    limits = f"at least {100 * min_agreement:g} % and at most {MAX_STEPS:g} steps are asked for"
    return failure(f"{both} {what} {share}{apart}; {limits}: {advice}")


def _latency_ratios(bundle: Bundle, pairs: _Pairs) -> dict[str, float]:
    times = {one.file: one.latency_ms.p50 for one in measure(bundle, 1, Rule(min_calls=50, min_seconds=0.3)).files}
    models = bundle.manifest.models
    ratios = {}
    for name in pairs.quantized:
        baseline = pairs.baseline(name)
        if baseline in times and name in times and models[baseline].engine == models[name].engine:
            ratios[models[name].engine] = times[name] / times[baseline]
    return ratios


def _latency_findings(ratios: Mapping[str, float], precisions: Mapping[str, str]) -> list[Finding]:
    return [
        warning(
            f"{engine}: {precisions[engine]} takes {ratio:.2f} × the time of fp32 on this machine: measure on the "
            "device (`edgestill bench`); if it is so there too, deploy the fp32 file unless its size matters"
        )
        for engine, ratio in ratios.items()
        if ratio > 1
    ]
