"""Stop a training with NaN or infinite values, with advice."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from .cache import LARGEST
from .errors import ModelError, TrainingError
from .models.copies import check_module
from .training_state import STATE


def check_trainable(model: nn.Module, label: str) -> None:
    """Refuse a model that is no `nn.Module`, has no trainable weights, or has non-finite weights.

    Raises:
        ModelError: names the problem.
    """
    check_module(model, "student")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ModelError(
            f"{type(model).__name__} has no weights to train: all are frozen (requires_grad = False), or there are none"
        )
    # Only parameters: observers of fake quantization start with infinite ranges.
    for name, value in model.named_parameters():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise ModelError(
                f"{label}: the model begins with weights that are not finite ({name}); load a checkpoint that is "
                "whole, or make the model anew"
            )


def check_losses(
    losses: Sequence[Tensor], peaks: Sequence[Tensor], step: int, epoch: int, label: str, folder: Path | None
) -> None:
    """Stop if one of the last ten losses is NaN or infinite.

    Args:
        losses, peaks: of the steps of this epoch: the loss, and the student's largest output without its sign.
        step, epoch: the last ones, counted from 0. folder: with the state of the epoch before; None: there is none.

    Raises:
        TrainingError, ModelError: what went wrong, where, and what to do.
    """
    recent = torch.stack(list(losses[-10:])).cpu()
    if bool(recent.isfinite().all()):
        return
    odd = int((~recent.isfinite()).nonzero()[0])
    number = step + 1 - len(recent) + odd + 1
    place, own = f"step {number} of epoch {epoch + 1}", float(peaks[odd - len(recent)])
    look = "look for a division by zero, a root or a logarithm in its forward"
    if not math.isfinite(own) and epoch == 0 and number == 1:  # before a weight was changed
        raise ModelError(f"{label}: the model itself gives {own} at {place}; {look}")
    state = f"{folder / STATE} holds the state after epoch {epoch}" if folder else "no earlier state was kept"
    if not math.isfinite(own):
        raise TrainingError(
            f"{label}: the model itself gives {own} at {place}; {state}; lower learning_rate, or {look}"
        )
    raise TrainingError(
        f"{label}: the loss is {float(recent[odd])} at {place}; "
        f"{state}; lower learning_rate, or the weight of an objective"
    )


def check_teacher_outputs(peaks: Sequence[Tensor], label: str) -> None:
    """Refuse teacher outputs that are NaN or too large, with the limit of `cache.check_values`."""
    if not peaks:
        return
    recent = torch.stack(list(peaks[-10:])).cpu()
    odd = recent[~(recent <= LARGEST)]
    if len(odd):
        raise ModelError(
            f"{label}: the teacher gives {float(odd[0]):.4g} as its largest logit, without the sign; logits are "
            f"numbers of at most {LARGEST:,} here: its weights, or the pixel values of its input, are wrong"
        )
