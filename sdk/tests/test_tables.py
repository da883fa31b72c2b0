"""Samples in a folder with a table of targets beside them, parquet with other targets than classes, and arrays."""

import io
import json
import sys
import wave
from types import ModuleType

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet
from typer.testing import CliRunner

from edgestill.cli import console
from edgestill.cli.app import app
from edgestill.data import DataOptions, ImageSource, Split, load_data
from edgestill.data.formats.table_files import read_table
from edgestill.data.formats.tables import list_all, list_tables
from edgestill.errors import DataError
from edgestill.tasks import find_task

GENERATOR = np.random.default_rng(0)
LABELS = find_task("multi-label-classification")
VALUES = find_task("regression")


def photo(path, shade=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = GENERATOR.integers(0, 256, (6, 5, 3), dtype=np.uint8) if shade is None else np.full((6, 5, 3), shade)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def photos(folder, names):
    for name in names:
        photo(folder / name)


def listed(place, task=VALUES):
    """Of each split: name of the file → target."""
    found = list_tables(place, "image", task)
    return {
        split: dict(zip([path.name for path in part.samples.paths], part.targets.tolist(), strict=True))
        for split, part in found.splits.items()
    }


def everything(place, task=VALUES):
    """Name of the file → target, of all splits."""
    part, _, _ = list_all(place, "image", task)
    return dict(zip([path.name for path in part.samples.paths], part.targets.tolist(), strict=True))


def refusal(place, task=VALUES):
    with pytest.raises(DataError) as caught:
        list_tables(place, "image", task)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "file,age\n1.png,31\n2.png,4.5\n"),
        ("a.csv", "\ufefffile;age\r\n1.png;31\r\n2.png;4.5\r\n"),
        ("a.tsv", "file\tage\n1.png\t31\n2.png\t4.5"),
        ("a.csv", 'age|"file"\n31|"1.png"\n\n4.5|2.png\n'),
        ("a.csv", "File Name, age,\n1.png, 31,\n2.png, 4.5,\n"),  # a last column without anything in it
        ("a.json", '[{"file": "1.png", "age": 31}, {"age": 4.5, "file": "2.png"}]'),
        ("a.json", '{"1.png": {"age": 31}, "2.png": {"age": 4.5}}'),
        ("a.JSONL", '{"file_name": "1.png", "age": 31}\n\n{"file_name": "2.png", "age": "4.5"}\n'),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_tables_as_people_write_them(tmp_path, name, text, encoding):
    photos(tmp_path, ["1.png", "2.png"])
    (tmp_path / name).write_bytes(text.encode(encoding))
    _, read, notes = list_all(tmp_path, "image", VALUES)
    assert everything(tmp_path) == {"1.png": [31], "2.png": [4.5]} and read.names == ("age",) and not notes


