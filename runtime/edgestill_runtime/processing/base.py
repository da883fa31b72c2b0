"""The base class of processors: size, normalization table, and JSON form."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np

from ..errors import InputError
from .values import FloatArray, Layout, PixelArray, arrange, look_up, plain

MAX_SIZE = 1 << 14
"""Largest height or width of a model's input, pixels."""


@dataclass(frozen=True)
class Processor(ABC):
    """Preprocessing: an input → pixels → the tensor `(pixel / 255 - mean) / std`, per channel.

    Args:
        height, width: size of the model's input in pixels, 1 to 16384.
        mean, std: one value per channel, for pixel values in 0–1; `std` > 0.
    """

    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    kind: ClassVar[str] = ""
    """Its name in a manifest."""
    has_rate: ClassVar[bool] = False
    """Whether its inputs have a sample rate."""

    def __post_init__(self) -> None:
        for name, size in (("height", self.height), ("width", self.width)):
            if not 1 <= size <= MAX_SIZE:
                raise InputError(f"{name} must be 1 to {MAX_SIZE}, not {size}")
        if len(self.mean) != len(self.std) or not self.mean:
            raise InputError(f"mean {self.mean} and std {self.std} need one value per channel each")
        if not np.isfinite([*self.mean, *self.std]).all():
            raise InputError(f"mean {self.mean} and std {self.std} must be finite numbers")
        if min(self.std) <= 0:
            raise InputError(f"std {self.std} must be greater than 0 in every channel")

    @property
    def channels(self) -> int:
        """Number of channels: 1 for grey, 3 for RGB."""
        return len(self.mean)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one image."""
        return self.height, self.width, self.channels

    @property
    @abstractmethod
    def summary(self) -> str:
        """A line of text: the inputs it accepts, and the processing."""

    def table(self) -> FloatArray:
        """float32 (channels, 256): the tensor value of each pixel value."""
        pixels = np.arange(256, dtype=np.float64) / 255.0
        mean = np.array(self.mean, dtype=np.float64)[:, None]
        std = np.array(self.std, dtype=np.float64)[:, None]
        return ((pixels[None, :] - mean) / std).astype(np.float32)

    def ready(self, inputs: Any) -> PixelArray | None:
        """Inputs that are pixels of the model's size already, as uint8 (N, H, W, C); None for any other input.

        Arrays uint8 (H, W, C) or (N, H, W, C) of exactly the model's size pass through every processor unchanged: data
        sets and golden samples hold them. Gray ones may omit the channel axis.

        Raises:
            InputError: a masked array.
        """
        inputs = plain(inputs)
        if not isinstance(inputs, np.ndarray) or inputs.dtype != np.uint8:
            return None
        if self.channels == 1 and inputs.ndim in (2, 3) and inputs.shape[-2:] == (self.height, self.width):
            inputs = inputs[..., None]
        if inputs.ndim == 3:
            inputs = inputs[None]
        return inputs if inputs.ndim == 4 and inputs.shape[1:] == self.image_shape else None

    def pixels(self, inputs: Any, rate: int | None = None) -> PixelArray:
        """Pixels uint8 (N, H, W, C) of one input or several.

        Args:
            inputs: one input, see the class; a list of inputs; or a batch of images (N, H, W, C).
            rate: samples per second, of recordings given as arrays. A file has its own rate; a different one is
                refused.

        Raises:
            InputError: an input cannot be processed; the message has its type, and its index in a list.
        """
        ready = self.ready(inputs)
        if ready is not None and rate is None:
            return ready
        rows = list(self.each(inputs, rate))
        return np.concatenate(rows) if rows else np.empty((0, *self.image_shape), np.uint8)

    def each(self, inputs: Any, rate: int | None = None) -> Iterator[PixelArray]:
        """Iterate over the rows of `pixels`, uint8 (1, H, W, C); memory does not grow with their number."""
        if rate is not None and not self.has_rate:
            raise InputError("the model takes images, which have no rate")
        ready = self.ready(inputs)
        if ready is not None:
            yield from (ready[row : row + 1] for row in range(len(ready)))
        elif isinstance(inputs, (list, tuple)) or (isinstance(inputs, np.ndarray) and inputs.ndim == 4):
            for number, source in enumerate(inputs):
                try:
                    row = self._row(source, rate)
                except InputError as error:
                    raise InputError(f"input {number}: {error}") from error
                yield row
        else:
            yield self._row(inputs, rate)

    def _row(self, source: Any, rate: int | None) -> PixelArray:
        ready = self.ready(source)
        if ready is None:
            return self._one(plain(source), rate)[None]
        if len(ready) != 1:
            raise InputError(f"a list holds one input each, not a batch of shape {np.shape(source)}")
        return ready

    @abstractmethod
    def _one(self, source: Any, rate: int | None) -> PixelArray:
        """uint8 (H, W, C) of one input."""

    def tensor(self, inputs: Any, layout: Layout = "NCHW") -> FloatArray:
        """Normalized tensor float32 (N, C, H, W), or (N, H, W, C) with `layout="NHWC"`; inputs as for `pixels`."""
        return arrange(look_up(self.table(), self.pixels(inputs)), layout)

    def to_json(self) -> dict[str, Any]:
        """Its fields as plain data, for manifests and checkpoints."""
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return {"kind": self.kind, **plain}

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """The processor from the data of `to_json`.

        Raises:
            InputError: a field is missing, unknown, or invalid.
        """
        known = {field.name: field for field in fields(cls)}
        if unknown := sorted(data.keys() - known.keys() - {"kind"}):
            raise InputError(f"it has the unknown field {unknown[0]!r:.60}; a newer edgestill may know it")
        if missing := [name for name in ("height", "width", "mean", "std") if name not in data]:
            raise InputError(f"{missing[0]} is missing")
        return cls(**{name: _plain(name, data[name], known[name].type) for name in known if name in data})


def _plain(name: str, value: Any, declared: Any) -> Any:
    """A JSON value converted to the declared type: a list to a tuple, an integer to a float."""
    if declared == tuple[float, ...] and isinstance(value, (list, tuple)) and len(value) <= 16:
        return tuple(_plain(f"{name}[{place}]", one, float) for place, one in enumerate(value))
    if declared is float and type(value) is int and abs(value) < 1 << 53:
        return float(value)
    if declared in (int, float, str) and type(value) is declared:
        return value
    words = {int: "a whole number", float: "a number", str: "text"}
    raise InputError(f"{name} must be {words.get(declared, 'a list of at most 16 numbers')}, not {value!r:.40}")
