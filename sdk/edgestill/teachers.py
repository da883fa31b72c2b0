"""Teachers: what the student is shown beside the labels, batch by batch.

    CachedTeacher   answers read from a cache of views (`cache.py`)
    LiveTeacher     a model that runs beside the student; the only one that can show what its layers give
    Team            several teachers, combined
    EmaTeacher      the moving average of the student's own weights

`load_teacher` reads the model itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .data import Data
from .errors import ModelError
from .models import create_model, load_checkpoint
from .objectives import Outputs
from .objectives.layers import check_layers, run

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


class CachedTeacher:
    """A teacher that has answered in advance.

    Args:
        views: for each view float16 or float32 (N, classes), row i for train sample i.
    """

    def __init__(self, views: Sequence[np.ndarray]) -> None:
        self._views = views

    def answer(self, batch: Batch) -> Outputs:
        """Rows of the cache."""
        rows = torch.from_numpy(self._views[batch.view][batch.index.numpy()])
        return Outputs(rows.to(batch.images.device).float())


class LiveTeacher:
    """A model that answers while the student learns; frozen, and never part of the student.

    Args:
        layers: names, as in `named_modules()`, of the layers to show.

    Raises:
        ModelError: the model has no such layer.
    """

    def __init__(self, model: nn.Module, layers: Sequence[str] = ()) -> None:
        check_layers(model, layers, "teacher")
        self._model, self._layers = model, tuple(layers)
        self._ready_on: torch.device | None = None

    def answer(self, batch: Batch) -> Outputs:
        """One forward pass without gradient."""
        if self._ready_on != batch.images.device:
            self._ready_on = batch.images.device
            self._model.to(self._ready_on).to(memory_format=torch.channels_last)
        with torch.no_grad():
            return run(self._model.eval(), batch.images, self._layers)


class EmaTeacher:
    """The exponential moving average of the student's weights as its own teacher: "Mean teachers", Tarvainen & Valpola
    2017 (arXiv:1703.01780). `schedule.ema` is its decay.

    Args:
        layers: as of `LiveTeacher`.
    """  # fmt: skip

    def __init__(self, layers: Sequence[str] = ()) -> None:
        self._layers = layers
        self._live: LiveTeacher | None = None

    def attach(self, average: nn.Module) -> None:
        """The training hands over the average, which it goes on updating."""
        self._live = LiveTeacher(average, self._layers)

    def answer(self, batch: Batch) -> Outputs:
        """One forward pass of the average."""
        if self._live is None:
            raise ModelError("an EmaTeacher needs a schedule with ema above 0, such as 0.99")
        return self._live.answer(batch)


class Team:
    """Several teachers with the same classes, combined as probabilities.

    `average`     the mean (You et al. 2017, "Learning from Multiple Teacher Networks")
    `confidence`  a mean weighted, sample by sample, by `exp(-entropy)` of each (after Kwon et al. 2020, "Adaptive
                  Knowledge Distillation Based on Entropy")
    `choice`      for each sample the one teacher that gives its label the highest probability; where there is no
                  label, the one with the lowest entropy
    """

    def __init__(self, members: Sequence[Teacher], combine: Combination = "average") -> None:
        if not members:
            raise ValueError("a team needs at least one teacher")
        self._members = tuple(members)
        self._combine = combine

    def answer(self, batch: Batch) -> Outputs:
        """Log probabilities of the team, as logits, and what the first one's layers give."""
        said = [member.answer(batch) for member in self._members]
        together = combine(torch.stack([one.logits for one in said]), batch.targets, self._combine)
        return Outputs(together, said[0].features)


def combine(logits: Tensor, targets: Tensor, how: Combination) -> Tensor:
    """Logits (teachers, N, classes) → log probabilities (N, classes); see `Team`."""
    answers = F.log_softmax(logits, dim=2)
    entropy = -(answers.exp() * answers).sum(2)
    if how == "choice":
        labelled = targets.sum(1) > 0
        score = torch.where(labelled, (targets * answers).sum(2), -entropy)
        chosen = score.argmax(0)
        return answers[chosen, torch.arange(len(chosen), device=chosen.device)]
    weights = torch.softmax(-entropy, dim=0) if how == "confidence" else torch.full_like(entropy, 1 / len(logits))
    return torch.logsumexp(answers + weights.log()[:, :, None], dim=0)


def load_teacher(
    model: str = "resnet8_l",
    checkpoint: str | Path | None = None,
    num_classes: int = 10,
    in_channels: int = 1,
    data: Data | None = None,
) -> nn.Module:
    """A frozen teacher: a model by name (see `edgestill.models`) with the weights of a safetensors file.

    Args:
        checkpoint: None keeps fresh weights, for a teacher that is still to be trained.
        data: the data it will teach on; a checkpoint of ours that was trained on other pixels is then refused.

    Raises:
        ModelError: no such model, a checkpoint that does not fit it, or other processor than `data` has.
    """
    teacher = create_model(model, num_classes, in_channels)
    if checkpoint is not None:
        metadata = load_checkpoint(checkpoint, teacher)
        trained_on = metadata.get("processor")
        if data is not None and trained_on is not None and trained_on != data.processor.to_json():
            raise ModelError(
                f"checkpoint {checkpoint} was trained on {trained_on}, the data gives {data.processor.to_json()}; "
                "set mean, std and image_size under [data] to the former"
            )
    return teacher.eval().requires_grad_(False)


def check_classes(model: nn.Module, data: Data, who: str) -> None:
    """Refuse a model whose output is not one logit per class of the data.

    Raises:
        ModelError: names both numbers.
    """
    device = next(model.parameters()).device
    height, width, channels = data.processor.image_shape
    training = model.training
    with torch.inference_mode():
        shape = tuple(model.eval()(torch.zeros((1, channels, height, width), device=device)).shape)
    model.train(training)
    if shape != (1, len(data.classes)):
        raise ModelError(
            f"the {who} answers one image with shape {shape}, but {data.name} has {len(data.classes)} classes, "
            f"which needs (1, {len(data.classes)}); teacher, student and data must have the same classes"
        )
