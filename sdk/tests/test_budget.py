"""When so many samples tell whether a budget is kept, and when they do not."""

import numpy as np
import pytest

from edgestill.budget import Loss, unpaired_loss
from edgestill.budget import measure_loss as measure_loss_of
from edgestill.tasks import ImageClassification

TASK = ImageClassification()


def measure_loss(reference, outputs, labels):
    return measure_loss_of(TASK.on_device((), {}), [reference], [outputs], labels)


def fitting_labels(labels, outputs, shape):
    return TASK.fitting_targets(labels, [shape] * outputs)


def logits(right, classes=2):
    """Logits for labels of 0: right or wrong as said."""
    return np.eye(classes, dtype=np.float32)[[0 if one else 1 for one in right]]


def test_three_of_38_images_are_too_few_to_tell():
    """The case of a data set of 480 photos: one validation image is 2.6 points, the budget 0.3."""
    labels = np.zeros(38, np.int64)
    loss = measure_loss(logits([True] * 38), logits([True] * 35 + [False] * 3), labels)
    assert loss.drop == pytest.approx(3 / 38) and loss.samples == 38
    # Three of 38 changed sides, all to wrong: the variance of 0 and 1 with that share.
    assert loss.standard_error == pytest.approx(np.sqrt(3 / 38 * 35 / 38 / 38))
    assert loss.verdict(0.003) == "undecided" and loss.samples_needed(0.003) > 38
    assert str(loss) == "7.89 ± 4.37 points below"


def test_the_same_share_of_many_images_is_a_verdict():
    labels = np.zeros(3800, np.int64)
    loss = measure_loss(logits([True] * 3800), logits([True] * 3500 + [False] * 300), labels)
    assert loss.verdict(0.003) == "missed" and loss.excess(0.003) > 0.06
    assert loss.verdict(0.1) == "kept" and loss.excess(0.1) == 0


def test_no_change_in_few_images_is_no_proof():
    same = logits([True] * 30 + [False] * 8)
    assert measure_loss(same, same, np.zeros(38, np.int64)).verdict(0.003) == "undecided"
    many = logits([True] * 1000)
    assert measure_loss(many, many, np.zeros(1000, np.int64)).verdict(0.003) == "kept"


def test_as_many_samples_as_are_said_to_tell_do():
    loss = Loss(0.0789, 0.0437, 38)
    needed = loss.samples_needed(0.003)
    assert Loss(0.0789, 0.0437 * np.sqrt(38 / needed), needed).verdict(0.003) == "missed"
    assert Loss(0.003, 0.01, 100).samples_needed(0.003) == 10_000_000  # exactly on the budget: as good as never


def test_a_better_file_keeps_every_budget():
    loss = Loss(-0.02, 0.003, 1000)
    assert loss.verdict(0.003) == "kept" and str(loss) == "2.00 ± 0.30 points above"


def test_shares_alone_are_independent_samples():
    # sqrt(0.9 * 0.1 / 100 + 0.8 * 0.2 / 100)
    task, outputs = TASK.on_device((), {}), [logits([True] * 80 + [False] * 20)]
    assert unpaired_loss(task, 0.9, 0.8, outputs, np.zeros(100, np.int64)).standard_error == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 2, 1], [0, 2, 1]),
        ([[0], [2], [1]], [0, 2, 1]),
        ([[1, 0, 0], [0, 0, 1], [0, 1, 0]], [0, 2, 1]),
        ([[1.0, 0, 0], [0, 0, 1], [0, 1, 0]], [0, 2, 1]),
        (np.array([0, 2, 1], np.uint8), [0, 2, 1]),
    ],
)
def test_labels_whose_meaning_is_plain(labels, expected):
    found, reason = fitting_labels(labels, 1, (3, 3))
    assert reason == "" and found.dtype == np.int64 and found.tolist() == expected


@pytest.mark.parametrize(
    ("labels", "outputs", "shape", "said"),
    [
        ([0.5, 1.2, 0.1], 1, (3, 3), "the labels are float64"),
        ([0, 1, 2], 1, (3, 1), "is not one score per class"),
        ([0, 1, 2], 1, (3, 4, 8, 8), "is not one score per class"),
        ([0, 1, 2], 1, (3,), "is not one score per class"),
        ([0, 1, 2], 2, (3, 3), "2 outputs"),
        ([0, 1, 3], 1, (3, 3), "from 0 to 3, and the model has 3 classes"),
        ([0, -1, 1], 1, (3, 3), "from -1 to 1"),
        ([[1, 1, 0], [0, 0, 1], [0, 1, 0]], 1, (3, 3), "more than one, class per sample"),
        ([[0, 0, 0], [0, 0, 1], [0, 1, 0]], 1, (3, 3), "have none, or more than one"),
        ([[0, 1], [1, 0], [0, 1]], 1, (3, 3), r"have shape \(3, 2\)"),
        ([0, 1], 1, (3, 3), "2 labels for 3 samples"),
        (["a", "b", "c"], 1, (3, 3), "a class is a whole number"),
        (5, 1, (3, 3), "0 labels for 3 samples"),
    ],
)
def test_labels_that_no_accuracy_fits(labels, outputs, shape, said):
    import re

    found, reason = fitting_labels(labels, outputs, shape)
    assert found is None and re.search(said, reason)
