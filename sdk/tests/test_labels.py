"""Labels as people write them, and the cut."""

import sys
from types import ModuleType

import numpy as np
import pytest

from edgestill.data import DataOptions, ImageSource, Split, load_data
from edgestill.data.cutting import cut
from edgestill.errors import DataError
from edgestill.tasks import ImageClassification
from edgestill.tasks.labels import almost_alike

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
PLAIN = np.arange(40) % 2
TASK = ImageClassification()


@pytest.fixture
def load(monkeypatch):
    """Load a source of these labels."""

    def loaded(labels, classes=("a", "b"), images=IMAGES, test=PLAIN, **keys):
        module = ModuleType("labelled_source")
        module.make = lambda: ImageSource("mine", classes, Split(images, labels), Split(IMAGES, test))
        monkeypatch.setitem(sys.modules, "labelled_source", module)
        return load_data("labelled_source:make", options=DataOptions(calibration=4, **keys))

    return loaded


@pytest.mark.parametrize(
    "labels",
    [
        PLAIN, PLAIN.astype(np.uint8), PLAIN.astype(float), PLAIN.astype(bool), PLAIN[:, None], np.eye(2)[PLAIN],
        PLAIN.tolist(), np.array(["a", "b"])[PLAIN], np.array(["a", "b"], dtype=object)[PLAIN],
        np.array([b"a", b"b"])[PLAIN],
    ],
)  # fmt: skip
def test_labels_of_a_plain_meaning_are_read(load, labels):
    text = np.asarray(labels).dtype.kind in "OSU"
    expected, read = load(PLAIN), load(labels, test=np.array(["a", "b"])[PLAIN] if text else PLAIN)
    assert read.train.targets.dtype == np.int64
    np.testing.assert_array_equal(read.train.targets, expected.train.targets)
    assert read.digest == expected.digest


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (PLAIN + 0.5, "train, sample 0 has the label 0.5: a class is a whole number or text"),
        (np.where(PLAIN == 1, np.nan, 0.0), r"sample 1 has no label \(NaN\)"),
        (PLAIN - 1, "sample 0 has the label -1; labels run from 0"),
        (PLAIN * 2, "train labels run from 0 to 2, but there are 2 classes"),
        (np.ones((40, 2), int), "sample 0 has 2 classes of 2: a classifier learns exactly one"),
        (np.full((40, 2), 0.5), r"labels of shape \(40, 2\) are read where each row is one-hot"),
        (np.zeros((40, 2, 2), int), r"one a sample, \(N,\), not of shape \(40, 2, 2\)"),
        ([[0]] * 39 + [[0, 1]], "lists of several lengths"),
        (np.array(["a", "c"])[PLAIN], "labels are text in one split and numbers in another|does not have: c"),
        (np.array(["a", None], dtype=object)[PLAIN], "sample 1 has no label"),
        (PLAIN[:-1], "train has 40 images and 39 labels"),
        (np.where(PLAIN == 1, 1e19, 0.0), r"sample 1 has the label 1e\+19, more than 64 bits hold"),
        (np.where(PLAIN == 1, np.uint64(2**63), np.uint64(0)), "sample 1 has the label 9223372036854775808, more than"),
        ([0, 2**70] * 20, "sample 1 has the label 1180591620717411303424, more than"),
        (np.eye(3, dtype=int)[PLAIN], "train: one-hot labels have 3 columns, but there are 2 classes"),
        (np.zeros(40, complex), "whole numbers or text, not complex128"),
    ],
)
def test_other_labels_are_refused_in_one_line(load, labels, said):
    with pytest.raises(DataError, match=said) as caught:
        load(labels)
    assert "\n" not in str(caught.value)


def test_text_that_is_no_declared_class_is_told_so(load):
    words = np.array(["x", "y"])[PLAIN]
    with pytest.raises(DataError, match="train has labels that are none of the classes a, b: x, y"):
        load(words, test=words)
    with pytest.raises(DataError, match="test has labels that train does not have: c"):
        load(words, (), test=np.array(["x", "c"])[PLAIN])


