"""Tasks on the device: predictions, measures and agreement, each number derived beside it."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from edgestill_runtime import (
    BundleFormatError,
    EngineError,
    InputError,
    Task,
    Value,
    load,
    open_bundle,
    write_bundle,
)
from edgestill_runtime.tasks import TASKS, task_class, task_of
from edgestill_runtime.tasks.multi_label_classification import average_precision, sigmoid


def column(*values):
    return np.array(values, np.float32)[:, None]


# Image classification.


def test_labels_are_ranked_by_probability():
    task = task_of("image-classification", ("cat", "dog", "owl"))
    logits = np.log(np.array([[0.2, 0.7, 0.1], [0.5, 0.25, 0.25]], np.float32))
    first, second = task.answer([logits], top=2)
    assert [one.label for one in first] == ["dog", "cat"] and [one.label for one in second] == ["cat", "dog"]
    np.testing.assert_allclose([one.score for one in first], [0.7, 0.2], atol=1e-6)
    assert task.describe(first) == "dog"


def test_accuracy_and_agreement_of_classes():
    task = task_of("image-classification", ("a", "b"))
    outputs = [np.array([[2, 1], [1, 2], [2, 1], [np.nan, 2]], np.float32)]
    targets = np.array([0, 1, 1, 1])
    assert task.quality(outputs, targets) == {"accuracy": 0.5}  # NaN is never right
    other = [np.array([[2, 1], [2, 1], [2, 1], [1, 2]], np.float32)]
    assert task.agreement(outputs, other) == 0.5
    found = task.details(other, targets)
    assert found == {"per_class": {"a": 1.0, "b": 1 / 3}, "confusion": [[1, 0], [2, 1]]}


# Several labels.


def test_labels_that_reach_their_threshold_are_given():
    task = task_of("multi-label-classification", ("sea", "sky", "tree"), {"thresholds": [0.5, 0.9, 0.2]})
    logits = np.log(np.array([[0.6, 0.8, 0.25]])) - np.log1p(-np.array([[0.6, 0.8, 0.25]]))  # of these probabilities
    (predicted,) = task.answer([logits.astype(np.float32)])
    assert [one.label for one in predicted] == ["sea", "tree"]
    np.testing.assert_allclose([one.score for one in predicted], [0.6, 0.25], atol=1e-6)
    assert [one.label for one in task.answer([logits], threshold=0)[0]] == ["sky", "sea", "tree"]
    assert [one.label for one in task.answer([logits], threshold=0, top=1)[0]] == ["sky"]
    assert task.answer([logits], threshold=1.0) == [[]]
    assert task.describe(predicted) == "sea, tree" and task.describe([]) == "none"
    with pytest.raises(InputError, match="threshold must be a number from 0 to 1, not 2"):
        task.answer([logits], threshold=2)


def test_probabilities_of_the_model_itself_are_not_squashed_again():
    task = task_of("multi-label-classification", ("a",), {}, "probabilities")
    assert task.answer([column(0.75)])[0][0].score == 0.75


def test_average_precision_by_hand():
    # Ranked: hit, miss, hit, miss. Precision is 1 at the first hit and 2/3 at the second; recall grows by a half each.
    scores, expected = column(0.9, 0.8, 0.7, 0.1), np.array([[1], [0], [1], [0]]) > 0
    assert average_precision(scores, expected).tolist() == pytest.approx([0.5 * 1 + 0.5 * 2 / 3])
    # One score for all: one step, at the share of positives.
    assert average_precision(np.zeros((4, 1)), expected).tolist() == [0.5]
    # NaN ranks last: miss, miss, hit (2 of 4 are hits, found at ranks 3 and 4).
    worst = average_precision(column(np.nan, 0.8, np.nan, 0.1), expected)
    assert worst.tolist() == pytest.approx([2 / 4])
    assert np.isnan(average_precision(scores, expected & False)).all()


def test_map_and_f1_leave_out_what_no_sample_has():
    task = task_of("multi-label-classification", ("a", "b", "never"))
    targets = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]])
    outputs = [np.array([[3, -3, 2], [3, 3, -2], [-3, -3, -2]], np.float32)]
    # a: predicted twice, both right: F1 = 1, AP = 1. b: predicted once, right, one missed: F1 = 2 / (1 + 2), and the
    # scores rank the second first (precision 1), then the first and the third together (precision 2 / 3).
    found = task.quality(outputs, targets)
    assert found == {"mAP": pytest.approx((1 + (1 + 2 / 3) / 2) / 2), "macro F1": pytest.approx((1 + 2 / 3) / 2)}
    assert task.details(outputs, targets)["per_class"]["never"] is None
    with pytest.raises(InputError, match="no sample has any label"):
        task.quality(outputs, 0 * targets)


def test_the_same_labels_are_all_of_them():
    task = task_of("multi-label-classification", ("a", "b"))
    first = [np.array([[1, 1], [1, -1], [-1, -1], [np.nan, 1]], np.float32)]
    second = [np.array([[5, 5], [1, 1], [-9, -1], [1, 1]], np.float32)]
    assert task.same(first, second).tolist() == [True, False, True, False]


def test_sigmoid_of_what_float32_cannot_hold():
    assert sigmoid(np.array([-3e38, 0, 3e38], np.float32)).tolist() == [0.0, 0.5, 1.0]


# Values.


def test_values_come_in_units_of_the_target():
    task = task_of("regression", ("width", "mass"), {"mean": [10, 0.5], "std": [2, 0.25], "units": ["mm", "kg"]})
    answers = task.answer([np.array([[1, -2]], np.float32)])
    assert answers == [[Value("width", 12.0, "mm"), Value("mass", 0.0, "kg")]]
    assert task.describe(answers[0]) == "width 12 mm, mass 0 kg"


def test_r2_and_mae_by_hand():
    task = task_of("regression", ("x",))
    targets = column(1, 2, 3, 4)  # mean 2.5, squares about it 2.25 + 0.25 + 0.25 + 2.25 = 5
    outputs = [column(1, 2, 3, 5)]  # one is off by 1
    assert task.quality(outputs, targets) == {"R²": pytest.approx(1 - 1 / 5), "MAE": 0.25}
    assert task.quality([targets], targets) == {"R²": 1.0, "MAE": 0.0}
    assert task.quality([np.full((4, 1), 2.5)], targets)["R²"] == 0.0
    assert task.quality(outputs, targets[:, 0]) == task.quality(outputs, targets)
    assert task.quality([column(np.nan, 2, 3, 4)], targets)["R²"] == -np.inf
    # The difference of two R² is a sum over samples: only the last one differs, by 1 / 5.
    parts = np.array([0, 0, 0, 1 / 5])
    assert task.standard_error(outputs, [targets], targets) == pytest.approx(parts.std() * 2)


def test_a_target_that_never_varies_has_no_r2():
    task = task_of("regression", ("x", "fixed"))
    targets = np.array([[1, 7], [3, 7]], np.float32)
    assert task.quality([targets], targets) == {"R²": 1.0, "MAE": 0.0}
    assert task.details([targets], targets)["per_class"] == {"x": 1.0, "fixed": None}
    with pytest.raises(InputError, match="the targets never vary"):
        task_of("regression", ("fixed",)).quality([column(7, 7)], column(7, 7))


def test_values_within_the_tolerance_are_the_same():
    task = task_of("regression", ("x", "y"), {"tolerance": [0.5, 0.0]})
    first = [np.array([[1, 1], [1, 1], [1, 1], [np.nan, 1]], np.float32)]
    second = [np.array([[1.5, 1], [1.6, 1], [1, 1.01], [1, 1]], np.float32)]
    assert task.same(first, second).tolist() == [True, False, False, False]


def test_a_target_whose_mean_is_rounded_never_varies_either():
    targets = column(*[0.1] * 10).astype(np.float64)  # the mean of these is not 0.1 to the last bit
    assert task_of("regression", ("x",)).details([targets + 1], targets)["per_class"] == {"x": None}


# Every task.


@pytest.mark.parametrize(("name", "setting"), [("multi-label-classification", "thresholds"), ("regression", "std")])
def test_numbers_for_other_columns_than_there_are_are_refused(name, setting):
    """Without labels the number of columns is not known in advance."""
    task = task_of(name, (), {setting: [0.5, 0.5, 0.5]})
    with pytest.raises(InputError, match=f"{setting} has 3 numbers for 2 values"):
        task.answer([np.zeros((1, 2), np.float32)])


def test_a_threshold_is_the_same_number_wherever_it_comes_from():
    seven = np.float32(0.7)  # a little less than 0.7
    task = task_of("multi-label-classification", ("a",), {"thresholds": 0.7}, "probabilities")
    assert task.answer([column(seven)]) == task.answer([column(seven)], threshold=0.7) == [[]]


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("image-classification", {"thresholds": 0.5}, "has no setting 'thresholds'; it has none"),
        ("multi-label-classification", {"thresholds": [0.5]}, None),  # one for all
        ("multi-label-classification", {"thresholds": [0.5] * 3}, "thresholds has 3 numbers for 2 values"),
        ("multi-label-classification", {"thresholds": 1.5}, "thresholds are probabilities from 0 to 1, not 1.5"),
        ("multi-label-classification", {"thresholds": "half"}, "thresholds must be a number"),
        ("regression", {"std": 0}, "std must be a number from 1e-30"),
        ("regression", {"mean": [1, None]}, "mean must be a number"),
        ("regression", {"units": ["mm"]}, "units is a text for each of 2 values"),
        ("regression", {"tolerance": -1}, "tolerance must be a number from 0"),
        ("regression", {"tolerance": True}, "tolerance must be a number from 0"),
    ],
)
def test_settings_are_checked(name, settings, message):
    if message is None:
        assert task_of(name, ("a", "b"), settings)
        return
    with pytest.raises(InputError) as caught:
        task_of(name, ("a", "b"), settings)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", [name for name in TASKS if name != "tensors"])
def test_nothing_is_measured_of_no_sample(name):
    task, empty = task_of(name, ("a", "b")), [np.zeros((0, 2), np.float32)]
    targets = np.zeros(0, np.int64) if name == "image-classification" else np.zeros((0, 2))
    with pytest.raises(InputError):
        task.quality(empty, targets)
    with pytest.raises(InputError, match="there is no sample"):
        task.agreement(empty, empty)


@pytest.mark.parametrize("name", [name for name in TASKS if name != "tensors"])
def test_the_standard_error_is_that_of_a_difference(name):
    """Against many draws from one distribution: within a third of the spread that the difference really has."""
    kind, generator = task_class(name), np.random.default_rng(0)
    task = kind(("a", "b"))

    def draw():
        normal = generator.normal(size=(200, 2))
        outputs = [[(normal + noise * generator.normal(size=(200, 2))).astype(np.float32)] for noise in (0.5, 1.0)]
        targets = {"image-classification": normal.argmax(1), "regression": normal}.get(name, normal > 0)
        return outputs, targets

    main = task.main().name
    found = [(task.quality(one, right)[main] - task.quality(other, right)[main]) for (one, other), right in
             (draw() for _ in range(200))]  # fmt: skip
    errors = [task.standard_error(one, other, right) for (one, other), right in (draw() for _ in range(5))]
    assert np.mean(errors) == pytest.approx(np.std(found), rel=1 / 3)


def as_task(bundle_path, tmp_path, **changes):
    bundle = open_bundle(bundle_path)
    manifest = replace(bundle.manifest, **changes)
    return write_bundle(tmp_path / "other.edge", manifest, {name: bundle.read(name) for name in bundle.files})


IMAGE = np.zeros((28, 28), np.uint8)


def test_the_manifest_says_what_predict_answers(bundle_path, tmp_path):
    names = tuple(f"value {number}" for number in range(10))
    bundle = as_task(
        bundle_path, tmp_path, task="regression", labels=names, task_settings={"mean": 3, "std": 2, "units": ["m"] * 10}
    )
    with load(bundle) as model:
        logits = model.logits(IMAGE)[0]
        found = model.predict(IMAGE)
    assert [one.name for one in found] == list(names) and {one.unit for one in found} == {"m"}
    np.testing.assert_allclose([one.value for one in found], 3 + 2 * logits.astype(np.float64))
    with load(bundle) as model, pytest.raises(InputError, match="regression has no option 'top'; it has none"):
        model.predict(IMAGE, top=3)


def test_the_devices_command_prints_the_tasks_answer(bundle_path, tmp_path, device_cli):
    bundle = as_task(bundle_path, tmp_path, task="multi-label-classification", task_settings={"thresholds": 0.0})
    np.save(tmp_path / "image.npy", IMAGE)
    rows = json.loads(device_cli("run", bundle.path, tmp_path / "image.npy", "--json", "--calls", 1, "--top", 3))
    assert len(rows["results"]) == 3 and set(rows["results"][0]) == {"label", "score"}


class Ordinal(Task):
    """A custom task: the number of the best class."""

    name = "mine:Ordinal"
    measures = task_class("image-classification").measures

    def check(self, outputs):
        if outputs[0].shape[-1] < 3:
            raise ValueError("three classes are needed")

    def answer(self, outputs, **options):
        return outputs[0].argmax(1).tolist()

    def quality(self, outputs, targets):
        return {"accuracy": float((outputs[0].argmax(1) == targets).mean())}

    def same(self, first, second):
        return first[0].argmax(1) == second[0].argmax(1)


def test_a_task_of_ones_own_is_given_to_load(bundle_path, tmp_path):
    bundle = as_task(bundle_path, tmp_path, task="mine:Ordinal")
    with load(bundle, task=Ordinal) as model:
        assert model.predict(IMAGE) == int(model.logits(IMAGE).argmax())
    with load(bundle) as model, pytest.raises(InputError, match="its task is mine:Ordinal, which is none of"):
        model.predict(IMAGE)
    with pytest.raises(InputError, match="the bundle's task is 'image-classification', not 'mine:Ordinal'"):
        load(bundle_path, task=Ordinal)


def test_what_is_no_answer_is_refused(bundle_path, tmp_path):
    bundle = as_task(bundle_path, tmp_path, task="tensors", labels=())
    with load(bundle) as model, pytest.raises(InputError, match="nothing says what its outputs mean; use logits"):
        model.predict(IMAGE)


def test_labels_that_do_not_fit_the_outputs_are_refused(bundle_path, tmp_path):
    with pytest.raises(BundleFormatError, match="2 labels need one output"):
        as_task(bundle_path, tmp_path, task="regression", labels=("a", "b"))


def test_only_the_file_of_the_task_is_imported(bundle_path):
    code = (
        "import sys; from edgestill_runtime import open_bundle; open_bundle(sys.argv[1]);"
        "print(*sorted(name for name in sys.modules if name.startswith('edgestill_runtime.tasks.')))"
    )
    done = subprocess.run([sys.executable, "-c", code, bundle_path], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["edgestill_runtime.tasks.base", "edgestill_runtime.tasks.image_classification"]


# Bundles of before.


def older(bundle, version, task="image-classification", labels=None):
    """The manifest as version 2 or 3 had it."""
    path = bundle.path / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["format_version"] = version
    manifest["accuracy"] = {who: found["accuracy"] for who, found in manifest.pop("quality").items()}
    for entry in manifest["models"].values():
        entry["accuracy"] = entry.pop("quality").get("accuracy")
        entry["kept_float"] = entry.pop("float_nodes")
    del manifest["task_settings"]
    if version == 2:
        manifest["preprocessing"] = manifest.pop("processor")
    manifest["task"] = task
    manifest["labels"] = manifest["labels"] if labels is None else labels
    path.write_text(json.dumps(manifest))
    return bundle.path


@pytest.mark.parametrize("version", [2, 3])
def test_bundles_of_before_say_the_same(bundle_path, tmp_path, version):
    bundle = as_task(bundle_path, tmp_path)
    assert open_bundle(older(bundle, version)).manifest == bundle.manifest
    with load(bundle.path) as model:
        assert model.predict(IMAGE, top=1)[0].label in bundle.manifest.labels


def test_a_classifier_without_names_of_before_still_answers_numbers(bundle_path, tmp_path):
    bundle = as_task(bundle_path, tmp_path, labels=())
    with load(older(bundle, 3, "tensors", [])) as model:
        assert model.predict(IMAGE, top=1)[0].label.isdecimal()


def test_an_answer_of_nothing_but_nan_is_no_answer(bundle_path, tmp_path, monkeypatch):
    bundle = as_task(bundle_path, tmp_path, task="regression", labels=tuple("abcdefghij"))
    with load(bundle) as model:
        monkeypatch.setattr(model, "_outputs_of_pixels", lambda pixels: (np.full((1, 10), np.nan, np.float32),))
        with pytest.raises(EngineError, match="10 of 10 values that are not finite"):
            model.predict(IMAGE)
