"""`load_teacher`: a model by name and the weights of a file, with its input format."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
from torch import nn

from edgestill_runtime.processing import Processor

from .data import Data
from .data.reading import for_each_channel
from .errors import DataError, ModelError, check_kind
from .given_models import (
    channels_of_convolutions,
    input_channels,
    overridden,
    recorded_processor,
    trained_classes,
    trained_processor,
    trained_settings,
)
from .models import create_model, load_checkpoint, read_metadata
from .progress import SILENT, Progress
from .tasks.labels import class_places
from .teacher_inputs import same_tensors, set_processor


@dataclass(frozen=True)
class TeacherInputs:
    """The input format of a teacher, if neither its checkpoint nor its publisher states it.

    Args:
        processor: all of it. Or values to replace those that are known:
        mean, std: one number for all channels, or three for RGB. image_size: side in pixels.
    """

    processor: Processor | None = None
    mean: Sequence[float] = ()
    std: Sequence[float] = ()
    image_size: int | None = None


def load_teacher(
    model: str,
    data: Data,
    *,
    checkpoint: str | PathLike[str] | None = None,
    weights: str | None = None,
    inputs: TeacherInputs = TeacherInputs(),
    progress: Progress = SILENT,
) -> nn.Module:
    """A frozen teacher: a model by name (see `edgestill.models`) with the weights of a file.

    Its classes are those of the data. It remembers how its inputs were made: as `inputs` say, else as its checkpoint
    says, if that is ours; as timm or torchvision publish, if it is a model of theirs with weights from elsewhere; else
    as the data gives them. `distill` shows it every view in that form.

    Args:
        data: that it will teach on; where its own inputs differ, `progress` is told. A teacher of RGB images on grey
            data, or the other way round, is recognized.
        checkpoint: None keeps fresh weights, for a teacher that is still to be trained. weights: see `load_checkpoint`.

    Raises:
        ModelError: no such model, or a checkpoint that does not fit it or the data.
    """
    check_kind(data, Data, "data")
    check_kind(inputs, TeacherInputs, "inputs")
    mean, std = inputs.mean, inputs.std
    if (mean or std) and (len(mean) != len(std) or len(mean) not in (1, 3)):
        raise ModelError(
            f"a teacher's mean and std have 3 values (RGB) each, or 1 for all channels, not {len(mean)} and {len(std)}"
        )
    base, own = data.processor, inputs.processor
    channels = 3 if own is None and len(mean) == 3 else (own or base).channels
    teacher, metadata, channels = _loaded(model, checkpoint, len(data.classes), channels, weights, progress)
    if own is None and checkpoint is not None:
        own = trained_processor(model, teacher, checkpoint, metadata)
    if mean or inputs.image_size is not None:
        seen = own or base
        if seen.kind == "audio":
            channels = 1
        own = overridden(seen, for_each_channel(mean, channels), for_each_channel(std, channels), inputs.image_size)
    set_processor(teacher, own)
    _compare_classes(trained_classes(metadata), data, checkpoint)
    settings = trained_settings(metadata)
    if settings is not None and (reason := data.task.other_outputs(settings, data.task_settings)):
        raise ModelError(f"checkpoint {checkpoint} does not fit {data.name}: {reason}")
    if own is not None and not same_tensors(base, own):
        progress.message(_difference(base, own))
    return teacher.eval().requires_grad_(False)


def _loaded(
    model: str,
    checkpoint: str | PathLike[str] | None,
    classes: int,
    channels: int,
    weights: str | None,
    progress: Progress,
) -> tuple[nn.Module, dict[str, Any], int]:
    """A model with its weights, and the number of input channels of the weights."""
    teacher = create_model(model, classes, channels)
    if checkpoint is None:
        return teacher, {}, _channels(model, teacher, classes, channels)
    known = recorded_processor(read_metadata(checkpoint), checkpoint)
    if known is not None and known.channels != channels:
        channels = known.channels
        teacher = create_model(model, classes, channels)
    try:
        metadata = load_checkpoint(checkpoint, teacher, weights=weights, progress=progress)
        return teacher, metadata, _channels(model, teacher, classes, channels)
    except ModelError as misfit:
        channels = 3 if channels == 1 else 1
        other = create_model(model, classes, channels)
        try:
            metadata = load_checkpoint(checkpoint, other, weights=weights, progress=progress)
            return other, metadata, _channels(model, other, classes, channels)
        except ModelError:
            raise misfit from None


def _channels(name: str, model: nn.Module, classes: int, made_with: int) -> int:
    """Input channels of a model: those requested at creation, unless the model ignores them."""
    if channels_of_convolutions(model) in (made_with, None):
        return made_with
    possible = input_channels(name, classes)
    return possible[0] if len(possible) == 1 else made_with


def _compare_classes(theirs: Sequence[str], data: Data, checkpoint: str | PathLike[str] | None) -> None:
    """Refuse a checkpoint whose recorded classes, or their order, differ from the data's."""
    try:
        places = class_places(theirs, data.classes)
    except DataError as error:
        raise ModelError(f"checkpoint {checkpoint} does not fit {data.name}: {error}") from error
    if places is not None and (places != np.arange(len(places))).any():
        place = int((places != np.arange(len(places))).argmax())
        raise ModelError(
            f"checkpoint {checkpoint} has the classes of {data.name} in another order: number {place} is "
            f"{theirs[place]!r} there and {data.classes[place]!r} in the data; bring the data's classes into its order"
        )


def _difference(source: Processor, own: Processor) -> str:
    def numbers(one: Processor) -> str:
        return f"{one.height}×{one.width}×{one.channels}, mean {_short(one.mean)}, std {_short(one.std)}"

    enlarged = own.height > source.height or own.width > source.width
    return f"the teacher sees each view as it was trained to: {numbers(own)}; the data gives {numbers(source)}" + (
        "; it sees enlarged images" if enlarged else ""
    )


def _short(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)
