"""Pixels → tensor: one arithmetic for training, calibration, conversion and every device.

A pixel is a `uint8`, so all of preprocessing is a table of 256 values per channel. Training reads the float table on
the GPU, LiteRT's int8 files read the table already quantised, a phone app builds the same table: there is nothing
left to round differently.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

Layout = Literal["NCHW", "NHWC"]
FloatArray = NDArray[np.float32]
PixelArray = NDArray[np.uint8]


@dataclass(frozen=True)
class Preprocessing:
    """How raw pixels become the tensor that a model was trained on: `(pixel / 255 - mean) / std`, per channel.

    Args:
        height, width: size in pixels that the model takes; pixels of another size are refused, never resized.
        mean, std: one value per channel, in units of the full pixel range (0–1); `std` > 0.
    """

    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not self.mean:
            raise InputError(f"mean {self.mean} and std {self.std} need one value per channel each")
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

    def table(self) -> FloatArray:
        """float32 (channels, 256): the tensor value of each pixel value."""
        pixels = np.arange(256, dtype=np.float64) / 255.0
        mean = np.array(self.mean, dtype=np.float64)[:, None]
        std = np.array(self.std, dtype=np.float64)[:, None]
        return ((pixels[None, :] - mean) / std).astype(np.float32)

    def pixels(self, images: NDArray[Any]) -> PixelArray:
        """Check raw images and give them a batch axis.

        Args:
            images: uint8 (H, W, C) or (N, H, W, C); grey images may omit the channel axis.

        Returns:
            uint8 (N, H, W, C).

        Raises:
            InputError: another dtype or size; the message names both.
        """
        array = np.asarray(images)
        if array.dtype != np.uint8:
            raise InputError(f"images must be uint8 pixels (0–255), not {array.dtype}")
        if self.channels == 1 and array.shape[-2:] == (self.height, self.width):
            array = array[..., None]
        if array.ndim == 3:
            array = array[None]
        if array.ndim != 4 or array.shape[1:] != self.image_shape:
            raise InputError(
                f"images have shape {np.shape(images)}; the model takes {self.image_shape} (height, width, channels), "
                "alone or with a batch axis before it. Resize them first."
            )
        return array

    def tensor(self, images: NDArray[Any], layout: Layout = "NCHW") -> FloatArray:
        """float32 (N, C, H, W) or, with `layout="NHWC"`, (N, H, W, C), from what `pixels` accepts."""
        return arrange(look_up(self.table(), self.pixels(images)), layout)

    def to_json(self) -> dict[str, Any]:
        """The same as plain data, for manifests and checkpoints."""
        return {"height": self.height, "width": self.width, "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Preprocessing":
        """Read back what `to_json` wrote."""
        return cls(
            height=int(data["height"]),
            width=int(data["width"]),
            mean=tuple(float(value) for value in data["mean"]),
            std=tuple(float(value) for value in data["std"]),
        )


def look_up(table: NDArray[Any], pixels: PixelArray) -> NDArray[Any]:
    """Values of `pixels` (N, H, W, C) in `table` (C, 256); the result has the table's dtype and (N, H, W, C)."""
    if table.shape[0] == 1:
        return np.asarray(table[0][pixels])
    return np.stack([table[channel][pixels[..., channel]] for channel in range(table.shape[0])], axis=-1)


def arrange(tensor: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """(N, H, W, C) in the layout that a file takes, contiguous."""
    # A copy even of one channel: its strides would otherwise look channels-last to PyTorch and ExecuTorch.
    return tensor.transpose(0, 3, 1, 2).copy(order="C") if layout == "NCHW" else np.ascontiguousarray(tensor)


def quantise(values: NDArray[Any], scale: float, zero_point: int, dtype: str = "int8") -> NDArray[Any]:
    """`clip(round_half_even(x / scale) + zero_point)` in an integer dtype, as PyTorch and XNNPACK do.

    Args:
        values: float, any shape. dtype: `int8` (-128 to 127), `uint8` (0 to 255), or a wider integer.
    """
    # The reciprocal in float32, then a product: the order of operations of torch.quantize_per_tensor and XNNPACK.
    inverse = np.float32(1.0) / np.float32(scale)
    steps = np.rint(values.astype(np.float32) * inverse) + zero_point
    bounds = np.iinfo(dtype)
    return np.asarray(np.clip(steps, bounds.min, bounds.max), dtype)


def dequantise(values: NDArray[Any], scale: float, zero_point: int) -> FloatArray:
    """float32 of quantised values: `(q - zero_point) * scale`."""
    return ((values.astype(np.int32) - zero_point) * np.float32(scale)).astype(np.float32)
