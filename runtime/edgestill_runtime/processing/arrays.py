"""Arrays as inputs: reading `.npy` files, and checking arrays that are images."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, raised_by, reason
from ..npy import read_npy


def read_array(path: Path) -> NDArray[Any]:
    """The array in an `.npy` file, of any shape and numeric dtype.

    Raises:
        InputError: the file is missing, damaged, or not an array of numbers.
    """
    try:
        with path.open("rb") as file:
            return read_npy(file, os.fstat(file.fileno()).st_size, str(path))
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except OSError as error:
        if not raised_by(error):
            raise
        raise InputError(f"{path} cannot be read: {reason(error)}") from error


def checked(array: NDArray[Any]) -> NDArray[Any]:
    """An array as one image, uint8 or uint16 (H, W, C) with 1 to 4 channels; (H, W) becomes (H, W, 1).

    Raises:
        InputError: another dtype or shape; ambiguous shapes are refused, not guessed.
    """
    if array.dtype not in (np.uint8, np.uint16):
        hint = "; round 255 · x where its values run from 0 to 1" if array.dtype.kind == "f" else ""
        raise InputError(f"an image must be uint8 (0–255) or uint16 (0–65535), not {array.dtype} {array.shape}{hint}")
    image = array[..., None] if array.ndim == 2 else array
    if image.ndim != 3 or image.shape[2] not in (1, 2, 3, 4):
        first = array.ndim == 3 and array.shape[0] in (1, 3)
        hint = "; its channels must be its last axis: give array.transpose(1, 2, 0)" if first else ""
        raise InputError(
            "an image must be (height, width) or (height, width, channels) with 1 to 4 channels, not "
            f"{array.shape}{hint}"
        )
    if 0 in image.shape:
        raise InputError(f"an image of shape {array.shape} has no pixels")
    return image
