"""The gate: checks the files of a bundle on real data, and decides whether they may be deployed.

    checked = check_bundle(bundle, data.validation)
    if not checked.passed: print(checked.findings)

It fails when a quantized file loses more of the task's main measure than the budget, when the two quantized files
disagree, when an output of a file is destroyed by quantization, and when no file was checked. If there are too few
samples for a verdict, the gate reports how many are needed. It warns when int8 is not faster than fp32 on this machine,
or when the delegate covers too little of a file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgestill_benchmarks import Rule, measure
from edgestill_runtime import Bundle, InputError, Measure, Model, installed_engines
from edgestill_runtime import Task as DeviceTask
from edgestill_runtime.tasks import task_of

from .budget import Loss, check_shares, measure_loss, unpaired_loss
from .data import Split
from .data.types import IMAGE_CLASSIFICATION
from .differences import MAX_DEVIATION, MAX_STEPS, Difference, Outputs, Pairs, compare_files
from .file_findings import look_inside
from .findings import Finding, failure, undecided, warning
from .tasks import TASKS, Guess, Task

__all__ = ["MAX_DEVIATION", "MAX_DROP", "MAX_STEPS", "MIN_AGREEMENT", "Difference", "Gate", "check_bundle"]

MAX_DROP = 0.003
MIN_AGREEMENT = 0.995


@dataclass(frozen=True)
class Gate:
    """The result of the gate.

    Args:
        samples: number of samples. measure: the main measure of the task; None if targets or outputs do not allow one.
            quality: of each file, by the names of the task's measures. float_quality: the main measure of the float
            model.
        losses: quantized file → loss of the main measure against the float model, with its standard error.
        agreement: of the two quantized files, in the output where it is lowest; None for one file. The share of samples
            with the same prediction, or, if the task defines none, of values within one quantization step.
        latency_ratio: engine → p50 of its quantized file divided by that of its fp32 file, on this machine.
        delegated: file → share of its multiply-accumulates inside the delegate.
    """

    samples: int
    measure: Measure | None
    float_quality: float | None
    quality: Mapping[str, Mapping[str, float]]
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
    float_quality: float | None = None,
    max_drop: float = MAX_DROP,
    min_agreement: float = MIN_AGREEMENT,
    latency: bool = True,
    task: Task | None = None,
) -> Gate:
    """Run every file of a bundle on real samples, and check quality and agreement.

    Args:
        samples: images with targets, or one array for each input.
        float_quality: the main measure of the float model on the same samples; None: that of the fp32 file.
        max_drop: largest loss of the main measure of a quantized file, 0–1. min_agreement: of the two quantized files,
            0–1.
        latency: also measure int8 against fp32 on this machine, for some seconds.
        task: a custom task; None: the task of the bundle.

    Raises:
        EdgestillError: max_drop or min_agreement is outside 0–1.
    """
    check_shares(max_drop=max_drop, min_agreement=min_agreement)
    arrays = [samples.images] if isinstance(samples, Split) else list(samples)
    count = min((len(one) for one in arrays), default=0)
    outputs, findings = _run(bundle, arrays) if count else ({}, [failure("there are no samples to check with")])
    models = {name: bundle.manifest.models[name] for name in outputs}
    pairs = Pairs(models)
    host, device = _tasks(bundle, samples, task)
    targets: NDArray[Any] | None = None
    quality: dict[str, dict[str, float]] = {}
    if outputs and isinstance(samples, Split) and host is not None:
        targets, quality, reason = _measure(host, device, outputs, samples.targets)
        if targets is None:
            findings.append(warning(f"no {device.measures[0].name} was measured: {reason}"))
            device = task_of(bundle.manifest.task) if bundle.manifest.task == "tensors" else device
    main = {name: values[device.measures[0].name] for name, values in quality.items()}
    if float_quality is None:
        float_quality = max((value for name, value in main.items() if name in pairs.floats), default=None)
    losses = {} if targets is None else _losses(outputs, pairs, main, float_quality, targets, device)
    guessing = None if targets is None or host is None else _guessing(outputs, pairs, targets, host, device)
    findings += _judge_losses(losses, main, max_drop, guessing, device)
    # Where the loss of quality is undecided, the deviation of the outputs is checked.
    decided = {name for name, loss in losses.items() if guessing is None and loss.verdict(max_drop) != "undecided"}
    differences, agreement, apart = compare_files(outputs, models, pairs, device, min_agreement, decided)
    delegated, inside = look_inside(bundle, pairs.quantized)
    ratios = _latency_ratios(bundle, pairs) if latency and pairs.quantized else {}
    return Gate(
        samples=count,
        measure=device.measures[0] if quality else None,
        float_quality=float_quality,
        quality=quality,
        losses=losses,
        agreement=agreement,
        differences=tuple(differences),
        latency_ratio=ratios,
        delegated=delegated,
        findings=(*findings, *apart, *inside, *_latency_findings(ratios, pairs.precisions)),
    )


def _tasks(
    bundle: Bundle, samples: Split | Sequence[NDArray[Any]], custom: Task | None
) -> tuple[Task | None, DeviceTask]:
    """The host and the device part of a bundle's task; the first is None if the task is unknown."""
    manifest = bundle.manifest
    if custom is not None:
        return custom, custom.on_device(manifest.labels, manifest.task_settings, manifest.scores)
    device = task_of(manifest.task, manifest.labels, manifest.task_settings, manifest.scores)
    if manifest.task == "tensors" and isinstance(samples, Split):
        # Without a stated task, targets are class labels.
        return IMAGE_CLASSIFICATION, IMAGE_CLASSIFICATION.device(manifest.labels, {}, manifest.scores)
    kind = TASKS.get(manifest.task)
    return (kind() if kind else None), device


