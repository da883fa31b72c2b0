"""Do the files answer like the model they were made from?"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgestill_runtime import Manifest

from .errors import ConversionError

# Root mean square of the deviation, as a share of the root mean square of the model's own logits.
ALLOWED = {"fp32": 1e-3, "int8": 0.5}


def relative_error(logits: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """`rms(logits - reference) / rms(reference)`; infinite when a value is not finite."""
    if not np.isfinite(logits).all():
        return float("inf")
    scale = float(np.sqrt(np.mean(np.square(reference, dtype=np.float64))))
    deviation = float(np.sqrt(np.mean(np.square(logits.astype(np.float64) - reference))))
    return deviation / max(scale, 1e-12)


def check_against_model(
    model: nn.Module, tensors: Tensor, logits: Mapping[str, NDArray[np.float32]], manifest: Manifest
) -> None:
    """Refuse a file that is not the model.

    Args:
        tensors: float32 (N, C, H, W). logits: for each file of the manifest, what it gave for the same images.

    Raises:
        ConversionError: a float file deviates at all, or an int8 file so far that quantisation has destroyed it.
    """
    with torch.inference_mode():
        reference = torch.cat([model(sample) for sample in torch.split(tensors, 1)]).numpy()
    for name, answers in logits.items():
        precision = manifest.models[name].precision
        error = relative_error(answers, reference)
        if error > ALLOWED[precision]:
            quantised = precision == "int8"
            advice = "calibrate with images like those it will meet" if quantised else "this is an exporter's bug"
            raise ConversionError(
                f"{name} deviates from the model by {error:.2g} of its logits (allowed: {ALLOWED[precision]}); {advice}"
            )
