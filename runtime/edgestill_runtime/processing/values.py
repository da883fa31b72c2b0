"""Pixels → tensor: one arithmetic for training, calibration, conversion and every device.

A pixel is a `uint8`, so normalization is a table of 256 values per channel. Training reads the float table on
the GPU, LiteRT's int8 files read the table already quantized, a phone app builds the same table: there is nothing
left to round differently.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Layout = Literal["NCHW", "NHWC"]
FloatArray = NDArray[np.float32]
PixelArray = NDArray[np.uint8]


def plain(value: Any) -> Any:
    """An input that is an array, as numpy's own plain array in this machine's byte order; anything else as it is.

    Every input comes through here. What a subclass adds (`np.matrix`, `np.memmap`, `np.recarray`) has no meaning to a
    model.

    Raises:
        InputError: a masked array; what stands behind its mask would be taken for data.
    """
    if not isinstance(value, np.ndarray) or (type(value) is np.ndarray and value.dtype.isnative):
        return value
    if hasattr(value, "filled"):  # without importing numpy.ma, which numpy does on its first use
        raise InputError("a masked array has values that are missing, and a model takes none; give array.filled(value)")
    array = np.asarray(value)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def look_up(table: NDArray[Any], pixels: PixelArray) -> NDArray[Any]:
    """Values of `pixels` (N, H, W, C) in `table` (C, 256); the result has the table's dtype and (N, H, W, C)."""
    if table.shape[0] == 1:
        return np.asarray(table[0][pixels])
    return np.stack([table[channel][pixels[..., channel]] for channel in range(table.shape[0])], axis=-1)


def arrange(tensor: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """(N, H, W, C) in the layout that a file takes, contiguous."""
    # A copy even of one channel: its strides would otherwise look channels-last to PyTorch and ExecuTorch.
    return tensor.transpose(0, 3, 1, 2).copy(order="C") if layout == "NCHW" else np.ascontiguousarray(tensor)


def quantize(values: NDArray[Any], scale: float, zero_point: int, dtype: str = "int8") -> NDArray[Any]:
    """`clip(round_half_even(x / scale) + zero_point)` in an integer dtype, as PyTorch and XNNPACK do.

    Args:
        values: float, any shape. dtype: `int8` (-128 to 127), `uint8` (0 to 255), or a wider integer.
    """
    # The reciprocal in float32, then a product: the order of operations of torch.quantize_per_tensor and XNNPACK.
    inverse = np.float32(1.0) / np.float32(scale)
    steps = np.rint(values.astype(np.float32) * inverse) + zero_point
    bounds = np.iinfo(dtype)
    return np.asarray(np.clip(steps, bounds.min, bounds.max), dtype)


def dequantize(values: NDArray[Any], scale: float, zero_point: int) -> FloatArray:
    """float32 of quantized values: `(q - zero_point) * scale`."""
    return ((values.astype(np.int32) - zero_point) * np.float32(scale)).astype(np.float32)