@pytest.mark.parametrize("classes", ["ab", ("a", 1), 2, None])
def test_classes_that_are_no_names_are_refused(load, classes):
    with pytest.raises(DataError, match=r"mine: classes must be names, such as \(\"cat\", \"dog\"\), not"):
        load(PLAIN, classes)
    assert load(PLAIN, np.array(["a", "b"])).classes == ("a", "b")


def test_classes_that_are_there_twice_are_refused(load):
    with pytest.raises(DataError, match="class name 'a' is there twice"):
        load(PLAIN, ("a", "a"))


@pytest.mark.parametrize(
    ("names", "alike"),
    [
        (("-1", "1"), False), (("A", "A-"), False), (("x -1", "x 1"), False), (("C", "C++"), False),
        (("hot dog", "hot_dog"), True), (("t-1", "T 1"), True), (("hot - dog", "hot dog"), True),
        ((" cat", "cat"), True),
    ],
)  # fmt: skip
def test_names_that_differ_in_more_than_how_they_are_written(names, alike):
    assert bool(almost_alike(names)) == alike


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (IMAGES.transpose(0, 3, 1, 2), r"give images.transpose\(0, 2, 3, 1\)"),
        (IMAGES / 255, "round 255"),
        (IMAGES.astype(np.uint16), "not uint16"),
        (IMAGES[..., [0, 1, 2, 0]], "transparent"),
        (IMAGES[:, :4], r"train images are \(4, 8, 3\), test images \(8, 8, 3\)"),
    ],
)
def test_images_of_another_form_are_refused_with_what_to_do(load, images, said):
    with pytest.raises(DataError, match=said):
        load(PLAIN, images=images)


def test_every_class_keeps_a_label():
    labels = np.repeat([0, 1], [950, 50])
    for seed in range(5):
        made = cut({"train": labels, "test": labels}, ("a", "b"), TASK, DataOptions(labelled=10, seed=seed), name="x")
        kept = made.targets[made.targets >= 0]
        assert len(kept) == 10 and set(kept.tolist()) == {0, 1}
        np.testing.assert_array_equal(kept, labels[made.train][made.targets >= 0])
    # Ten classes, one of a single sample, one label for each.
    rare = np.concatenate([np.arange(9).repeat(50), [9]])
    made = cut(
        {"train": rare, "test": rare}, [str(number) for number in range(10)], TASK, DataOptions(labelled=10), name="x"
    )
    assert sorted(made.targets[made.targets >= 0].tolist()) == list(range(10))


def test_no_class_is_lost_to_validation():
    labels = np.concatenate([np.zeros(20, int), np.arange(1, 9)])
    made = cut(
        {"train": labels, "test": labels},
        [str(number) for number in range(9)],
        TASK,
        DataOptions(validation=0.5),
        name="x",
    )
    assert set(labels[made.train].tolist()) == set(range(9))
    assert len(made.train) + len(made.validation) == 28
    assert not set(made.train.tolist()) & set(made.validation.tolist())


def test_what_is_too_few_is_refused_or_said():
    two = np.array([0, 1])
    with pytest.raises(DataError, match="x has 2 train samples: too few for 2 classes and 1 to validate with"):
        cut({"train": two, "test": two}, ("a", "b"), TASK, name="x")
    few = np.arange(30) % 2
    made = cut({"train": few, "test": few[:1]}, ("a", "b", "c"), TASK, name="x")
    assert "calibration takes all 27 train samples: 256 were asked for" in made.notes
    assert "test has no sample of the classes b, c" in made.notes
    assert any(note.startswith("thin: 3 validation samples") for note in made.notes)
    assert any(note.startswith("thin: 27 train samples for 3 classes") for note in made.notes)
    enough = np.arange(600) % 2
    assert len(cut({"train": enough, "test": enough}, ("a", "b"), TASK, name="x").notes) == 1
