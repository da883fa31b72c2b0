"""Folders of recordings: rates, channels, depths, the log-mel picture, and what augmentation may do to them."""

import json
import math
import struct
from itertools import pairwise

import numpy as np
import pytest

from edgestill.data import (
    Augmentation,
    DataOptions,
    Reading,
    Views,
    augmentation_for,
    default_augmentation,
    load_data,
    open_source,
)
from edgestill.data.samples import ImageOptions, read_samples
from edgestill.errors import DataError
from edgestill.recipe import Recipe
from edgestill.run_data import Known, read_again
from edgestill.workflow.plan import make_plan, prepare, read_data
from edgestill_runtime import AudioProcessor

GENERATOR = np.random.default_rng(0)
RATE = 8000
AT_8000 = AudioProcessor(40, 61, (0.0,), (1.0,), rate=RATE)


def wav(samples, rate=RATE, bits=16, kind=1):
    """A RIFF/WAVE file of float samples (T,) or (T, channels)."""
    samples = np.asarray(samples, dtype=float)
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    if kind == 3:
        body = samples.astype(f"<f{bits // 8}").tobytes()
    elif bits == 24:
        body = (samples * 8388607).astype("<i4").reshape(-1, 1).view(np.uint8)[:, :3].tobytes()
    else:
        body = (samples * 32767).astype("<i2").tobytes()
    frame = channels * bits // 8
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, kind, channels, rate, rate * frame, frame, bits)
    chunks = head + struct.pack("<4sI", b"data", len(body)) + body
    return struct.pack("<4sI4s", b"RIFF", 4 + len(chunks), b"WAVE") + chunks


def tone(hertz, rate=RATE, seconds=0.6):
    return np.sin(2 * math.pi * hertz * np.arange(round(seconds * rate)) / rate) / 2


