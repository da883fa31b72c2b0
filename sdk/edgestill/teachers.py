"""Teachers: what the student is shown beside the labels, batch by batch.

    CachedTeacher   answers read from a cache of views (`cache.py`)
    LiveTeacher     a model that runs beside the student; the only one that can show what its layers give
    Team            several teachers, combined
    EmaTeacher      the moving average of the student's own weights

`load_teacher` reads the model itself.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from edgestill_converters.source_model import of_other_types, place_of
from edgestill_runtime import EdgestillError
from edgestill_runtime.processing import ImageProcessor, Processor

from .data import Data
from .data.reading import for_each_channel
from .data.types import IMAGE_CLASSIFICATION
from .errors import DataError, ModelError
from .given_models import (
    channels_of_convolutions,
    channels_taken,
    kept_processor,
    overridden,
    trained_classes,
    trained_processor,
    trained_settings,
)
from .models import create_model, load_checkpoint, read_metadata
from .models.copies import check_module, copied, device_of
from .models.identity import identity
from .objectives import Outputs
from .objectives.layers import check_layers, named_tensors, run
from .progress import SILENT, Progress
from .tasks import Task
from .tasks.labels import class_places
from .teacher_inputs import adapted, adapter_for, processor_of, same_tensors, set_processor

Combination = Literal["average", "confidence", "choice"]


@dataclass(frozen=True)
class Batch:
    """What the student is about to see.

    Args:
        images: float32 (N, C, H, W), on the training device. targets: float32 (N, classes).
        view, index: which view of which train samples, int64 (N,), on the CPU.
    """

    images: Tensor
    targets: Tensor
    view: int
    index: Tensor


class Teacher(Protocol):
    """Somebody who answers batches."""

    def answer(self, batch: Batch) -> Outputs:
        """Outputs for the same views, on the training device, without gradient."""

    def identity(self) -> str:
        """Tells its answers from another teacher's, also in another process: a training goes on with the same alone."""


class CachedTeacher:
    """A teacher that has answered in advance.

    Args:
        views: for each view the outputs by name, float16 or float32 (N, …), row i for train sample i.
        of: the identity of who answered, see `identity_of_teacher`.
    """

    def __init__(self, views: Sequence[Mapping[str, np.ndarray]], of: str) -> None:
        self._views, self._of = views, of

    def answer(self, batch: Batch) -> Outputs:
        """Rows of the cache."""
        rows = batch.index.numpy()
        return Outputs({
            name: torch.from_numpy(values[rows]).to(batch.images.device).float()
            for name, values in self._views[batch.view].items()
        })  # fmt: skip

    def identity(self) -> str:
        """As it was given."""
        return f"cached {self._of}"


class LiveTeacher:
    """A model that answers while the student learns: a frozen copy, never part of the student.

    Args:
        layers: names, as in `named_modules()`, of the layers to show.
        source: what makes the images that it will be shown; they are turned into its own (`teacher_inputs.py`).
        names: of its outputs; see `Task.outputs`.

    Raises:
        ModelError: the model has no such layer.
    """

    def __init__(
        self, model: nn.Module, layers: Sequence[str] = (), source: Processor | None = None,
        names: Sequence[str] = ("logits",),
    ) -> None:  # fmt: skip
        check_layers(model, layers, "teacher")
        self._names = tuple(names)
        self._of = identity_of_teacher(model)
        self._model, self._layers = copied(model).eval().requires_grad_(False), tuple(layers)
        adapter = None if source is None else adapter_for(model, source)
        if adapter is not None:
            self._model.register_forward_pre_hook(adapter, prepend=True)
        self._ready_on: torch.device | None = None

    def answer(self, batch: Batch) -> Outputs:
        """One forward pass without gradient."""
        if self._ready_on != batch.images.device:
            self._ready_on = batch.images.device
            self._model.to(self._ready_on).to(memory_format=torch.channels_last)
        with torch.no_grad():
            return run(self._model, batch.images, self._layers, "teacher", self._names)

    def identity(self) -> str:
        """That of the model."""
        return f"live {self._of}"


