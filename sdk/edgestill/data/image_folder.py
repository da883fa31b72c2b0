"""A folder of images, a subfolder per class, as torchvision's `ImageFolder` reads it.

    PATH/cat/1.png …  PATH/dog/2.jpg …                        a fifth is cut off as test, by a hash of the file names
    PATH/train/cat/…  PATH/train/dog/…  PATH/test/cat/…  …    the test split is the user's own (`val` serves as well)

Images of any size, RGB or grey, are resized to `image_size` × `image_size`: the shorter side first, then the centre.
When every image is grey, one channel is kept. More than fit into `MEMORY` stay on disk, in colour, and are read when
they are asked for.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgestill_runtime import ImageProcessor, InputError

from ..errors import DataError
from ..progress import SILENT, Progress
from .sources import ImageSource, Split

EXTENSIONS = {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
TEST_SHARE = 0.2
DEFAULT_SIZE = 64
MEMORY = 4 << 30  # bytes of pixels


def load(folder: Path, image_size: int | None = None, progress: Progress = SILENT) -> ImageSource:
    """Read all images of `folder`, or leave them there to be read later where they are too many.

    Raises:
        DataError: no such folder, no images, one class, classes that differ between train and test, a broken image.
    """
    if not folder.is_dir():
        raise DataError(f"image folder {folder} does not exist")
    size = image_size or DEFAULT_SIZE
    test_folder = next((folder / word for word in ("test", "val") if (folder / word).is_dir()), None)
    if (folder / "train").is_dir() and test_folder is not None:
        classes, train_files = _list(folder / "train")
        test_classes, test_files = _list(test_folder)
        if classes != test_classes:
            odd = sorted(set(classes) ^ set(test_classes))
            raise DataError(f"{folder}: train and {test_folder.name} differ in the classes {', '.join(odd)}")
    else:
        classes, files = _list(folder)
        ranked = sorted(files, key=lambda item: hashlib.sha256(_name(folder, item[0])).digest())
        cut = max(1, round(TEST_SHARE * len(ranked)))
        test_files, train_files = sorted(ranked[:cut]), sorted(ranked[cut:])
    if size * size * 3 * (len(train_files) + len(test_files)) > MEMORY:
        train, test = (_leave(files, size) for files in (train_files, test_files))
        return ImageSource(f"image-folder:{folder.name}", classes, train, test)
    train, test = _read(train_files, size, progress), _read(test_files, size, progress)
    if all(_is_grey(split.images) for split in (train, test)):
        train, test = (Split(split.images[..., :1].copy(), split.labels) for split in (train, test))
    return ImageSource(f"image-folder:{folder.name}", classes, train, test)


def _list(folder: Path) -> tuple[tuple[str, ...], list[tuple[Path, int]]]:
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if len(names) < 2:
        found = f"one class folder ({names[0]})" if names else "no class folders"
        raise DataError(f"{folder} has {found}; it needs a folder per class, two or more")
    files = []
    for label, name in enumerate(names):
        of_class = sorted(path for path in (folder / name).rglob("*") if path.suffix.lower() in EXTENSIONS)
        if not of_class:
            raise DataError(f"{folder / name} has no images ({', '.join(sorted(EXTENSIONS))})")
        files += [(path, label) for path in of_class]
    return tuple(names), files


def list_images(folder: Path) -> list[Path]:
    """All images under a folder, in any subfolders, sorted.

    Raises:
        DataError: no such folder, or none in it.
    """
    if not folder.is_dir():
        raise DataError(f"image folder {folder} does not exist")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS)
    if not files:
        raise DataError(f"{folder} has no images ({', '.join(sorted(EXTENSIONS))})")
    return files


class FolderImages:
    """Images that stay on disk: uint8 (N, size, size, 3), decoded when they are asked for."""

    def __init__(self, files: Sequence[Path], size: int) -> None:
        self._files, self._size = list(files), size
        self.shape = (len(files), size, size, 3)
        self.dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.stack([_decode(self._files[row], self._size) for row in rows])

    def identity(self) -> bytes:
        """Last two parts of each file's name and its size: decoding all of them would take as long as an epoch."""
        return "\0".join(f"{'/'.join(file.parts[-2:])} {file.stat().st_size}" for file in self._files).encode()


def _name(folder: Path, path: Path) -> bytes:
    return path.relative_to(folder).as_posix().encode()


def read_images(files: Sequence[Path], size: int, progress: Progress = SILENT, channels: int = 3) -> NDArray[np.uint8]:
    """uint8 (N, size, size, channels): each image resized, the shorter side first, then its centre; 1 channel: grey."""
    images = np.empty((len(files), size, size, channels), dtype=np.uint8)
    with progress.task("read images", len(files)) as task:
        for row, path in enumerate(files):
            images[row] = _decode(path, size, channels)
            task.advance()
    return images


def _read(files: Sequence[tuple[Path, int]], size: int, progress: Progress) -> Split:
    images = read_images([path for path, _ in files], size, progress)
    return Split(images, _labels(files))


def _leave(files: Sequence[tuple[Path, int]], size: int) -> Split:
    return Split(FolderImages([path for path, _ in files], size), _labels(files))


def _labels(files: Sequence[tuple[Path, int]]) -> NDArray[np.int64]:
    return np.array([label for _, label in files], dtype=np.int64)


def _decode(path: Path, size: int, channels: int = 3) -> NDArray[np.uint8]:
    try:
        (image,) = ImageProcessor(size, size, (0.0,) * channels, (1.0,) * channels).pixels(path)
        return image
    except InputError as error:
        raise DataError(f"{error}; repair or remove it") from error


def _is_grey(images: NDArray[np.uint8]) -> bool:
    return bool((images[..., :1] == images).all())
