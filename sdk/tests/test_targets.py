"""Targets of multi-label classification and of regression as people write them, and what is said of them."""

from decimal import Decimal

import numpy as np
import pytest
import torch

from edgestill.data import DataOptions
from edgestill.data.cutting import cut
from edgestill.errors import DataError, RecipeError
from edgestill.tasks import find_task
from edgestill.tasks.columns import TableColumns

LABELS = find_task("multi-label-classification")
VALUES = find_task("regression")


def read(task, cells, names=(), **more):
    return task.read_targets({"train": {"target": cells}, **more}, names, "mine")


def placed(**columns):
    return {"train": TableColumns(columns, lambda row: f"labels.csv, line {row + 2}")}


@pytest.mark.parametrize(
    ("cells", "names", "rows"),
    [
        (["sea; sky", "", "sky|sea|sky", " sea "], ("sea", "sky"), [[1, 1], [0, 0], [1, 1], [1, 0]]),
        (["sea, sky", "sky", None, "sea"], ("sea", "sky"), [[1, 1], [0, 1], [0, 0], [1, 0]]),
        (["a, b; c", "c"], ("a, b", "c"), [[1, 1], [0, 1]]),  # where ; divides, a comma is part of a label
        (["['sea', 'sky']", '["sky"]', "[]"], ("sea", "sky"), [[1, 1], [0, 1], [0, 0]]),
        ([["sky", "sea"], [], ["sky"]], ("sea", "sky"), [[1, 1], [0, 0], [0, 1]]),
        ([{"sky", "sea"}, ("sky",)], ("sea", "sky"), [[1, 1], [0, 1]]),
        (np.array(["b", "a;b"], object), ("a", "b"), [[0, 1], [1, 1]]),
        ([b"sea;sky", b"sky"], ("sea", "sky"), [[1, 1], [0, 1]]),
        ([[10, 2], [2], [10]], ("2", "10"), [[1, 1], [1, 0], [0, 1]]),  # numbers by their size
        ([[np.int64(1), 0], [np.array(1)]], ("0", "1"), [[1, 1], [0, 1]]),
        ([[0, 1, 1], [1, 0, 0]], ("0", "1", "2"), [[0, 1, 1], [1, 0, 0]]),  # numbers of labels are never there twice
        ([[True, False], [True, True]], ("0", "1"), [[1, 0], [1, 1]]),
        (np.eye(2), ("0", "1"), [[1, 0], [0, 1]]),
        (np.eye(2, dtype=bool), ("0", "1"), [[1, 0], [0, 1]]),
    ],
)
def test_labels_of_a_plain_meaning_are_read(cells, names, rows):
    found = read(LABELS, cells)
    assert found.names == names and found.splits["train"].dtype == np.uint8
    assert found.splits["train"].tolist() == rows


def test_labels_with_names():
    assert read(LABELS, [[1], [0, 2]], ("a", "b", "c")).splits["train"].tolist() == [[0, 1, 0], [1, 0, 1]]
    assert read(LABELS, ["c", "a;b"], ("a", "b", "c")).splits["train"].tolist() == [[0, 0, 1], [1, 1, 0]]
    assert read(LABELS, np.eye(2), ("x", "y")).names == ("x", "y")
    flags = {"train": {"sky": [0, 1], "sea": [1, 1]}}
    assert LABELS.read_targets(flags, (), "mine").names == ("sky", "sea")
    ordered = LABELS.read_targets(flags, ("sea", "sky"), "mine")  # as a model has them
    assert ordered.names == ("sea", "sky") and ordered.splits["train"].tolist() == [[1, 0], [1, 1]]


