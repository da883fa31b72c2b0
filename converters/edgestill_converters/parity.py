"""Do the files answer like the model they were made from?"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgestill_runtime import Manifest

from .errors import ConversionError

# Root mean square of the deviation, as a share of the root mean square of the model's own outputs.
ALLOWED_FLOAT = 1e-3
ALLOWED_QUANTISED = 0.5
ALLOWED_REWRITES = 0.02


def relative_error(found: NDArray[Any], reference: NDArray[Any]) -> float:
    """`rms(found - reference) / rms(reference)`; infinite for another shape, NaN, or infinities in other places."""
    if found.shape != reference.shape:
        return float("inf")
    # What the model itself gives as infinite must be so; NaN is like nothing, itself included.
    finite = np.isfinite(reference)
    if not np.isfinite(found[finite]).all() or not np.array_equal(found[~finite], reference[~finite]):
        return float("inf")
    expected, given = reference[finite].astype(np.float64), found[finite].astype(np.float64)
    if not len(expected):
        return 0.0
    scale = float(np.sqrt(np.mean(np.square(expected))))
    return float(np.sqrt(np.mean(np.square(given - expected)))) / max(scale, 1e-12)


def check_rewrites(model: Sequence[NDArray[Any]], graph: Sequence[NDArray[Any]]) -> None:
    """Refuse a graph that no longer computes what the model does.

    Raises:
        ConversionError: it deviates by more than float rounding and the half pixel that `pixels.py` allows itself.
    """
    for number, expected in enumerate(model):
        if np.isnan(expected).any():
            raise ConversionError(
                f"output {number} of the model is NaN for a sample: look for a division by zero or a logarithm of zero "
                "in the model, and for weights that are not finite"
            )
    for expected, found in zip(model, graph, strict=True):
        error = relative_error(found, expected)
        if error > ALLOWED_REWRITES:
            raise ConversionError(
                f"the rewritten graph deviates from the model by {error:.2g} of its values (allowed: "
                f"{ALLOWED_REWRITES}); this is a bug of edgestill, please report it with the model"
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
        ConversionError: a float file deviates at all, or an int8 file so far that quantisation has destroyed it.
    """
    for name, answers in outputs.items():
        floating = manifest.models[name].precision == "fp32"
        allowed = ALLOWED_FLOAT if floating else allowed_quantised
        for number, (found, expected) in enumerate(zip(answers, reference, strict=True)):
            if found.shape != expected.shape:
                raise ConversionError(f"{name} gives shape {found.shape}, the model {expected.shape}")
            error = relative_error(found, expected)
            if error > allowed:
                which = f" in output {number}" if len(reference) > 1 else ""
                advice = (
                    "this is an exporter's bug"
                    if floating
                    else "calibrate with samples like those it will meet, or keep sensitive layers in float"
                )
                raise ConversionError(
                    f"{name} deviates from the model{which} by {error:.2g} of its values (allowed: {allowed}); {advice}"
                )
