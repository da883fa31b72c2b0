"""Draw the embedded data set `fashion-mnist-mini` from the complete Fashion-MNIST.

    EDGESTILL_DATA=… python sdk/tools/draw_fashion_mnist_mini.py

1,000 train and 200 test images of each class, chosen with seed 0 and kept in the order of the complete set.
"""

import io
import zipfile
from pathlib import Path

import numpy as np

from edgestill.data import Split
from edgestill.data.formats import fashion_mnist
from edgestill_runtime.files import write_bytes

TARGET = Path(fashion_mnist.__file__).parents[1] / "assets" / "fashion-mnist-mini.npz"
PER_CLASS = {"train": 1000, "test": 200}


def draw(split: Split, per_class: int) -> Split:
    """`per_class` images of each class, without repetition."""
    generator = np.random.default_rng(0)
    chosen = [
        generator.choice(np.flatnonzero(split.targets == label), per_class, replace=False)
        for label in range(len(fashion_mnist.CLASSES))
    ]
    return split.take(np.sort(np.concatenate(chosen)))


def main() -> None:
    source = fashion_mnist.load()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for word, split in (("train", source.train), ("test", source.test)):
            drawn = draw(split, PER_CLASS[word])
            for part, array in (("images", drawn.images[..., 0]), ("labels", drawn.targets.astype(np.uint8))):
                # A fixed date, so that drawing again gives the same file.
                entry = zipfile.ZipInfo(f"{word}_{part}.npy", date_time=(2026, 1, 1, 0, 0, 0))
                entry.compress_type = zipfile.ZIP_DEFLATED
                content = io.BytesIO()
                np.save(content, np.ascontiguousarray(array))
                archive.writestr(entry, content.getvalue())
    write_bytes(TARGET, buffer.getvalue())
    print(f"{TARGET}: {len(buffer.getvalue()):,} bytes")


if __name__ == "__main__":
    main()