class EmaTeacher:
    """The exponential moving average of the student's weights as its own teacher: "Mean teachers", Tarvainen & Valpola
    2017 (arXiv:1703.01780). `schedule.ema` is its decay.

    Args:
        layers, names: as of `LiveTeacher`.
    """  # fmt: skip

    def __init__(self, layers: Sequence[str] = (), names: Sequence[str] = ("logits",)) -> None:
        self._layers, self._names = tuple(layers), tuple(names)
        self._average: nn.Module | None = None

    def attach(self, average: nn.Module) -> None:
        """The training hands over the average, which it goes on updating."""
        check_layers(average, self._layers, "teacher")
        self._average = average

    def answer(self, batch: Batch) -> Outputs:
        """One forward pass of the average."""
        if self._average is None:
            raise ModelError("an EmaTeacher needs a schedule with ema above 0, such as 0.99")
        with torch.no_grad():
            return run(self._average.eval(), batch.images, self._layers, "teacher", self._names)

    def identity(self) -> str:
        """None of its own: the student's."""
        return "average"


class Team:
    """Several teachers of the same task, combined as it says: classifiers as probabilities.

    `average`     the mean (You et al. 2017, "Learning from Multiple Teacher Networks")
    `confidence`  a mean weighted, sample by sample, by `exp(-entropy)` of each (after Kwon et al. 2020, "Adaptive
                  Knowledge Distillation Based on Entropy")
    `choice`      for each sample the one teacher that gives its label the highest probability; where there is no
                  label, the one with the lowest entropy
    """

    def __init__(
        self, members: Sequence[Teacher], combine: Combination = "average", task: Task = IMAGE_CLASSIFICATION
    ) -> None:
        if not members:
            raise ValueError("a team needs at least one teacher")
        self._members = tuple(members)
        self._combine, self._task = combine, task

    def answer(self, batch: Batch) -> Outputs:
        """Outputs of the team (log probabilities, as logits, of classifiers), and what the first one's layers give."""
        said = [member.answer(batch) for member in self._members]
        return self._task.combine(said, batch.targets, self._combine)

    def identity(self) -> str:
        """Of all of them, in order, and how they are combined."""
        return f"{self._combine} {[one.identity() for one in self._members]}"


def identity_of_teacher(model: nn.Module) -> str:
    """`sha256:…` of a model and of the pixels that it was trained on."""
    own = processor_of(model)
    return f"{identity(model)} {own and own.to_json()}"


