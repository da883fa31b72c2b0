"""Synthetic photos and recordings in the formats that users have, and processors to test on them.

The same everywhere: the tests of the runtime, of the readers of data sets, of a Raspberry Pi, of the Android app and of
the web page ask whether all of them make the same pixels of these. numpy and Pillow alone, the same bytes each time.

    for name, photo in photos().items():
        for processor in image_processors():
            processor.pixels(photo)
"""

import io
import struct
from typing import Any

import numpy as np

from edgestill_runtime.processing import AudioProcessor, ImageProcessor, Processor
from edgestill_runtime.processing.pictures import Picture

LARGE = 4_000
"""A photo with a longer side takes long: tests may try fewer processors on it."""
_ORIENTATION = 0x0112
_EXTENSIBLE_PCM = bytes.fromhex("0100000000001000800000aa00389b71")


def processors() -> list[Processor]:
    """All of both kinds."""
    return [*image_processors(), *audio_processors()]


def image_processors() -> list[ImageProcessor]:
    """Each way of resizing with each filter, in grey and in RGB; odd sizes, grounds and shares among them."""
    grey, colours = (0.25,), (0.485, 0.456, 0.406)
    sizes = [(28, 28), (32, 32), (24, 40), (41, 17), (33, 31), (48, 48)]
    found, number = [], 0
    for mean in (grey, colours):
        for resize in ("crop", "letterbox", "stretch"):
            for filter in ("bilinear", "bicubic"):
                height, width = sizes[number % len(sizes)]
                found.append(
                    ImageProcessor(
                        height, width, mean, (0.5,) * len(mean), resize=resize, filter=filter,
                        crop_share=(1.0, 0.875, 0.5)[number % 3], ground=(255, 0, 128)[number % 3],
                        fill=(114, 0, 255)[number % 3],
                    )
                )  # fmt: skip
                number += 1
    return [
        *found,
        ImageProcessor(20, 30, colours, (0.5,) * 3, filter="bicubic", crop_share=0.95),
        ImageProcessor(20, 30, colours, (0.5,) * 3, filter="bicubic", crop_share=0.01),
        ImageProcessor(20, 30, colours, (0.5,) * 3, filter="bicubic", crop_share=0.9999999),
        ImageProcessor(1, 1, grey, (0.5,), filter="bicubic"),
        ImageProcessor(1, 50, grey, (0.5,), resize="letterbox", fill=7),
        ImageProcessor(50, 1, colours, (0.5,) * 3, resize="letterbox"),
        ImageProcessor(96, 112, colours, (0.5,) * 3, resize="stretch", filter="bicubic", ground=3),
        ImageProcessor(96, 96, grey, (0.5,), resize="crop", crop_share=0.875),
    ]


def audio_processors() -> list[AudioProcessor]:
    """Rates from 8 to 44.1 kHz; windows of 256 samples, and of lengths that are no power of two."""
    return [
        AudioProcessor(40, 61, (0.25,), (1.0,)),
        AudioProcessor(40, 61, (0.25,), (1.0,), rate=8_000),
        AudioProcessor(32, 61, (0.25,), (1.0,), rate=11_025, lowest=0.0),
        AudioProcessor(64, 48, (0.25,), (1.0,), rate=22_050, seconds=0.5, window=0.025, step=0.01, decibels=60.0),
        AudioProcessor(80, 99, (0.25,), (1.0,), rate=44_100, seconds=2.0, window=0.04, step=0.02, lowest=50.0),
    ]


def photos() -> dict[str, Any]:
    """Name → the bytes of an encoded file where the format matters, a `Picture` elsewhere; some 60."""
    return {**_turned(), **_formats(), **_depths(), **_sizes()}


