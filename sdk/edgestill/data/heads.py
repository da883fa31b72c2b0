"""What the head of an image file says, without decoding its pixels."""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgestill_runtime import InputError
from edgestill_runtime.processing.pictures import read_picture

from ..errors import DataError, MissingExtraError

_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)
_MODES = {
    "1": "1 bit", "L": "grey", "P": "palette", "RGB": "RGB", "RGBA": "RGB with alpha", "LA": "grey with alpha",
    "PA": "palette with alpha", "CMYK": "CMYK", "I": "grey 16 bit", "I;16": "grey 16 bit", "I;16B": "grey 16 bit",
    "F": "float", "YCbCr": "RGB", "RGBX": "RGB", "LAB": "Lab",
}  # fmt: skip


@dataclass(frozen=True)
class ImageHead:
    """Size as it is seen, file format, colours and depth in words, and whether EXIF turns or mirrors it."""

    height: int
    width: int
    format: str
    mode: str
    turned: bool


def image_head(source: Path | bytes, name: str) -> ImageHead:
    """The head of a file or of its content.

    Raises:
        DataError: no image, or too large a one; names it.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("Pillow", "distill") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow, about large images and odd tags
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
                orientation = _orientation(image, Image.Exif())
                size = image.size[::-1]
                deep = "16" in str(image.tile[0][3] if image.tile else "")
                mode = _MODES.get(image.mode, image.mode)
                mode += " 16 bit" if deep and "16" not in mode else ""
                mode += " with transparency" if "transparency" in image.info else ""
                height, width = size[::-1] if orientation in _TURNED else size
                return ImageHead(height, width, image.format or "?", mode, 2 <= orientation <= 8)
    except Exception as problem:  # as many kinds as Pillow has decoders
        try:
            picture = read_picture(source)  # says in our words what is wrong
        except InputError as error:
            text = str(error)
            raise DataError(f"{text if name in text else f'{name}: {text}'}; repair or remove it") from problem
        height, width = picture.pixels.shape[:2]
        return ImageHead(height, width, "?", "?", False)


def _orientation(image: Any, exif: Any) -> int:
    if image.format != "PNG":
        return int(image.getexif().get(_ORIENTATION, 1))
    # `getexif` of a PNG decodes all of it; the tag is nearly always before the pixels.
    if "exif" in image.info:
        exif.load(image.info["exif"])
    return int(exif.get(_ORIENTATION, 1))
