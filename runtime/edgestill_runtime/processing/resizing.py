"""Antialiased image resizing in integers, bit-exact on every machine and in every programming language.

Each output pixel is a weighted sum of the input pixels that it covers; when downscaling, the filter is widened by the
scale factor. Weights are computed in double precision and rounded to multiples of 2^-22. The horizontal pass comes
first and is rounded to 8 bits, then the vertical one. Only +, -, ×, ÷ and rounding are used, so Kotlin and JavaScript
compute the same bits (`android-demo/core/…/Resizing.kt`, `android-demo/web/resizing.js`).

Each pass equals Pillow's `Image.resize(size, filter, box)` for 8-bit images to the last bit; both together equal Pillow
up to version 12. (Pillow 13 does the vertical pass first if the height shrinks more.)
"""

from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import NDArray

from .values import PixelArray

SUPPORT = {"bilinear": 1.0, "bicubic": 2.0}
"""Filter → half its width in input pixels, before widening for downscaling."""
PRECISION = 22  # fractional bits of a weight
_ROWS = 64  # rows of the horizontal pass at a time: they fit a CPU cache

Box = tuple[float, float, float, float]


def resized(image: PixelArray, height: int, width: int, box: Box, filter: str) -> PixelArray:
    """Resize a part of an image.

    Args:
        image: uint8 (H, W, C). height, width: of the result, pixels.
        box: (left, top, right, bottom) of the part, pixels, may be fractional. filter: a key of `SUPPORT`.

    Returns:
        uint8 (height, width, C).
    """
    left, top, right, bottom = (float(np.float32(edge)) for edge in box)  # Pillow passes them as float32
    if (left, right) != (0.0, image.shape[1]) or width != image.shape[1]:
        image = _horizontal(image, *_weights(image.shape[1], left, right, width, filter))
    if (top, bottom) != (0.0, image.shape[0]) or height != image.shape[0]:
        image = _vertical(image, *_weights(image.shape[0], top, bottom, height, filter))
    return np.ascontiguousarray(image)


@lru_cache(maxsize=64)
def _weights(
    size: int, start: float, end: float, count: int, filter: str
) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """For each of `count` output pixels: index of the first input pixel (count,), and weights int32 (count, taps)."""
    scale = float(np.float32(end) - np.float32(start)) / count
    stretch = max(scale, 1.0)
    support = SUPPORT[filter] * stretch
    taps = ceil(support) * 2 + 1
    centres = start + (np.arange(count) + 0.5) * scale
    # Truncated toward zero, as in C.
    first = np.maximum(np.trunc(centres - support + 0.5), 0).astype(np.intp)
    counts = np.minimum(np.trunc(centres + support + 0.5), size).astype(np.intp) - first
    inverse = 1.0 / stretch
    raw = np.empty((count, taps))
    total = np.zeros(count)
    for tap in range(taps):
        value = _filter((tap + first - centres + 0.5) * inverse, filter)
        raw[:, tap] = np.where(tap < counts, value, 0.0)
        total = total + raw[:, tap]  # in this order: it determines the rounding
    raw = np.where(total[:, None] != 0, raw / np.where(total == 0, 1.0, total)[:, None], raw)
    steps = raw * (1 << PRECISION)
    weights = np.trunc(np.where(steps < 0, steps - 0.5, steps + 0.5)).astype(np.int32)
    return first, weights[:, : max(int(counts.max()), 1)]


def _filter(x: NDArray[np.float64], filter: str) -> NDArray[np.float64]:
    x = np.abs(x)
    if filter == "bilinear":
        return np.where(x < 1.0, 1.0 - x, 0.0)
    a = -0.5  # Keys 1981, "Cubic convolution interpolation for digital image processing"
    near, far = ((a + 2.0) * x - (a + 3.0)) * x * x + 1, (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def _horizontal(image: PixelArray, first: NDArray[np.intp], weights: NDArray[np.int32]) -> PixelArray:
    height, width, channels = image.shape
    result = np.empty((height, len(first), channels), np.uint8)
    # Weights of indices after the last pixel are 0, so any valid index may be used.
    places = [np.minimum(first + tap, width - 1) for tap in range(weights.shape[1])]
    for row in range(0, height, _ROWS):
        rows = image[row : row + _ROWS].astype(np.int32)
        total = np.full((len(rows), len(first), channels), 1 << (PRECISION - 1), np.int32)
        for tap, place in enumerate(places):
            total += rows.take(place, axis=1) * weights[:, tap, None]
        result[row : row + _ROWS] = np.clip(total >> PRECISION, 0, 255)
    return result


def _vertical(image: PixelArray, first: NDArray[np.intp], weights: NDArray[np.int32]) -> PixelArray:
    height, width, channels = image.shape
    result = np.empty((len(first), width, channels), np.uint8)
    for row, (start, factors) in enumerate(zip(first, weights, strict=True)):
        total = np.full((width, channels), 1 << (PRECISION - 1), np.int32)
        for tap, factor in enumerate(factors[: height - start]):
            if factor:
                total += image[start + tap] * factor
        result[row] = np.clip(total >> PRECISION, 0, 255)
    return result
