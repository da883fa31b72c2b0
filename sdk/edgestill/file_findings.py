"""Inspects quantized files: whether they are quantized at all, and how much of them is slow."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgestill_runtime import Bundle

from .findings import Finding, failure, warning

if TYPE_CHECKING:
    from edgestill_converters.inspection import Inspection

MIN_DELEGATED = 0.95
MIN_INT8 = 0.5
MOST_NAMED = 5  # layers in a message


def look_inside(bundle: Bundle, names: Sequence[str]) -> tuple[dict[str, float], list[Finding]]:
    """Inspect files of a bundle.

    Returns:
        File → share of its multiply-accumulates inside the delegate, 0–1, if known; and findings.
    """
    from edgestill_converters.inspection import can_inspect, inspect_bytes

    shares: dict[str, float] = {}
    findings: list[Finding] = []
    for name in names:
        entry = bundle.manifest.models[name]
        if not can_inspect(entry.engine):
            findings.append(
                warning(f"{name}: nothing looks into files for {entry.engine}, so its int8 share is unknown")
            )
            continue
        seen = inspect_bytes(bundle.read_model(name), entry.engine, name)
        if seen.delegation_known:
            shares[name] = seen.delegated_macs
        layers = (*_listed(bundle.manifest.training.get("float_layers")), *entry.float_nodes)
        findings += [*_precision(seen, name, entry.precision, layers), *_speed(seen, name)]
    return shares, findings


def _listed(layers: Any) -> list[str]:
    """Facts of a training may be anything."""
    return [str(one) for one in layers] if isinstance(layers, list) else []


def _precision(seen: "Inspection", name: str, called: str, layers: Sequence[str]) -> list[Finding]:
    """The precision of a file is that of its operators, whatever its name.

    Args:
        layers: those that its manifest says are in float; the operators of the file are named where it lists none.
    """
    from edgestill_converters.contents import CONVERSIONS

    computing = [one for one in seen.operators if not one.name.startswith(CONVERSIONS)]
    share = 1 - seen.float_macs if seen.macs else float(any("int8" in one.precision for one in computing))
    floating = dict.fromkeys(
        one.name for one in computing if one.precision == "float32" and (one.macs or not seen.macs)
    )
    named = [*layers, *([] if layers else floating)]
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    which = f"{', '.join(named[:MOST_NAMED])}{more} compute in float" if named else "nothing in it computes in int8"
    if share == 0:
        return [failure(
            f"{name} is called {called}, and nothing in it is int8: {which}; use layers that can be quantized (see "
            "docs/converters.md), or ask for fp32"
        )]  # fmt: skip
    if share < MIN_INT8:
        return [warning(
            f"{name} is called {called}, and {100 * share:.0f} % of its multiply-accumulates are int8: {which}; "
            "replace these layers if size or latency matter"
        )]  # fmt: skip
    return []


def _speed(seen: "Inspection", name: str) -> list[Finding]:
    findings = []
    if not seen.delegation_known:
        findings.append(warning(f"{name}: what runs in XNNPACK is {seen.delegate}"))
    elif seen.delegated_macs < MIN_DELEGATED:
        outside = ", ".join(dict.fromkeys(one.name for one in seen.outside if one.macs)) or "see `edgestill inspect`"
        findings.append(warning(
            f"{name}: only {100 * seen.delegated_macs:.0f} % of the multiply-accumulates run in XNNPACK; outside "
            f"are {outside}: replace these layers in the model, or accept slow kernels for them"
        ))  # fmt: skip
    if seen.transposes:
        findings.append(warning(
            f"{name}: {seen.transposes} transposes inside: write the model without permute or transpose "
            "(convolutions where it has linear layers over channels), or accept the copies"
        ))  # fmt: skip
    regions = sum(one.name in ("DEQUANTIZE", "Convert") and one.precision.endswith("float32") for one in seen.operators)
    if regions:
        floating = dict.fromkeys(one.name for one in seen.operators if one.precision == "float32")
        findings.append(warning(
            f"{name}: {regions} float regions ({', '.join(floating)}) between dequantize and quantize: use ReLU "
            "or ReLU6, plain pooling and batch norms in the model where latency matters"
        ))  # fmt: skip
    return findings
