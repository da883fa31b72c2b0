"""`convert`: a trained student and real images in, a bundle out."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from edgestill_runtime import Bundle

from .data.sources import Calibration
from .errors import MissingExtraError
from .models import multiply_accumulates, parameters


def convert(
    model: nn.Module,
    calibration: Calibration,
    output: str | Path,
    *,
    name: str | None = None,
    training: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    log: Path | None = None,
    on_step: Callable[[str], None] = lambda step: None,
) -> Bundle:
    """Quantise `model` once and write a bundle with int8 and fp32 files for both engines.

    Args:
        calibration: real images with their preprocessing and class names: `data.calibration(256)`.
        output: the bundle's path, `NAME.edge`. name: the model's; the path's stem when None.
        training: plain facts for the manifest. log: a file for the exporters' own words.

    Raises:
        See `edgestill_converters.convert`.
    """
    try:
        import edgestill_converters
    except ImportError as error:
        raise MissingExtraError(str(error.name), "convert") from error
    height, width, channels = calibration.preprocessing.image_shape
    model = model.cpu().eval()
    description = edgestill_converters.Description(
        name=name or Path(output).stem,
        labels=calibration.classes,
        preprocessing=calibration.preprocessing,
        parameters=parameters(model),
        macs=multiply_accumulates(model, (channels, height, width)),
        training={"data": calibration.data, **(training or {})},
    )
    return edgestill_converters.convert(
        model, calibration.images, description, output, overwrite=overwrite, log=log, on_step=on_step
    )
