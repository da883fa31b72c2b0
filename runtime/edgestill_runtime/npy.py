"""The arrays of `.npy` files, read without believing a word of them.

numpy reads the header (`numpy.lib.format`), whose parser raises what Python's own does on text that is none. Nothing is
allocated for a file that says it is larger than it is; Python objects, which could run code, are not read.
"""

import math
from io import BufferedIOBase
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from .errors import InputError, raised_by, what_instead

_HEADERS = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
}
_MOST_AXES = 32  # of numpy 1


def read_npy(file: BufferedIOBase, size: int, name: str) -> NDArray[Any]:
    """The array of a file of `size` bytes: numbers or booleans of any shape, in this machine's byte order.

    Args:
        name: of the file, for messages.

    Raises:
        InputError: no `.npy`, a damaged one, or one of something else than numbers.
    """
    dtype, shape, by_column = _header(file, name)
    needed, there = math.prod(shape) * dtype.itemsize, size - file.tell()
    if needed != there:
        raise InputError(
            f"{name} is a damaged .npy: an array {dtype} {shape} takes {needed:,} bytes, and it has {there:,}"
        )
    content = np.empty(needed, np.uint8)
    if file.readinto(content.data) != needed:
        raise InputError(f"{name} became shorter while it was read")
    array = content.view(dtype).reshape(shape, order="F" if by_column else "C")
    return array.astype(dtype.newbyteorder("="), copy=False)


def _header(file: BufferedIOBase, name: str) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    """The type of the values, the shape, and whether the first axis runs fastest."""
    start = file.read(200)
    if start[:2] == b"PK":
        raise InputError(f"{name} is an .npz, which holds several arrays; save the one that is meant with numpy.save")
    if start[:6] != npy.MAGIC_PREFIX:
        raise InputError(f"{name} is no .npy{what_instead(start)}")
    file.seek(0)
    try:
        shape, by_column, dtype = _HEADERS[npy.read_magic(file)](file)
    except Exception as error:
        # Of a header that nests too deep Python's parser says that memory ran out.
        damaged = isinstance(error, MemoryError) or raised_by(error, "tokenize")
        if (isinstance(error, OSError) and error.errno is not None) or not damaged:
            raise
        raise InputError(f"{name} is a damaged .npy: its header does not say what numbers it holds") from error
    if dtype.hasobject:
        raise InputError(f"{name} holds Python objects, not numbers; nothing is read that could run code")
    if dtype.kind not in "biufc" or dtype.subdtype:
        raise InputError(f"{name} holds values of the type {dtype!s:.40}, not plain numbers")
    if len(shape) > _MOST_AXES or any(one < 0 for one in shape) or math.prod(one or 1 for one in shape) >= 1 << 56:
        raise InputError(f"{name} is a damaged .npy: no array has the shape {shape!s:.80}")
    return dtype, shape, by_column
