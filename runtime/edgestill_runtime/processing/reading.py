"""From what a manifest or a checkpoint says of a processor to the processor; its kind is imported when it is named."""

from collections.abc import Mapping
from typing import Any

from ..errors import InputError
from .base import Processor


def processor_from_json(data: Mapping[str, Any]) -> Processor:
    """The processor that `Processor.to_json` wrote; data without a kind is an older version's, which was for images.

    Raises:
        InputError: an unknown kind, or a field that is not as it must be.
    """
    kind = data.get("kind", "image")
    if kind == "image":
        from .image import ImageProcessor

        return ImageProcessor.read(data)
    if kind == "audio":
        from .audio import AudioProcessor

        return AudioProcessor.read(data)
    raise InputError(f"kind must be one of image, audio, not {kind!r:.40}")
