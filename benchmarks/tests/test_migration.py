"""Runs and measurements of schema version 1, as they were made, are still read, reported and compared."""

import copy
import json
import shutil

import numpy as np
import pytest

from edgestill_benchmarks.comparison import compare_runs
from edgestill_benchmarks.metrics import metrics, read_devices
from edgestill_benchmarks.migration import migrate_measurement, migrate_results
from edgestill_benchmarks.report import write_report
from edgestill_benchmarks.results import ResultsError, check_results, quantized_details, read_results


def raw(folder):
    return json.loads((folder / "results.json").read_text())


def test_results_say_the_same_as_before(version_1):
    before, now = raw(version_1), read_results(version_1)
    assert (before["schema_version"], now["schema_version"]) == (1, 2)
    assert now["task"]["name"] == "image-classification" and now["task"]["same_answer"] == "the same class"
    assert now["task"]["measures"] == [{"name": "accuracy", "unit": "%", "higher_is_better": True}]
    for who in ("teacher", "student_alone", "student_distilled"):
        assert now[who]["quality"] == {"accuracy": before[who]["accuracy"]}
    assert [one["quality"]["accuracy"] for one in now["files"]] == [one["accuracy"] for one in before["files"]]
    assert now["data"]["labels"] == before["data"]["classes"]
    for who, shares in before["per_class"].items():
        assert list(now["details"][who]["per_class"].values()) == shares
    assert quantized_details(now) == ("model.tflite", now["details"]["model.tflite"])
    assert now["details"]["model.tflite"]["confusion"] == before["confusion"]
    validation = [one["validation_accuracy"] for one in before["curves"]["student_distilled"]]
    assert [one["validation"] for one in now["curves"]["student_distilled"]] == validation
    tried, gate = (now["conversion"][name] for name in ("quantization", "gate"))
    assert (tried["float_quality"], tried["attempts"][0]["quality"]) == (0.806, 0.805)
    assert gate["float_quality"] == 0.806 and gate["quality"]["model.pte"] == {"accuracy": 0.805}
    assert gate["findings"] == before["conversion"]["gate"]["findings"]
    # What asks for the recipe of an older run (`edgestill convert`) finds it as it was.
    assert now["recipe"] == before["recipe"]


def test_nothing_of_version_1_is_left_and_the_content_given_is_not_changed(version_1):
    before = raw(version_1)
    kept = copy.deepcopy(before)
    text = json.dumps(migrate_results(before))
    assert before == kept
    assert all(
        f'"{word}":' not in text for word in ("classes", "validation_accuracy", "float_accuracy", 'per_class": [')
    )


def test_a_complete_run_that_was_kept_is_read(root, tmp_path):
    shutil.copy(root / "docs/results/fashion-mnist.json", tmp_path / "results.json")
    assert read_results(tmp_path)["teacher"]["quality"] == {"accuracy": 0.9545}


def test_the_page_shows_it_whole(version_1):
    page = " ".join(write_report(version_1).read_text().split())
    assert "Accuracy retained" in page and "of the teacher's accuracy kept in int8 (80.40 % of 91.20 %)" in page
    assert 'id="confusion"' in page and 'id="per-class"' in page and 'id="soft-targets"' in page
    # The device's classes are numbers there: 7 of 0 and 6, 91 of 2 and 4.
    assert "#7 T-shirt/top → Shirt, #91 Pullover → Coat" in page
    # The frames of its samples: the quantized student is wrong where its largest logit is not the label.
    with np.load(version_1 / "samples.npz") as arrays:
        wrong = int((arrays["int8"].argmax(1) != arrays["labels"]).sum())
    assert page.count('<button class="thumb wrong"') == wrong > 0


def test_its_devices_are_in_the_table(version_1):
    results = read_results(version_1)
    (device,) = read_devices(version_1, results)
    assert device["schema_version"] == 2 and {one["quality"]["accuracy"] for one in device["files"]} == {0.8125}
    rows = [row for row in metrics(results, [device]) if row["device"] == "board" and row["file"] == "model.tflite"]
    assert [(row["measure"], row["quality"], row["agreement"]) for row in rows] == [("accuracy", 0.8125, 0.98)] * 2


def test_it_compares_with_itself_of_version_2_and_with_a_better_one(version_1, tmp_path):
    old, new = read_results(version_1), copy.deepcopy(read_results(version_1))
    check_results(new)
    assert {one.verdict for one in compare_runs(old, new)} == {"same"}
    new["student_distilled"]["quality"] = {"accuracy": 0.85}
    better = [one for one in compare_runs(old, new) if one.verdict == "better"]
    assert [(one.what, one.of) for one in better] == [("accuracy", "distilled student")]
    # As of before: 2 √((0.807 · 0.193 + 0.85 · 0.15) / 2000).
    assert better[0].noise == pytest.approx(2 * ((0.807 * 0.193 + 0.85 * 0.15) / 2000) ** 0.5)
    assert better[0].shown() == ["80.70 %", "85.00 %", "+4.30", "±2.38"]


def test_the_command_line_reads_it(cli, version_1, tmp_path):
    assert cli("report", version_1).returncode == 0
    exported = cli("export-metrics", version_1)
    assert exported.returncode == 0 and "board" in exported.stdout and ",accuracy,0.804," in exported.stdout
    later = shutil.copytree(version_1, tmp_path / "later")
    (later / "results.json").write_text(json.dumps(read_results(version_1)))
    compared = cli("report", version_1, later)
    assert compared.returncode == 0 and "better" not in compared.stdout, compared.stderr


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content.pop("per_class"), "schema version 1, but not as that was: 'per_class' is missing"),
        (lambda content: content.update(data=3), "schema version 1, but not as that was"),
        (lambda content: content["per_class"]["teacher"].pop(), "schema version 1, but not as that was"),
        (lambda content: content["data"].pop("classes"), "schema version 1, but not as that was: 'classes' is missing"),
        (lambda content: content["teacher"].update(accuracy=91.2), "$.teacher.quality.accuracy: 91.2 is no share"),
        (lambda content: content["curves"]["teacher"].append({}), "$.curves.teacher[0]"),
    ],
)
def test_what_was_damaged_is_refused_in_a_line(version_1, damage, message):
    content = raw(version_1)
    damage(content)
    (version_1 / "results.json").write_text(json.dumps(content))
    with pytest.raises(ResultsError) as caught:
        read_results(version_1)
    assert message in str(caught.value)


def test_samples_without_answers_are_refused(version_1):
    with np.load(version_1 / "samples.npz") as arrays:
        kept = {name: arrays[name] for name in arrays.files if name != "int8"}
    np.savez(version_1 / "samples.npz", **kept)
    with pytest.raises(ResultsError, match="samples.npz is missing or damaged"):
        write_report(version_1)


def test_a_measurement_of_other_classes_tells_their_numbers_and_none_stays_none(version_1):
    before = json.loads((version_1 / "devices/board.json").read_text())
    before["files"][0]["accuracy"] = None
    now = migrate_measurement(before, ("a", "b", "c"))
    assert now["answers"]["model.tflite"]["differ"] == [[7, "a", "6"], [91, "c", "4"]]
    assert now["files"][0]["quality"] is None and before["answers"]["model.tflite"]["differ"][0] == [7, 0, 6]
    del before["files"][1]["accuracy"]
    (version_1 / "devices/board.json").write_text(json.dumps(before))
    with pytest.raises(ResultsError, match=r"board\.json: .*version 1, but not as that was: 'accuracy' is missing"):
        read_devices(version_1, read_results(version_1))
