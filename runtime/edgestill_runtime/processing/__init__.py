"""What people have (a photo, a camera frame, a recording) → the tensor that a model takes.

    processor = ImageProcessor(224, 224, mean, std, resize="letterbox")
    pixels = processor.pixels("photo.jpg")          # uint8 (1, 224, 224, 3): turned, composited, resized
    tensor = processor.tensor(pixels)               # float32 (1, 3, 224, 224): normalized

Two steps. `pixels` is all that is done to the shape and the depth of an input: image.py for images (files and PIL
images in pictures.py, their size in resizing.py), audio.py for recordings (files in waves.py, their rate in
resampling.py). `tensor` is a table of 256 values per channel: values.py. Training, calibration, the gate, the runtime,
the command line, the Android app and the web page do exactly this arithmetic; golden vectors hold them to the last bit.
"""

from typing import TYPE_CHECKING, Any

from .base import Processor
from .reading import processor_from_json
from .values import FloatArray, Layout, PixelArray, arrange, dequantize, look_up, plain, quantize

if TYPE_CHECKING:
    from .audio import AudioProcessor
    from .image import ImageProcessor

__all__ = [
    "AudioProcessor",
    "FloatArray",
    "ImageProcessor",
    "Layout",
    "PixelArray",
    "Processor",
    "arrange",
    "dequantize",
    "look_up",
    "plain",
    "processor_from_json",
    "quantize",
]


def __getattr__(name: str) -> Any:
    """The kind of processor that is asked for: a device imports the one that its bundle names."""
    if name == "ImageProcessor":
        from .image import ImageProcessor

        return ImageProcessor
    if name == "AudioProcessor":
        from .audio import AudioProcessor

        return AudioProcessor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