def test_a_json_object_may_give_the_target_alone(tmp_path):
    photos(tmp_path, ["1.png", "2.png"])
    (tmp_path / "a.json").write_text('{"1.png": ["sea", "sky"], "2.png": []}')
    assert everything(tmp_path, LABELS) == {"1.png": [1, 1], "2.png": [0, 0]}
    (tmp_path / "a.json").write_text('{"1.png": [0.5, 2], "2.png": [3, 4]}')
    assert everything(tmp_path) == {"1.png": [0.5, 2], "2.png": [3, 4]}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"", "a.csv is empty; it needs a header and a row for each sample"),
        ("a.csv", b"file,age\n", "a.csv has no rows; it needs one for each sample"),
        ("a.csv", b"1.png,31\n2.png,4\n", "has the columns 1.png, 31, and none of them names the samples"),
        ("a.csv", b"file,age\n1.png,3,5\n", "a.csv, line 2 has 3 cells, and the header 2"),
        ("a.csv", b'file,age\n1.png,3\n"2.png,4\n', "a.csv, line 3 is no line of a CSV: unexpected end of data"),
        ("a.csv", b"file,age,age\n1.png,3,4\n", "two columns are called 'age'"),
        ("a.csv", "file,age\ncafé.png,3\n".encode("latin-1"), "a.csv, line 2 is no text in UTF-8"),
        ("a.csv", b"file,age\n1.png,\0\n", "a.csv, line 2 has a zero byte"),
        ("a.csv", b"version https://git-lfs.github.com/spec/v1\n", "a.csv is a Git LFS pointer"),
        ("a.csv", b"file,age\n1.png,\n2.png,4\n", "a.csv, line 2: age is empty; give it a value, or remove the row"),
        ("a.csv", b"file;age\n1.png;1\n2.png;4,5\n3.png;2\n", "line 3: age is '4,5', and values are numbers; write"),
        ("a.csv", b"file,age\n1.png,1\n\n2.png,nan\n", "a.csv, line 4: age is nan, which is no value"),
        ("a.csv", b"file,name\n1.png,x\n", "a.csv has no column of numbers: it has name"),
        ("a.csv", b"file\n1.png\n", "it has no other column than that of the files"),
        ("a.csv", b"file,age\n,1\n", "a.csv, line 2 names no file; name one, or remove the row"),
        ("a.csv", b"file,age\n../1.png,1\n", "line 2: ../1.png leads out of"),
        ("a.csv", b"file,age\n/etc/1.png,1\n", "line 2: /etc/1.png leads out of"),
        ("a.csv", b"file,age\nC:\\x\\1.png,1\n", "C:/x/1.png leads out of"),
        ("a.csv", b"file,age\nhttp://x/1.png,1\n", "line 2: http://x/1.png is an address; fetch the files"),
        ("a.csv", b"file,age\n8.png,1\n9.png,2\n", "a.csv names is there: line 2 (8.png), line 3 (9.png)"),
        ("a.csv", b"file,age\n1.png,1\n2.png,2\n1,3\n", "a.csv, line 4 names 1, as line 2 does"),
        ("a.csv", b"file,age,split\n1.png,1,train\n2.png,2,\n", "a.csv, line 3: split is ''; it is train, validation"),
        ("a.csv", b"file,age,split\n1.png,1,test\n2.png,2,val\n", "has no row of the split train, but of test, valid"),
        ("a.json", b'{"1.png": 1, "1.png": 2}', "a.json: '1.png' is there twice"),
        ("a.json", b'[{"file": "1.png"}, 3]', "a.json, entry 2 is a number; it needs an object with a `file`"),
        ("a.json", b'"1.png"', "a.json is text; it needs a list of objects, or an object of files"),
        ("a.json", b'{"images": [{"id": 1}], "annotations": []}', "'images' is a list of objects; a table is that"),
        ("a.json", b'[{"file": "1.png",\n "age": }]', "a.json, line 2 is no JSON: Expecting value at column 9"),
        ("a.json", b'[{"file": "1.png", "age": 1}, {"file": "2.png"}]', "a.json, entry 2: age is empty"),
        ("a.json", b'[{"file": true, "age": 1}]', "a.json, entry 1: file names a file as text, not True"),
        ("a.json", b'[{"file": "1.png", "age": NaN}]', "a.json, entry 1: age is nan, which is no value"),
        ("a.json", b'[{"file": "1.png", "age": 1e400}]', "a.json, entry 1: age is inf, which is no value"),
        ("a.json", b"[" * 100_000, "a.json is no JSON that can be read"),
        ("a.jsonl", b'{"file": "1.png", "age": 1}\n{"file"}\n', "a.jsonl, line 2 is no JSON"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_used_say_where_and_what_to_do(tmp_path, name, content, said):
    photos(tmp_path, ["1.png", "2.png", "3.png"])
    (tmp_path / name).write_bytes(content)
    assert said in refusal(tmp_path)


def test_files_are_found_as_people_write_them(tmp_path):
    photos(tmp_path, ["in/deep/1.png", "in/2.v2.jpg", "cafe\u0301.png", "7.png"])
    rows = ("deep\\1.png", "2.v2", "./caf\u00e9.png", f"{tmp_path.resolve()}/7.png")
    (tmp_path / "a.csv").write_text("file,age\n" + "".join(f"{name},{n}\n" for n, name in enumerate(rows)))
    assert everything(tmp_path) == {"1.png": [0], "2.v2.jpg": [1], "cafe\u0301.png": [2], "7.png": [3]}
    (tmp_path / "a.json").write_text('[{"id": 7, "age": 5}]')  # a number is a name too
    assert everything(tmp_path / "a.json") == {"7.png": [5]}


def test_a_name_that_fits_several_files_is_refused(tmp_path):
    photos(tmp_path, ["a/1.png", "b/1.png", "1.jpg"])
    (tmp_path / "t.csv").write_text("file,age\n1.png,1\n")
    assert "t.csv, line 2: 1.png fits a/1.png, b/1.png; write the path" in refusal(tmp_path)
    (tmp_path / "t.csv").write_text("file,age\nb/1,1\na/1.png,2\n1.jpg,3\n")
    part, _, _ = list_all(tmp_path, "image", VALUES)
    found = {
        path.relative_to(tmp_path).as_posix(): one
        for path, (one,) in zip(part.samples.paths, part.targets, strict=True)
    }
    assert found == {"1.jpg": 3, "a/1.png": 2, "b/1.png": 1}


def test_a_path_leads_out_of_the_folder_wherever_it_turns(tmp_path):
    photos(tmp_path, ["outside/1.png", "set/2.png"])
    (tmp_path / "set" / "a.csv").write_text("file,age\n2.png,1\nsub/../../outside/1.png,2\n")
    assert "line 3: sub/../../outside/1.png leads out of" in refusal(tmp_path / "set")


def test_what_is_left_out_is_counted_and_said(tmp_path):
    photos(tmp_path, [f"{number}.png" for number in range(12)])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "more.txt").write_text("x")
    rows = "".join(f"{number}.png,{number},x\n" for number in range(10)) + "99.png,1,x\nempty,1,x\n"
    (tmp_path / "a.csv").write_text(f"file,age,note\n{rows}")
    found = list_tables(tmp_path, "image", VALUES)
    assert found.notes == (
        "a.csv: 2 of its rows name no file that is there: line 12 (99.png), line 13 (empty)",
        "a.csv: values are read from age; note is not read. `columns` under [task_options] says others",
        "there is no test split: a fifth is set aside as one, 2 images, by their names",
        "not read: 1 empty (empty.png); 1 .txt (more.txt)",
        "2 images have no row in a table and are not read: 10.png, 11.png",
    )
    assert found.skipped == {"empty": 1, ".txt": 1} and found.name == f"image-folder:{tmp_path.name}"


