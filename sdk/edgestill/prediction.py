"""Outputs and quality of a model on a split. The model itself is not moved or changed."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .data import Data, Views
from .data.sources import Split
from .models.copies import copied
from .objectives.layers import named_tensors
from .teacher_inputs import adapted

BATCH = 256


def outputs_of(
    model: nn.Module, split: Split, data: Data, device: torch.device | str | None = None
) -> tuple[NDArray[np.float32], ...]:
    """Outputs for a split without augmentation, float32 (N, …) each; for a classifier, its logits (N, classes)."""
    device = device or default_device()
    working = copied(model).to(device)
    with adapted(working, data.processor):
        return run_model(working, split, data, device)


def run_model(
    model: nn.Module, split: Split, data: Data, device: torch.device | str
) -> tuple[NDArray[np.float32], ...]:
    """The same for a model that is already on the device; it stays in eval mode."""
    views = Views(split.images, None, data.processor, device=device)
    model.eval()
    outputs: dict[str, list[torch.Tensor]] = {name: [] for name in data.task.outputs}
    with torch.inference_mode():
        for images, _ in views.batches(0, torch.split(torch.arange(len(split)), BATCH)):
            tensors = named_tensors(model(images), data.task.outputs, samples=len(images))
            for name, values in tensors.items():
                outputs[name].append(values.cpu())
    return tuple(torch.cat(rows).numpy() for rows in outputs.values())


def quality_of(
    model: nn.Module, split: Split, data: Data, device: torch.device | str | None = None
) -> dict[str, float]:
    """Quality of a model on a split, by the names of the task's measures, the main one first."""
    return data.device_task.quality(outputs_of(model, split, data, device), split.targets)


def default_device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
