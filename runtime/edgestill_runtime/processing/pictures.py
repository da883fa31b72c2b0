"""Encoded images and PIL images → arrays, with Pillow, which is imported on first use.

Only modes without an array form are converted here (palette, CMYK, 1 bit); image.py handles 16 bits and transparency.
Of an animation or a file with several pages, the first image is used.
"""

import errno
import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, raised_by, reason, what_instead
from .arrays import checked, read_array

LIMIT = "EDGESTILL_MAX_PIXELS"
"""Environment variable: largest number of pixels of an image file; default: twice Pillow's limit, 179 million."""
_OPENING = threading.Lock()
_ORIENTATION = 0x0112
_BITS_PER_SAMPLE = 0x0102
_PHOTOMETRIC = 0x0106
_DECODERS = ("PIL", "struct", "zlib", "binascii", "_lzma", "xml", "defusedxml", "subprocess", "olefile")
"""Packages whose exceptions Pillow does not catch when a file is damaged."""


@dataclass(frozen=True)
class Picture:
    """An image as it is stored.

    Args:
        pixels: uint8 or uint16 (H, W, C): gray, gray and alpha, RGB, or RGBA. orientation: of EXIF, 1–8.
    """

    pixels: NDArray[Any]
    orientation: int = 1


def read_picture(source: Any) -> Picture:
    """Read an image.

    Args:
        source: a path of an image or an `.npy`, the bytes of an encoded file, an open file, a PIL image or a `Picture`.

    Raises:
        InputError: it is missing, not an image, damaged, too large, or of an unsupported depth.
    """
    if isinstance(source, Picture):
        return source
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if path.suffix.lower() == ".npy":
            return Picture(checked(read_array(path)))
        return _open(path, str(path))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _open(io.BytesIO(bytes(source)), "the image")
    if is_pil(source):
        return _decode(source, "the PIL image", "is damaged, or was closed,")
    if hasattr(source, "read"):
        return _open(io.BytesIO(_content(source)), "the open file")
    raise InputError(
        f"an image is a path, a PIL image or an array uint8 (height, width, channels), not {type(source).__name__}"
    )


def is_pil(source: Any) -> bool:
    """Whether it is a PIL image; does not import Pillow."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(source, module.Image)


def _content(file: Any) -> bytes:
    try:
        content = file.read()
    except Exception as error:  # any object with a `read` method
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(f"the open file cannot be read: {reason(error)}") from error
        if not raised_by(error, "io"):
            raise
        raise InputError("the open file cannot be read; open it as open(path, 'rb')") from error
    if not isinstance(content, bytes):
        raise InputError("the open file returns text, not bytes; open it as open(path, 'rb')")
    return content


@contextmanager
def _reading(name: str, fault: str = "is damaged") -> Iterator[None]:
    """Run a block of Pillow calls and raise its errors as InputError.

    Pillow's decoders raise a dozen exception classes for damaged files. The caller's own exceptions and MemoryError
    pass through.
    """
    try:
        yield
    except Exception as error:
        # EINVAL: a damaged file has a negative offset.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise InputError(f"{name} cannot be read: {reason(error)}") from error
        if not raised_by(error, *_DECODERS):
            raise
        raise InputError(f"{name} {fault} and cannot be read as an image") from error


def _open(file: Any, name: str) -> Picture:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise InputError(f"{name}: images need Pillow: pip install 'edgestill[image]'. An array does not.") from error
    with _reading(name):
        try:
            # Pillow's limit is global to the process, and at first only a warning. `_check_size` below replaces it.
            with _OPENING:
                limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
                try:
                    opened = Image.open(file)
                finally:
                    Image.MAX_IMAGE_PIXELS = limit
        except FileNotFoundError as error:
            raise InputError(f"{name} does not exist") from error
        except IsADirectoryError as error:
            raise InputError(f"{name} is a folder, not an image") from error
        except UnidentifiedImageError as error:
            raise InputError(f"{name} is no image in a format that Pillow knows{what_instead(_head(file))}") from error
    with opened as image:
        _check_size(*image.size, limit, name)
        return _decode(image, name)


def _check_size(width: int, height: int, limit: int | None, name: str) -> None:
    """Refuse images with more pixels than `LIMIT`, or by default than twice Pillow's limit, above which it raises."""
    most = None if limit is None else 2 * limit
    if setting := os.environ.get(LIMIT):
        if not setting.isdecimal() or int(setting) < 1:
            raise InputError(f"{LIMIT} must be a number of pixels, not {setting!r}")
        most = int(setting)
    if most is not None and width * height > most:
        raise InputError(
            f"{name} has {width * height:,} pixels, more than the {most:,} allowed (a small file could fill the "
            f"memory). Make it smaller, or set {LIMIT} to a larger number if you trust it"
        )


def _decode(image: Any, name: str, fault: str = "is damaged") -> Picture:
    with _reading(name, fault):
        image.load()
        # After load: Pillow rotates some formats (TIFF) while loading, and removes the tag.
        orientation = _orientation(image)
        return Picture(_array(image, name), orientation)


def _orientation(image: Any) -> int:
    try:
        found = int(image.getexif().get(_ORIENTATION, 1))
    except Exception as error:
        if not raised_by(error, *_DECODERS):
            raise
        return 1  # unreadable EXIF: no orientation
    return found if 1 <= found <= 8 else 1


def _array(image: Any, name: str) -> NDArray[Any]:
    mode: str = image.mode
    transparent = "transparency" in image.info
    if mode.startswith("I;16"):
        bits = (getattr(image, "tag_v2", None) or {}).get(_BITS_PER_SAMPLE, (16,))[0]
        grey = np.asarray(image).astype(np.uint16)
        grey = grey << (16 - bits) if bits < 16 else grey
        return _sixteen_bits(image, grey)
    if mode == "I" and image.format in ("PNG", "PPM"):  # 16 bits that Pillow holds in 32
        return _sixteen_bits(image, np.asarray(image).astype(np.uint16))
    if mode in ("F", "I"):
        depth = "floating-point" if mode == "F" else "32-bit"
        raise InputError(
            f"{name} holds {depth} values, whose range from black to white is unknown; save it with 8 or 16 bits a "
            "channel"
        )
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or (transparent and mode in ("1", "L", "RGB", "P")):
        mode_needed = "LA" if mode in ("LA", "La") else "RGBA"
    else:
        mode_needed = "L" if mode in ("1", "L") else "RGB"
    pixels = np.asarray(image if mode == mode_needed else image.convert(mode_needed))
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _sixteen_bits(image: Any, grey: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """16-bit gray with inversion and transparency applied, which Pillow does for 8 bits only."""
    tags = getattr(image, "tag_v2", None) or {}
    if tags.get(_PHOTOMETRIC) == 0:  # TIFF's WhiteIsZero
        grey = 65535 - grey
    clear = image.info.get("transparency")
    if not isinstance(clear, int):
        return grey[..., None]
    return np.stack([grey, np.where(grey == clear, 0, 65535).astype(np.uint16)], axis=-1)


def _head(file: Any) -> bytes:
    """The first bytes of a path, or of a file in memory."""
    if not isinstance(file, Path):
        return bytes(file.getvalue()[:200])
    with file.open("rb") as opened:
        return opened.read(200)
