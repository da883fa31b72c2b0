"""Read arrays from untrusted `.npy` files.

numpy reads the header (`numpy.lib.format`); on invalid text it raises the exceptions of Python's parser. No memory is
allocated for a header that claims more than the file's size; Python objects, which could run code, are refused.
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
    """The array in a file of `size` bytes: numbers or booleans of any shape, in native byte order.

    Args:
        name: of the file, for messages.

    Raises:
        InputError: not an `.npy`, damaged, or its values are not numbers.
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
    """The dtype, the shape, and whether the order is Fortran's (first axis fastest)."""
    start = file.read(200)
    if start[:2] == b"PK":
        raise InputError(f"{name} is an .npz, which holds several arrays; save the one that is meant with numpy.save")
    if start[:6] != npy.MAGIC_PREFIX:
        raise InputError(f"{name} is no .npy{what_instead(start)}")
    file.seek(0)
    try:
        shape, by_column, dtype = _HEADERS[npy.read_magic(file)](file)
    except Exception as error:
        # Python's parser raises MemoryError for a header that is nested too deeply.
        damaged = isinstance(error, MemoryError) or raised_by(error, "tokenize")
        if (isinstance(error, OSError) and error.errno is not None) or not damaged:
            raise
        raise InputError(f"{name} is a damaged .npy: its header cannot be read") from error
    if dtype.hasobject:
        raise InputError(f"{name} holds Python objects, not numbers; nothing is read that could run code")
    if dtype.kind not in "biufc" or dtype.subdtype:
        raise InputError(f"{name} holds values of the type {dtype!s:.40}, not plain numbers")
    if len(shape) > _MOST_AXES or any(one < 0 for one in shape) or math.prod(one or 1 for one in shape) >= 1 << 56:
        raise InputError(f"{name} is a damaged .npy: no array has the shape {shape!s:.80}")
    return dtype, shape, by_column