@pytest.mark.parametrize(
    ("cells", "names", "said"),
    [
        ([], (), "mine: train is empty; it needs at least one sample"),
        ([1, "a"], (), "train, sample 0: labels are a list, or text such as 'sea; sky', not 1"),
        ([float("nan")], (), "sample 0: labels are a list, or text"),
        (np.arange(3), (), "sample 0: labels are a list, or text"),
        ([["a"], [None]], (), "sample 1: a label is text, or the number of one, not None"),
        ([["a"], [""]], (), "sample 1: a label is text, or the number of one, not ''"),
        ([["a"], [1.5]], (), "sample 1: a label is text, or the number of one, not 1.5"),
        ([["a"], [["b"]]], (), "sample 1: a label is text, or the number of one"),
        ([[-1], [2]], (), "sample 0 has the label -1; numbers run from 0"),
        ([[0], [2]], ("a", "b"), r"sample 1 has the label 2, and there are 2 labels \(0–1\)"),
        (["a", "x"], ("a", "b"), "train has labels that are none of the labels: x"),
        (["a", "b"], ("a", "a"), "the name 'a' is there twice"),
        ([b"\xff"], (), "labels are text in UTF-8"),
        (["[a, b"], (), None),  # no list, and so a label as it is
        (["[a; b]"], (), r"sample 0: '\[a; b\]' begins like a list and is none"),
        ([[], []], (), "no sample of train has any label"),
        (np.zeros((2, 3)), (), "no sample of train has any label"),
        (np.full((2, 2), 0.5), (), "sample 0: 0 is np.float64\\(0.5\\); columns of labels hold 0 and 1"),
        (np.array([[1, np.nan]]), (), "sample 0: 1 is np.float64\\(nan\\); columns of labels hold 0 and 1"),
        (np.eye(3), ("a", "b"), "sample 0 has 3 columns of 0 and 1, and there are 2 labels"),
        (np.zeros((2, 2, 2)), (), r"labels of shape \(2, 2, 2\) are none"),
        (np.zeros((2, 0)), (), "no sample of train has any label"),
        (
            [[f"{row} {one}" for one in range(2)] for row in range(80)],
            (),
            "160 different labels for 80 samples",
        ),
    ],
)
def test_other_labels_are_refused_in_one_line(cells, names, said):
    if said is None:
        assert read(LABELS, cells).names == ("[a", "b")
        return
    with pytest.raises(DataError, match=said) as caught:
        read(LABELS, cells, names)
    assert "\n" not in str(caught.value)


def test_labels_of_other_splits_are_those_of_train():
    with pytest.raises(
        DataError,
        match="mine: test has labels that train does not have: fog; leave them out, or",
    ):
        read(LABELS, ["sea", "sky"], test={"target": ["fog; sea"]})
    with pytest.raises(DataError, match="test has no column tags, where train has its labels"):
        LABELS.read_targets({"train": {"tags": ["a"]}, "test": {"x": ["a"]}}, (), "mine")
    with pytest.raises(DataError, match="mine: test has other labels than train: fog, sky"):
        LABELS.read_targets({"train": {"sea": [1], "sky": [0]}, "test": {"sea": [1], "fog": [0]}}, (), "mine")
    swapped = {"train": {"sea": [1], "sky": [0]}, "test": {"sky": [1], "sea": [0]}}
    assert LABELS.read_targets(swapped, (), "mine").splits["test"].tolist() == [[0, 1]]


def test_a_bad_cell_of_a_table_is_named_by_its_line_and_column():
    with pytest.raises(DataError, match="labels.csv, line 3: sky is 'maybe'; columns of labels hold 0 and 1"):
        LABELS.read_targets(placed(sea=["1", "0"], sky=["0", "maybe"]), (), "mine")
    with pytest.raises(DataError, match="labels.csv, line 3: age is empty; give it a value, or remove the row"):
        VALUES.read_targets(placed(age=["1", " "]), (), "mine")
    with pytest.raises(DataError, match="labels.csv, line 2: age is '3,5', and values are numbers; write a decimal p"):
        VALUES.read_targets(placed(age=["3,5", "1"]), (), "mine")


@pytest.mark.parametrize(
    ("cells", "names", "rows"),
    [
        ([1, 2.5], ("target",), [[1], [2.5]]),
        (["1", " -2.5e1 ", "+.5"], ("target",), [[1], [-25], [0.5]]),
        ([torch.tensor(1.0), torch.tensor(2)], ("target",), [[1], [2]]),
        (np.array([3, 4], np.uint8), ("target",), [[3], [4]]),
        ([np.array(1.0), np.float32(2), Decimal("3.5")], ("target",), [[1], [2], [3.5]]),
        (np.array([[1.0, 2], [3, 4]]), ("0", "1"), [[1, 2], [3, 4]]),
        ([[1, 2], (3, 4), np.array([5, 6])], ("0", "1"), [[1, 2], [3, 4], [5, 6]]),
    ],
)
def test_values_of_a_plain_meaning_are_read(cells, names, rows):
    found = read(VALUES, cells)
    assert found.names == names and found.splits["train"].dtype == np.float32
    assert found.splits["train"].tolist() == rows


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([], "mine: train is empty"),
        ([1, None], "sample 1: target is empty; give it a value, or remove the row"),
        ([1, "much"], "sample 1: target is 'much', and values are numbers"),
        (["1_000", "2"], "sample 0: target is '1_000', and values are numbers"),
        ([True, False], "sample 0: target is True, and values are numbers"),
        (np.array([True]), "sample 0: target is np.True_, and values are numbers"),
        ([1j], "target is 1j, and values are numbers"),
        ([b"1"], "target is b'1', and values are numbers"),
        ([{"a": 1}], "target is {'a': 1}, and values are numbers"),
        (np.array(["2020-01-01"], "datetime64[D]"), "values are numbers"),
        ([1.0, float("nan")], "sample 1: target is nan, which is no value; remove it, or give it one"),
        (np.ma.masked_array([1.0, 2], [False, True]), "sample 1: target is nan, which is no value"),
        (np.array([[1, np.inf]]), "sample 0: 1 is inf, which is no value"),
        (["1e400", "1"], "sample 0: target is inf, which is no value"),
        ([10**400], "sample 0: target is inf, which is no value"),
        ([1e39], "1e\\+39 is too large for a 32-bit number; give it in another unit"),
        ([2.0**24 + 0.1, 2.0**24 + 0.3], "the values of target are all the same as 32-bit numbers, 1.67772e\\+07"),
        ([[1, 2], [3]], "sample 1: target has a list of 1, and the first sample a list of 2; each needs as many"),
        ([[1, 2], 3], "sample 1: target has one number, and the first sample a list of 2"),
        ([[1], [[2]]], "sample 1: target is one value, or a list of them"),
        ([[]], "target is one value, or a list of them, not \\[\\]"),
        (np.zeros((2, 2, 2)), r"a sample has one value, or a list of them, not an array \(2, 2\)"),
        (np.zeros((2, 0)), "a sample has one value"),
    ],
)
def test_other_values_are_refused_in_one_line(cells, said):
    with pytest.raises(DataError, match=said) as caught:
        read(VALUES, cells)
    assert "\n" not in str(caught.value)


