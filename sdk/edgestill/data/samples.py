"""Samples from a file or a folder, for converting a model that no data set of ours was used for.

samples.npz     images: uint8 (N, H, W, C), with labels: integers (N,) if known, and classes: text (C,) if named;
                or any other arrays (N, …), one for each input of the model, in the order of the file
folder          images of any size, in any subfolders
"""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgestill_runtime.files import sha256_of_file

from ..errors import DataError
from ..progress import SILENT, Progress
from . import image_folder
from .sources import Split


@dataclass(frozen=True)
class Samples:
    """What was read.

    Args:
        images: uint8 (N, H, W, C), or None where the model takes something else; then `arrays` has one for each input.
        labels: int64 (N,), where they are known. classes: their names, where they are named.
        facts: plain data for the manifest.
    """

    images: NDArray[np.uint8] | None
    arrays: tuple[NDArray[Any], ...]
    labels: NDArray[np.int64] | None
    classes: tuple[str, ...]
    facts: dict[str, Any]

    def calibration(self, count: int) -> NDArray[np.uint8] | Sequence[NDArray[Any]]:
        """The first so many, as `edgestill_converters.convert` takes them."""
        return self.images[:count] if self.images is not None else [one[:count] for one in self.arrays]

    def judged(self) -> Split | Sequence[NDArray[Any]]:
        """All of them, as `edgestill.gate.check_bundle` takes them."""
        if self.images is None:
            return self.arrays
        return [self.images] if self.labels is None else Split(self.images, self.labels)


def read_samples(path: Path, image_size: int | None = None, progress: Progress = SILENT) -> Samples:
    """Read a folder of images or an `.npz`.

    Args:
        image_size: side in pixels to which the images of a folder are resized.

    Raises:
        DataError: nothing there, nothing in it, or arrays that do not belong together.
    """
    if path.is_dir():
        files = image_folder.list_images(path)
        images = image_folder.read_images(files, image_size or image_folder.DEFAULT_SIZE, progress)
        return Samples(images, (), None, (), {"name": f"folder:{path.name}", "samples": len(images)})
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; give a folder of images or an .npz") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as an .npz of plain arrays: {error}") from error
    facts: dict[str, Any] = {"name": f"npz:{path.name}", "digest": f"sha256:{sha256_of_file(path)}"}
    labels, classes = arrays.pop("labels", None), arrays.pop("classes", None)
    if not arrays:
        raise DataError(f"{path} has no samples in it; it needs `images`, or an array for each input")
    counts = {len(one) if one.ndim else 0 for one in arrays.values()} | ({len(labels)} if labels is not None else set())
    if len(counts) != 1 or counts == {0}:
        raise DataError(f"{path}: the arrays have {sorted(counts)} samples; give as many of each, and at least one")
    facts["samples"] = counts.pop()
    pixels = arrays.get("images")
    if pixels is not None and (len(arrays) > 1 or pixels.dtype != np.uint8 or pixels.ndim != 4):
        raise DataError(f"{path}: `images` must be uint8 (N, H, W, C) and alone, not {pixels.dtype} {pixels.shape}")
    return Samples(
        images=pixels,
        arrays=() if pixels is not None else tuple(arrays.values()),
        labels=None if labels is None else labels.astype(np.int64),
        classes=() if classes is None else tuple(str(name) for name in classes),
        facts=facts,
    )
