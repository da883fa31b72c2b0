"""A contact sheet: some images of each class, as the model sees them, with the target under each."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgestill_runtime.errors import reason
from edgestill_runtime.files import atomic_file

from ..errors import DataError, MissingExtraError

_SMALLEST, _COLUMNS, _GAP, _LINE = 72, 8, 8, 16  # pixels, but columns
_MOST_LINES = 4
_Example = tuple[str, NDArray[np.uint8]]
_GROUND, _INK = (255, 255, 255), (40, 40, 40)


def check_sheet(path: Path) -> None:
    """Refuse another name than that of a PNG, before anything is read.

    Raises:
        DataError: says which ending.
    """
    if path.suffix.lower() != ".png":
        raise DataError(f"a contact sheet is a PNG; give it a name that ends in .png, not {str(path)!r}")


def write_sheet(path: Path, examples: Sequence[Sequence[_Example]]) -> None:
    """Write a PNG.

    Args:
        examples: groups of texts with images uint8 (H, W, 1 or 3) of one size; a group begins a new row.

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
    height, width = examples[0][0][1].shape[:2]
    # Whole multiples, so that every pixel of a small image can be seen.
    scale = max(1, -(-_SMALLEST // max(height, width)))
    across = max(width * scale, _SMALLEST) + _GAP
    font = ImageFont.load_default(12)

    def fits(text: str) -> bool:
        return bool(font.getlength(text) <= across - _GAP)

    texts = {text: _lines(text, fits) for group in examples for text, _ in group}
    down = height * scale + _LINE * max(len(lines) for lines in texts.values()) + _GAP
    rows = [group[start : start + _COLUMNS] for group in examples for start in range(0, len(group), _COLUMNS)]
    sheet = Image.new("RGB", (_COLUMNS * across + _GAP, len(rows) * down + _GAP), _GROUND)
    draw = ImageDraw.Draw(sheet)
    for row, cells in enumerate(rows):
        for column, (name, pixels) in enumerate(cells):
            left, top = _GAP + column * across, _GAP + row * down
            image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
            sheet.paste(image.resize((width * scale, height * scale), Image.Resampling.NEAREST), (left, top))
            for number, line in enumerate(texts[name]):
                draw.text((left, top + height * scale + 2 + _LINE * number), line, fill=_INK, font=font)
    try:
        with atomic_file(path) as part:
            sheet.save(part, "PNG")
    except OSError as error:
        raise DataError(f"{path} cannot be written: {reason(error)}") from error


def _lines(text: str, fits: Callable[[str], bool]) -> list[str]:
    """A text in lines that fit, broken where it has commas; what is left over is cut."""
    lines: list[str] = []
    for part in text.split(", "):
        if lines and fits(f"{lines[-1]}, {part}"):
            lines[-1] += f", {part}"
        else:
            lines.append(part)
    if len(lines) > _MOST_LINES:
        lines = [*lines[: _MOST_LINES - 1], f"{lines[_MOST_LINES - 1]}, …"]
    return [_fitting(line, fits) for line in lines]


def _fitting(line: str, fits: Callable[[str], bool]) -> str:
    if fits(line):
        return line
    while line and not fits(f"{line}…"):
        line = line[:-1]
    return f"{line}…"
