"""Teachers: sources of the teacher outputs for each batch.

    CachedTeacher     outputs read from a cache of views (`cache.py`)
    LiveTeacher       a model that runs during training; the only one with features of its layers
    TeacherEnsemble   several teachers, combined
    EmaTeacher        the moving average of the student's own weights

`teacher_loading.py` loads the model.
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
    """A batch of the student.

    Args:
        images: float32 (N, C, H, W), on the training device. targets: float32 (N, classes).
        view, index: which view of which train samples, int64 (N,), on the CPU.
    """

    images: Tensor
    targets: Tensor
    view: int
    index: Tensor


class Teacher(Protocol):
    """A source of teacher outputs."""

    def outputs(self, batch: Batch) -> Outputs:
        """Outputs for the same views, on the training device, without gradient."""

    def identity(self) -> str:
        """An identity that is stable across processes; a training resumes only with the same teacher."""


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
        """The identity passed to the constructor."""
        return f"cached {self._of}"


class LiveTeacher:
    """A model that runs during the training of the student: a frozen copy, not part of the student.

    Args:
        layers: names, as in `named_modules()`, of the layers whose features are returned.
        source: processor of the incoming images; they are converted to the model's format (`teacher_inputs.py`).
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
        """The identity of the model."""
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
        """Set the average model, which the training keeps updating."""
        check_layers(average, self._layers, "teacher")
        self._average = average

    def outputs(self, batch: Batch) -> Outputs:
        """One forward pass of the average."""
        if self._average is None:
            raise ModelError("an EmaTeacher needs a schedule with ema above 0, such as 0.99")
        with torch.no_grad():
            return run(self._average.eval(), batch.images, self._layers, "teacher", self._names)

    def identity(self) -> str:
        """Constant: it has no weights of its own."""
        return "average"


class TeacherEnsemble:
    """Several teachers of the same task, combined as the task defines: classifiers as probabilities.

    `average`     the mean (You et al. 2017, "Learning from Multiple Teacher Networks")
    `confidence`  a mean weighted, sample by sample, by `exp(-entropy)` of each (after Kwon et al. 2020, "Adaptive
                  Knowledge Distillation Based on Entropy")
    `choice`      for each sample the teacher with the highest probability of its label; without a label, the one
                  with the lowest entropy
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
        """The identities of all teachers, in order, and the way they are combined."""
        return f"{self._combine} {[one.identity() for one in self._members]}"


def identity_of_teacher(model: nn.Module) -> str:
    """`sha256:…` of a model and of its input format."""
    own = processor_of(model)
    return f"{identity(model)} {own and own.to_json()}"
