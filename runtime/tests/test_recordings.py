"""Recordings → log-mel pictures: every WAV of plain samples, any rate, and what is refused."""

import errno
import struct
import sys
import tracemalloc
import wave
from pathlib import Path

import numpy as np
import pytest

from edgestill_runtime import AudioProcessor, InputError
from edgestill_runtime.processing import audio, processor_from_json
from edgestill_runtime.processing.resampling import excerpt
from edgestill_runtime.processing.waves import Recording, read_recording

WORDS = AudioProcessor(40, 61, (0.25,), (0.5,), rate=8000)


def tone(rate, seconds=1.0, frequency=440.0):
    return np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)


def wav(samples, rate, kind=1, bits=16):
    """A WAV file of float samples (T, channels), written by hand."""
    samples = np.atleast_2d(samples.T).T
    if kind == 3:
        raw = samples.astype("<f4" if bits == 32 else "<f8").tobytes()
    elif bits == 8:
        raw = np.round(samples * 127 + 128).astype(np.uint8).tobytes()
    elif bits == 24:
        raw = np.round(samples * ((1 << 23) - 1)).astype("<i4").reshape(-1, 1).view(np.uint8)[:, :3].tobytes()
    else:
        raw = np.round(samples * ((1 << (bits - 1)) - 1)).astype(f"<i{bits // 8}").tobytes()
    channels = samples.shape[1]
    frame = channels * bits // 8
    head = struct.pack("<HHIIHH", kind, channels, rate, rate * frame, frame, bits)
    body = b"WAVE" + b"fmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", len(raw)) + raw
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
def test_the_bands_belong_to_the_models_rate(rate):
    """A tone of 440 Hz is in the same band whatever the rate of its file."""
    picture = WORDS.pixels(wav(tone(rate), rate))[0, :, :, 0]
    assert picture.shape == (40, 61) and (picture[:, 2:-2].argmax(0) == 9).all()


def test_a_tone_is_resampled_to_itself():
    """Against the sine at the other rate: within 80 dB, away from the ends. What the lower rate cannot hold is gone."""
    found = excerpt(Recording(tone(44100, 1, 1000), 44100), 16000, 16000)
    assert np.abs(found[200:-200] - tone(16000, 1, 1000)[200:-200]).max() < 1e-4
    alias = excerpt(Recording(tone(44100, 1, 12000), 44100), 16000, 16000)  # above 8 kHz
    assert np.abs(alias[200:-200]).max() < 1e-3


def test_the_first_and_the_last_sample_are_resampled_too():
    ends = np.zeros(100)
    ends[[0, -1]] = 1.0
    found = excerpt(Recording(ends, 8000), 16000, 200)
    assert found[0] > 0.9 and found[198] > 0.9


def test_a_triangle_on_the_mel_scale_by_hand():
    # From 0 to 2595 · log10(1 + 6300 / 700) = 2595 mel; its top at half of that, 700 · (√10 - 1) = 1513.594 Hz.
    (triangle,) = audio._filters(12600, 12600, 1, 0.0)  # a place for each Hz
    assert triangle[700] == pytest.approx(700 / 1513.594, rel=1e-6)
    assert triangle[5600] == pytest.approx((6300 - 5600) / (6300 - 1513.594), rel=1e-6)


@pytest.mark.parametrize(("kind", "bits"), [(1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64)])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_depth_and_stereo(kind, bits, channels):
    samples = 0.9 * tone(8000)
    read = read_recording(wav(np.stack([samples] * channels, 1), 8000, kind, bits))
    assert read.rate == 8000 and len(read.samples) == 8000
    assert np.abs(read.samples - samples).max() <= 1.5 / (1 << (min(bits, 24) - 1))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("fourth", [0, 0x5A])
def test_24_bits_in_four_bytes_are_the_low_three(channels, fourth):
    """`arecord -f S24_LE`: what is in the fourth byte is no part of the sample."""
    plain = wav(np.stack([0.9 * tone(8000)] * channels, 1), 8000, bits=24)
    parts = np.frombuffer(plain[44:], np.uint8).reshape(-1, 3)
    body = np.pad(parts, ((0, 0), (0, 1)), constant_values=fourth).tobytes()
    frame = 4 * channels
    head = plain[12:28] + struct.pack("<IHH", 8000 * frame, frame, 24) + b"data" + struct.pack("<I", len(body))
    found = read_recording(b"RIFF" + struct.pack("<I", 4 + len(head) + len(body)) + b"WAVE" + head + body)
    np.testing.assert_array_equal(found.samples, read_recording(plain).samples)


@pytest.mark.parametrize(("bits", "frame"), [(16, 4), (16, 1), (24, 5), (32, 8), (16, 0)])
def test_samples_of_another_width_than_their_bits_are_not_guessed(monkeypatch, bits, frame):
    content = bytearray(wav(tone(8000), 8000, bits=bits))
    struct.pack_into("<H", content, 32, frame)
    monkeypatch.setitem(sys.modules, "soundfile", None)  # which may know what they are
    with pytest.raises(InputError, match="other formats need soundfile"):
        read_recording(bytes(content))


