"""Training schedules, as plain data."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from .errors import OptionError, check_choice

Precision = Literal["auto", "no", "fp16", "bf16"]
_LEAST = {"epochs": 1, "batch_size": 2, "weight_decay": 0, "warmup_epochs": 0, "views": 0}


@dataclass(frozen=True)
class Schedule:
    """Length and learning rate of a training.

    Args:
        epochs: passes over the train split.
        batch_size: samples per step, over all processes.
        learning_rate: peak of AdamW's; it rises linearly for `warmup_epochs` and falls along a cosine to 0.
        weight_decay: AdamW's, decoupled.
        ema: decay per step of the exponential moving average of the weights that becomes the result; 0: none.
        views: number of distinct augmented views; epoch e uses view e mod `views`. 0: a new view every epoch.
        precision: of the forward pass; `auto` uses bfloat16 where it is faster.
        compile: compile the students with `torch.compile`, which costs up to a minute at the start.
    """

    epochs: int = 30
    batch_size: int = 128
    learning_rate: float = 4e-3
    weight_decay: float = 0.02
    warmup_epochs: float = 1.0
    ema: float = 0.0
    views: int = 0
    precision: Precision = "auto"
    compile: bool = False

    def __post_init__(self) -> None:
        check_choice(self.precision, get_args(Precision), "precision")
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise OptionError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if self.learning_rate <= 0:
            raise OptionError(f"learning_rate must be above 0, not {self.learning_rate}")
        if not 0 <= self.ema < 1:
            raise OptionError(f"ema is a decay between 0 and 1, not {self.ema}")

    def view(self, epoch: int) -> int:
        """The view of an epoch."""
        return epoch % self.views if self.views else epoch

    def rate(self, epoch: float) -> float:
        """Learning rate at a point of the training, in epochs."""
        if epoch < self.warmup_epochs:
            return self.learning_rate * epoch / self.warmup_epochs
        rest = (epoch - self.warmup_epochs) / max(self.epochs - self.warmup_epochs, 1e-9)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(rest, 1.0)))


@dataclass(frozen=True)
class QatSchedule(Schedule):
    """Schedule of quantization-aware training: short, with a low rate, as it starts from trained weights."""

    epochs: int = 3
    learning_rate: float = 2e-4
    weight_decay: float = 0.0
    warmup_epochs: float = 0.3
    views: int = 3


DEFAULT_SCHEDULE = Schedule()