def load_teacher(
    model: str = "resnet8_l",
    checkpoint: str | Path | None = None,
    num_classes: int = 10,
    in_channels: int = 1,
    data: Data | None = None,
    *,
    processor: Processor | None = None,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    image_size: int | None = None,
    weights: str | None = None,
    progress: Progress = SILENT,
) -> nn.Module:
    """A frozen teacher: a model by name (see `edgestill.models`) with the weights of a file.

    It remembers how its inputs were made: as its checkpoint says, if that is ours; as timm or torchvision publish, if
    it is a model of theirs with weights from elsewhere; as `processor`, or `mean`, `std` and `image_size`, say, if they
    are given; else it takes what the data gives. `distill` shows it every view in that form.

    Args:
        checkpoint: None keeps fresh weights, for a teacher that is still to be trained. weights: see `load_checkpoint`.
        in_channels: of the data; a teacher of RGB images on grey data, or the other way round, is found out.
        data: the data it will teach on; what differs from its own is said to `progress`.
        mean, std, image_size: other values than its published ones; one number is that of each channel.

    Raises:
        ModelError: no such model, or a checkpoint that does not fit it.
    """
    if (mean or std) and (len(mean) != len(std) or len(mean) not in (1, 3)):
        raise ModelError(
            f"a teacher's mean and std have 3 values (RGB) each, or 1 for all channels, not {len(mean)} and {len(std)}"
        )
    base = data.processor if data is not None else None
    if processor is not None or len(mean) == 3:
        in_channels = 3 if processor is None else processor.channels
    teacher, metadata, in_channels = _loaded(model, checkpoint, num_classes, in_channels, weights, progress)
    own = processor
    if own is None and checkpoint is not None:
        own = trained_processor(model, teacher, checkpoint, metadata)
    if mean or std or image_size is not None:
        if own is None and base is None and not (mean and std and image_size):
            raise ModelError("without data, a teacher's mean, std and image_size are given together")
        seen = own or base
        if seen is not None and seen.kind == "audio":
            in_channels = 1
        mean, std = for_each_channel(mean, in_channels), for_each_channel(std, in_channels)
        own = overridden(seen or ImageProcessor(image_size or 1, image_size or 1, mean, std),
                         mean, std, image_size)  # fmt: skip
    set_processor(teacher, own)
    if data is not None:
        _compare_classes(trained_classes(metadata), data, checkpoint)
        settings = trained_settings(metadata)
        if settings is not None and (reason := data.task.other_outputs(settings, data.task_settings)):
            raise ModelError(f"checkpoint {checkpoint} does not fit {data.name}: {reason}")
    if base is not None and own is not None and not same_tensors(base, own):
        progress.message(_difference(base, own))
    return teacher.eval().requires_grad_(False)


def _loaded(
    model: str, checkpoint: str | Path | None, classes: int, channels: int, weights: str | None, progress: Progress
) -> tuple[nn.Module, dict[str, Any], int]:
    """A model with its weights, and the colour channels that it takes: those that its weights are for."""
    teacher = create_model(model, classes, channels)
    if checkpoint is None:
        return teacher, {}, _channels(model, teacher, classes, channels)
    known = kept_processor(read_metadata(checkpoint), checkpoint)
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
    """Channels that a model takes: those that it was made with, unless it is the same whatever it is made with."""
    if channels_of_convolutions(model) in (made_with, None):
        return made_with
    found = channels_taken(name, classes)
    return found[0] if len(found) == 1 else made_with


def _compare_classes(theirs: Sequence[str], data: Data, checkpoint: str | Path | None) -> None:
    """Refuse a checkpoint of ours whose classes are not the data's, or stand in another order."""
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
    def said(one: Processor) -> str:
        return f"{one.height}×{one.width}×{one.channels}, mean {_short(one.mean)}, std {_short(one.std)}"

    enlarged = own.height > source.height or own.width > source.width
    return f"the teacher sees each view as it was trained to: {said(own)}; the data gives {said(source)}" + (
        "; it sees enlarged images" if enlarged else ""
    )


def _short(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


def check_classes(model: nn.Module, data: Data, who: str, learning: bool = True) -> None:
    """Refuse a model that does not take the data's images, or whose outputs do not fit the data's task.

    Args:
        learning: it will learn or teach, for which probabilities are no logits.

    Raises:
        ModelError: names both shapes, or the layer that failed.
    """
    check_module(model, who)
    model = copied(model).eval()  # a forward pass may leave something behind
    height, width, channels = data.processor.image_shape
    turned = adapted(model, data.processor) if who == "teacher" else nullcontext()
    # With a gradient, and on no leaf of it, so that a task can see which operation made an output.
    with turned, torch.enable_grad():
        image = torch.zeros((1, channels, height, width), device=device_of(model), requires_grad=True) * 1
        try:
            output = model(image)
        except EdgestillError:
            raise
        except Exception as error:
            raise ModelError(
                f"the {who} does not take images of {height}×{width} with {channels} channel(s), as {data.name} has "
                f"them: it fails {place_of(error, model)}{of_other_types(error)}"
            ) from error
        found = Outputs(named_tensors(output, data.task.outputs, who))
        data.task.check_outputs(found, data.classes, who, data.name, learning)