def test_stereo_is_mixed_and_not_one_channel():
    both = np.stack([tone(8000, 1, 300), tone(8000, 1, 2000)], 1)
    read = read_recording(wav(both, 8000))
    np.testing.assert_allclose(read.samples, both.mean(1), atol=1e-4)


def test_the_volume_does_not_matter_and_nothing_is_clipped():
    loud, quiet = (WORDS.pixels(wav(scale * tone(8000), 8000, 3, 32)) for scale in (50.0, 0.002))
    assert np.abs(loud.astype(int) - quiet).max() <= 1


def test_silence_is_not_loud():
    assert (WORDS.pixels(np.zeros(8000), rate=8000) == 0).all()
    assert WORDS.pixels(3e-4 * tone(8000), rate=8000).max() == 255


def test_length_its_middle_or_silence_around():
    marked = np.zeros(8000 * 3)
    marked[12000] = 1.0  # in the middle of three seconds
    assert excerpt(Recording(marked, 8000), 8000, 8000)[4000] == 1.0
    short = excerpt(Recording(np.ones(3), 8000), 8000, 8)
    assert short.tolist() == [0, 0, 1, 1, 1, 0, 0, 0]


def test_of_a_long_recording_only_what_is_heard_is_resampled():
    """The middle second of ten minutes, with the same samples as by itself, and in little memory."""
    long = np.zeros(44100 * 600)
    middle = len(long) // 2
    long[middle - 44100 : middle + 44100] = np.random.default_rng(0).normal(size=88200) / 4
    tracemalloc.start()
    found = excerpt(Recording(long, 44100), 8000, 8000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    part = excerpt(Recording(long[middle - 44100 : middle + 44100], 44100), 8000, 8000)
    np.testing.assert_array_equal(found, part)
    assert peak < 600 * 8000 * 8 / 20  # bytes: all of it would be so many samples, float64


@pytest.mark.parametrize("channels", [1, 2])
def test_a_flac_is_the_wav_of_the_same_samples(tmp_path, channels):
    soundfile = pytest.importorskip("soundfile")
    mixed = np.stack([tone(22050, 1, 300 * (channel + 1)) for channel in range(channels)], 1)
    samples = np.round(20000 * mixed).astype(np.int16)
    for kind in ("wav", "flac"):
        soundfile.write(tmp_path / f"word.{kind}", samples, 22050, subtype="PCM_16")
    assert (tmp_path / "word.flac").read_bytes()[:4] == b"fLaC"
    expected = WORDS.pixels(samples, rate=22050)
    for kind in ("wav", "flac"):
        np.testing.assert_array_equal(WORDS.pixels(tmp_path / f"word.{kind}"), expected)
    np.testing.assert_array_equal(
        read_recording(tmp_path / "word.flac").samples, read_recording(tmp_path / "word.wav").samples
    )
    np.testing.assert_array_equal(WORDS.pixels((tmp_path / "word.flac").read_bytes()), expected)


def test_a_file_a_path_samples_and_what_wave_writes(tmp_path):
    samples = np.round(tone(16000) * 20000).astype(np.int16)
    with wave.open(str(tmp_path / "word.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(samples.tobytes())
    expected = WORDS.pixels(str(tmp_path / "word.wav"))
    np.testing.assert_array_equal(WORDS.pixels(samples, rate=16000), expected)
    np.testing.assert_array_equal(WORDS.pixels(samples / 32768, rate=16000), expected)
    np.testing.assert_array_equal(WORDS.pixels([tmp_path / "word.wav"] * 2)[1:], expected)
    np.testing.assert_array_equal(WORDS.pixels(expected), expected)  # a picture is one already


def test_what_is_no_recording(tmp_path):
    good = wav(tone(8000), 8000)
    (tmp_path / "empty.wav").write_bytes(b"")
    cases = [
        (np.zeros(8000), None, "give rate="),
        (np.zeros(8000), 16, "samples a second"),
        (np.zeros(8000), True, "samples a second"),
        (np.zeros(8000, np.uint8), 8000, "not uint8"),
        (np.zeros((2, 8000)), 8000, "several recordings are a list"),
        (np.zeros(0), 8000, "no samples"),
        (np.full(9, np.nan), 8000, "not finite"),
        (wav(np.array([np.inf]), 8000, 3, 32), None, "not finite"),
        (wav(np.zeros((0, 1)), 8000), None, "no samples"),
        (good[:40], None, "no samples"),
        (good[:20], None, "no samples"),
        (good.replace(b"fmt ", b"junk"), None, "come before their description"),
        (b"OggS" + b"\0" * 100, None, "soundfile"),
        (b"version https://git-lfs.github.com/spec/v1\n", None, "git lfs pull"),
        (tmp_path / "empty.wav", None, "is empty"),
        (tmp_path / "nothing.wav", None, "does not exist"),
        (tmp_path, None, "cannot be read"),
        (7, None, "a path, or samples"),
        ([], None, None),
    ]
    for source, rate, message in cases:
        if message is None:
            assert WORDS.pixels(source, rate).shape == (0, 40, 61, 1)
            continue
        with pytest.raises(InputError, match=message):
            WORDS.pixels(source, rate)


def test_a_compressed_wav_says_what_it_needs():
    with pytest.raises(InputError, match=r"needs? soundfile|soundfile knows"):
        WORDS.pixels(wav(tone(8000), 8000, kind=2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 60}, "width is 60, but 1 s have 61 windows"),
        ({"rate": 10}, "samples a second"),
        ({"rate": 8000.0}, "rate must be a whole number"),
        ({"lowest": 4000.0}, "half the rate"),
        ({"step": 0.0}, "must be above 0"),
        ({"window": 2.0}, "in this order"),
        ({"decibels": 0.0}, "decibels must be above 0"),
        ({"mean": [0.1, 0.2], "std": [1.0, 1.0]}, "one channel"),
        ({"frames": 3}, "unknown field 'frames'"),
    ],
)
def test_a_processor_that_cannot_be(change, message):
    with pytest.raises(InputError) as caught:
        processor_from_json(WORDS.to_json() | change)
    assert message in str(caught.value)


def test_it_says_what_it_takes():
    assert WORDS.summary == "recordings of any length and rate: 1 s at 8,000 Hz, as 40 mel bands"


def test_it_is_written_down_whole():
    odd = AudioProcessor(32, 48, (0.1,), (0.2,), 22050, 0.5, 0.025, 0.01, 60.0, 70.0)
    assert processor_from_json(odd.to_json()) == odd != WORDS


class DeadlineError(Exception):
    """Of a caller's own signal handler."""


def failing(error):
    def fails(*words, **options):
        raise error

    return fails


@pytest.mark.parametrize("error", [TimeoutError(), MemoryError(), DeadlineError()], ids=repr)
def test_what_is_the_callers_own_comes_out_as_it_is(monkeypatch, error):
    soundfile = pytest.importorskip("soundfile")
    for owner, name, source in ((soundfile, "read", b"OggS" + bytes(99)), (Path, "read_bytes", "word.wav")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, failing(error))
            with pytest.raises(type(error)):
                read_recording(source)


def test_what_the_system_refuses_is_no_damage(monkeypatch):
    soundfile = pytest.importorskip("soundfile")
    monkeypatch.setattr(soundfile, "read", failing(OSError(errno.EIO, "Input/output error")))
    with pytest.raises(InputError, match="the recording cannot be read: Input/output error"):
        read_recording(b"OggS" + bytes(99))


def test_a_file_says_its_own_rate(tmp_path):
    content = wav(tone(8000), 8000)
    (tmp_path / "word.wav").write_bytes(content)
    for source in (tmp_path / "word.wav", content, read_recording(content)):
        assert WORDS.pixels(source, rate=8000).shape == (1, 40, 61, 1)
        with pytest.raises(
            InputError, match=r"says 8,000 samples a second itself, not 16,000; rate is for samples that do not"
        ):
            WORDS.pixels(source, rate=16000)


def test_any_whole_number_is_a_rate_and_any_byte_order_a_sample():
    samples = np.round(tone(8000) * 20000).astype(np.int16)
    expected = WORDS.pixels(samples, rate=8000)
    for rate in (8000.0, np.float32(8000), np.int64(8000), np.uint16(8000)):
        np.testing.assert_array_equal(WORDS.pixels(samples, rate=rate), expected)
    for rate in (8000.5, float("nan"), float("inf"), "8000"):
        with pytest.raises(InputError, match="samples a second"):
            WORDS.pixels(samples, rate=rate)
    wide = samples.astype(np.int32) << 16
    real = samples / np.float32(32768)
    for same in (samples.astype(">i2"), wide, wide.astype(">i4"), real.astype(">f4")):
        np.testing.assert_array_equal(WORDS.pixels(same, rate=8000), expected)
    assert type(AudioProcessor(40, 61, (0.25,), (0.5,), rate=8000.0).rate) is int


def test_masked_samples_are_refused():
    with pytest.raises(InputError, match="a masked array"):
        WORDS.pixels(np.ma.masked_greater(tone(8000), 0.5), rate=8000)


def test_a_length_that_a_stream_never_filled_in():
    """A data chunk of 0 bytes and then bytes to the end are samples, if these are whole; other chunks are none."""
    whole, nothing = wav(tone(8000), 8000), wav(np.zeros((0, 1)), 8000)
    expected = read_recording(whole).samples
    for size in (0, 0xFFFFFFFF):
        np.testing.assert_array_equal(
            read_recording(whole[:40] + struct.pack("<I", size) + whole[44:]).samples, expected
        )
    note = b"LIST" + struct.pack("<I", 4) + b"INFO"
    for content in (nothing, nothing + note, nothing + note * 2, nothing + whole[44:-1]):
        with pytest.raises(InputError, match="has no samples"):
            read_recording(content)
