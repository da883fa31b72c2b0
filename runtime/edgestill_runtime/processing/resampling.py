"""Resample a recording to the model's rate and length, in double precision, with a fixed order of operations."""

from math import ceil, gcd

import numpy as np
from numpy.typing import NDArray

from .waves import Recording

# The filter: a sinc with this many zero crossings on each side, with a Hann window, cut off at this share of the lower
# Nyquist frequency (Smith, "Digital Audio Resampling Home Page"; torchaudio's `sinc_interp_hann`).
ZERO_CROSSINGS = 16
ROLLOFF = 0.95


def excerpt(recording: Recording, rate: int, length: int) -> NDArray[np.float64]:
    """Samples float64 (length,) at `rate`: the middle of a longer recording; a shorter one is padded on both sides."""
    up, down = _ratio(recording.rate, rate)
    count = -(-len(recording.samples) * up // down)  # number of samples at the new rate
    excess = count - length
    start = excess // 2 if excess > 0 else 0
    # Only the samples needed: an hour takes no longer than a second.
    waveform = _resampled(recording.samples, up, down, start, min(count, length))
    return waveform if excess >= 0 else np.pad(waveform, (-excess // 2, -excess - -excess // 2))


def _ratio(rate: int, target: int) -> tuple[int, int]:
    common = gcd(rate, target)
    return target // common, rate // common


def _resampled(samples: NDArray[np.float64], up: int, down: int, start: int, count: int) -> NDArray[np.float64]:
    """Samples `start` to `start + count` at `up / down` times the recording's rate; outside it the signal is 0."""
    if up == down:
        return samples[start : start + count]
    numbers = np.arange(start, start + count, dtype=np.int64)
    whole, phases = numbers * down // up, numbers * down % up
    occurring, row = np.unique(phases, return_inverse=True)
    taps = _taps(up, down, occurring)
    first = whole - taps.shape[1] // 2 + 1
    total = np.zeros(count)
    for tap in range(taps.shape[1]):
        places = first + tap
        inside = (places >= 0) & (places < len(samples))
        values = np.where(inside, samples[np.clip(places, 0, len(samples) - 1)], 0.0)
        total = total + taps[row, tap] * values  # in this order: it determines the rounding
    return total


def _taps(up: int, down: int, phases: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights (phases, taps): phase p is for outputs p/up of a sample after an input; each row sums to 1."""
    cutoff = ROLLOFF * min(up, down) / down  # as a share of the recording's Nyquist frequency
    half = ceil(ZERO_CROSSINGS / cutoff)
    distance = (np.arange(2 * half) - half + 1) - phases[:, None] / up
    x = np.clip(distance * cutoff, -ZERO_CROSSINGS, ZERO_CROSSINGS)
    angle = np.pi * x
    sinc = np.where(x == 0, 1.0, np.sin(angle) / np.where(x == 0, 1.0, angle))
    weights = sinc * np.cos(angle / ZERO_CROSSINGS / 2) ** 2
    total = np.zeros(len(phases))
    for tap in range(2 * half):
        total = total + weights[:, tap]
    scaled: NDArray[np.float64] = weights / total[:, None]
    return scaled