def test_values_with_names():
    columns = {"train": {"height": [1.5, 2.5], "age": [3, 4]}}
    assert VALUES.read_targets(columns, (), "mine").names == ("height", "age")
    ordered = VALUES.read_targets(columns, ("age", "height"), "mine")  # as a model has them
    assert ordered.names == ("age", "height") and ordered.splits["train"].tolist() == [[3, 1.5], [4, 2.5]]
    with pytest.raises(DataError, match="has columns for height, age, and age, width are known"):
        VALUES.read_targets(columns, ("age", "width"), "mine")
    with pytest.raises(DataError, match="3 names for 2 values"):
        read(VALUES, [[1, 2]], ("a", "b", "c"))
    with pytest.raises(DataError, match="train has the values a, test has b"):
        VALUES.read_targets({"train": {"a": [1]}, "test": {"b": [1]}}, (), "mine")
    with pytest.raises(DataError, match="b has lists of numbers, and there are other columns"):
        VALUES.read_targets({"train": {"a": [1], "b": [[1, 2]]}}, (), "mine")


TABLE = {
    "id": ["1", "2", "3"], "image_id": ["7", "8", "9"], "note": ["x", "y", "z"], "age": ["31", "", "n/a"],
    "height": ["1.5", "1.6", ""], "sea": ["0", "1", ""], "sky": ["True", "false", "0"],
}  # fmt: skip


def test_which_columns_of_a_table_are_targets():
    # Numbers in most cells that are not empty; 0 and 1 are numbers too. `n/a` is one of two.
    assert VALUES.target_columns(TABLE, "t") == ("height", "sea")
    assert LABELS.target_columns(TABLE, "t") == ("sea", "sky")
    assert LABELS.target_columns({**TABLE, "Tags": ["a", "b", "c"]}, "t") == ("Tags",)
    assert LABELS.target_columns({"what": ["a;b"]}, "t") == ("what",)
    assert VALUES.target_columns({"id": [1], "box": [[1, 2]], "text": ["a"]}, "t") == ("box",)
    named = find_task("regression", {"columns": ["sea", "age"]})
    assert named.target_columns(TABLE, "t") == ("sea", "age")
    with pytest.raises(DataError, match="t has no column 'hight'; did you mean 'height'"):
        find_task("regression", {"columns": "hight"}).target_columns(TABLE, "t")
    with pytest.raises(DataError, match="t has no column of numbers: it has a, b; name those that are meant"):
        VALUES.target_columns({"a": ["x"], "b": [""]}, "t")
    with pytest.raises(DataError, match="t has no column of labels: it has a, b; call it `labels`"):
        LABELS.target_columns({"a": ["x"], "b": ["y"]}, "t")


@pytest.mark.parametrize(
    ("task", "options", "said"),
    [
        ("regression", {"tolerance": -1}, "tolerance is a number from 0 on"),
        ("regression", {"tolerance": True}, "tolerance is a number from 0 on"),
        ("regression", {"tolerance": "much"}, "tolerance is a number from 0 on"),
        ("regression", {"tolerance": []}, "tolerance is a number from 0 on"),
        ("regression", {"tolerance": float("nan")}, "tolerance is a number from 0 on"),
        ("regression", {"units": 3}, "units is a text"),
        ("regression", {"columns": [1]}, "columns are names of columns"),
        ("regression", {"columns": ["a", "a"]}, "columns names 'a' twice"),
        ("multi-label-classification", {"columns": 3}, "columns are names of columns"),
        ("multi-label-classification", {"thresholds": True}, "thresholds are probabilities"),
        ("multi-label-classification", {"thresholds": []}, "thresholds are probabilities"),
        ("multi-label-classification", {"thresholds": None}, "thresholds are probabilities"),
        ("multi-label-classification", {"threshold": 0.5}, "has no option 'threshold'; did you mean 'thresholds'"),
        ("image-classification", {"columns": "a"}, "has no option 'columns'"),
    ],
)
def test_options_that_make_no_sense(task, options, said):
    with pytest.raises(RecipeError, match=said):
        find_task(task, options)


