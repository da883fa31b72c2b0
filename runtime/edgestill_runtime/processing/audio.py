"""Recordings: a waveform → a log-mel spectrogram as uint8, processed like an image from there on.

1. channels: several are averaged to one;
2. sample rate: resampled to the model's rate (resampling.py), which the mel bands are defined for;
3. length: the middle `seconds` of a longer recording; a shorter one is padded with silence on both sides;
4. power spectrum in windows of `window` seconds every `step` seconds (periodic Hann), summed in `height` triangular
   filters evenly spaced on the mel scale `2595 · log10(1 + f / 700)` from `lowest` Hz to half the rate;
5. decibels: the range from the loudest value to `decibels` below it becomes 255 to 0, so the result does not depend on
   the volume. Power is clipped below at 1e-12 (-120 dB), and the range ends there too: silence is 0.

This is the usual front end for keyword spotting ("Hello Edge", Zhang et al. 2017, arXiv:1711.07128). Everything is
computed in double precision and rounded once, at the end.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .base import Processor
from .resampling import excerpt
from .values import PixelArray
from .waves import checked_rate, read_recording


@dataclass(frozen=True)
class AudioProcessor(Processor):
    """Preprocessing of recordings: a log-mel spectrogram, low bands first.

    A recording is a path or the bytes of a WAV file (other formats need soundfile), a `Recording`, or an array (T,) or
    (T, channels) with its rate: float in -1…1, int16, or int32. Integers use their full range: 24-bit samples in int32
    must be shifted left by 8.

    Args:
        height: number of mel bands. width: number of windows, as computed by `frames`.
        mean, std: one value, of pixels in 0–1; see `Processor`.
        rate: the model's sample rate, samples per second, 1,000 to 384,000.
        seconds: length of the model's input. window, step: length and distance of windows, seconds.
        lowest: lowest frequency, Hz, below half the rate. decibels: the range that becomes 0–255.
    """

    rate: int = 16000
    seconds: float = 1.0
    window: float = 0.032
    step: float = 0.016
    lowest: float = 20.0
    decibels: float = 80.0

    kind: ClassVar[str] = "audio"
    has_rate: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "rate", checked_rate(self.rate))  # 16000.0 and numpy's integers become an int
        if self.channels != 1:
            raise InputError(f"a log-mel picture has one channel; mean and std have {self.channels} values")
        if not 0 < self.step <= self.window <= self.seconds <= 3600 or round(self.step * self.rate) < 1:
            raise InputError(
                f"step {self.step}, window {self.window} and seconds {self.seconds} must be above 0, in this order, "
                "and a step at least one sample"
            )
        if not 0 <= self.lowest < self.rate / 2:
            raise InputError(f"lowest must be 0 to half the rate, {self.rate / 2:g} Hz, not {self.lowest:g}")
        if not 0 < self.decibels <= 400:
            raise InputError(f"decibels must be above 0 and at most 400, not {self.decibels:g}")
        if self.width != (found := frames(self.rate, self.seconds, self.window, self.step)):
            raise InputError(f"width is {self.width}, but {self.seconds:g} s have {found} windows")

    @property
    def summary(self) -> str:
        """See `Processor`."""
        return f"recordings of any length and rate: {self.seconds:g} s at {self.rate:,} Hz, as {self.height} mel bands"

    def _one(self, source: Any, rate: int | None) -> PixelArray:
        recording = read_recording(source, rate)
        length, window, step = (round(part * self.rate) for part in (self.seconds, self.window, self.step))
        waveform = excerpt(recording, self.rate, length)
        windows = np.lib.stride_tricks.sliding_window_view(waveform, window)[::step]
        # Periodic Hann: the symmetric window of length + 1 without its last value.
        power = np.abs(np.fft.rfft(windows * np.hanning(window + 1)[:-1], axis=1)) ** 2
        bands = power @ _filters(self.rate, window, self.height, self.lowest).T
        decibels = 10 * np.log10(np.maximum(bands, 1e-12))
        loudest = max(decibels.max(), self.decibels - 120)
        scaled = (decibels - loudest + self.decibels) / self.decibels
        picture: NDArray[np.uint8] = np.round(255 * np.clip(scaled, 0, 1)).astype(np.uint8)
        return picture.T[..., None]


def frames(rate: int, seconds: float, window: float, step: float) -> int:
    """Number of complete windows in `seconds` of audio."""
    return (round(seconds * rate) - round(window * rate)) // round(step * rate) + 1


@lru_cache(maxsize=8)
def _filters(rate: int, window: int, bands: int, lowest: float) -> NDArray[np.float64]:
    """Triangular mel filters float64 (bands, window // 2 + 1)."""
    start, end = (2595 * np.log10(1 + frequency / 700) for frequency in (lowest, rate / 2))
    edges = 700 * (10 ** (np.linspace(start, end, bands + 2) / 2595) - 1)
    frequencies = np.arange(window // 2 + 1) * rate / window
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (frequencies - low) / (centre - low), (high - frequencies) / (high - centre)
    triangles: NDArray[np.float64] = np.maximum(0, np.minimum(rising, falling))
    return triangles
