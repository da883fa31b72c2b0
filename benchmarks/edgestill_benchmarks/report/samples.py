"""`samples.npz` of a run: test images, ground truth, and what the models predict."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..migration import migrate_samples
from ..results import Results, ResultsError

WHO = {
    "teacher": "teacher",
    "student": "student, fp32",
    "int8": "student, quantized",
}  # array of samples.npz, and key of `shown` → on the page
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Sample:
    """A test image as a data URL, and texts.

    Args:
        truth: the ground truth. predictions: model, as named on the page → its prediction. right: the quantized
            student's prediction is correct.
    """

    image: str
    truth: str
    predictions: Mapping[str, str]
    right: bool


def read_samples(folder: Path, results: Results) -> tuple[dict[str, NDArray[Any]], list[Sample]]:
    """The arrays of a run's samples, and how they are shown.

    Raises:
        ResultsError: the file is missing, damaged, or does not belong to the results.
    """
    path, shown = folder / results["samples"], results["shown"]
    try:
        with np.load(path, allow_pickle=False) as opened:
            arrays = {name: opened[name] for name in opened.files}
        if "targets" not in arrays:  # of a run of schema version 1
            arrays, shown = migrate_samples(arrays, results["data"]["labels"])
        images = arrays["images"]
    except (OSError, ValueError, EOFError, BadZipFile, KeyError, IndexError) as error:
        raise ResultsError(f"{path} is missing or damaged; copy it from where the run was made") from error
    if len(shown) != len(images):
        raise ResultsError(f"{path} holds {len(images)} images, and the results describe {len(shown)}; make it again")
    samples = [
        Sample(_data_url(image), one["truth"], {who: one[name] for name, who in WHO.items()}, one["right"])
        for image, one in zip(images, shown, strict=True)
    ]
    return arrays, samples


def soft_targets(arrays: Arrays, labels: list[str]) -> dict[str, Any] | None:
    """What the explorer of soft targets draws; None unless each sample has one true class, and each class a score.

    That is so where targets are whole numbers (N,), and the outputs of all three models finite floats (N, classes).
    """
    targets, outputs = arrays["targets"], {who: arrays[name] for name, who in WHO.items() if name in arrays}
    one_class = targets.ndim == 1 and targets.dtype.kind in "iu" and len(labels) > 1
    if not one_class or len(outputs) != len(WHO):
        return None
    shape = len(targets), len(labels)
    if any(one.shape != shape or one.dtype.kind != "f" or not np.isfinite(one).all() for one in outputs.values()):
        return None
    scores = {who: one.round(4).tolist() for who, one in outputs.items()}
    return {"labels": labels, "targets": targets.tolist(), "logits": scores}


def _data_url(pixels: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
