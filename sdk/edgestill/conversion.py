"""`convert`: a trained model and real samples in, a bundle out."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from torch import nn

from edgestill_runtime import Bundle

from .data.types import IMAGE_CLASSIFICATION, Calibration
from .errors import MissingExtraError
from .models import multiply_accumulates, parameters
from .models.copies import check_module

if TYPE_CHECKING:
    from edgestill_converters import Description


def convert(
    model: nn.Module,
    calibration: Calibration | Sequence[NDArray[Any]],
    output: str | Path,
    *,
    name: str | None = None,
    training: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    log: Path | None = None,
    on_step: Callable[[str], None] = lambda step: None,
    **options: Any,
) -> Bundle:
    """Quantize a copy of `model` once and write a bundle with int8 and fp32 files for both engines.

    Args:
        calibration: real images with their processor, class names and task, `data.calibration(256)`; or, for a model of
            other inputs, one array for each, (N, …): float32, or integers as they are.
        output: the bundle's path, `NAME.edge`. name: the model's; the path's stem when None.
        training: plain facts for the manifest. log: a file for the exporters' own words.
        options: `targets`, `precision`, `float_nodes`, `limit_seconds` and so on of `edgestill_converters.convert`.

    Raises:
        See `edgestill_converters.convert`.
    """
    try:
        import edgestill_converters
    except ImportError as error:
        raise MissingExtraError(str(error.name), "convert") from error
    return edgestill_converters.convert(
        model,
        calibration.images if isinstance(calibration, Calibration) else calibration,
        describe_model(model, name or Path(output).stem, calibration, training),
        output,
        overwrite=overwrite,
        log=log,
        on_step=on_step,
        **options,
    )


def describe_model(
    model: nn.Module,
    name: str,
    calibration: Calibration | Sequence[NDArray[Any]],
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
