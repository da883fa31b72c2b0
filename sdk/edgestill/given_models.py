"""The input format and the classes of a pretrained model.

    metadata = read_metadata(checkpoint)                                # stored with the weights by Edgestill
    processor = trained_processor("timm:mobilenetv3_small_100", model, checkpoint, metadata)
    processor = overridden(processor, image_size=192)                   # values from the user take precedence

Used for teachers, and for models to be converted.
"""

import importlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from os import PathLike
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from edgestill_runtime import EdgestillError
from edgestill_runtime.processing import ImageProcessor, Processor, processor_from_json

from .errors import ModelError
from .models import create_model
from .models.checkpoint import weight_shapes

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
IMAGENET_SIZE = 224


def trained_processor(name: str, model: nn.Module, checkpoint: Any, metadata: Mapping[str, Any]) -> Processor | None:
    """The input format that a model was trained with: from its checkpoint, else as its publisher states it.

    Args:
        name: of the model, see `edgestill.models`. metadata: stored with the weights; empty for checkpoints that were
            not written by Edgestill.

    Returns:
        None if neither states it.

    Raises:
        ModelError: the processor in the checkpoint is invalid.
    """
    own = recorded_processor(metadata, checkpoint)
    # Checkpoints of Edgestill without a processor were trained on the pixels of their data.
    return own if own is not None or "data" in metadata else published_processor(name, model)


def recorded_processor(metadata: Mapping[str, Any], checkpoint: Any) -> Processor | None:
    """The processor in a checkpoint written by Edgestill.

    Raises:
        ModelError: it is invalid.
    """
    recorded = metadata.get("processor", metadata.get("preprocessing"))
    if recorded is None:
        return None
    try:
        return processor_from_json(recorded)
    except (EdgestillError, AttributeError, TypeError) as error:
        raise ModelError(f"checkpoint {checkpoint}: its processor cannot be used: {error}") from error


def trained_classes(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """The class names in a checkpoint written by Edgestill, in its order; empty if it has none."""
    names = metadata.get("classes")
    return tuple(map(str, names)) if isinstance(names, list) else ()


def trained_settings(metadata: Mapping[str, Any]) -> dict[str, Any] | None:
    """The task settings in a checkpoint written by Edgestill; None if it has none."""
    task = metadata.get("task")
    settings = task.get("settings") if isinstance(task, Mapping) else None
    return dict(settings) if isinstance(settings, Mapping) else None


def published_processor(name: str, model: nn.Module) -> Processor | None:
    """The input format that timm or torchvision publish with their weights; None for other models."""
    settings = getattr(model, "pretrained_cfg", None)
    if isinstance(settings, Mapping) and settings.get("mean"):
        return _of_timm(settings)
    if type(model).__module__.startswith("torchvision."):
        return _of_torchvision(name.rpartition(":")[2])
    return None


def _of_timm(settings: Mapping[str, Any]) -> ImageProcessor:
    channels, height, width = settings.get("input_size") or (3, IMAGENET_SIZE, IMAGENET_SIZE)
    mean, std = _for_channels(settings["mean"], channels), _for_channels(settings["std"], channels)
    filter_name = "bicubic" if settings.get("interpolation") == "bicubic" else "bilinear"
    share = float(settings.get("crop_pct") or 1.0)
    return ImageProcessor(height, width, mean, std, filter=filter_name, crop_share=min(share, 1.0))


def _of_torchvision(builder: str) -> ImageProcessor:
    torchvision: Any = importlib.import_module("torchvision")
    size, share, mean, std, filter_name = IMAGENET_SIZE, 1.0, IMAGENET_MEAN, IMAGENET_STD, "bilinear"
    try:
        made = torchvision.models.get_model_weights(builder).DEFAULT.transforms()
        size, mean, std = made.crop_size[0], tuple(made.mean), tuple(made.std)
        share = min(1.0, size / made.resize_size[0])
        filter_name = "bicubic" if made.interpolation.value == "bicubic" else filter_name
    except (ValueError, AttributeError, TypeError, IndexError):  # a model without published weights
        pass
    return ImageProcessor(size, size, mean, std, filter=filter_name, crop_share=share)


def _for_channels(values: Sequence[float], channels: int) -> tuple[float, ...]:
    return tuple(values) if len(values) == channels else (sum(values) / len(values),) * channels


def input_channels(
    name: str, classes: int, checkpoint: str | PathLike[str] | None = None, weights: str | None = None
) -> tuple[int, ...]:
    """Number of input channels of a model: (3,), (1,), or (3, 1) if only the images can decide.

    If the model can be created with 3 and with 1, the shapes of the weights in the checkpoint decide. If the shapes do
    not differ, the first convolution decides.

    Args:
        name, classes: see `create_model`. checkpoint: None where the weights are fresh. weights: see `load_checkpoint`.

    Raises:
        ModelError: a checkpoint without weights, or with several candidates.
    """
    made = {}
    for count in (3, 1):
        with suppress(ModelError):  # not available with this number
            made[count] = create_model(name, classes, count)
    if len(made) < 2:
        return tuple(made) or (3, 1)
    shapes = {count: _shapes(model) for count, model in made.items()}
    differing = {one for one in shapes[3].keys() | shapes[1].keys() if shapes[3].get(one) != shapes[1].get(one)}
    if not differing:
        only = channels_of_convolutions(made[3])
        return (3, 1) if only is None else (only,)
    if checkpoint is None:
        return 3, 1
    there = weight_shapes(checkpoint, made[3], weights)
    fitting = [count for count in made if all(there.get(one) == shapes[count].get(one) for one in differing)]
    return tuple(fitting) or (3, 1)


def channels_of_convolutions(model: nn.Module) -> int | None:
    """Number of input channels of a model, 1 or 3, from its first convolution; None if that is ambiguous.

    The first one in definition order may be an inner layer, so it counts only if no other convolution has the other
    number of input channels.
    """
    channels = [one.in_channels for one in model.modules() if isinstance(one, nn.Conv2d)]
    possible = {count for count in channels if count in (1, 3)}
    return channels[0] if len(possible) == 1 and channels[0] in possible else None


def _shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    state = {name: one for name, one in model.state_dict().items() if isinstance(one, Tensor)}
    return {name: tuple(tensor.shape) for name, tensor in state.items() if not is_lazy(tensor)}


def overridden(
    base: Processor, mean: Sequence[float] = (), std: Sequence[float] = (), image_size: int | None = None
) -> Processor:
    """A copy of the processor with changed values.

    Args:
        image_size: side in pixels, of images only.

    Raises:
        ModelError: mean and std of different lengths, or invalid values.
    """
    changes: dict[str, Any] = {"mean": tuple(mean) or base.mean, "std": tuple(std) or base.std}
    if image_size is not None:
        if not isinstance(base, ImageProcessor):
            raise ModelError("image_size is for models of images only; this one takes recordings")
        changes |= {"height": image_size, "width": image_size}
    try:
        return replace(base, **changes)
    except EdgestillError as error:
        raise ModelError(f"mean, std and image_size do not belong together: {error}") from error
