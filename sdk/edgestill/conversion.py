"""`convert`: a trained model and real samples in, a bundle out."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from torch import nn

from edgestill_runtime import Bundle

from .data.types import IMAGE_CLASSIFICATION, Calibration, Data
from .errors import MissingExtraError, check_kind
from .models import multiply_accumulates, parameters
from .models.copies import check_module
from .progress import SILENT, Progress

if TYPE_CHECKING:
    from edgestill_converters import ConversionOptions, Description

CALIBRATION = 256


def convert(
    model: nn.Module,
    data: Data | Calibration | Sequence[NDArray[Any]],
    output: str | PathLike[str],
    options: "ConversionOptions | None" = None,
    *,
    name: str | None = None,
    training: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> Bundle:
    """Quantize a copy of `model` once and write a bundle with int8 and fp32 files for both engines.

    Args:
        data: to calibrate with: `data`, of which 256 train samples are taken, or more or fewer as
            `data.calibration(count)`; for a model of other inputs, one array for each, (N, …): float32, or integers as
            they are.
        output: the bundle's path, `NAME.edge`. name: the model's; the path's stem when None.
        options: `edgestill_converters.ConversionOptions`.
        training: plain facts for the manifest. overwrite: replace a bundle that is there, once the new one is complete.

    Raises:
        See `edgestill_converters.convert`.
    """
    try:
        import edgestill_converters
    except ImportError as error:
        raise MissingExtraError(str(error.name), "convert") from error
    options = options or edgestill_converters.ConversionOptions()
    check_kind(options, edgestill_converters.ConversionOptions, "options")
    samples = data.calibration(CALIBRATION) if isinstance(data, Data) else data
    names = edgestill_converters.steps(options.targets, options.precision, options.fp32_baseline is None)
    with progress.task("convert", len(names)) as task:
        bundle = edgestill_converters.convert(
            model, samples.images if isinstance(samples, Calibration) else samples,
            describe_model(model, samples, name or Path(output).stem, training), output, options, overwrite=overwrite,
            on_step=lambda step: task.advance(step != names[0], step=step),
        )  # fmt: skip
        task.advance(1)
    return bundle


def describe_model(
    model: nn.Module,
    calibration: Calibration | Sequence[NDArray[Any]],
    name: str,
    training: Mapping[str, Any] | None = None,
) -> "Description":
    """What a bundle will say of the model, beside its files."""
    from edgestill_converters import Description
    from edgestill_converters.graph import tensors
    from edgestill_converters.source_model import checked_call, private_copy

    check_module(model)
    processor = calibration.processor if isinstance(calibration, Calibration) else None
    examples = next(tensors(calibration.images if isinstance(calibration, Calibration) else calibration, processor))
    working = private_copy(model)
    checked_call(working, examples)  # what does not run is said in words before its operations are counted
    macs = multiply_accumulates(working, [one.numpy() for one in examples])
    if not isinstance(calibration, Calibration):
        return Description(name, (), None, parameters(model), macs, dict(training or {}))
    # Where nobody says a task or names classes, the shape of the outputs does.
    named = calibration.task != IMAGE_CLASSIFICATION.name or (calibration.classes and calibration.processor is not None)
    return Description(
        name=name,
        labels=calibration.classes,
        processor=calibration.processor,
        parameters=parameters(model),
        macs=macs,
        training={"data": calibration.data, **(training or {})},
        task=calibration.task if named else "",
        task_settings=calibration.task_settings if named else {},
    )