def test_columns_are_chosen_by_a_rule_or_by_name(tmp_path):
    photos(tmp_path, ["1.png", "2.png"])
    (tmp_path / "a.csv").write_text("id,image,width,age,who\n7,1.png,640,31,x\n8,2.png,480,4,y\n")
    _, read, notes = list_all(tmp_path, "image", VALUES)
    assert read.names == ("width", "age")
    assert notes == (
        "a.csv: values are read from width, age; id, who are not read. `columns` under [task_options] says others",
    )
    _, read, notes = list_all(tmp_path, "image", find_task("regression", {"columns": ["age"]}))
    assert read.names == ("age",) and read.splits["train"].tolist() == [[31], [4]] and not notes
    with pytest.raises(DataError, match="a.csv has no column 'agee'; did you mean 'age'"):
        list_all(tmp_path, "image", find_task("regression", {"columns": "agee"}))


def test_a_fifth_is_set_aside_whatever_the_order_of_the_rows(tmp_path):
    names = [f"{number}.png" for number in range(40)]
    photos(tmp_path, names)
    rows = [f"{name},{'rare;' if name == '5.png' else ''}{'a' if n % 2 else 'b'}" for n, name in enumerate(names)]
    (tmp_path / "a.csv").write_text("\n".join(["file,tags", *rows]))
    first = listed(tmp_path, LABELS)
    (tmp_path / "a.csv").write_text("\n".join(["file,tags", *reversed(rows)]))
    assert listed(tmp_path, LABELS) == first
    assert len(first["test"]) == 8 and len(first["train"]) == 32
    assert "5.png" in first["train"]  # the only one of its label
    (tmp_path / "a.csv").write_text("file,tags\n1.png,a\n")
    assert "has 1 images with a row, and none to test with" in refusal(tmp_path, LABELS)


