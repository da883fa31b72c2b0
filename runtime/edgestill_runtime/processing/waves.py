"""Waveforms: WAV files read with numpy alone.

RIFF/WAVE with integers of 8, 16, 24 (in three or four bytes) and 32 bits and floats of 32 and 64 bits (Microsoft's
"Multimedia Programming Interface and Data Specifications 1.0", with WAVE_FORMAT_EXTENSIBLE). Other formats (FLAC, Ogg,
MP3, compressed WAV) need soundfile.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, raised_by, reason, what_instead
from .arrays import read_array
from .values import plain

LOWEST_RATE, HIGHEST_RATE = 1_000, 384_000
MOST_CHANNELS = 32
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE


@dataclass(frozen=True)
class Recording:
    """One channel of audio: samples float64 (T,) in -1…1, and rate in samples per second."""

    samples: NDArray[np.float64]
    rate: int


def read_recording(source: Any, rate: int | None = None) -> Recording:
    """Read a recording.

    Args:
        source: a path, the bytes of a file, an array (T,) or (T, channels), or a `Recording`.
        rate: samples per second; required for an array or an `.npy`. Anything else has its own rate.

    Raises:
        InputError: it is missing, not a recording, empty, has values that are not finite, has no rate, or `rate`
            differs from the file's own.
    """
    rate = None if rate is None else checked_rate(rate)
    if isinstance(source, Recording):
        return _agreed(source, rate, "the recording")
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if path.suffix.lower() == ".npy":
            return _of_array(read_array(path), rate, str(path))
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise InputError(f"{path} does not exist") from error
        except OSError as error:
            if not raised_by(error):
                raise
            raise InputError(f"{path} cannot be read: {reason(error)}") from error
        return _agreed(_of_file(content, str(path)), rate, str(path))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _agreed(_of_file(bytes(source), "the recording"), rate, "the recording")
    if isinstance(source, np.ndarray):
        return _of_array(source, rate, "the recording")
    raise InputError(f"a recording is a path, or samples as an array with their rate, not {type(source).__name__}")


def checked_rate(rate: Any, name: str = "") -> int:
    """A sample rate as an int; accepts whole numbers of any type, such as 16000.0.

    Raises:
        InputError: not a whole number, or out of range.
    """
    whole = isinstance(rate, (int, np.integer)) or (isinstance(rate, (float, np.floating)) and rate.is_integer())
    if isinstance(rate, bool) or not whole or not LOWEST_RATE <= rate <= HIGHEST_RATE:
        where = f"{name}: " if name else ""
        raise InputError(f"{where}rate is samples a second, {LOWEST_RATE:,} to {HIGHEST_RATE:,}, not {rate!r:.40}")
    return int(rate)


def _agreed(recording: Recording, rate: int | None, name: str) -> Recording:
    """The recording, if `rate` is None or its own rate."""
    if rate not in (None, recording.rate):
        raise InputError(
            f"{name} says {recording.rate:,} samples a second itself, not {rate:,}; rate is for samples that do not"
        )
    return recording


def _of_array(array: NDArray[Any], rate: int | None, name: str) -> Recording:
    if rate is None:
        raise InputError(f"{name}: samples alone do not say how many of them are a second; give rate=…, such as 16000")
    array = plain(array)
    if array.dtype in (np.int16, np.int32):
        values = array / float(-np.iinfo(array.dtype).min)
    elif array.dtype.kind == "f":
        values = array.astype(np.float64)
    else:
        raise InputError(f"{name}: samples are float in -1…1, int16 or int32, not {array.dtype}")
    if values.ndim not in (1, 2) or (values.ndim == 2 and values.shape[1] > MOST_CHANNELS):
        raise InputError(
            f"{name}: samples are (time,) or (time, channels), not {array.shape}; several recordings are a list"
        )
    return _checked(values, rate, name)


def _of_file(content: bytes, name: str) -> Recording:
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        found = _wav(content, name)
        if found is not None:
            return found
    elif hint := what_instead(content[:200]):
        raise InputError(f"{name} is no recording{hint}")
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: its native library is missing
        raise InputError(
            f"{name} is no WAV file of plain samples; other formats need soundfile: pip install 'edgestill[audio]'"
        ) from error
    import io

    try:
        values, rate = soundfile.read(io.BytesIO(content), dtype="float64", always_2d=True)
    except Exception as error:  # soundfile raises various classes for damaged files
        _refuse_unreadable(error, name)
        raise InputError(f"{name} is no recording in a format that soundfile knows, or is damaged") from error
    return _checked(values, checked_rate(rate, name), name)


def _refuse_unreadable(error: Exception, name: str) -> None:
    """Raise InputError for a system error, re-raise the caller's own exceptions, return for a damaged file."""
    if isinstance(error, OSError) and error.errno is not None:
        raise InputError(f"{name} cannot be read: {reason(error)}") from error
    if not raised_by(error, "soundfile", "_soundfile", "cffi"):
        raise error


