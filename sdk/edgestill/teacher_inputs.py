"""A teacher sees pixels as it was trained to: its own size, colours, mean and standard deviation.

    teacher = load_teacher("timm:mobilenetv3_small_100", "imagenet.pth", data=data)     # knows timm's settings
    distill(teacher, student, data)                                                     # shows it the same views

Both see the same augmented view. The student's tensor is turned back into pixels (`x · std + mean`), brought to the
teacher's colours and size, and normalized with the teacher's mean and standard deviation. The whole view is shown:
`crop_share` is for photos, and would hide from the teacher what the student sees. Nothing is done where both are alike.
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
    """Note on a model how its inputs were made when it was trained; None: as the data gives them."""
    setattr(model, _ATTRIBUTE, processor)


def processor_of(model: nn.Module) -> Processor | None:
    """What `set_processor` noted."""
    processor = getattr(model, _ATTRIBUTE, None)
    return processor if isinstance(processor, Processor) else None


class InputAdapter:
    """A forward pre-hook: tensors as one processor makes them → as another one does.

    Args:
        source: of the tensors that come, (N, C, H, W). target: of those that the model was trained on.
    """

    def __init__(self, source: Processor, target: Processor) -> None:
        self._source, self._target = source, target

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """The same inputs with the first one turned."""
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
    """While the block runs, the model takes tensors as `source` makes them."""
    adapter = adapter_for(model, source)
    if adapter is None:
        yield
        return
    with model.register_forward_pre_hook(adapter, prepend=True):
        yield


def adapter_for(model: nn.Module, source: Processor) -> InputAdapter | None:
    """What turns tensors of `source` into those that the model was trained on; None where they are the same.

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
    """Whether two processors make the same tensor of the same pixels."""
    return (one.image_shape, one.mean, one.std) == (other.image_shape, other.mean, other.std)


def _recording(processor: Processor) -> dict[str, Any]:
    numbers = ("mean", "std", "height", "width")
    return {name: value for name, value in processor.to_json().items() if name not in numbers}


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=like.device)[:, None, None]
