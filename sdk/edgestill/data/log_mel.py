"""The front end for sound: a waveform becomes a small grey picture, and from there on everything is as for images.

The usual one for keyword spotting ("Hello Edge", Zhang et al. 2017, arXiv:1711.07128): one second, windows of 32 ms
every 16 ms, the power in 40 mel bands, in decibels. The last 80 dB below the loudest value become 0–255, so that a
picture does not depend on the volume of the recording and is a `uint8`, which any device can make.
"""

import io
import wave
from functools import cache

import numpy as np
from numpy.typing import NDArray

SECONDS = 1.0
WINDOW, STEP = 0.032, 0.016  # seconds
BANDS = 40
LOWEST = 20.0  # Hz
RANGE = 80.0  # dB


def from_wav(content: bytes) -> NDArray[np.uint8]:
    """A WAV file's content → uint8 (bands, frames, 1), low bands first.

    Raises:
        ValueError: not WAV, not 16 bit, or not mono.
    """
    try:
        with wave.open(io.BytesIO(content)) as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            samples = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"no WAV file ({error})") from error
    if channels != 1 or width != 2:
        raise ValueError(f"WAV with {channels} channels of {8 * width} bit; mono of 16 bit is needed")
    return log_mel(np.frombuffer(samples, "<i2").astype(np.float64) / 32768, rate)


def log_mel(waveform: NDArray[np.float64], rate: int) -> NDArray[np.uint8]:
    """Samples (T,) in -1…1 → uint8 (bands, frames, 1). Longer than a second: its middle; shorter: silence around it."""
    length, window, step = round(SECONDS * rate), round(WINDOW * rate), round(STEP * rate)
    excess = len(waveform) - length
    if excess > 0:
        waveform = waveform[excess // 2 : excess // 2 + length]
    else:
        waveform = np.pad(waveform, (-excess // 2, -excess - -excess // 2))
    frames = np.lib.stride_tricks.sliding_window_view(waveform, window)[::step]
    power = np.abs(np.fft.rfft(frames * np.hanning(window + 1)[:-1], axis=1)) ** 2
    bands = power @ _filters(rate, window).T
    decibels = 10 * np.log10(np.maximum(bands, 1e-12))
    scaled = (decibels - decibels.max() + RANGE) / RANGE
    picture: NDArray[np.uint8] = np.round(255 * np.clip(scaled, 0, 1)).astype(np.uint8)
    return picture.T[..., None]


@cache
def _filters(rate: int, window: int) -> NDArray[np.float64]:
    """Triangles (bands, window // 2 + 1), evenly spaced on the mel scale `2595 · log10(1 + f / 700)`."""
    lowest, highest = (2595 * np.log10(1 + frequency / 700) for frequency in (LOWEST, rate / 2))
    mels = np.linspace(lowest, highest, BANDS + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    frequencies = np.arange(window // 2 + 1) * rate / window
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (frequencies - low) / (centre - low), (high - frequencies) / (high - centre)
    triangles: NDArray[np.float64] = np.maximum(0, np.minimum(rising, falling))
    return triangles
