"""The processes of a training: one, or as many as `accelerate launch` or `torchrun` started."""

import torch
from accelerate import PartialState


def processes() -> PartialState:
    """This process among the others: its number, its device, and how to wait for them.

    Accelerate has to be told that there is no GPU, or it takes the processes of `torchrun` for strangers.
    """
    return PartialState(cpu=not torch.accelerator.is_available())
