"""Teachers: what the student is shown beside the labels, batch by batch.

    CachedTeacher     outputs read from a cache of views (`cache.py`)
    LiveTeacher       a model that runs beside the student; the only one that can show the outputs of its layers
    TeacherEnsemble   several teachers, combined
    EmaTeacher        the moving average of the student's own weights

`teacher_loading.py` reads the model itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from edgestill_runtime.processing import Processor

from .data.types import IMAGE_CLASSIFICATION
from .errors import ModelError, OptionError
from .models.copies import copied
from .models.identity import identity
from .objectives import Outputs
from .objectives.layers import check_layers, run
from .tasks import Task
from .teacher_inputs import adapter_for, processor_of

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
    """What gives the outputs that a student learns from."""

    def outputs(self, batch: Batch) -> Outputs:
        """Outputs for the same views, on the training device, without gradient."""

    def identity(self) -> str:
        """Tells it from another teacher, also in another process: a training goes on with the same alone."""


class CachedTeacher:
    """A teacher whose outputs were computed in advance.

    Args:
        views: for each view the outputs by name, float16 or float32 (N, …), row i for train sample i.
        of: the identity of the model that gave them, see `identity_of_teacher`.
    """

    def __init__(self, views: Sequence[Mapping[str, np.ndarray]], of: str) -> None:
        self._views, self._of = views, of

    def outputs(self, batch: Batch) -> Outputs:
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
    """A model that runs while the student learns: a frozen copy, never part of the student.

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

    def outputs(self, batch: Batch) -> Outputs:
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

    def outputs(self, batch: Batch) -> Outputs:
        """One forward pass of the average."""
        if self._average is None:
            raise ModelError("an EmaTeacher needs a schedule with ema above 0, such as 0.99")
        with torch.no_grad():
            return run(self._average.eval(), batch.images, self._layers, "teacher", self._names)

    def identity(self) -> str:
        """None of its own: the student's."""
        return "average"


class TeacherEnsemble:
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
            raise OptionError("an ensemble needs at least one teacher")
        self._members = tuple(members)
        self._combine, self._task = combine, task

    def outputs(self, batch: Batch) -> Outputs:
        """Outputs of the ensemble (log probabilities, as logits, of classifiers), and the first one's layers."""
        outputs = [member.outputs(batch) for member in self._members]
        return self._task.combine(outputs, batch.targets, self._combine)

    def identity(self) -> str:
        """Of all of them, in order, and how they are combined."""
        return f"{self._combine} {[one.identity() for one in self._members]}"


def identity_of_teacher(model: nn.Module) -> str:
    """`sha256:…` of a model and of the pixels that it was trained on."""
    own = processor_of(model)
    return f"{identity(model)} {own and own.to_json()}"
