"""What a model says of a split: logits, and how often it is right. The model itself is never moved or changed."""

import numpy as np
import torch
from torch import nn

from .data import Data, Views
from .data.sources import Split
from .models.copies import copied
from .objectives.layers import as_logits
from .teacher_inputs import adapted


def predict(model: nn.Module, split: Split, data: Data, device: torch.device | str | None = None) -> np.ndarray:
    """Logits float32 (N, classes) of a split, without augmentation; `model` itself is not moved or changed."""
    device = device or default_device()
    working = copied(model).to(device)
    with adapted(working, data.processor):
        return run_model(working, split, data, device)


def run_model(model: nn.Module, split: Split, data: Data, device: torch.device | str) -> np.ndarray:
    """The same by a model that is on the device, and is left in eval mode."""
    views = Views(split, len(data.classes), data.processor, device=device)
    model.eval()
    with torch.inference_mode():
        whole = torch.split(torch.arange(len(split)), 256)
        answers = [as_logits(model(images), samples=len(images)).cpu() for images, _ in views.batches(0, whole)]
    return torch.cat(answers).numpy()


def accuracy(model: nn.Module, split: Split, data: Data, device: torch.device | str | None = None) -> float:
    """Share of a split that the model classifies as labelled, 0–1."""
    return float((predict(model, split, data, device).argmax(1) == split.labels).mean())


def default_device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