def test_splits_of_a_column_or_of_the_folders(tmp_path):
    names = ["train/1.png", "train/2.png", "val/3.png", "test/4.png"]
    photos(tmp_path, names)
    (tmp_path / "a.csv").write_text("file,age,Split\n1,1,train\n2,2,Training\n3,3,dev\n4,4,test\n")
    by_column = listed(tmp_path)
    assert by_column == {
        "train": {"1.png": [1], "2.png": [2]}, "validation": {"3.png": [3]}, "test": {"4.png": [4]}
    }  # fmt: skip
    (tmp_path / "a.csv").write_text("file,age\n" + "".join(f"{name},{n}\n" for n, name in enumerate(names, 1)))
    assert listed(tmp_path) == by_column
    assert "a.csv: the splits are the folders that the files lie in" in list_tables(tmp_path, "image", VALUES).notes
    photo(tmp_path / "5.png")
    (tmp_path / "a.csv").write_text("file,age\ntrain/1.png,1\n5.png,2\n")
    assert "some files of a.csv lie in folders of splits, and 5.png does not" in refusal(tmp_path)


@pytest.mark.parametrize(
    "tables", [("train.csv", "test.csv"), ("labels_train.csv", "labels-test.csv"), ("train/metadata.csv", "test/x.csv")]
)
def test_a_table_for_each_split(tmp_path, tables):
    photos(tmp_path, ["train/1.png", "train/2.png", "test/1.png"])  # of one name in both
    for name, rows in zip(tables, ("1.png,1\n2.png,2\n", "1.png,3\n"), strict=True):
        (tmp_path / name).write_text(f"file,age\n{rows}")
    assert listed(tmp_path) == {"train": {"1.png": [1], "2.png": [2]}, "test": {"1.png": [3]}}


def test_tables_of_splits_that_do_not_belong_together(tmp_path):
    photos(tmp_path, ["1.png", "2.png"])
    (tmp_path / "train.csv").write_text("file,age\n1.png,1\n")
    (tmp_path / "test.csv").write_text("file,years\n2.png,1\n")
    assert "test.csv has no column 'age', which train has; it has file, years" in refusal(tmp_path)
    (tmp_path / "test.csv").write_text("file,age\n1.png,1\n")
    assert "1.png is in two splits, test.csv, line 2 and train.csv, line 2; keep one" in refusal(tmp_path)
    (tmp_path / "my_train.json").write_text("[]")
    assert "has two tables for train: my_train.json and train.csv" in refusal(tmp_path)
    (tmp_path / "my_train.json").unlink()
    (tmp_path / "train.csv").unlink()
    assert "has a table for test (test.csv) and none for train" in refusal(tmp_path)


def test_several_tables_are_told_apart_by_name(tmp_path):
    photos(tmp_path, ["1.png", "2.png", "3.png"])
    assert "has no table of values: regression needs one beside the images, such as labels.csv" in refusal(tmp_path)
    (tmp_path / "ages.csv").write_text("file,age\n1.png,1\n2.png,2\n3.png,3\n")
    (tmp_path / "sizes.csv").write_text("file,size\n1.png,1\n2.png,2\n3.png,3\n")
    said = refusal(tmp_path)
    assert "has several tables: ages.csv, sizes.csv; name the one that is meant, image-folder:" in said
    found = list_tables(tmp_path / "sizes.csv", "image", VALUES)
    assert found.classes == ("size",) and found.name == f"image-folder:{tmp_path.name}/sizes.csv"
    assert "sizes.txt is no table" in refusal_of_file(tmp_path / "sizes.txt")
    with pytest.raises(DataError, match="is a table, and image-classification takes a folder for each class"):
        load_data(f"image-folder:{tmp_path / 'ages.csv'}")


def refusal_of_file(path):
    path.write_text("x")
    return refusal(path)


def test_a_folder_without_samples_or_without_anything(tmp_path):
    (tmp_path / "a.csv").write_text("file,age\n1.png,1\n")
    assert "has no images in it; not read: 1 .csv (a.csv)" in refusal(tmp_path)
    assert "nothing does not exist" in refusal(tmp_path / "nothing")


def test_cells_over_several_lines_keep_count_of_them(tmp_path):
    (tmp_path / "a.csv").write_text('file,note\n"1.png","two\nlines"\n2.png,x\n')
    assert read_table(tmp_path / "a.csv").lines == ["line 2", "line 4"]


