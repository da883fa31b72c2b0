"""Fashion-MNIST (Xiao et al. 2017, arXiv:1708.07747; MIT licence): 28×28 grey images of ten kinds of clothing.

`load` finds the complete set (60,000 train, 10,000 test); `load_mini` reads 10,000 + 2,000 of its images that ship
with this package (`assets/`, with the licence notice), balanced by class.
"""

import gzip
import hashlib
import os
import urllib.request
import zlib
from importlib import resources
from pathlib import Path

import numpy as np

from edgestill_runtime.files import write_bytes

from ...errors import DataError
from ...progress import SILENT, Progress
from ..types import ImageSource, Split

CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
# Of the 60,000 train images, the figures that everybody uses.
MEAN, STD = (0.2860,), (0.3530,)
# SHA-256 of the four published files, unpacked: copies are often compressed again.
FILES = {
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
MIRROR = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
SYSTEM = Path("/usr/share/datasets/fashion-mnist")  # Debian's package dataset-fashion-mnist


def load(progress: Progress = SILENT) -> ImageSource:
    """The complete set: `EDGESTILL_DATA/fashion-mnist`, the system's copy, the cache, else a checked download.

    Raises:
        DataError: a file is damaged (which), or none was found and the download failed.
    """
    folder = _find(progress)
    train, test = (_read_split(folder, stem) for stem in ("train", "t10k"))
    return ImageSource("fashion-mnist", CLASSES, train, test, MEAN, STD)


def load_mini() -> ImageSource:
    """10,000 train and 2,000 test images of the complete set, shipped with the package."""
    with resources.files("edgestill.data").joinpath("assets/fashion-mnist-mini.npz").open("rb") as file:
        arrays = np.load(file, allow_pickle=False)
        train, test = (
            Split(arrays[f"{word}_images"][..., None], arrays[f"{word}_labels"].astype(np.int64))
            for word in ("train", "test")
        )
    return ImageSource("fashion-mnist-mini", CLASSES, train, test, MEAN, STD)


def cache_folder() -> Path:
    """Where downloads are kept: `$XDG_CACHE_HOME/edgestill` or `~/.cache/edgestill`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgestill"


def _find(progress: Progress) -> Path:
    root = os.environ.get("EDGESTILL_DATA")
    cache = cache_folder() / "fashion-mnist"
    for folder in ([Path(root) / "fashion-mnist"] if root else []) + [SYSTEM, cache]:
        if all((folder / name).is_file() for name in FILES):
            return folder
    for name in FILES:
        if not (cache / name).is_file():
            _download(MIRROR + name, cache / name, progress)
    return cache


def _download(url: str, path: Path, progress: Progress) -> None:
    content = bytearray()
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            total = int(response.headers.get("Content-Length") or 0)
            with progress.task(f"download {path.name}", total) as task:
                while block := response.read(1 << 18):
                    content += block
                    task.advance(len(block))
    except OSError as error:
        raise DataError(
            f"fashion-mnist is not on this machine and {url} could not be read ({error}). "
            "Put its four .gz files into a folder fashion-mnist/ and set EDGESTILL_DATA to the folder above it, "
            "or install Debian's package dataset-fashion-mnist, or use the source fashion-mnist-mini."
        ) from error
    _unpack(url, bytes(content), FILES[path.name])
    write_bytes(path, content)


def _unpack(origin: object, content: bytes, expected: str) -> bytes:
    try:
        unpacked = gzip.decompress(content)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{origin} is damaged ({error}); remove it and copy the published file again") from error
    if hashlib.sha256(unpacked).hexdigest() != expected:
        raise DataError(f"{origin} is not the published file; remove it and copy it again")
    return unpacked


def _read_split(folder: Path, stem: str) -> Split:
    """Images and labels of one split; an IDX file is a short header (16 and 8 bytes here) and then the values."""
    images, labels = (
        np.frombuffer(_unpack(folder / name, (folder / name).read_bytes(), FILES[name]), np.uint8, offset=header)
        for name, header in ((f"{stem}-images-idx3-ubyte.gz", 16), (f"{stem}-labels-idx1-ubyte.gz", 8))
    )
    return Split(images.reshape(-1, 28, 28, 1), labels.astype(np.int64))