def _measure(
    host: Task, device: DeviceTask, outputs: Mapping[str, Outputs], labels: Any
) -> tuple[NDArray[Any] | None, dict[str, dict[str, float]], str]:
    """Targets that fit the outputs, and the quality of each file; None and the reason if it cannot be measured."""
    first = next(iter(outputs.values()))
    targets, reason = host.fitting_targets(labels, [one.shape for one in first])
    if targets is None:
        return None, {}, reason
    try:
        return targets, {name: device.quality(one, targets) for name, one in outputs.items()}, ""
    except InputError as error:  # the measure is undefined: constant targets, or no label
        return None, {}, str(error)


def _run(bundle: Bundle, arrays: Sequence[Any]) -> tuple[dict[str, Outputs], list[Finding]]:
    """The outputs of every file that can run here, and findings about the others."""
    installed, outputs, findings = installed_engines(bundle.manifest.engines), {}, []
    for name, entry in bundle.manifest.models.items():
        if entry.engine not in installed:
            findings.append(warning(f"{name} was not checked: {entry.engine} is not installed"))
            continue
        with Model(bundle.manifest, name, bundle.read_model(name)) as model:
            outputs[name] = model.outputs_of(arrays)
        for number, output in enumerate(outputs[name]):
            if output.dtype.kind == "f" and (wrong := int(np.isnan(output).sum())):
                findings.append(failure(f"{name}: output {number} is NaN in {wrong} of {output.size} values"))
    quantized = [name for name, entry in bundle.manifest.models.items() if entry.precision != "fp32"]
    if not outputs or (quantized and not outputs.keys() & set(quantized)):
        what = "none of the quantized files" if outputs else "nothing"
        findings.append(failure(f"{what} was checked: no engine for it is installed; see `edgestill doctor`"))
    return outputs, findings


def _losses(
    outputs: Mapping[str, Outputs],
    pairs: Pairs,
    main: Mapping[str, float],
    float_quality: float | None,
    targets: NDArray[Any],
    task: DeviceTask,
) -> dict[str, Loss]:
    losses = {}
    for name in pairs.quantized:
        baseline = pairs.baseline(name)
        if baseline is not None:
            paired = measure_loss(task, outputs[baseline], outputs[name], targets)
            drop = paired.drop if float_quality is None else float_quality - main[name]
            losses[name] = Loss(drop, paired.standard_error, paired.samples)
        elif float_quality is not None:
            losses[name] = unpaired_loss(task, float_quality, main[name], outputs[name], targets)
    return losses


def _guessing(
    outputs: Mapping[str, Outputs], pairs: Pairs, targets: NDArray[Any], host: Task, device: DeviceTask
) -> Guess | None:
    """The first float file that is no better than guessing; None if there is none."""
    try:
        guesses = [host.against_chance(device, outputs[name], targets) for name in pairs.floats if name in outputs]
    except InputError:  # the measure is undefined for these samples; `_judge_losses` reports that
        return None
    return next((one for one in guesses if one.near), None)


def _judge_losses(
    losses: Mapping[str, Loss], main: Mapping[str, float], max_drop: float, guessing: Guess | None, task: DeviceTask
) -> list[Finding]:
    findings = [one for name, loss in losses.items() for one in _judge_loss(name, main[name], loss, max_drop, task)]
    if guessing is None or not losses or any(one.level == "failure" for one in findings):
        return findings
    samples, measure = next(iter(losses.values())).samples, task.measures[0]
    return [undecided(
        f"the float model itself reaches {measure.name} {measure.show(guessing.quality)} on {samples:,} samples, "
        f"guessing {measure.show(guessing.chance)}, so they cannot tell what int8 costs: see whether the targets are "
        "in the model's order, and the samples like those it learnt from"
    )]  # fmt: skip


def _judge_loss(name: str, value: float, loss: Loss, max_drop: float, task: DeviceTask) -> list[Finding]:
    verdict, measure = loss.verdict(max_drop), task.measures[0]
    if verdict == "kept":
        return []
    summary = f"{name} reaches {measure.name} {measure.show(value)} on {loss.samples:,} samples, {loss} the float model"
    if verdict == "missed":
        return [failure(
            f"{summary}; the budget is {100 * max_drop:g}: calibrate with more samples like those it will meet, or use "
            "quantize = auto, or precision = mixed"
        )]  # fmt: skip
    return [undecided(
        f"{summary}: too few samples to tell whether it keeps the budget of {100 * max_drop:g} points; about "
        f"{loss.samples_needed(max_drop):,} would tell"
    )]  # fmt: skip


def _latency_ratios(bundle: Bundle, pairs: Pairs) -> dict[str, float]:
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