def test_data_of_a_table_are_read_cut_and_told_apart_by_their_targets(tmp_path):
    for number in range(40):
        photo(tmp_path / f"{number}.png", 6 * number)
    rows = "".join(f"{number}.png,{number / 2}\n" for number in range(40))
    (tmp_path / "a.csv").write_text(f"file,brightness\n{rows}")
    photo(tmp_path / "more" / "x.png", 3)
    options = DataOptions(image_size=4, calibration=8, unlabelled=tmp_path / "more")
    data = load_data(f"image-folder:{tmp_path}", "regression", options)
    assert (len(data.train), len(data.validation), len(data.test)) == (30, 3, 8) and data.classes == ("brightness",)
    # What is beside the photo is what is in it.
    for split in (data.validation, data.test):
        np.testing.assert_allclose(split.images[:, 0, 0, 0], 12 * split.targets[:, 0])
    assert np.isnan(data.train.targets[-1]).all() and data.train.images[-1].max() == 3
    known = data.train.targets[:-1]
    assert data.task_settings["mean"] == [pytest.approx(known.mean())]
    assert np.nanmean(data.encoded(data.train)) == pytest.approx(0, abs=1e-6)
    again = load_data(f"image-folder:{tmp_path}", "regression", options)
    assert again.digest == data.digest
    (tmp_path / "a.csv").write_text(f"file,brightness\n{rows.replace('19.5', '19.75')}")
    assert load_data(f"image-folder:{tmp_path}", "regression", options).digest != data.digest


