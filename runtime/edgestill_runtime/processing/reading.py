"""The processor from its data in a manifest or a checkpoint; only the class of its kind is imported."""

from collections.abc import Mapping
from typing import Any

from ..errors import InputError
from .base import Processor


def processor_from_json(data: Mapping[str, Any]) -> Processor:
    """The processor from the data of `Processor.to_json`; without `kind` (older versions) it is an image processor.

    Raises:
        InputError: an unknown kind, or an invalid field.
    """
    kind = data.get("kind", "image")
    if kind == "image":
        from .image import ImageProcessor

        return ImageProcessor.read(data)
    if kind == "audio":
        from .audio import AudioProcessor

        return AudioProcessor.read(data)
    raise InputError(f"kind must be one of image, audio, not {kind!r:.40}")
