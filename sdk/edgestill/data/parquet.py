"""A folder with `train.parquet` and `test.parquet` (`validation.parquet` serves as well), as data hubs hand them out.

    image    PNG or JPEG bytes, or {bytes, path} as Hugging Face writes it; all of one size, grey or RGB
    audio    WAV bytes, 16 bit, mono; becomes a log-mel picture (see `log_mel.py`)
    label    integers from 0; class names from the schema's metadata (`classes`, or Hugging Face's), else the numbers

`EDGESTILL_DATA` is searched too when the folder is not a path of its own.
"""

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, MissingExtraError
from ..progress import SILENT, Progress
from . import log_mel
from .sources import ImageSource, Split


def load(folder: Path, progress: Progress = SILENT) -> ImageSource:
    """Read both splits into memory.

    Raises:
        DataError: no such folder or file, other columns, something that is no image or sound, images of several sizes.
    """
    found = _find(folder)
    train, names = _read(found / "train.parquet", progress)
    test_file = next((found / f"{word}.parquet" for word in ("test", "validation") if _is(found, word)), None)
    if test_file is None:
        raise DataError(f"{found} has no test.parquet or validation.parquet")
    test, _ = _read(test_file, progress)
    count = int(train.labels.max(initial=0)) + 1
    return ImageSource(found.name, names or tuple(str(label) for label in range(count)), train, test)


def _find(folder: Path) -> Path:
    places = [folder]
    if not folder.is_absolute() and (root := os.environ.get("EDGESTILL_DATA")):
        places.append(Path(root) / folder)
    for place in places:
        if _is(place, "train"):
            return place
    raise DataError(
        f"no train.parquet in {' or '.join(str(place) for place in places)}; EDGESTILL_DATA is searched too"
    )


def _is(folder: Path, word: str) -> bool:
    return (folder / f"{word}.parquet").is_file()


def _read(path: Path, progress: Progress) -> tuple[Split, tuple[str, ...]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "distill") from error
    try:
        table = parquet.read_table(path)
    except (OSError, ArrowException) as error:
        raise DataError(f"{path} cannot be read as parquet: {error}") from error
    kind = next((name for name in ("image", "audio") if name in table.column_names), None)
    if kind is None or "label" not in table.column_names:
        raise DataError(f"{path} has the columns {', '.join(table.column_names)}; it needs label, and image or audio")
    decode = _decode_image if kind == "image" else log_mel.from_wav
    images = []
    with progress.task(f"read {path.name}", table.num_rows) as task:
        for row, cell in enumerate(table[kind].to_pylist()):
            content = cell["bytes"] if isinstance(cell, dict) else cell
            try:
                images.append(decode(content))
            except (OSError, SyntaxError, ValueError, EOFError) as error:
                raise DataError(f"{path}, row {row}: {kind} cannot be read: {error}") from error
            task.advance()
    shapes = sorted({image.shape for image in images})
    if len(shapes) != 1:
        raise DataError(
            f"{path}: images of {len(shapes)} sizes, such as {shapes[0]} and {shapes[-1]}; resize them to one"
        )
    labels = table["label"].to_numpy().astype(np.int64)
    return Split(np.stack(images), labels), _names(table.schema.metadata or {})


def _decode_image(content: bytes) -> NDArray[np.uint8]:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("Pillow", "distill") from error
    with Image.open(io.BytesIO(content)) as image:
        grey = image.mode in ("1", "L", "I;16", "LA")
        pixels = np.asarray(image.convert("L" if grey else "RGB"))
    return pixels[..., None] if grey else pixels


def _names(metadata: dict[bytes, bytes]) -> tuple[str, ...]:
    if b"classes" in metadata:
        return tuple(metadata[b"classes"].decode().split(","))
    features: dict[str, Any] = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    return tuple(features.get("label", {}).get("names", ()))
