"""Preprocessing: a photo, a camera frame or a recording → the input tensor of a model.

    processor = ImageProcessor(224, 224, mean, std, resize="letterbox")
    pixels = processor.pixels("photo.jpg")          # uint8 (1, 224, 224, 3): rotated, composited, resized
    tensor = processor.tensor(pixels)               # float32 (1, 3, 224, 224): normalized

There are two steps. `pixels` decodes and resizes an input to uint8: image.py for images (files and PIL images in
pictures.py, resizing in resizing.py), audio.py for recordings (files in waves.py, sample rates in resampling.py).
`tensor` normalizes with a table of 256 values per channel: values.py. Training, calibration, the gate, the runtime, the
command line, the Android app and the web page do exactly this arithmetic; golden vectors test it to the last bit.
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
    """Processor classes are imported on first access: a device needs only the one of its bundle."""
    if name == "ImageProcessor":
        from .image import ImageProcessor

        return ImageProcessor
    if name == "AudioProcessor":
        from .audio import AudioProcessor

        return AudioProcessor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
