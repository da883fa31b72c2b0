"""Photos, frames and files → pixels: every orientation, depth and colour, each way of resizing, and what is refused."""

import errno
import io
import struct
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from edgestill_runtime import ImageProcessor, InputError
from edgestill_runtime.processing import pictures, processor_from_json
from edgestill_runtime.processing.pictures import LIMIT, Picture

GREY, RGB = (0.5,), (0.5, 0.5, 0.5)
CORNERS = np.arange(6, dtype=np.uint8).reshape(2, 3, 1) * 40  # every pixel another value


def processor(height=28, width=28, mean=GREY, **options):
    return ImageProcessor(height, width, mean, (0.25,) * len(mean), **options)


def encoded(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_a_photo_is_turned_once(orientation, format):
    """As Pillow's own `exif_transpose` turns it; TIFF turns itself while it loads."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    wide = np.random.default_rng(0).integers(0, 256, (8, 16), np.uint8).repeat(4, 0).repeat(4, 1)
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}}.get(format, {})
    content = encoded(Image.fromarray(wide).convert("L" if format != "WEBP" else "RGB"), format, exif=exif, **options)
    from PIL import ImageOps

    with Image.open(io.BytesIO(content)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("L"))
    height, width = expected.shape
    assert (width < height) == (orientation >= 5)
    np.testing.assert_array_equal(processor(height, width).pixels(content)[0, :, :, 0], expected)


def test_orientations_by_hand():
    """EXIF 2.3, 4.6.4: where the first row and column are meant to be."""
    turned = {
        number: processor(*((3, 2) if number >= 5 else (2, 3))).pixels(Picture(CORNERS, number))[0, :, :, 0] // 40
        for number in range(1, 9)
    }
    assert {number: rows.tolist() for number, rows in turned.items()} == {
        1: [[0, 1, 2], [3, 4, 5]],
        2: [[2, 1, 0], [5, 4, 3]],
        3: [[5, 4, 3], [2, 1, 0]],
        4: [[3, 4, 5], [0, 1, 2]],
        5: [[0, 3], [1, 4], [2, 5]],
        6: [[3, 0], [4, 1], [5, 2]],
        7: [[5, 2], [4, 1], [3, 0]],
        8: [[2, 5], [1, 4], [0, 3]],
    }


def test_sixteen_bits_are_scaled_and_never_saturated(tmp_path):
    ramp = np.linspace(0, 65535, 28 * 28).astype(np.uint16).reshape(28, 28)
    expected = (ramp >> 8).astype(np.uint8)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    Image.fromarray(ramp).save(tmp_path / "ramp.tif")
    (tmp_path / "ramp.pgm").write_bytes(b"P5 28 28 65535\n" + ramp.astype(">u2").tobytes())
    for source in (ramp, Picture(ramp[..., None]), *(tmp_path / f"ramp.{kind}" for kind in ("png", "tif", "pgm"))):
        np.testing.assert_array_equal(processor().pixels(source)[0, :, :, 0], expected)
    colours = processor(mean=RGB).pixels(np.stack([ramp] * 3, -1))
    np.testing.assert_array_equal(colours[0], np.stack([expected] * 3, -1))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P", "L", "RGB"])
def test_what_is_transparent_lies_on_the_ground(mode):
    """A black shape on nothing: visible on white, and on whatever ground is stated."""
    shape = np.zeros((28, 28, 4), np.uint8)
    shape[10:20, 10:20, 3] = 255
    image, options = Image.fromarray(shape), {}
    if mode in ("LA", "PA"):
        image = image.convert("LA") if mode == "LA" else image.convert("PA")
    elif mode in ("L", "RGB"):  # one colour stands for transparency
        grey = np.where(shape[..., 3] > 0, 0, 77).astype(np.uint8)
        image = Image.fromarray(grey).convert(mode)
        options["transparency"] = 77 if mode == "L" else (77, 77, 77)
    elif mode == "P":
        image = Image.fromarray(np.where(shape[..., 3] > 0, 1, 0).astype(np.uint8))
        image.putpalette([9, 9, 9, 0, 0, 0])
        options["transparency"] = 0
    source = image if mode == "PA" else encoded(image, "PNG", **options)
    for ground in (255, 128):
        found = processor(ground=ground).pixels(source)[0, :, :, 0]
        np.testing.assert_array_equal(found, np.where(shape[..., 3] > 0, 0, ground))


def test_half_transparent_by_hand():
    # (200 · 100 + 255 · 155 + 127) // 255 = (20000 + 39525 + 127) // 255 = 233
    pixel = np.array([[[200, 100]]], np.uint8)
    assert processor(1, 1).pixels(pixel).item() == 233


def test_grey_of_colours_and_colours_of_grey():
    pixel = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    assert processor(1, 4).pixels(pixel)[0, 0, :, 0].tolist() == [76, 150, 29, 255]  # ITU-R 601
    np.testing.assert_array_equal(processor(2, 3, RGB).pixels(CORNERS)[0], np.repeat(CORNERS, 3, 2))


def test_grey_is_pillows_to_the_last_bit():
    pixels = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    np.testing.assert_array_equal(processor(200, 200).pixels(pixels)[0, :, :, 0], Image.fromarray(pixels).convert("L"))


@pytest.mark.parametrize("mode", ["1", "CMYK", "YCbCr", "HSV", "RGBX", "I;16"])
def test_other_modes_of_pil(mode):
    image = Image.fromarray(np.full((28, 28), 200, np.uint8))
    if mode == "I;16":
        image = Image.fromarray(np.full((28, 28), 200 << 8, np.uint16))
    else:
        image = image.convert("RGB").convert(mode)
    found = processor().pixels(image)[0, :, :, 0].astype(int)
    if mode == "1":  # black and white dots that are 200 on average
        assert set(found.flat) == {0, 255} and abs(found.mean() - 200) < 10
    else:
        assert np.abs(found - 200).max() <= 1


@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
@pytest.mark.parametrize("resize", ["crop", "stretch"])
def test_resizing_is_pillows_to_the_last_bit(filter, resize):
    """Across, then down, by Pillow itself: one pass at a time, because its versions differ in which comes first."""
    generator = np.random.default_rng(0)
    method = getattr(Image.Resampling, filter.upper())
    for _ in range(60):
        (h, w), (height, width) = generator.integers(1, 300, 2).tolist(), generator.integers(1, 120, 2).tolist()
        pixels = generator.integers(0, 256, (h, w, 3), np.uint8)
        box = (0.0, 0.0, w, h)
        if resize == "crop":  # Pillow's ImageOps.fit
            if w / h >= width / height:
                inner = width / height * h
                box = ((w - inner) * 0.5, 0, (w - inner) * 0.5 + inner, h)
            else:
                inner = w / (width / height)
                box = (0, (h - inner) * 0.5, w, (h - inner) * 0.5 + inner)
        image = Image.fromarray(pixels)
        image = image.resize((width, h), method, box=(box[0], 0, box[2], h))
        image = image.resize((width, height), method, box=(0, box[1], width, box[3]))
        found = processor(height, width, RGB, resize=resize, filter=filter).pixels([pixels])
        np.testing.assert_array_equal(found[0], np.asarray(image), err_msg=f"{(h, w)} → {(height, width)}")


def test_letterbox_keeps_all_of_it_between_bars():
    wide = np.full((50, 100, 3), 200, np.uint8)
    found = processor(40, 40, RGB, resize="letterbox", fill=7).pixels(wide)[0]
    assert (found[:10] == 7).all() and (found[10:30] == 200).all() and (found[30:] == 7).all()
    tall = processor(40, 40, RGB, resize="letterbox").pixels(wide.transpose(1, 0, 2))[0]
    assert (tall[:, :10] == 114).all() and (tall[:, 10:30] == 200).all()


def test_the_share_of_a_crop():
    """Half of the sides of a ring: its middle alone is left."""
    ring = np.zeros((40, 40), np.uint8)
    ring[10:30, 10:30] = 255
    assert processor(20, 20, crop_share=0.5).pixels(ring).min() == 255
    assert processor(20, 20).pixels(ring).min() == 0


def test_a_batch_a_list_and_one_are_the_same():
    frames = np.random.default_rng(0).integers(0, 256, (3, 50, 70, 3), np.uint8)
    one = processor(mean=RGB)
    expected = np.concatenate([one.pixels(frame) for frame in frames])
    np.testing.assert_array_equal(one.pixels(frames), expected)
    np.testing.assert_array_equal(one.pixels(list(frames)), expected)
    assert one.pixels([]).shape == (0, 28, 28, 3)


def test_arrays_of_another_meaning_are_refused():
    for array, message in [
        (np.zeros((5, 5), np.float32), r"round 255 · x where its values run from 0 to 1"),
        (np.zeros((5, 5), np.int16), "not int16"),
        (np.zeros((5, 5), bool), "not bool"),
        (np.zeros((3, 50, 60), np.uint8), r"array.transpose\(1, 2, 0\)"),
        (np.zeros((7, 50, 60), np.uint8), "1 to 4 channels"),
        (np.zeros((0, 50, 3), np.uint8), "has no pixels"),
        (np.zeros((2, 2, 50, 60, 3), np.uint8), "1 to 4 channels"),
        (np.zeros(9, np.uint8), "1 to 4 channels"),
        (np.array(9, np.uint8), "1 to 4 channels"),
        ("", "is a folder|no image"),
        (None, "not NoneType"),
        (7, "not int"),
    ]:
        with pytest.raises(InputError, match=message):
            processor().pixels(array)


def test_files_that_are_no_image(tmp_path):
    good = encoded(Image.fromarray(np.zeros((60, 60, 3), np.uint8)), "JPEG")
    for name, content, message in [
        ("text.png", b"no picture", "no image in a format that Pillow knows"),
        ("empty.jpg", b"", "it is empty"),
        ("page.jpg", b"<!DOCTYPE html><html>", "it is text"),
        ("pointer.png", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        ("cut.jpg", good[: len(good) // 2], "is damaged"),
    ]:
        (tmp_path / name).write_bytes(content)
        for source in (tmp_path / name, content):
            with pytest.raises(InputError, match=message):
                processor().pixels(source)
    with pytest.raises(InputError, match="does not exist"):
        processor().pixels(tmp_path / "nothing.png")
    with pytest.raises(InputError, match="is a folder"):
        processor().pixels(tmp_path)


@pytest.mark.parametrize(("mode", "message"), [("F", "floating-point"), ("I", "32-bit")])
def test_depths_without_a_plain_meaning_are_refused(tmp_path, mode, message):
    Image.new(mode, (9, 9)).save(tmp_path / "deep.tif")
    with pytest.raises(InputError, match=f"{message} values"):
        processor().pixels(tmp_path / "deep.tif")


def test_a_pil_image_that_cannot_be_decoded(tmp_path):
    good = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)), "JPEG")
    cut = Image.open(io.BytesIO(good[: len(good) // 2]))
    closed = Image.open(io.BytesIO(good))
    closed.close()
    for image in (cut, closed):
        with pytest.raises(InputError, match="the PIL image is damaged, or was closed,"):
            processor().pixels(image)


def test_an_open_file_of_text_is_no_image(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"plain words")
    message = r"returns text, not bytes; open it as open\(path, 'rb'\)"
    with (tmp_path / "photo.jpg").open() as file, pytest.raises(InputError, match=message):
        processor().pixels(file)
    with pytest.raises(InputError, match="cannot be read"):  # it is closed by now
        processor().pixels(file)


def test_reading_a_photo_leaves_the_process_as_it_was(tmp_path, monkeypatch):
    """Pillow's limit and the filters of warnings, even where two threads read at once."""
    Image.new("L", (100, 50)).save(tmp_path / "photo.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3000)
    monkeypatch.setenv(LIMIT, "10000")
    before, decoding = list(warnings.filters), threading.Barrier(2)
    decode = pictures._decode
    monkeypatch.setattr(pictures, "_decode", lambda *words: (decoding.wait(10), decode(*words))[1])
    with ThreadPoolExecutor(2) as pool, warnings.catch_warnings(record=True) as raised:
        inside = list(warnings.filters)
        list(pool.map(processor().pixels, [tmp_path / "photo.png"] * 2))
        assert warnings.filters == inside and not raised
    assert Image.MAX_IMAGE_PIXELS == 3000 and warnings.filters == before


def test_too_many_pixels_are_refused_and_may_be_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    Image.new("L", (100, 50)).save(tmp_path / "large.png")
    with pytest.raises(InputError, match=rf"large.png has 5,000 pixels, more than the 2,000 .* set {LIMIT}"):
        processor().pixels(tmp_path / "large.png")
    monkeypatch.setenv(LIMIT, "5000")
    assert processor().pixels(tmp_path / "large.png").shape == (1, 28, 28, 1)
    monkeypatch.setenv(LIMIT, "many")
    with pytest.raises(InputError, match="must be a number of pixels"):
        processor().pixels(tmp_path / "large.png")


def test_it_is_written_down_whole():
    odd = ImageProcessor(20, 30, RGB, RGB, "letterbox", "bicubic", 0.9, 3, 4)
    assert processor_from_json(odd.to_json()) == odd
    # What an older version wrote: no kind, and the way that it resized.
    old = {"height": 28, "width": 28, "mean": [0.5], "std": [0.25]}
    assert processor_from_json(old) == processor()
    with pytest.raises(InputError, match="mean is missing"):
        processor_from_json({"height": 28, "width": 28})


def test_sixteen_bit_grey_with_a_clear_value_and_in_negative(tmp_path):
    """What Pillow does for 8 bits alone: one value stands for transparency; TIFF's white may be 0."""
    shape = np.full((28, 28), 5000, np.uint16)
    shape[10:20, 10:20] = 0
    Image.fromarray(shape).save(tmp_path / "clear.png", transparency=5000)
    found = processor(ground=200).pixels(tmp_path / "clear.png")[0, :, :, 0]
    np.testing.assert_array_equal(found, np.where(shape == 5000, 200, 0))
    ramp = np.linspace(0, 65535, 28 * 28).astype(np.uint16).reshape(28, 28)
    Image.fromarray(ramp).save(tmp_path / "negative.tif", tiffinfo={262: 0})
    np.testing.assert_array_equal(
        processor().pixels(tmp_path / "negative.tif")[0, :, :, 0], ((65535 - ramp) >> 8).astype(np.uint8)
    )


def test_twelve_bits_are_scaled_to_sixteen():
    """A TIFF of scanners and microscopes, by hand: two pixels in three bytes."""
    ramp = np.linspace(0, 4095, 28 * 28).astype(np.uint16).reshape(28, 28)
    first, second = ramp[:, ::2], ramp[:, 1::2]
    body = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], -1).astype(np.uint8).tobytes()
    # Width, height, bits, no compression, black is 0, where the pixels begin, channels, rows, bytes.
    tags = {256: 28, 257: 28, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 28, 279: len(body)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    content = struct.pack("<2sHI", b"II", 42, 8 + len(body)) + body + struct.pack("<H", len(tags)) + entries + bytes(4)
    np.testing.assert_array_equal(processor().pixels(content)[0, :, :, 0], ramp >> 4)


def test_an_open_file_is_read():
    content = io.BytesIO(encoded(Image.new("L", (28, 28), 9)))
    assert (processor().pixels(content) == 9).all()


class DeadlineError(RuntimeError):
    """Of a caller's own signal handler."""


def raising(error):
    def raises(*words, **options):
        raise error

    return raises


@pytest.mark.parametrize(
    "error", [TimeoutError(), TimeoutError("late"), MemoryError(), DeadlineError("late")], ids=repr
)
def test_what_is_the_callers_own_comes_out_as_it_is(monkeypatch, error):
    """A signal handler raises in the middle of whatever runs: while a file is opened, decoded, or its EXIF is read."""
    content = encoded(Image.new("L", (9, 9)))
    for place in ("PIL.Image.open", "PIL.ImageFile.ImageFile.load", "PIL.Image.Image.getexif"):
        with monkeypatch.context() as patch:
            patch.setattr(place, raising(error))
            with pytest.raises(type(error)) as caught:
                processor().pixels(content)
            assert caught.value is error

    class Source:
        read = staticmethod(raising(error))

    with pytest.raises(type(error)):
        processor().pixels(Source())


def test_what_the_system_refuses_is_no_damage(tmp_path, monkeypatch):
    Image.new("L", (9, 9)).save(tmp_path / "photo.png")
    for place in ("PIL.Image.open", "PIL.ImageFile.ImageFile.load"):
        with monkeypatch.context() as patch:
            patch.setattr(place, raising(OSError(errno.EMFILE, "Too many open files")))
            with pytest.raises(InputError, match=r"photo.png cannot be read: Too many open files$"):
                processor().pixels(tmp_path / "photo.png")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "PPM", "ICO", "TGA", "PCX"])
