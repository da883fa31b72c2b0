"""How a source is read and cut, as plain data: the keys of `[data]`."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike

from .reading import Reading


@dataclass(frozen=True)
class DataOptions(Reading):
    """How a source is read and cut: `Reading`, and how its samples are split.

    Args:
        validation: share of the train split, 0–0.5, for choosing hyper-parameters, where the source has no validation
            split of its own.
        calibration: how many train samples choose quantization ranges as well.
        seed: of the cut and of the augmented views; the same seed gives the same on every machine.
        labelled: how many train images keep their label, at least one of each class; None: all.
        unlabelled: a folder of images without labels, in any subfolders, to learn from as well.
        image_size: side in pixels to which photos are brought; sources of one size take none.
        resize, filter, ground, fill: how, see `edgestill_runtime.ImageProcessor`.
        rate: samples a second of the model, for recordings; the rate of most train recordings when None.
        seconds: how much of a recording the model hears.
        mean, std: normalization per channel, both or neither, one number for all channels; the source's own when empty.
    """

    validation: float = 0.1
    calibration: int = 256
    seed: int = 0
    labelled: int | None = None
    unlabelled: str | PathLike[str] | None = None
    mean: Sequence[float] = ()
    std: Sequence[float] = ()

    def reading(self) -> Reading:
        """The part that says how files become pixels."""
        return Reading(**{name: getattr(self, name) for name in Reading.__dataclass_fields__})