def write_folder(folder, count=6, rate=RATE):
    for name, hertz in (("high", 2000), ("low", 300)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            (folder / name / f"{number}.wav").write_bytes(wav(tone(hertz + 20 * number, rate), rate))


def test_a_folder_of_recordings_is_what_the_device_makes_of_them(tmp_path):
    write_folder(tmp_path)
    odd = {
        "stereo": wav(np.stack([tone(700), tone(900)], axis=1)),
        "24": wav(tone(800), bits=24),
        "float": wav(tone(800), bits=32, kind=3),
        "44": wav(tone(800, 44100), 44100),
    }
    for name, content in odd.items():
        (tmp_path / "high" / f"{name}.wav").write_bytes(content)
    data = load_data(f"audio-folder:{tmp_path}", options=DataOptions(calibration=4))
    assert data.processor.rate == RATE and data.processor.image_shape == (40, 61, 1)
    assert any(
        "the model's rate is 8,000 Hz, as most recordings have; resampled: 1 of 44,100 Hz" in n for n in data.notes
    )
    made = {image.tobytes() for part in (data.train, data.validation, data.test) for image in part.images}
    assert made == {data.processor.pixels(path)[0].tobytes() for path in tmp_path.rglob("*.wav")}
    other = load_data(f"audio-folder:{tmp_path}", options=DataOptions(calibration=4, rate=16000, seconds=0.5))
    assert (other.processor.rate, other.processor.seconds) == (16000, 0.5)


@pytest.mark.parametrize("keys", [{"image_size": 32}, {"resize": "stretch"}, {"fill": 3}])
def test_keys_of_images_are_refused_for_recordings(tmp_path, keys):
    write_folder(tmp_path)
    with pytest.raises(DataError, match=f"{next(iter(keys))} is for images only"):
        load_data(f"audio-folder:{tmp_path}", options=DataOptions(**keys))


def test_a_recording_that_cannot_be_read_is_named(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "low" / "3.wav").write_bytes(b"RIFF\0\0\0\0WAVEfmt \0")
    with pytest.raises(DataError, match=r"low/3.wav is a damaged WAV file: it has no samples; repair or remove it"):
        load_data(f"audio-folder:{tmp_path}")
    (tmp_path / "low" / "3.wav").unlink()
    (tmp_path / "low" / "3.flac").write_bytes(b"fLaC\0\0\0\x22 and no more")
    with pytest.raises(DataError, match=r"low/3.flac is no (WAV file.*need soundfile|recording)"):
        load_data(f"audio-folder:{tmp_path}")


def test_recordings_in_an_image_folder_are_told_apart(tmp_path):
    write_folder(tmp_path)
    with pytest.raises(DataError, match="has no images .*It has recordings: read them with audio-folder:"):
        open_source(f"image-folder:{tmp_path}")


def test_augmentation_never_mirrors_time(tmp_path):
    write_folder(tmp_path)
    data = load_data(f"audio-folder:{tmp_path}", options=DataOptions(calibration=4))
    assert default_augmentation(data.processor) == ("shift:2",)
    assert augmentation_for(data.processor) == Augmentation(shift=2)
    with pytest.raises(DataError, match="`flip` plays a recording backwards"):
        augmentation_for(data.processor, ["flip", "shift:2"])
    with pytest.raises(DataError, match="`flip` plays a recording backwards"):
        Views(data.train.images, data.encoded(data.train), data.processor, Augmentation(flip=0.5))


def test_a_recipe_that_says_nothing_gets_the_augmentation_of_its_data(tmp_path):
    write_folder(tmp_path / "set")
    table = {"source": f"audio-folder:{tmp_path / 'set'}", "calibration": 4, "seconds": 0.5}
    heard, seen = Recipe.model_validate({"name": "x", "data": table}), Recipe(name="x")
    plan = make_plan(heard, read_data(heard))
    assert plan.augmentation == Augmentation(shift=2) and plan.data.processor.seconds == 0.5
    assert make_plan(seen, read_data(seen)).augmentation == Augmentation(flip=0.5, shift=2)
    next((tmp_path / "set").rglob("*.*")).write_bytes(b"RIFF\0\0\0\0WAVEfmt \0")  # would be met if they were read
    for key in ({"augmentation": ["flip"]}, {"teacher": {"augmentation": ["flip"]}}):
        mirrored = Recipe.model_validate({"name": "x", "data": table, **key})
        with pytest.raises(DataError, match="`flip` plays a recording backwards"):
            prepare(mirrored)  # before anything is read


def test_a_recipe_read_back_from_results_opens_the_same_data(tmp_path):
    write_folder(tmp_path / "set")
    table = {"source": f"audio-folder:{tmp_path / 'set'}", "rate": 16000, "seed": 5, "mean": [0.5], "std": [0.25]}
    recipe = Recipe.model_validate({"name": "x", "data": table})
    again = Recipe.model_validate(json.loads(recipe.model_dump_json()))
    first, second = (one.load_data() for one in (recipe, again))
    assert first.digest == second.digest and first.processor == second.processor
    assert (second.seed, second.processor.rate, second.processor.mean) == (5, 16000, (0.5,))
    np.testing.assert_array_equal(first.validation.images, second.validation.images)


def test_other_recordings_are_heard_at_the_students_rate(tmp_path):
    write_folder(tmp_path, 6, 16000)
    known = Known(tmp_path, Recipe(name="x"), "dscnn_xs", tmp_path / "x", None, AT_8000, ("high", "low"))
    data = read_again(known, f"audio-folder:{tmp_path}", {"calibration": 2})
    assert data.processor == AT_8000
    heard = {AT_8000.pixels(path).tobytes() for path in tmp_path.rglob("*.wav")}
    assert {one.tobytes() for one in data.test.images} < heard
    with pytest.raises(DataError, match="has recordings, the model takes image"):
        load_data(f"audio-folder:{tmp_path}", processor=Reading().images(8, 8))


def test_samples_for_a_conversion_may_be_recordings(tmp_path):
    write_folder(tmp_path, 2, 16000)
    read = read_samples(tmp_path, ImageOptions(mean=(0.5,), std=(0.25,)), classes=("low", "high"))
    assert read.processor.mean == (0.5,)
    with pytest.raises(DataError, match="recordings have one channel"):
        read_samples(tmp_path, ImageOptions(mean=(0.5,) * 3, std=(0.25,) * 3))
    with pytest.raises(DataError, match="image_size is for images only"):
        read_samples(tmp_path, ImageOptions(16))
    assert read.processor.rate == 16000 and read.targets.tolist() == [1, 1, 0, 0]
    np.testing.assert_array_equal(read.images, read.processor.pixels(sorted(tmp_path.rglob("*.wav"))))
    np.testing.assert_array_equal(
        read_samples(tmp_path, processor=AT_8000).images, AT_8000.pixels(sorted(tmp_path.rglob("*.wav")))
    )


def log_mel(samples):
    return AT_8000.pixels(samples, RATE)[0]


def test_log_mel_is_the_formula():
    """A second computation, written out: one frame by a plain Fourier sum, one band by its triangle."""
    samples = GENERATOR.normal(size=RATE) / 10
    picture = log_mel(samples).astype(float)[..., 0]
    time = np.arange(256)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * time / 256)
    mel = np.linspace(2595 * np.log10(1 + 20 / 700), 2595 * np.log10(1 + 4000 / 700), 42)
    edges = 700 * (10 ** (mel / 2595) - 1)

    def decibels(frame, band):
        part = samples[frame * 128 : frame * 128 + 256] * window
        total = 0.0
        for line in range(129):
            power = abs((part * np.exp(-2j * np.pi * line * time / 256)).sum()) ** 2
            hertz, (low, centre, high) = line * RATE / 256, edges[band : band + 3]
            total += power * max(0.0, min((hertz - low) / (centre - low), (high - hertz) / (high - centre)))
        return 10 * np.log10(total)

    # 80 dB are 255 steps; differences do not depend on the loudest value of the picture.
    places = [(10, 20), (40, 35), (60, 8)]
    for first, second in pairwise(places):
        steps = picture[first[1], first[0]] - picture[second[1], second[0]]
        assert steps == pytest.approx((decibels(*first) - decibels(*second)) / 80 * 255, abs=1.01)


def test_a_picture_does_not_depend_on_volume_and_silence_is_black():
    samples = GENERATOR.normal(size=3001)
    np.testing.assert_array_equal(log_mel(samples), log_mel(samples / 8))
    padded = log_mel(samples)[..., 0]
    assert padded[:, :15].max() == 0 and padded[:, -15:].max() == 0 and padded[:, 30].min() > 0
    assert log_mel(np.zeros(RATE)).shape == (40, 61, 1)
    assert log_mel(np.ones(3 * RATE)).shape == (40, 61, 1)
