"""The teacher, and what it said: its logits for augmented views of the train split, computed once and kept on disk."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from edgestill_runtime.files import atomic_file

from .data import Augmentation, Data, Views
from .errors import ModelError
from .models import create_model, load_checkpoint
from .progress import SILENT, Progress
from .training import default_device


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
        ModelError: no such model, a checkpoint that does not fit it, or other preprocessing than `data` has.
    """
    teacher = create_model(model, num_classes, in_channels)
    if checkpoint is not None:
        metadata = load_checkpoint(checkpoint, teacher)
        trained_on = metadata.get("preprocessing")
        if data is not None and trained_on is not None and trained_on != data.preprocessing.to_json():
            raise ModelError(
                f"checkpoint {checkpoint} was trained on {trained_on}, the data gives {data.preprocessing.to_json()}; "
                "set mean, std and image_size under [data] to the former"
            )
    return teacher.eval().requires_grad_(False)


def cache_logits(
    teacher: nn.Module,
    data: Data,
    views: int,
    folder: Path,
    *,
    augmentation: Augmentation,
    seed: int = 0,
    progress: Progress = SILENT,
) -> list[np.ndarray]:
    """Run the teacher over `views` augmented views of the train split, or find them done.

    Returns:
        For each view, float16 (N, classes), memory-mapped from `folder/view-NNN.npy`. A file is whole or absent, so a
        cache that was interrupted goes on with the next view.
    """
    paths = [folder / f"view-{view:03d}.npy" for view in range(views)]
    missing = [(view, path) for view, path in enumerate(paths) if not path.is_file()]
    if missing:
        _answer(teacher, data, missing, augmentation, seed, progress)
    return [np.load(path, mmap_mode="r") for path in paths]


def check_classes(model: nn.Module, data: Data, who: str) -> None:
    """Refuse a model whose output is not one logit per class of the data.

    Raises:
        ModelError: names both numbers.
    """
    device = next(model.parameters()).device
    height, width, channels = data.preprocessing.image_shape
    training = model.training
    with torch.inference_mode():
        shape = tuple(model.eval()(torch.zeros((1, channels, height, width), device=device)).shape)
    model.train(training)
    if shape != (1, len(data.classes)):
        raise ModelError(
            f"the {who} answers one image with shape {shape}, but {data.name} has {len(data.classes)} classes, "
            f"which needs (1, {len(data.classes)}); teacher, student and data must have the same classes"
        )


def _answer(
    teacher: nn.Module,
    data: Data,
    missing: list[tuple[int, Path]],
    augmentation: Augmentation,
    seed: int,
    progress: Progress,
) -> None:
    device = default_device()
    split = Views(data.train, len(data.classes), data.preprocessing, augmentation, seed, device)
    teacher = teacher.to(device).to(memory_format=torch.channels_last).eval()
    with progress.task("teacher outputs", len(missing) * len(split)) as task, torch.inference_mode():
        for view, path in missing:
            answers = []
            for index in torch.split(torch.arange(len(split)), 256):
                answers.append(teacher(split.batch(view, index)[0]).half().cpu())
                task.advance(len(index))
            with atomic_file(path) as part, open(part, "wb") as file:
                np.save(file, torch.cat(answers).numpy())
