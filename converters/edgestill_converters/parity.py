"""Do the files answer like the model they were made from?"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgestill_runtime import Manifest, Tolerance, compare_outputs

from .errors import ConversionError

# Root mean square of the deviation, as a share of the root mean square of the model's own outputs; of integers and
# booleans, share of the values that may differ.
ALLOWED_FLOAT = 1e-3
ALLOWED_QUANTISED = 0.5
ALLOWED_REWRITES = 0.02


def relative_error(found: NDArray[Any], reference: NDArray[Any]) -> float:
    """`rms(found - reference) / rms(reference)`; infinite for another shape, and where only one side is finite."""
    return compare_outputs([found], [reference], Tolerance()).outputs[0].rms


def check_rewrites(model: Sequence[NDArray[Any]], graph: Sequence[NDArray[Any]]) -> None:
    """Refuse a graph that no longer computes what the model does.

    Raises:
        ConversionError: it deviates by more than float rounding and the half pixel that `pixels.py` allows itself.
    """
    for number, expected in enumerate(model):
        if expected.dtype.kind == "f" and np.isnan(expected).any():
            raise ConversionError(
                f"output {number} of the model is NaN for a sample: look for a division by zero or a logarithm of zero "
                "in the model, and for weights that are not finite"
            )
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
    allowed_quantised: float = ALLOWED_QUANTISED,
) -> None:
    """Refuse a file that is not the model.

    Args:
        reference: what the model gives, one array for each output.
        outputs: for each file of the manifest, what it gave for the same samples.
        allowed_quantised: how far a quantised file may deviate, as a share of the model's values.

    Raises:
        ConversionError: the model gives NaN; a float file deviates at all, or an int8 file so far that quantisation has
            destroyed it.
    """
    for number, one in enumerate(reference):
        if one.dtype.kind == "f" and np.isnan(one).any():
            raise ConversionError(
                f"the model itself gives NaN in output {number} for {int(np.isnan(one).sum())} of {one.size} values; "
                "look for its overflow, or a division by zero, before it is converted"
            )
    for name, found in outputs.items():
        floating = manifest.models[name].precision == "fp32"
        allowed = ALLOWED_FLOAT if floating else allowed_quantised
        compared = compare_outputs(found, reference, Tolerance(rms=allowed, changed=allowed))
        if not compared.passed:
            advice = (
                "this is an exporter's bug"
                if floating
                else "calibrate with samples like those it will meet, or keep sensitive layers in float"
            )
            raise ConversionError(f"{name} is not the model: {compared.reason}; {advice}")
