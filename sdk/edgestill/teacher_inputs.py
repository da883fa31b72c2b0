"""Converts inputs to the format that a teacher was trained with: its size, channels, mean and standard deviation.

    teacher = load_teacher("timm:mobilenetv3_small_100", "imagenet.pth", data=data)     # with timm's settings
    distill(teacher, student, data)                                                     # both use the same views

Both get the same augmented view. The student's tensor is converted back to pixels (`x · std + mean`), then to the
teacher's channels and size, and normalized with the teacher's mean and standard deviation. The whole view is used:
`crop_share` is for photos, and would remove parts that the student sees. If both formats are equal, nothing is done.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgestill_runtime.processing import AudioProcessor, Processor

from .errors import ModelError

_ATTRIBUTE = "edgestill_processor"
_LUMA = (19595 / 65536, 38470 / 65536, 7471 / 65536)  # ITU-R 601, as image.py has it


def set_processor(model: nn.Module, processor: Processor | None) -> None:
    """Store the input format of a model's training on the model; None: that of the data."""
    setattr(model, _ATTRIBUTE, processor)


def processor_of(model: nn.Module) -> Processor | None:
    """The processor stored by `set_processor`."""
    processor = getattr(model, _ATTRIBUTE, None)
    return processor if isinstance(processor, Processor) else None


class InputAdapter:
    """A forward pre-hook that converts tensors from the format of one processor to that of another.

    Args:
        source: of the incoming tensors, (N, C, H, W). target: of the model's training.
    """

    def __init__(self, source: Processor, target: Processor) -> None:
        self._source, self._target = source, target

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """The inputs with the first one converted."""
        return (self.turn(inputs[0]), *inputs[1:])

    def turn(self, images: Tensor) -> Tensor:
        """float32 (N, C, H, W) → float32 (N, C', H', W')."""
        source, target = self._source, self._target
        pixels = images * _column(source.std, images) + _column(source.mean, images)
        if target.channels == 3 and source.channels == 1:
            pixels = pixels.expand(-1, 3, -1, -1)
        elif target.channels == 1 and source.channels == 3:
            pixels = (pixels * _column(_LUMA, images)).sum(1, keepdim=True)
        size = (target.height, target.width)
        if tuple(pixels.shape[2:]) != size:
            mode = getattr(target, "filter", "bilinear")
            pixels = F.interpolate(pixels.float(), size, mode=mode, antialias=True, align_corners=False).clamp(0, 1)
        return (pixels - _column(target.mean, images)) / _column(target.std, images)


@contextmanager
def adapted(model: nn.Module, source: Processor) -> Iterator[None]:
    """While the block runs, the model accepts tensors in the format of `source`."""
    adapter = adapter_for(model, source)
    if adapter is None:
        yield
        return
    with model.register_forward_pre_hook(adapter, prepend=True):
        yield


def adapter_for(model: nn.Module, source: Processor) -> InputAdapter | None:
    """The adapter from the format of `source` to that of the model's training; None if they are equal.

    Raises:
        ModelError: one of the two is for recordings, and they differ in more than the numbers.
    """
    target = processor_of(model)
    if target is None or same_tensors(source, target):
        return None
    if isinstance(target, AudioProcessor) and _recording(source) != _recording(target):
        raise ModelError(
            f"the teacher was trained on recordings made into {target.to_json()}, the data gives {source.to_json()}; "
            "both need the same rate, length and bands"
        )
    return InputAdapter(source, target)


def same_tensors(one: Processor, other: Processor) -> bool:
    """Whether two processors produce the same tensor from the same pixels."""
    return (one.image_shape, one.mean, one.std) == (other.image_shape, other.mean, other.std)


def _recording(processor: Processor) -> dict[str, Any]:
    numbers = ("mean", "std", "height", "width")
    return {name: value for name, value in processor.to_json().items() if name not in numbers}


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=like.device)[:, None, None]
