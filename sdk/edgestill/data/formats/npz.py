"""Arrays in an `.npz`: `images`, with their targets and `classes` where they are known; or an array for each input."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError


@dataclass(frozen=True)
class NpzSamples:
    """What was in the file.

    Args:
        images: uint8 or uint16 (N, H, W, C); None where there are other arrays. targets: as they are stored.
    """

    images: NDArray[Any] | None
    arrays: tuple[NDArray[Any], ...]
    targets: NDArray[Any] | None
    classes: tuple[str, ...]


def read_npz(path: Path, words: Sequence[str] = ("labels",)) -> NpzSamples:
    """Read and check the arrays.

    Args:
        words: names of the array that is the targets.

    Raises:
        DataError: no `.npz`, nothing in it, or arrays that do not belong together; says which.
    """
    arrays = _arrays(path)
    classes = arrays.pop("classes", None)
    label_arrays = {word: arrays.pop(word) for word in words if word in arrays}
    if len(label_arrays) > 1:
        raise DataError(f"{path} has {' and '.join(f'`{word}`' for word in label_arrays)}; keep one of them")
    if not arrays:
        raise DataError(f"{path} has no samples in it; it needs `images`, or an array for each input")
    for name, one in {**arrays, **label_arrays}.items():
        if one.dtype.kind == "O":
            raise DataError(f"{path}: `{name}` holds Python objects, not numbers")
    counts = {name: len(one) if one.ndim else 0 for name, one in arrays.items()}
    counts |= {name: len(one) if one.ndim else 0 for name, one in label_arrays.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        shown = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise DataError(f"{path}: the arrays have different numbers of samples, or none: {shown}")
    pixels = arrays.pop("images", None)
    if pixels is not None:
        if arrays:
            raise DataError(f"{path}: `images` must be alone; besides it there is {', '.join(sorted(arrays))}")
        pixels = _pixels(pixels, path)
    return NpzSamples(pixels, tuple(arrays.values()), next(iter(label_arrays.values()), None), _names(classes, path))


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; give a folder of photos or recordings, files, or an .npz") from error
    except PermissionError as error:
        raise DataError(f"{path} cannot be read: permission denied") from error
    except Exception as error:  # numpy evaluates the headers: damaged ones raise whatever Python's own reader does
        raise DataError(
            f"{path} cannot be read as an .npz of plain arrays: it is damaged, holds Python objects, or is "
            "something else"
        ) from error


def _pixels(images: NDArray[Any], path: Path) -> NDArray[Any]:
    if images.ndim == 3:
        images = images[..., None]
    if images.dtype in (np.uint8, np.uint16) and images.ndim == 4 and images.shape[3] in (1, 2, 3, 4):
        return images
    hint = ""
    if images.dtype.kind == "f":
        hint = "; round 255 · x where the values run from 0 to 1. An array of another name goes to the model unchanged"
    elif images.ndim == 4 and images.shape[1] in (1, 3):
        hint = "; its channels must be the last axis: images.transpose(0, 2, 3, 1)"
    raise DataError(f"{path}: `images` must be uint8 or uint16 (N, H, W, C), not {images.dtype} {images.shape}{hint}")


def _names(classes: NDArray[Any] | None, path: Path) -> tuple[str, ...]:
    if classes is None:
        return ()
    if classes.ndim != 1 or classes.dtype.kind not in "USiu":
        raise DataError(f"{path}: `classes` must be text (C,), not {classes.dtype} {classes.shape}")
    return tuple(name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in classes.tolist())
