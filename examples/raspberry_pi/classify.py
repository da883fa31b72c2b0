"""Classify an image or a recording, all files of a folder, or camera frames. Needs numpy and an engine, and Pillow
for images from files. The preprocessing is stored in the bundle.

python classify.py fashion.edge photo.jpg
python classify.py fashion.edge photos/
python classify.py digits.edge seven.wav
python classify.py fashion.edge --camera              # one line per frame, until Ctrl-C
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgestill_runtime import EdgestillError, Model, load

FORMATS = {".bmp", ".jpeg", ".jpg", ".png", ".webp", ".flac", ".ogg", ".wav"}
SIZE = (640, 480)


def main() -> int:
    """Parse, classify, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("source", type=Path, nargs="?", help="an image, a recording, or a folder of them")
    parser.add_argument("--camera", action="store_true", help="the Pi's camera (picamera2), else a USB one (OpenCV)")
    parser.add_argument("--engine", default="auto", help="litert or executorch")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--every", type=float, default=0.5, help="seconds between pictures of the camera")
    arguments = parser.parse_args()
    if arguments.camera == (arguments.source is not None):
        parser.error("give a file, a folder, or --camera")
    try:
        with load(arguments.bundle, engine=arguments.engine, threads=arguments.threads) as model:
            pictures = camera(arguments.every) if arguments.camera else files(arguments.source)
            for name, picture in pictures:
                print(f"{name}: {describe(model, picture)}", flush=True)
    except (EdgestillError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def describe(model: Model, picture: Path | np.ndarray) -> str:
    """The three likeliest classes of a picture or a recording, and how long that took, from the file or frame on."""
    started = time.perf_counter()
    guesses = model.predict(picture, top=3)
    milliseconds = 1000 * (time.perf_counter() - started)
    return ", ".join(f"{label} {100 * score:.0f} %" for label, score in guesses) + f"  ({milliseconds:.1f} ms)"


def files(source: Path) -> Iterator[tuple[str, Path]]:
    """A file, or all images and recordings of a folder by name."""
    paths = sorted(path for path in source.iterdir() if path.suffix.lower() in FORMATS) if source.is_dir() else [source]
    if not paths:
        raise OSError(f"{source} holds no image and no recording ({', '.join(sorted(FORMATS))})")
    for path in paths:
        yield path.name, path


def camera(seconds: float) -> Iterator[tuple[str, np.ndarray]]:
    """Pictures of the first camera that there is, with the time of each."""
    try:
        take = pi_camera()
    except ImportError:
        take = usb_camera()
    while True:
        yield time.strftime("%H:%M:%S"), take()
        time.sleep(seconds)


def pi_camera():
    """A function that takes a picture with the camera on the Pi's ribbon cable."""
    from picamera2 import Picamera2

    device = Picamera2()
    # What picamera2 calls BGR888 has red first in memory.
    device.configure(device.create_still_configuration({"size": SIZE, "format": "BGR888"}))
    device.start()
    return device.capture_array


def usb_camera():
    """A function that takes a picture with a USB camera."""
    try:
        import cv2
    except ImportError as error:
        raise RuntimeError(
            "neither picamera2 nor OpenCV is installed: sudo apt install python3-picamera2 (and let the "
            "environment see it: system_packages = true in devices.toml), or pip install opencv-python-headless"
        ) from error
    device = cv2.VideoCapture(0)
    if not device.isOpened():
        raise RuntimeError("no camera answers at /dev/video0")

    def take() -> np.ndarray:
        there, picture = device.read()
        if not there:
            raise RuntimeError("the camera gives no picture any more")
        return picture[..., ::-1]  # OpenCV has blue first

    return take


if __name__ == "__main__":
    sys.exit(main())
