"""`edgestill data`."""

import io
import json
import wave

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet
from typer.testing import CliRunner

from edgestill.cli import console
from edgestill.cli.app import app
from edgestill.data import DataOptions, Reading
from edgestill.data.inspection import inspect_source
from edgestill.data.samples import read_samples
from edgestill.errors import DataError, RecipeError
from edgestill.recipe import load_recipe

GENERATOR = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path):
    """Two classes, 51 and 7 photos, with everything that is worth a line."""
    for name, count in (("common-and-with-a-long-name", 50), ("rare", 5)):
        (tmp_path / name).mkdir()
        for number in range(count):
            pixels = GENERATOR.integers(0, 256, (10 + number, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    content = (tmp_path / "rare" / "0.png").read_bytes()
    (tmp_path / "common-and-with-a-long-name" / "copy.png").write_bytes(content)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (30, 10)).save(tmp_path / "rare" / "turned.jpg", exif=exif)
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(tmp_path / "rare" / "deep.png")
    (tmp_path / "rare" / "notes.txt").write_text("x")
    return tmp_path


def run(*words, code=0):
    with console.CONSOLE.capture() as captured:
        done = CliRunner().invoke(app, ["data", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == code
    return captured.get() or done.stdout


def test_what_is_in_a_folder(folder, tmp_path_factory, monkeypatch):
    monkeypatch.setattr(console.CONSOLE, "width", 80)
    sheet = tmp_path_factory.mktemp("sheet") / "sheet.png"
    text = run(f"image-folder:{folder}", "--image-size", 32, "--sheet", sheet, "--check")
    said = " ".join(text.split())
    for part in (
        "58 images of 2 classes", "formats: PNG 57, JPEG 1", "smallest 8×8, median", "largest 59×20",
        "colours: RGB 56, ", "grey 16 bit 1", "; 1 turned by EXIF", "model's input: 32×32 pixels: its middle",
        "not read: 1 .txt (rare/notes.txt)", "a fifth is set aside", "imbalanced: common-and-with-a-long-name",
        "the same content has different labels: 1, such as", "thin: ", "calibration takes all",
    ):  # fmt: skip
        assert part in said, part
    assert max(len(line) for line in text.splitlines() if str(folder) not in line) <= 80
    with Image.open(sheet) as image:
        assert image.width > 8 * 72 and image.height > 2 * 72


def recording(path, rate=16000):
    """Half a second of noise at 16 kHz."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(GENERATOR.bytes(16000))


def png(height):
    """The bytes of one, 9 pixels wide."""
    content = io.BytesIO()
    Image.fromarray(GENERATOR.integers(0, 256, (height, 9, 3), dtype=np.uint8)).save(content, "PNG")
    return content.getvalue()


def test_recordings_and_parquet_have_a_sheet_with_pictures_too(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "audio" / name).mkdir(parents=True)
        for number in range(5):
            recording(tmp_path / "audio" / name / f"{number}.wav")
    (tmp_path / "table").mkdir()
    for word in ("train", "test"):
        rows = pa.table({"image": [png(9) for _ in range(10)], "label": ["x", "y"] * 5})
        parquet.write_table(rows, tmp_path / "table" / f"{word}.parquet")
    for source in (f"audio-folder:{tmp_path / 'audio'}", f"parquet:{tmp_path / 'table'}"):
        facts = json.loads(run(source, "--sheet", tmp_path / "s.png", "--json"))
        with Image.open(tmp_path / "s.png") as sheet:
            # The first sample, 8 pixels from the corner; around it there are names and the ground.
            height, width = (facts["input"][name] for name in ("height", "width"))
            colours = sheet.crop((8, 8, 8 + width, 8 + height)).getcolors(1 << 20)
        assert len(colours) > 1, source


@pytest.mark.parametrize("name", ["s.jpg", "s", "s.png.txt"])
def test_a_sheet_is_a_png_by_its_name_too(tmp_path, name):
    with pytest.raises(DataError, match=r"a contact sheet is a PNG; give it a name that ends in \.png"):
        run(f"image-folder:{tmp_path / 'not-looked-at'}", "--sheet", tmp_path / name)


def test_everything_as_json(folder):
    facts = json.loads(run(f"image-folder:{folder}", "--resize", "letterbox", "--json"))
    assert facts["sizes"]["largest"] == [59, 20] and facts["turned"] == 1
    assert facts["input"]["resize"] == "letterbox" and facts["skipped"] == {".txt": 1}
    assert sum(split["samples"] for split in facts["splits"].values()) == 58
    assert facts["cut"]["train"] + facts["cut"]["validation"] == facts["splits"]["train"]["samples"]


def test_a_recipe_tells_source_and_cut(tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text('name = "r"\n[data]\ncalibration = 77\nvalidation = 0.2\n')
    facts = json.loads(run(recipe, "--json"))
    assert facts["name"] == "fashion-mnist-mini"
    assert facts["cut"] == {"train": 8000, "calibration": 77, "validation": 2000, "test": 2000}


def test_damaged_samples_are_listed_and_do_not_end_it(folder):
    whole = (folder / "rare" / "3.png").read_bytes()
    (folder / "rare" / "3.png").write_bytes(whole[:-60])
    (folder / "rare" / "4.png").write_bytes(whole[:20])
    quick, thorough = (inspect_source(f"image-folder:{folder}", check=check).facts["errors"] for check in (False, True))
    assert any("rare/4.png is" in line for line in quick) and not any("rare/3.png is" in line for line in quick)
    assert any("rare/3.png is damaged" in line for line in thorough)
    assert sum("rare/4.png is" in line for line in thorough) == 1


def test_what_would_stop_a_training_ends_with_1(tmp_path):
    for number in range(2):
        for name in ("train/a", "train/b", "test/a", "test/b")[: 4 - 2 * number]:
            (tmp_path / name).mkdir(parents=True, exist_ok=True)
            pixels = GENERATOR.integers(0, 256, (9, 9, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    assert "error" not in run(f"image-folder:{tmp_path}")
    whole = (tmp_path / "test" / "a" / "0.png").read_bytes()
    (tmp_path / "test" / "a" / "0.png").write_bytes(whole[:-60])
    run(f"image-folder:{tmp_path}")
    assert "error:" in run(f"image-folder:{tmp_path}", "--check", code=1)
    (tmp_path / "test" / "a" / "0.png").write_bytes(whole)
    (tmp_path / "train" / "a" / "1.png").unlink()
    (tmp_path / "train" / "b" / "1.png").unlink()
    assert "error:" in run(f"image-folder:{tmp_path}", code=1)
    assert json.loads(run(f"image-folder:{tmp_path}", "--json", code=1))["errors"]


def test_damaged_recordings_are_listed_too(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(5):
            recording(tmp_path / name / f"{number}.wav", 16000 if number else 8000)
    (tmp_path / "a" / "3.wav").write_bytes(b"RIFF\0\0\0\0WAVEfmt \0")
    whole = bytearray((tmp_path / "b" / "0.wav").read_bytes())
    whole[24:28] = (500).to_bytes(4, "little")
    (tmp_path / "rate500.wav").write_bytes(whole)
    with pytest.raises(DataError, match="rate500.wav: rate is samples a second, .* not 500"):
        read_samples(tmp_path / "rate500.wav")
    facts = inspect_source(f"audio-folder:{tmp_path}").facts
    assert facts["input"]["rate"] == 16000 and facts["rates"] == {"16000": 7, "8000": 2}
    assert any("a/3.wav is a damaged WAV file" in line for line in facts["errors"])
    assert (facts["seconds"]["shortest"], facts["seconds"]["longest"]) == (0.5, 1.0)


def test_parquet_images_of_several_sizes_need_a_size(tmp_path):
    for word in ("train", "test"):
        table = pa.table({"image": [png(8), png(9)], "label": ["x", "y"]})
        parquet.write_table(table, tmp_path / f"{word}.parquet")
    (line,) = (one for one in inspect_source(f"parquet:{tmp_path}").facts["errors"] if "sizes" in one)
    assert line == "images of 2 sizes: they need `image_size` under [data]"
    assert not any(
        "sizes" in one
        for one in inspect_source(f"parquet:{tmp_path}", options=DataOptions(image_size=16)).facts["errors"]
    )


def test_a_test_image_that_was_trained_on_is_said(tmp_path):
    image = GENERATOR.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    for path in ("train/a/1", "train/a/2", "train/b/1", "test/a/1", "test/b/1"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        pixels = image if path in ("train/a/1", "test/a/1") else GENERATOR.integers(0, 256, (9, 9, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{path}.png")
    warnings = inspect_source(f"image-folder:{tmp_path}").facts["warnings"]
    assert any(
        "the same content is in two splits, so that one is no test of the other: 1, such as" in w for w in warnings
    )


def test_digits_are_not_to_be_mirrored(tmp_path):
    for name in "69":
        (tmp_path / name).mkdir()
        for number in range(5):
            Image.fromarray(GENERATOR.integers(0, 256, (9, 9), dtype=np.uint8)).save(tmp_path / name / f"{number}.png")
    assert any(
        'augmentation = ["shift:2"]' in note for note in inspect_source(f"image-folder:{tmp_path}").facts["notes"]
    )


def test_a_source_that_cannot_be_used_is_one_line(tmp_path):
    with pytest.raises(DataError, match="no class folders"):
        inspect_source(f"image-folder:{tmp_path}")


def test_what_a_recipe_adds_without_labels_is_looked_at(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("recipe")
    text = f'name = "x"\n[data]\nsource = "image-folder:{folder}"\ncalibration = 8\nunlabelled = "more"\n'
    (place / "x.toml").write_text(text)
    facts = json.loads(run(place / "x.toml", "--json", code=1))
    assert facts["errors"] == [f"unlabelled: image folder {place / 'more'} does not exist"]
    (place / "more").mkdir()
    for number in range(3):
        Image.fromarray(GENERATOR.integers(0, 256, (30, 30, 3), dtype=np.uint8)).save(place / f"more/{number}.png")
    (place / "more" / "notes.txt").write_text("x")
    said = run(place / "x.toml")
    assert "unlabelled: 3 images more to train" in said and "unlabelled: not read: 1 .txt (notes.txt)" in said
    whole = (place / "more" / "1.png").read_bytes()
    (place / "more" / "1.png").write_bytes(whole[: len(whole) // 2])
    facts = json.loads(run(place / "x.toml", "--json", "--check", code=1))
    assert len(facts["errors"]) == 1 and "more/1.png" in facts["errors"][0] and facts["unlabelled"] == 3


@pytest.mark.parametrize(("size", "right"), [(4, True), (1, True), (0, False), (16385, False)])
def test_the_command_and_a_recipe_take_the_same_sizes(folder, tmp_path_factory, size, right):
    path = tmp_path_factory.mktemp("recipe") / "x.toml"
    path.write_text(f'name = "x"\n[data]\nsource = "image-folder:{folder}"\nimage_size = {size}\n')
    if right:
        assert load_recipe(path).data.image_size == size
        Reading(size).check()
        return
    with pytest.raises(RecipeError, match=f"data.image_size = {size}: it must be"):
        load_recipe(path)
    with pytest.raises(DataError, match=f"image_size must be 1 to 16384, not {size}"):
        inspect_source(f"image-folder:{folder}", options=DataOptions(image_size=size))