def _wav(content: bytes, name: str) -> Recording | None:
    """A RIFF/WAVE file of uncompressed samples; None for a compressed one."""
    layout: tuple[int, int, int, int, int] | None = None
    place = 12
    while place + 8 <= len(content):
        chunk, size = struct.unpack_from("<4sI", content, place)
        body = content[place + 8 : place + 8 + size]
        if chunk == b"fmt " and len(body) >= 16:
            kind, channels, rate, _, frame, bits = struct.unpack_from("<HHIIHH", body)
            if kind == EXTENSIBLE and len(body) >= 26:
                (kind,) = struct.unpack_from("<H", body, 24)
            layout = kind, channels, rate, frame, bits
        elif chunk == b"data":
            if layout is None:
                raise InputError(f"{name} is a damaged WAV file: its samples come before their description")
            if not size:
                body = _unsized(content[place + 8 :], layout[3])
            # A truncated or unfinished file has less data than its header states: the existing data is read.
            return _samples(body, *layout, name)
        place += 8 + size + size % 2
    raise InputError(f"{name} is a damaged WAV file: it has no samples")


def _unsized(rest: bytes, frame: int) -> bytes:
    """The samples after a chunk length of 0, which programs write that stream and cannot update the header.

    Empty if another chunk follows (then there are no samples), or if the rest is not a whole number of samples.
    """
    if len(rest) >= 8:
        name, size = struct.unpack_from("<4sI", rest)
        if name.isascii() and name.decode().isprintable() and 8 + size <= len(rest):
            return b""
    return rest if frame and len(rest) % frame == 0 else b""


def _samples(body: bytes, kind: int, channels: int, rate: int, frame: int, bits: int, name: str) -> Recording | None:
    """The recording in `body`; None for an unknown format. `frame`: bytes of one sample of all channels."""
    types = {
        (PCM, 8): "u1", (PCM, 16): "<i2", (PCM, 24): "u1", (PCM, 32): "<i4", (FLOAT, 32): "<f4", (FLOAT, 64): "<f8",
    }  # fmt: skip
    if (kind, bits) not in types:
        return None
    if not 1 <= channels <= MOST_CHANNELS:
        raise InputError(f"{name} is a WAV file of {channels} channels; 1 to {MOST_CHANNELS} are read")
    width = frame // channels
    # (24, 4): `arecord -f S24_LE`, for example of I2S microphones: 24 bits in the low three of four bytes.
    if frame % channels or (width != bits // 8 and (bits, width) != (24, 4)):
        return None
    raw = np.frombuffer(body[: len(body) - len(body) % frame], types[kind, bits])
    if (kind, bits) == (PCM, 24):
        parts = raw.reshape(-1, width).astype(np.int32)
        raw = (parts[:, 0] << 8 | parts[:, 1] << 16 | parts[:, 2] << 24) >> 8
    values = raw.astype(np.float64)
    if kind == PCM:
        values = (values - 128) / 128 if bits == 8 else values / float(1 << (bits - 1))
    return _checked(values.reshape(-1, channels), checked_rate(rate, name), name)


def _checked(values: NDArray[np.float64], rate: int, name: str) -> Recording:
    if not values.size:
        raise InputError(f"{name} has no samples")
    if not np.isfinite(values).all():
        raise InputError(f"{name} has samples that are not finite (NaN or infinity)")
    if values.ndim == 2:
        mixed = values[:, 0]
        for channel in range(1, values.shape[1]):
            mixed = mixed + values[:, channel]
        values = mixed / values.shape[1]
    return Recording(values, rate)