def test_a_file_that_was_cut_off_anywhere_is_an_input_error(tmp_path, format):
    """From memory and from a path: whatever kind of exception Pillow makes of it. Half a picture may be one."""
    good = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)), format)
    for size in range(1, len(good), 7):
        (tmp_path / "photo").write_bytes(good[:size])
        for source in (good[:size], tmp_path / "photo"):
            try:
                assert processor().pixels(source).shape == (1, 28, 28, 1)
            except InputError as error:
                assert "\n" not in str(error) and "cannot be read:" not in str(error)


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_masked_arrays_are_refused_and_other_subclasses_are_plain(tmp_path):
    plain = np.random.default_rng(0).integers(0, 256, (9, 9), np.uint8)
    expected = processor().pixels(plain)
    np.save(tmp_path / "x.npy", plain)
    for same in (np.matrix(plain), np.load(tmp_path / "x.npy", mmap_mode="r"), plain.view(np.recarray)):
        found = processor().pixels(same)
        assert type(found) is np.ndarray
        np.testing.assert_array_equal(found, expected)
    deep = plain.astype(np.uint16) << 8
    np.testing.assert_array_equal(processor().pixels(deep.astype(">u2")), expected)
    for size in (9, 28):  # to be resized, and ready as it is
        masked = np.ma.masked_equal(np.zeros((size, size), np.uint8), 0)
        for source in (masked, [masked], masked[None, ..., None]):
            with pytest.raises(InputError, match=r"a masked array .* pass array.filled\(value\)"):
                processor().pixels(source)
