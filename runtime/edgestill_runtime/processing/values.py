"""Pixels → tensor: the same arithmetic in training, calibration, conversion and on every device.

A pixel is a `uint8`, so normalization is a lookup table of 256 values per channel: float32 in training, quantized for
the int8 files. The Android app and the web page build the same table, so no rounding can differ.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Layout = Literal["NCHW", "NHWC"]
FloatArray = NDArray[np.float32]
PixelArray = NDArray[np.uint8]


def plain(value: Any) -> Any:
    """An array as a plain `np.ndarray` in native byte order; anything else unchanged.

    Applied to every input, because subclasses (`np.matrix`, `np.memmap`, `np.recarray`) behave differently.

    Raises:
        InputError: a masked array, whose masked values would be used as data.
    """
    if not isinstance(value, np.ndarray) or (type(value) is np.ndarray and value.dtype.isnative):
        return value
    if hasattr(value, "filled"):  # a masked array; the check does not import numpy.ma
        raise InputError("a masked array has missing values, which a model cannot take; pass array.filled(value)")
    array = np.asarray(value)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def look_up(table: NDArray[Any], pixels: PixelArray) -> NDArray[Any]:
    """Look up `pixels` uint8 (N, H, W, C) in `table` (C, 256): an array (N, H, W, C) of the table's dtype."""
    if table.shape[0] == 1:
        return np.asarray(table[0][pixels])
    return np.stack([table[channel][pixels[..., channel]] for channel in range(table.shape[0])], axis=-1)


def arrange(tensor: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """(N, H, W, C) → the file's layout, C-contiguous."""
    # A copy even for one channel: otherwise PyTorch and ExecuTorch take its strides for channels-last.
    return tensor.transpose(0, 3, 1, 2).copy(order="C") if layout == "NCHW" else np.ascontiguousarray(tensor)


def quantize(values: NDArray[Any], scale: float, zero_point: int, dtype: str = "int8") -> NDArray[Any]:
    """`clip(round_half_even(x / scale) + zero_point)` in an integer dtype, as PyTorch and XNNPACK do.

    Args:
        values: float, any shape. dtype: `int8` (-128 to 127), `uint8` (0 to 255), or a wider integer.
    """
    # Multiply by the float32 reciprocal, as torch.quantize_per_tensor and XNNPACK do.
    inverse = np.float32(1.0) / np.float32(scale)
    steps = np.rint(values.astype(np.float32) * inverse) + zero_point
    bounds = np.iinfo(dtype)
    return np.asarray(np.clip(steps, bounds.min, bounds.max), dtype)


def dequantize(values: NDArray[Any], scale: float, zero_point: int) -> FloatArray:
    """Quantized values of any shape → float32: `(q - zero_point) * scale`."""
    return ((values.astype(np.int32) - zero_point) * np.float32(scale)).astype(np.float32)