def test_strata_are_the_rarest_label_or_tenths_of_the_first_value():
    targets = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, 0], [1, 0, 0]], np.uint8)
    # The third label is the rarest, then the second, then the first; no label at all is a group of its own.
    assert LABELS.strata(targets).tolist() == [1, 2, 0, 3, 2]
    values = np.random.default_rng(0).permutation(100).astype(np.float32)[:, None]
    assert VALUES.strata(values).tolist() == (values[:, 0] // 10).astype(int).tolist()
    assert VALUES.strata(values[:3]).max() == 0 and len(VALUES.strata(values[:1])) == 1
    made = cut({"train": values, "test": values}, ("x",), VALUES, DataOptions(validation=0.2), name="x")
    assert np.bincount((values[made.validation][:, 0] // 10).astype(int)).tolist() == [2] * 10


def test_targets_that_are_not_known():
    for task, known, names in (
        (LABELS, np.array([[0, 1], [0, 0]], np.uint8), ("a", "b")),
        (VALUES, np.array([[1.5, 2], [0, 0]], np.float32), ("x", "y")),
    ):
        forgotten = task.without(known, np.array([True, False]))
        assert forgotten.dtype == known.dtype and task.labelled(forgotten).tolist() == [True, False]
        assert (forgotten[0] == known[0]).all() and task.text(forgotten[1], names) == "none"
        unknown = task.unknown(3, names)
        assert unknown.dtype == known.dtype and not task.labelled(unknown).any() and len(unknown) == 3
        encoded = task.encode(forgotten, names, task.settings(known, names))
        assert encoded.dtype == np.float32 and np.isnan(encoded[1]).all() and np.isfinite(encoded[0]).all()
        assert (task.reordered(known, np.array([1, 0])) == known[:, ::-1]).all()


def test_what_is_said_of_targets():
    labels = np.array([[1, 1], [1, 0], [1, 0]], np.uint8)
    assert LABELS.summary(labels, ("a", "b")) == {"classes": {"a": 3, "b": 1}, "without": 0}
    assert LABELS.warnings(labels, ("a", "b")) == ["every train sample has a: there is nothing to learn of it"]
    assert "exactly one label" in LABELS.warnings(np.eye(3, dtype=np.uint8), ("a", "b", "c"))[0]
    assert LABELS.thin(labels, ("a", "b"), "test") == ["thin: test has fewer than 10 samples of a (3), b (1)"]
    assert LABELS.text(labels[0], ("a", "b")) == "a, b" and LABELS.text([0, 0], ("a", "b")) == "none"
    values = np.array([[1, 5], [3, 5]], np.float32)
    assert VALUES.summary(values, ("x", "y"))["values"]["x"] == {"least": 1.0, "mean": 2.0, "most": 3.0, "std": 1.0}
    assert VALUES.warnings(values, ("x", "y")) == ["y never varies in train: there is nothing to learn of it"]
    assert VALUES.text(values[0], ("x", "y")) == "x 1, y 5"
    assert VALUES.thin(values, ("x",), "validation")[0].startswith("thin: 2 validation samples")


def test_settings_are_those_of_train_or_of_a_model_that_gives_values():
    targets = np.array([[0.0], [2.0], [4.0]], np.float32)
    std = np.sqrt(8 / 3)  # of 0, 2 and 4
    made = VALUES.settings(targets, ("x",))
    assert made == {
        "mean": [2.0], "std": [pytest.approx(std)], "tolerance": [pytest.approx(0.05 * std)], "units": [""]
    }  # fmt: skip
    assert VALUES.conversion_settings(targets, ("x",)) == made | {"mean": [0.0], "std": [1.0]}
    assert LABELS.conversion_settings(np.eye(2, dtype=np.uint8), ("a", "b")) == {"thresholds": [0.5]}


def test_tensors_are_targets_too():
    from edgestill.data.source_arrays import _as_array

    assert read(VALUES, _as_array(torch.tensor([1.0, 2.0]), "x")).splits["train"].tolist() == [[1], [2]]
    with pytest.raises(DataError, match="x: its targets make no array"):
        _as_array(torch.ones(2, requires_grad=True), "x")
