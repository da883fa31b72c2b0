"""Encoded images and PIL images → arrays, through Pillow, which is imported when there is one to read.

Nothing is converted here but what has no array of its own (palettes, CMYK, one bit): 16 bits and transparency are kept
for image.py to treat. Of an animation or a file of several pages the first is taken.
"""

import os
import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .arrays import checked, read_array

LIMIT = "EDGESTILL_MAX_PIXELS"
"""Environment variable: the most pixels that an image file may have; Pillow's own limit, some 179 million, without."""
_ORIENTATION = 0x0112
_BITS_PER_SAMPLE = 0x0102
_PHOTOMETRIC = 0x0106


@dataclass(frozen=True)
class Picture:
    """An image as it is stored.

    Args:
        pixels: uint8 or uint16 (H, W, C): grey, grey and alpha, RGB, or RGBA. orientation: 1–8, as EXIF counts them.
    """

    pixels: NDArray[Any]
    orientation: int = 1


def read_picture(source: Any) -> Picture:
    """A path, the bytes of an encoded file, a PIL image, a path of an `.npy`, or a `Picture`.

    Raises:
        InputError: nothing there, no image, one that is damaged, too large, or of a depth that has no plain meaning.
    """
    if isinstance(source, Picture):
        return source
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if path.suffix.lower() == ".npy":
            return Picture(checked(read_array(path)))
        return _open(path, str(path))
    if isinstance(source, (bytes, bytearray, memoryview)):
        import io

        return _open(io.BytesIO(bytes(source)), "the image")
    if is_pil(source):
        return _decode(source, "the PIL image")
    if hasattr(source, "read"):
        return read_picture(source.read())
    raise InputError(
        f"an image is a path, a PIL image or an array uint8 (height, width, channels), not {type(source).__name__}"
    )


def is_pil(source: Any) -> bool:
    """Whether it is a PIL image; Pillow is not imported to ask."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(source, module.Image)


def _open(file: Any, name: str) -> Picture:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise InputError(f"{name}: images need Pillow: pip install 'edgestill[image]'. An array does not.") from error
    if limit := os.environ.get(LIMIT):
        if not limit.isdigit() or int(limit) < 1:
            raise InputError(f"{LIMIT} must be a number of pixels, not {limit!r}")
        Image.MAX_IMAGE_PIXELS = -(-int(limit) // 2)  # Pillow warns from this on and refuses from twice as many
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # at half of what is refused
            with Image.open(file) as image:
                return _decode(image, name)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{name} does not exist") from error
    except IsADirectoryError as error:
        raise InputError(f"{name} is a folder, not an image") from error
    except PermissionError as error:
        raise InputError(f"{name} cannot be read: permission denied") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{name} is no image in a format that Pillow knows{_what_instead(file)}") from error
    except Image.DecompressionBombError as error:
        found, most = (f"{int(number):,}" for number in re.findall(r"\d+", str(error))[:2])
        raise InputError(
            f"{name} has {found} pixels, more than the {most} that are opened, lest a small file fill the memory. Make "
            f"it smaller, or set {LIMIT} to a larger number if you trust it"
        ) from error
    except Exception as error:  # Pillow's decoders raise a dozen kinds of error on damaged files, in its own words
        raise InputError(f"{name} is damaged and cannot be read as an image") from error


def _decode(image: Any, name: str) -> Picture:
    image.load()
    # Only now: formats that turn themselves while they load (TIFF) have taken the tag away by then.
    try:
        orientation = int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # EXIF that cannot be read says nothing about the orientation
        orientation = 1
    return Picture(_array(image, name), orientation if 1 <= orientation <= 8 else 1)


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
            f"{name} holds {depth} values, and nothing says which of them is black and which white; save it with 8 or "
            "16 bits a channel"
        )
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or (transparent and mode in ("1", "L", "RGB", "P")):
        wanted = "LA" if mode in ("LA", "La") else "RGBA"
    else:
        wanted = "L" if mode in ("1", "L") else "RGB"
    pixels = np.asarray(image if mode == wanted else image.convert(wanted))
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _sixteen_bits(image: Any, grey: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Grey of 16 bits as it is meant: what Pillow does for 8 bits alone is done here."""
    tags = getattr(image, "tag_v2", None) or {}
    if tags.get(_PHOTOMETRIC) == 0:  # TIFF's WhiteIsZero
        grey = 65535 - grey
    clear = image.info.get("transparency")
    if not isinstance(clear, int):
        return grey[..., None]
    return np.stack([grey, np.where(grey == clear, 0, 65535).astype(np.uint16)], axis=-1)


def _what_instead(file: Any) -> str:
    """What a file is, where its first bytes tell."""
    try:
        if isinstance(file, Path):
            with file.open("rb") as opened:
                head = opened.read(200)
        else:
            head = file.getvalue()[:200]
    except OSError:
        return ""
    if not head:
        return ": it is empty"
    if head.startswith(b"version https://git-lfs"):
        return ": it is a Git LFS pointer; fetch the file itself with `git lfs pull`"
    if head.lstrip()[:1] == b"<":
        return ": it is text (HTML, XML or SVG)"
    return ""