def recordings() -> dict[str, bytes]:
    """Name → the bytes of a WAV file; some 20."""
    tone, noise = _tone, np.random.default_rng(7)
    stereo = np.stack([tone(44_100, 1.0, 440.0), 0.3 * tone(44_100, 1.0, 3_000.0)], axis=1)
    many = np.stack([tone(16_000, 1.0, 200.0 * (channel + 1)) for channel in range(5)], axis=1)
    clipped = np.clip(4 * tone(16_000, 1.0, 300.0), -1, 1)
    whole = _wav(tone(16_000, 1.0, 700.0), 16_000)
    return {
        "8000 Hz, 16 bits": _wav(tone(8_000, 1.0, 440.0), 8_000),
        "11025 Hz, 8 bits": _wav(tone(11_025, 1.0, 440.0), 11_025, bits=8),
        "16000 Hz, 16 bits": _wav(tone(16_000, 1.0, 440.0), 16_000),
        "22050 Hz, 24 bits": _wav(tone(22_050, 1.0, 440.0), 22_050, bits=24),
        "44100 Hz, stereo": _wav(stereo, 44_100),
        "48000 Hz, float": _wav(tone(48_000, 1.0, 440.0), 48_000, bits=32, real=True),
        "48000 Hz, float64": _wav(tone(48_000, 0.7, 1_200.0), 48_000, bits=64, real=True),
        "32 bits": _wav(tone(16_000, 1.1, 150.0), 16_000, bits=32),
        "24 bits, extensible": _wav(tone(44_100, 1.0, 5_000.0), 44_100, bits=24, extensible=True),
        "24 bits in four bytes": _wav(stereo, 44_100, bits=24, width=4),
        "five channels": _wav(many, 16_000),
        "shorter": _wav(tone(16_000, 0.2, 440.0), 16_000),
        "longer": _wav(tone(22_050, 3.3, 440.0), 22_050),
        "odd length": _wav(tone(8_000, 0.500125, 1_000.0), 8_000),
        "one sample": _wav(np.array([0.5]), 16_000),
        "silence": _wav(np.zeros(16_000), 16_000),
        "clipped": _wav(clipped, 16_000),
        "noise": _wav(0.2 * noise.standard_normal(12_000), 11_025),
        "quiet": _wav(0.001 * tone(44_100, 1.0, 900.0), 44_100, bits=32, real=True),
        "a chunk of odd length first": _wav(tone(8_000, 1.0, 600.0), 8_000, bits=8, first=b"LIST\x05\0\0\0abcde\0"),
        "cut off": whole[: len(whole) // 2 + 1],
        "a rate without a common divisor": _wav(tone(15_991, 1.0, 440.0), 15_991),
    }


def scene(height: int, width: int, channels: int = 3, depth: int = 8, seed: int = 0) -> Any:
    """Gradients, an edge and noise: uint8 or uint16 (height, width, channels), different in every corner."""
    down, across = np.linspace(0, 1, height)[:, None, None], np.linspace(0, 1, width)[None, :, None]
    phase = np.arange(channels)[None, None, :]
    waves = 0.5 + 0.25 * np.sin(9 * down + 2 * phase) + 0.25 * np.cos(7 * across * (1 + phase))
    waves = np.where((down < 0.3) & (across > 0.6), 1 - waves, waves)
    speckle = np.random.default_rng(seed).random((height, width, 1)) - 0.5
    top = (1 << depth) - 1
    return np.round(top * np.clip(waves + 0.3 * speckle, 0, 1)).astype(np.uint8 if depth == 8 else np.uint16)


def _turned() -> dict[str, Any]:
    """Every EXIF orientation, as cameras write it into JPEG; some in PNG, TIFF and WebP, and one that is none."""
    found: dict[str, Any] = {
        f"orientation {number}.jpg": _encoded(scene(45, 60), "JPEG", number) for number in range(1, 9)
    }
    found |= {f"orientation {number}": Picture(scene(13, 21, 1, seed=number), number) for number in range(2, 9)}
    found["orientation 6.png"] = _encoded(scene(40, 61, 4), "PNG", 6)
    found["orientation 7.tif"] = _encoded(scene(30, 50), "TIFF", 7)
    found["orientation 8.webp"] = _encoded(scene(30, 50), "WEBP", 8, lossless=True)
    found["orientation 9.jpg"] = _encoded(scene(45, 60), "JPEG", 9)
    found["orientation 5, 16 bits"] = Picture(scene(25, 37, 4, 16), 5)
    return found


def _formats() -> dict[str, Any]:
    from PIL import Image

    grey, colours, clear = scene(50, 64, 1), scene(50, 64), scene(50, 64, 4)
    image = Image.fromarray(colours)
    cut = clear.copy()
    cut[..., 3] = np.where(cut[..., 3] > 120, 255, 0)
    shape = np.zeros((40, 40, 4), np.uint8)
    shape[10:30, 12:35, 3] = 255  # black on a transparent ground
    palette = Image.fromarray(cut).quantize(32)
    return {
        "grey.jpg": _encoded(grey[..., 0], "JPEG"),
        "grey.png": _encoded(grey[..., 0], "PNG"),
        "grey and alpha.png": _encoded(scene(50, 64, 2), "PNG"),
        "colours.png": _encoded(colours, "PNG"),
        "RGBA.png": _encoded(clear, "PNG"),
        "black on nothing.png": _encoded(shape, "PNG"),
        "RGBA.webp": _encoded(clear, "WEBP", lossless=True),
        "RGBA.tif": _encoded(clear, "TIFF"),
        "colours.webp": _encoded(colours, "WEBP"),
        "colours.bmp": _encoded(colours, "BMP"),
        "colours.ppm": _encoded(colours, "PPM"),
        "16 bits, grey.png": _saved(Image.fromarray(scene(50, 64, 1, 16)[..., 0]), "PNG"),
        "16 bits, grey.tif": _saved(Image.fromarray(scene(50, 64, 1, 16)[..., 0]), "TIFF"),
        "palette.png": _saved(image.quantize(64), "PNG"),
        "palette, transparent.png": _saved(palette, "PNG"),
        "palette, transparent.gif": _saved(image.quantize(32), "GIF", transparency=3),
        "one bit.png": _saved(image.convert("1"), "PNG"),
        "CMYK.jpg": _saved(image.convert("CMYK"), "JPEG"),
        "one colour is clear.png": _saved(image, "PNG", transparency=tuple(int(one) for one in colours[3, 4])),
    }


def _depths() -> dict[str, Any]:
    ramp = np.linspace(0, 65535, 64 * 48).astype(np.uint16).reshape(48, 64, 1)
    return {
        "16 bits, a ramp": Picture(ramp),
        "16 bits, grey and alpha": Picture(scene(50, 64, 2, 16)),
        "16 bits, RGB": Picture(scene(50, 64, 3, 16)),
        "16 bits, RGBA": Picture(scene(50, 64, 4, 16)),
    }


def _sizes() -> dict[str, Any]:
    """Height × width: one pixel in either direction, primes, the processors' own, and larger than a screen."""
    shapes = [
        (1, 1, 3), (1, 1, 4), (1, 97, 3), (97, 1, 3), (1, 2, 1), (2, 1, 1), (2, 2, 3), (3, 5, 3), (31, 17, 3),
        (127, 251, 3), (27, 29, 1), (29, 27, 1), (28, 28, 3), (28, 28, 1), (32, 32, 3), (56, 56, 3), (24, 40, 4),
        (300, 200, 3), (479, 641, 3), (3, LARGE + 1, 3), (LARGE + 1, 3, 3), (1, LARGE + 77, 1), (LARGE + 500, 701, 3),
        (3_075, LARGE + 100, 1),
    ]  # fmt: skip
    found = {}
    for number, (height, width, channels) in enumerate(shapes):
        if height * width > 1_000_000:  # noise of millions of pixels takes long to make: the same tile again and again
            tile = scene(512, 512, channels, seed=number)
            pixels = np.tile(tile, (-(-height // 512), -(-width // 512), 1))[:height, :width]
        else:
            pixels = scene(height, width, channels, seed=number)
        words = {1: "grey", 3: "RGB", 4: "RGBA"}
        found[f"{height} × {width}, {words[channels]}"] = Picture(np.ascontiguousarray(pixels))
    return found


def _encoded(pixels: Any, format: str, orientation: int | None = None, **options: Any) -> bytes:
    from PIL import Image

    if orientation is not None:
        exif = Image.Exif()
        exif[_ORIENTATION] = orientation
        options["exif"] = exif
    return _saved(Image.fromarray(pixels), format, **options)


def _saved(image: Any, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def _tone(rate: int, seconds: float, hertz: float) -> Any:
    """float64 (T,): a tone that rises by a fifth, with overtones, a start and an end."""
    time = np.arange(round(rate * seconds)) / rate
    phase = 2 * np.pi * hertz * (time + 0.25 * time**2 / seconds)
    return 0.6 * np.hanning(len(time) + 2)[1:-1] * (np.sin(phase) + 0.3 * np.sin(2 * phase) + 0.05 * np.sin(5 * phase))


def _wav(
    samples: Any, rate: int, bits: int = 16, real: bool = False, extensible: bool = False, first: bytes = b"",
    width: int | None = None,
) -> bytes:  # fmt: skip
    """A RIFF/WAVE file of samples in -1…1, (T,) or (T, channels); one takes `width` bytes, its bits the low ones."""
    width = width or bits // 8
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    top = (1 << (bits - 1)) - 1
    whole = np.round(top * np.clip(samples, -1, 1))
    if real:
        body = samples.astype(f"<f{bits // 8}").tobytes()
    elif bits == 8:
        body = (whole + 128).astype(np.uint8).tobytes()
    else:
        body = whole.astype("<i4").reshape(-1, 1).view(np.uint8)[:, :width].tobytes()
    frame = channels * width
    kind = 0xFFFE if extensible else 3 if real else 1
    form = struct.pack("<HHIIHH", kind, channels, rate, rate * frame, frame, bits)
    if extensible:
        form += struct.pack("<HHI", 22, bits, 0) + _EXTENSIBLE_PCM
    chunks: bytes = (
        first + b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(body)) + body
    )
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks
