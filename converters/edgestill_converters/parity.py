"""Do the files compute the same as the model they were made from?"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgestill_runtime import Manifest, Tolerance, compare_outputs

from .errors import ConversionError

# Root mean square of the deviation, as a share of the root mean square of the model's own outputs; of integers and
# booleans, share of the values that may differ.
ALLOWED_FLOAT = 1e-3
ALLOWED_QUANTIZED = 0.5
ALLOWED_REWRITES = 0.02


def relative_error(found: NDArray[Any], reference: NDArray[Any]) -> float:
    """`rms(found - reference) / rms(reference)`; infinite for another shape, and where only one side is finite."""
    return compare_outputs([found], [reference], Tolerance()).outputs[0].rms


def check_model(first: Sequence[NDArray[Any]], second: Sequence[NDArray[Any]], changed: Sequence[str] = ()) -> None:
    """Refuse a model that no file can match: one whose outputs are not finite, or not deterministic.

    Args:
        first, second: its outputs for the same samples. changed: buffers that the calls have changed.

    Raises:
        ConversionError: names the output, and the buffers.
    """
    for number, one in enumerate(first):
        if one.dtype.kind == "f" and (wrong := int(np.isnan(one).sum())):
            raise ConversionError(
                f"the model itself gives NaN in output {number} for {wrong} of {one.size} values: look for a division "
                "by zero, a root or a logarithm of what may be 0 or negative, an overflow, and for weights that are "
                "not finite"
            )
        if one.dtype.kind == "f" and np.isinf(one).all():
            raise ConversionError(
                f"the model itself gives nothing but infinities in output {number}: look for a division by zero or an "
                "overflow, and for weights that are not finite"
            )
    # Same operators, same numbers: kernels may only add in another order.
    compared = compare_outputs(second, first, Tolerance(rms=ALLOWED_FLOAT, changed=ALLOWED_FLOAT))
    if not compared.passed:
        why = f"its buffer {changed[0]!r} changes with every call" if changed else "something in it is random"
        raise ConversionError(
            f"the model is not deterministic: called twice with the same samples in eval mode, its outputs differ "
            f"({compared.reason}); {why}, and a file has the same outputs for the same input"
        )


def check_rewrites(model: Sequence[NDArray[Any]], graph: Sequence[NDArray[Any]]) -> None:
    """Refuse a graph that no longer computes the same as the model.

    Raises:
        ConversionError: it deviates by more than float rounding and the half pixel that `pixels.py` allows itself.
    """
    compared = compare_outputs(graph, model, Tolerance(rms=ALLOWED_REWRITES, changed=ALLOWED_REWRITES))
    if not compared.passed:
        raise ConversionError(
            f"the rewritten graph is not the model: {compared.reason}; this is a bug of edgestill, please report it "
            "with the model"
        )


def check_against_model(
    reference: Sequence[NDArray[Any]],
    outputs: Mapping[str, Sequence[NDArray[Any]]],
    manifest: Manifest,
    allowed_quantized: float = ALLOWED_QUANTIZED,
) -> None:
    """Refuse files that do not compute the same as the model.

    Args:
        reference: outputs of the model, one array for each.
        outputs: for each file of the manifest, its outputs for the same samples.
        allowed_quantized: how far a quantized file may deviate, relative to the model's outputs (RMS).

    Raises:
        ConversionError: a float file deviates by more than rounding, or an int8 file by more than is allowed.
    """
    for name, found in outputs.items():
        floating = manifest.models[name].precision == "fp32"
        allowed = ALLOWED_FLOAT if floating else allowed_quantized
        compared = compare_outputs(found, reference, Tolerance(rms=allowed, changed=allowed))
        if not compared.passed:
            advice = (
                "this is an exporter's bug"
                if floating
                else "calibrate with samples like those it will meet, or keep sensitive layers in float"
            )
            raise ConversionError(f"{name} is not the model: {compared.reason}; {advice}")
