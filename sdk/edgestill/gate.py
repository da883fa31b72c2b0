"""The gate: what a bundle's files really do, on real data, and whether that may go out.

    checked = check_bundle(bundle, data.validation, float_accuracy=0.913)
    if not checked.passed: print(checked.findings)

It fails when an int8 file loses more accuracy than the budget, or when the two int8 files disagree; it warns when int8
does not pay here, or when the engines' fast path covers too little of a file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgestill_benchmarks import Rule, accuracy, agreement, measure, open_models
from edgestill_runtime import Bundle, ModelFile

from .data import Split

MAX_DROP = 0.003
MIN_AGREEMENT = 0.995
MIN_DELEGATED = 0.95


@dataclass(frozen=True)
class Finding:
    """What is wrong, and what to do; a `failure` closes the gate, a `warning` does not."""

    level: Literal["failure", "warning"]
    text: str


@dataclass(frozen=True)
class Difference:
    """How far two files' outputs lie apart, largest and mean, as they are and in quanta of the int8 output."""

    files: tuple[str, str]
    largest: float
    mean: float
    largest_quanta: float
    mean_quanta: float


@dataclass(frozen=True)
class Gate:
    """What was found.

    Args:
        samples: how many were run. accuracy: of each file, 0–1; empty without labels.
        agreement: share of samples on which the two int8 files choose the same class; None for one file.
        latency_ratio: engine → p50 of its quantised file divided by that of its fp32 file, on this machine.
        delegated: file → share of its multiply-accumulates inside the delegate.
    """

    samples: int
    float_accuracy: float | None
    accuracy: Mapping[str, float]
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
        max_drop: accuracy, 0–1, that a quantised file may lose. min_agreement: of the two quantised files, 0–1.
        latency: measure int8 against fp32 on this machine, some seconds.
    """
    arrays = [samples.images] if isinstance(samples, Split) else list(samples)
    outputs = {}
    for name, model in open_models(bundle).items():
        with model:
            outputs[name] = model.outputs_of(arrays)[0]
    models = bundle.manifest.models
    quantised = [name for name in outputs if models[name].precision != "fp32"]
    shares = {}
    if isinstance(samples, Split):
        shares = {name: accuracy(given, samples.labels) for name, given in outputs.items()}
        yardsticks = [share for name, share in shares.items() if models[name].precision == "fp32"]
        float_accuracy = float_accuracy if float_accuracy is not None or not yardsticks else max(yardsticks)
    findings = [*_accuracy_findings(shares, quantised, float_accuracy, max_drop)]
    same, differences = None, []
    if len(quantised) == 2:
        first, second = (outputs[name] for name in quantised)
        same = agreement(first, second) if first.ndim == 2 else None
        differences.append(_difference((quantised[0], quantised[1]), outputs, models))
        if same is not None and same < min_agreement:
            findings.append(_failure(
                f"{quantised[0]} and {quantised[1]} choose the same class on {100 * same:.2f} % of {len(first)} "
                f"samples, less than {100 * min_agreement:g} %: deploy one of the two alone (target), or look with "
                "`edgestill inspect` for operators that only one of them computes in float and report them"
            ))  # fmt: skip
    differences += [
        _difference((name, yardstick), outputs, models)
        for name in quantised
        if (yardstick := name.replace("model.", "model.fp32.", 1)) in outputs
    ]
    delegated, inside = _look_inside(bundle, quantised)
    ratios = _latency_ratios(bundle) if latency and quantised else {}
    return Gate(
        samples=len(arrays[0]),
        float_accuracy=float_accuracy,
        accuracy=shares,
        agreement=same,
        differences=tuple(differences),
        latency_ratio=ratios,
        delegated=delegated,
        findings=(*findings, *inside, *_latency_findings(ratios)),
    )


def _failure(text: str) -> Finding:
    return Finding("failure", text)


def _warning(text: str) -> Finding:
    return Finding("warning", text)


def _accuracy_findings(
    shares: Mapping[str, float], quantised: Sequence[str], float_accuracy: float | None, max_drop: float
) -> list[Finding]:
    if float_accuracy is None:
        return []
    return [
        _failure(
            f"{name} is right on {100 * shares[name]:.2f} %, {100 * (float_accuracy - shares[name]):.2f} points below "
            f"the float model; the budget is {100 * max_drop:g}: calibrate with more samples like those it will meet, "
            "or use quantize = auto, or precision = mixed"
        )
        for name in quantised
        # A share of samples is a whole number of them; the last digit of the difference is not.
        if name in shares and float_accuracy - shares[name] > max_drop + 1e-9
    ]


def _difference(
    files: tuple[str, str], outputs: Mapping[str, NDArray[Any]], models: Mapping[str, ModelFile]
) -> Difference:
    apart = np.abs(outputs[files[0]].astype(np.float64) - outputs[files[1]])
    quantum = models[files[0]].outputs[0].scale or float(np.abs(outputs[files[0]]).max()) / 128 or 1.0
    largest, mean = float(apart.max()), float(apart.mean())
    return Difference(files, largest, mean, largest / quantum, mean / quantum)


def _look_inside(bundle: Bundle, names: Sequence[str]) -> tuple[dict[str, float], list[Finding]]:
    from edgestill_converters.inspection import inspect_bytes

    shares, findings = {}, []
    for name in names:
        entry = bundle.manifest.models[name]
        seen = inspect_bytes(bundle.read(name), entry.engine, name)
        shares[name] = seen.delegated_macs
        if seen.delegated_macs < MIN_DELEGATED:
            outside = (
                ", ".join(dict.fromkeys(one.name for one in seen.outside if one.macs)) or "see `edgestill inspect`"
            )
            findings.append(_warning(
                f"{name}: only {100 * seen.delegated_macs:.0f} % of the multiply-accumulates run in XNNPACK; outside "
                f"are {outside}: replace these layers in the model, or accept slow kernels for them"
            ))  # fmt: skip
        if seen.transposes:
            findings.append(_warning(
                f"{name}: {seen.transposes} transposes inside: write the model without permute or transpose "
                "(convolutions where it has linear layers over channels), or accept the copies"
            ))  # fmt: skip
        islands = sum(
            one.name in ("DEQUANTIZE", "Convert") and one.precision.endswith("float32") for one in seen.operators
        )
        if islands and entry.precision == "int8":
            floating = dict.fromkeys(one.name for one in seen.operators if one.precision == "float32")
            findings.append(_warning(
                f"{name}: {islands} islands in float ({', '.join(floating)}) between dequantise and quantise: use ReLU "
                "or ReLU6, plain pooling and batch norms in the model where latency matters"
            ))  # fmt: skip
    return shares, findings


def _latency_ratios(bundle: Bundle) -> dict[str, float]:
    times: dict[tuple[str, bool], float] = {}
    for one in measure(bundle, 1, Rule(min_calls=50, min_seconds=0.3)).files:
        entry = bundle.manifest.models[one.file]
        times[entry.engine, entry.precision == "fp32"] = one.latency_ms.p50
    engines = dict.fromkeys(engine for engine, _ in times)
    both = [engine for engine in engines if (engine, True) in times and (engine, False) in times]
    return {engine: times[engine, False] / times[engine, True] for engine in both}


def _latency_findings(ratios: Mapping[str, float]) -> list[Finding]:
    return [
        _warning(
            f"{engine}: int8 takes {ratio:.2f} × the time of fp32 on this machine: measure on the device "
            "(`edgestill bench`); if it is so there too, deploy the fp32 file unless its size matters"
        )
        for engine, ratio in ratios.items()
        if ratio > 1
    ]
