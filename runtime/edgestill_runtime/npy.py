"""The arrays of `.npy` files, as numpy.lib.format describes them (NEP 1), read without believing a word of them.

Nothing is allocated for a file that says it is larger than it is; Python objects, which could run code, are not read.
"""

import math
import re
from io import BufferedIOBase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError, what_instead

MAGIC = b"\x93NUMPY"
LONGEST_HEADER = 10_000
"""Bytes; that of an array of numbers takes some 120."""
MOST_AXES = 32
_KEY = r"['\"]{}['\"]\s*:\s*"
_DTYPE = re.compile(_KEY.format("descr") + r"['\"]([^'\"]*)['\"]")
_BY_COLUMN = re.compile(_KEY.format("fortran_order") + r"(True|False)")
_SHAPE = re.compile(_KEY.format("shape") + r"\(([\dL,\s]*)\)")
_PLAIN = re.compile(r"[<>|=]?[biufc]\d{1,2}")


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
    start = file.read(8)
    if start[:2] == b"PK":
        raise InputError(f"{name} is an .npz, which holds several arrays; save the one that is meant with numpy.save")
    if start[:6] != MAGIC:
        raise InputError(f"{name} is no .npy{what_instead(start + file.read(200))}")
    length = int.from_bytes(file.read(2 if start[6:7] == b"\1" else 4), "little")
    text = file.read(min(length, LONGEST_HEADER)).decode("utf-8", "replace")
    found = [pattern.search(text) for pattern in (_DTYPE, _SHAPE, _BY_COLUMN)]
    word = found[0][1] if found[0] else "record"
    if word.lstrip("<>|=").startswith("O"):
        raise InputError(f"{name} holds Python objects, not numbers; nothing is read that could run code")
    if not found[1] or not found[2]:
        raise InputError(f"{name} is a damaged .npy: nothing says what shape its array has")
    shape = tuple(int(one) for one in re.findall(r"\d+", found[1][1][:1000]))
    if len(shape) > MOST_AXES or math.prod(one or 1 for one in shape) >= 1 << 56:
        raise InputError(f"{name} is a damaged .npy: no array has the shape {shape!s:.80}")
    try:
        if not _PLAIN.fullmatch(word):
            raise TypeError
        return np.dtype(word), shape, found[2][1] == "True"
    except TypeError as error:
        raise InputError(f"{name} holds values of the type {word!r:.40}, not plain numbers") from error
