"""Augmentation of images for training, as plain data; `views.py` applies it.

Nothing may happen that changes what a sample is: what is harmless depends on the kind of data. A mirrored photo shows
the same thing; a mirrored log-mel picture is a recording played backwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from edgestill_runtime import AudioProcessor
from edgestill_runtime.processing import Processor

from ..errors import DataError, nearest


@dataclass(frozen=True)
class Augmentation:
    """Augmentation of an image. 0 disables a field.

    Args:
        flip: mirror left to right with this probability, 0–1.
        shift: move by up to this many pixels in each direction; what appears at the border is black.
        cutout: blacken a square of this side in pixels at a random place (DeVries & Taylor 2017, arXiv:1708.04552).
        mixup: blend with another image, weight from Beta(mixup, mixup) (Zhang et al. 2018, arXiv:1710.09412).
    """

    flip: float = 0.0
    shift: int = 0
    cutout: int = 0
    mixup: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.flip <= 1:
            raise DataError(f"flip is a probability between 0 and 1, not {self.flip}")
        for name in ("shift", "cutout", "mixup"):
            if not 0 <= getattr(self, name) < float("inf"):  # also NaN
                raise DataError(f"{name} must be 0 or more, and finite, not {getattr(self, name)}")

    @classmethod
    def parse(cls, names: Sequence[str]) -> "Augmentation":
        """From a recipe: `["flip", "shift:2", "cutout:8", "mixup:0.2"]`; a name without a value uses a default."""
        usual = {"flip": 0.5, "shift": 2, "cutout": 8, "mixup": 0.2}
        types = {field.name: field.type for field in fields(cls)}
        chosen = {}
        for entry in names:
            name, colon, value = entry.partition(":")
            if name not in usual:
                raise DataError(f"unknown augmentation {name!r}{nearest(name, usual)}")
            try:
                chosen[name] = (int if types[name] is int else float)(value) if colon else usual[name]
            except ValueError as error:
                raise DataError(f"augmentation {entry!r}: {value!r} is not a number") from error
        return cls(**chosen)  # type: ignore[arg-type]


NO_AUGMENTATION = Augmentation()
DEFAULTS = {"image": ("flip", "shift:2"), "audio": ("shift:2",)}
"""Default augmentation of each kind of data."""


def default_augmentation(processor: Processor) -> tuple[str, ...]:
    """The default augmentation of a kind of data, as in a recipe: flips are for images only."""
    return DEFAULTS["audio" if isinstance(processor, AudioProcessor) else "image"]


def augmentation_for(
    processor: Processor, names: Sequence[str] | None = None, usual: Sequence[str] | None = None
) -> Augmentation:
    """The augmentation of a recipe, else the default of its task, `usual`, else that of its data.

    Raises:
        DataError: an unknown name, or one that would change what a sample means.
    """
    usual = default_augmentation(processor) if usual is None else usual
    chosen = Augmentation.parse(usual if names is None else names)
    check_augmentation(chosen, processor.kind)
    return chosen


def check_augmentation(augmentation: Augmentation, kind: str) -> None:
    """Refuse augmentation that does not suit a kind of samples, `image` or `audio`.

    Raises:
        DataError: flips of recordings.
    """
    if augmentation.flip and kind == "audio":
        raise DataError(
            "augmentation `flip` plays a recording backwards, which is another sound; leave it out (`shift` moves a "
            "recording in time and pitch)"
        )
