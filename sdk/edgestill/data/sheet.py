"""A contact sheet: some images of each class, as the model sees them, with the class name under each."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgestill_runtime.errors import reason
from edgestill_runtime.files import atomic_file

from ..errors import DataError, MissingExtraError

_SMALLEST, _COLUMNS, _GAP, _LINE = 72, 8, 8, 16  # pixels, but columns
_GROUND, _INK = (255, 255, 255), (40, 40, 40)


def check_sheet(path: Path) -> None:
    """Refuse another name than that of a PNG, before anything is read.

    Raises:
        DataError: says which ending.
    """
    if path.suffix.lower() != ".png":
        raise DataError(f"a contact sheet is a PNG; give it a name that ends in .png, not {str(path)!r}")


def write_sheet(path: Path, examples: Sequence[tuple[str, NDArray[np.uint8]]]) -> None:
    """Write a PNG.

    Args:
        examples: class names and images uint8 (H, W, 1 or 3) of one size; a class begins a new row.

    Raises:
        DataError: there is nothing to show, the name is not that of a PNG, or the file cannot be written.
    """
    check_sheet(path)
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise MissingExtraError("Pillow", "distill") from error
    if not examples:
        raise DataError("there are no images for a contact sheet")
    height, width = examples[0][1].shape[:2]
    # Whole multiples, so that every pixel of a small image can be seen.
    scale = max(1, -(-_SMALLEST // max(height, width)))
    across, down = max(width * scale, _SMALLEST) + _GAP, height * scale + _LINE + _GAP
    rows = _rows(examples)
    sheet = Image.new("RGB", (_COLUMNS * across + _GAP, len(rows) * down + _GAP), _GROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for row, cells in enumerate(rows):
        for column, (name, pixels) in enumerate(cells):
            left, top = _GAP + column * across, _GAP + row * down
            image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
            sheet.paste(image.resize((width * scale, height * scale), Image.Resampling.NEAREST), (left, top))
            text = _fitting(name, lambda part: draw.textlength(part, font=font), across - _GAP)
            draw.text((left, top + height * scale + 2), text, fill=_INK, font=font)
    try:
        with atomic_file(path) as part:
            sheet.save(part, "PNG")
    except OSError as error:
        raise DataError(f"{path} cannot be written: {reason(error)}") from error


def _rows(examples: Sequence[tuple[str, NDArray[np.uint8]]]) -> list[list[tuple[str, NDArray[np.uint8]]]]:
    rows: list[list[tuple[str, NDArray[np.uint8]]]] = []
    for one in examples:
        if not rows or rows[-1][0][0] != one[0] or len(rows[-1]) == _COLUMNS:
            rows.append([])
        rows[-1].append(one)
    return rows


def _fitting(name: str, length: Callable[[str], float], most: int) -> str:
    if length(name) <= most:
        return name
    while name and length(f"{name}…") > most:
        name = name[:-1]
    return f"{name}…"