def test_recordings_with_a_table(tmp_path):
    for number in range(30):
        with wave.open(str(tmp_path / f"{number}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(GENERATOR.bytes(16000))
    rows = "".join(f"{number},{number / 2}\n" for number in range(30))
    (tmp_path / "loudness.csv").write_text(f"audio,loudness\n{rows}")
    data = load_data(f"audio-folder:{tmp_path}", options=DataOptions(calibration=2), task="regression")
    assert data.classes == ("loudness",) and data.processor.kind == "audio" and len(data.test) == 6


def png():
    content = io.BytesIO()
    Image.fromarray(GENERATOR.integers(0, 256, (4, 4, 3), dtype=np.uint8)).save(content, "PNG")
    return content.getvalue()


def parquet_folder(folder, metadata=None, **columns):
    folder.mkdir(exist_ok=True)
    for split, count in (("train", 4), ("test", 2)):
        cells = {name: column[:count] for name, column in columns.items()}
        table = pa.table({"image": [png() for _ in range(count)], **cells})
        parquet.write_table(table.replace_schema_metadata(metadata), folder / f"{split}.parquet")
    return f"parquet:{folder}"


def of_parquet(source, task):
    from edgestill.data import open_source

    return open_source(source, task=task)


def test_parquet_with_lists_of_labels(tmp_path):
    names = {"info": {"features": {"labels": {"feature": {"names": ["sea", "sky"], "_type": "ClassLabel"}}}}}
    numbers = [[1], [], [0, 1], [0]]
    source = parquet_folder(tmp_path / "numbers", {"huggingface": json.dumps(names)}, labels=numbers)
    found = of_parquet(source, LABELS)
    assert found.classes == ("sea", "sky") and found.train.targets.tolist() == [[0, 1], [0, 0], [1, 1], [1, 0]]
    text = [["sky"], None, ["sea", "sky"], ["sea"]]
    found = of_parquet(parquet_folder(tmp_path / "text", tags=text, id=[1, 2, 3, 4]), LABELS)
    assert found.classes == ("sea", "sky") and found.train.targets.tolist() == [[0, 1], [0, 0], [1, 1], [1, 0]]
    found = of_parquet(
        parquet_folder(tmp_path / "flags", sea=[True, False] * 2, sky=[1, 1, 0, 0], id=[5, 6, 7, 8]), LABELS
    )
    assert found.classes == ("sea", "sky") and found.test.targets.tolist() == [[1, 1], [0, 1]]
    assert (
        "train.parquet: labels are read from sea, sky; id is not read. `columns` under [task_options] says others"
        in (found.notes)
    )


def test_parquet_with_values(tmp_path):
    source = parquet_folder(tmp_path / "several", age=[31, 4, 5, 6], size=[0.5, 1.5, 2, 3], who=["a", "b", "c", "d"])
    found = of_parquet(source, VALUES)
    assert found.classes == ("age", "size") and found.test.targets.tolist() == [[31, 0.5], [4, 1.5]]
    assert of_parquet(source, find_task("regression", {"columns": ["size"]})).test.targets.tolist() == [[0.5], [1.5]]
    found = of_parquet(parquet_folder(tmp_path / "list", box=[[0.5, 1], [2, 3], [4, 5], [6, 7]]), VALUES)
    assert found.classes == ("0", "1") and found.test.targets.tolist() == [[0.5, 1], [2, 3]]
    empty = parquet_folder(tmp_path / "empty", age=[31, None, 3, 4])
    with pytest.raises(DataError, match=r"train.parquet, row 1: age is empty; give it a value, or remove the row"):
        of_parquet(empty, VALUES)
    with pytest.raises(DataError, match=r"train.parquet has no column 'hight'"):
        of_parquet(source, find_task("regression", {"columns": ["hight"]}))
    with pytest.raises(DataError, match="has the columns image, age; it needs label, and image or audio"):
        of_parquet(empty, "image-classification")


@pytest.fixture
def load(monkeypatch):
    """Load arrays as a source of somebody's own."""

    def loaded(targets, names, task, count=20):
        images = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
        module = ModuleType("own_source")
        module.make = lambda: ImageSource("mine", names, Split(images, targets), Split(images, targets))
        monkeypatch.setitem(sys.modules, "own_source", module)
        return load_data("own_source:make", options=DataOptions(calibration=4), task=task)

    return loaded


def test_a_function_of_the_users_own_gives_targets_of_any_task(load):
    flags = (np.arange(20)[:, None] % np.array([2, 3]) == 0).astype(np.uint8)
    data = load(flags, ("even", "third"), "multi-label-classification")
    assert data.classes == ("even", "third") and data.test.targets.tolist() == flags.tolist()
    assert load([["a"] if n % 2 else ["a", "b"] for n in range(20)], (), LABELS).classes == ("a", "b")
    data = load(np.linspace(0, 1, 20), ("share",), "regression")
    assert data.classes == ("share",) and data.test.targets.shape == (20, 1)
    with pytest.raises(DataError, match="mine: train has 20 images and 19 values"):
        load(np.zeros(19), (), VALUES)
    with pytest.raises(DataError, match="mine: train has 20 images and 0 values"):
        load(np.array(1.0), (), VALUES)
    with pytest.raises(DataError, match=r"`columns` under \[task_options\] is for tables and parquet"):
        load(np.zeros(20), (), find_task("regression", {"columns": ["a"]}))


def run(*words, code=0):
    with console.CONSOLE.capture() as captured:
        done = CliRunner().invoke(app, ["data", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == code
    return captured.get() or done.stdout


def test_the_command_shows_values_and_labels(tmp_path):
    for number in range(20):
        photo(tmp_path / "set" / f"{number}.png", 10 * (number // 2))  # each content twice
    rows = [f"{number}.png,{number // 2 + (number == 1)},{'sea;sky' if number % 3 else ''}" for number in range(20)]
    (tmp_path / "set" / "a.csv").write_text("\n".join(["file,brightness,tags", *rows]))
    source = f"image-folder:{tmp_path / 'set'}"
    said = " ".join(run(source, "--task", "regression", "--sheet", tmp_path / "s.png").split())
    for part in ("20 images of 1 value", "brightness", "mean", "samples 16 4", "the same content has different values"):
        assert part in said, part
    with Image.open(tmp_path / "s.png") as image:
        assert image.height > 8 * 72  # a row for each group of values
    facts = json.loads(run(source, "--task", "multi-label-classification", "--json"))
    assert facts["task"] == "multi-label-classification" and facts["classes"] == ["sea", "sky"]
    counts = [split["classes"]["sea"] + split["without"] for split in facts["splits"].values()]
    assert counts == [16, 4]
    # The test split is a fifth of the even numbers.
    rows = [f"{number}.png,{number // 2},{'sea' if number % 2 else ''}" for number in range(20)]
    (tmp_path / "set" / "a.csv").write_text("\n".join(["file,brightness,tags", *rows]))
    facts = json.loads(run(source, "--task", "multi-label-classification", "--json", code=1))
    assert "no sample of the test split has any label" in facts["errors"][0]
    (tmp_path / "r.toml").write_text(
        f'name = "r"\ntask = "regression"\n[task_options]\ncolumns = ["brightness"]\n[data]\nsource = "{source}"\n'
    )
    assert json.loads(run(tmp_path / "r.toml", "--json"))["splits"]["train"]["values"]["brightness"]["least"] >= 0
