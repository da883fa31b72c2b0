"""What the head of a recording says, without reading its samples."""

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgestill_runtime import InputError
from edgestill_runtime.errors import reason
from edgestill_runtime.processing.waves import checked_rate, read_recording

from ..errors import DataError


@dataclass(frozen=True)
class Head:
    """Samples a second, channels, seconds, and the format in words."""

    rate: int
    channels: int
    seconds: float
    format: str


def rate_of(source: Path | bytes, name: str) -> int:
    """Samples a second of a recording.

    Raises:
        DataError: it is no recording; names it.
    """
    return head_of(source, name).rate


def head_of(source: Path | bytes, name: str) -> Head:
    """The head of a recording; one of a kind whose head is not known is read whole.

    Raises:
        DataError: it is no recording; names it.
    """
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            head = _of_wav(file) or _of_soundfile(file)
        if head is not None:
            checked_rate(head.rate)
            return head
        recording = read_recording(source)
        return Head(recording.rate, 1, len(recording.samples) / recording.rate, "recording")
    except OSError as error:
        raise DataError(f"{name} cannot be read: {reason(error)}") from error
    except InputError as error:
        text = str(error)
        raise DataError(f"{text if name in text else f'{name}: {text}'}; repair or remove it") from error


def _of_wav(file: Any) -> Head | None:
    start = file.read(12)
    if start[:4] != b"RIFF" or start[8:] != b"WAVE":
        return None
    layout = None
    while len(head := file.read(8)) == 8:
        chunk, size = struct.unpack("<4sI", head)
        if chunk == b"data":
            if layout is None or not layout[1] or not layout[4]:
                return None
            kind, channels, rate, _, frame, bits = layout
            here = file.tell()
            size = min(size, file.seek(0, io.SEEK_END) - here)  # one that was cut off says more than it has
            word = "float" if kind == 3 else "bit"
            return Head(rate, channels, size / frame / max(rate, 1), f"WAV {bits} {word}")
        body = file.read(size + size % 2)
        if chunk == b"fmt " and len(body) >= 16:
            kind, channels, rate, speed, frame, bits = struct.unpack_from("<HHIIHH", body)
            if kind == 0xFFFE and len(body) >= 26:
                (kind,) = struct.unpack_from("<H", body, 24)
            layout = kind, channels, rate, speed, frame, bits
    return None


def _of_soundfile(file: Any) -> Head | None:
    try:
        import soundfile
    except (ImportError, OSError):
        return None
    file.seek(0)
    try:
        info = soundfile.info(file)
    except Exception:  # soundfile's own; reading it whole will say what is wrong
        return None
    return Head(int(info.samplerate), int(info.channels), float(info.duration), str(info.format))
