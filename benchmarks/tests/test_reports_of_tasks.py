"""Reports, tables and comparisons of runs whose task is not one label a sample."""

import copy
import json
import math
import shutil

import numpy as np
import pytest

from edgestill_benchmarks.comparison import compare_runs
from edgestill_benchmarks.metrics import as_csv, as_markdown, metrics, qualities, read_devices
from edgestill_benchmarks.report import write_comparison, write_report
from edgestill_benchmarks.report.samples import soft_targets
from edgestill_benchmarks.results import ResultsError, read_results


def copied(run, tmp_path, **changes):
    """A folder of the run with other results."""
    folder = shutil.copytree(run, tmp_path / "copy")
    (folder / "results.json").write_text(json.dumps(read_results(run) | changes))
    return folder


def page_of(folder):
    return " ".join(write_report(folder).read_text().split())


def test_several_labels_a_sample(multi_label_run):
    results, page = read_results(multi_label_run), page_of(multi_label_run)
    assert "<h2>mAP retained</h2>" in page and "of the teacher's mAP kept in int8" in page
    assert "<th>test mAP</th><th>test macro F1</th><th>retained</th>" in page
    for who in ("teacher", "student_alone", "student_distilled"):
        shares = [f"<td>{100 * value:.2f} %</td>" for value in results[who]["quality"].values()]
        assert len(shares) == 2 and "".join(shares) in page
    assert f"{100 * results['gain']:+.2f} ± {100 * results['gain_standard_error']:.2f} points" in page
    assert 'id="per-class"' in page, "mAP has a value for each label"
    # Nobody chooses one class: no confusion, and no softmax of what each stands alone.
    assert 'id="confusion"' not in page and "soft-targets" not in page and "softmax" not in page
    first = results["shown"][0]
    assert f"<td>{first['truth']}</td><td>{first['teacher']}</td><td>{first['student']}</td>" in page
    assert page.count("<tr class=wrong>") == sum(not one["right"] for one in results["shown"]) > 0
    assert "accuracy" not in page.partition("<script")[0].lower()


def test_values(regression_run):
    results, page = read_results(regression_run), page_of(regression_run)
    assert "<h2>R² retained</h2>" in page and "<th>test R²</th><th>test MAE</th>" in page
    quality = results["teacher"]["quality"]
    assert f"<td>{quality['R²']:.4g}</td><td>{quality['MAE']:.4g}</td>" in page
    # A difference of R² is no number of points.
    assert f"{results['gain']:+.4f} ± {results['gain_standard_error']:.4f} (one seed" in page
    assert "Quantization may lose 0.003, which" in page
    charts = json.loads(page.partition('id="data">')[2].partition("</script>")[0])["charts"]
    assert charts["per-class"]["encoding"]["x"]["title"] == "R², quantized student minus teacher"
    changes = {row["class"]: row["change"] for row in charts["per-class"]["data"]["values"]}
    teacher, student = (results["details"][who]["per_class"]["width"] for who in ("teacher", "model.tflite"))
    assert changes["width"] == pytest.approx(student - teacher)
    assert charts["validation"]["encoding"]["y"]["title"] == "validation R²"
    assert "format" not in charts["validation"]["encoding"]["y"]["axis"], "no per cent of what is no share"
    assert 'id="confusion"' not in page and "soft-targets" not in page


def test_errors_stand_in_units_of_the_value(regression_run):
    results, page = read_results(regression_run), page_of(regression_run)
    for name, unit in (("width", " mm"), ("height", " mm"), ("brightness", "")):
        who = ("teacher", "student_distilled", "model.tflite")
        cells = [f"<td>{results['details'][one]['mae'][name]:.4g}{unit}</td>" for one in who]
        assert f"<td>{name}</td>{''.join(cells)}" in page


def test_errors_are_shown_where_there_are_some(multi_label_run):
    assert "Mean absolute error" not in page_of(multi_label_run)


def test_a_teacher_that_is_no_better_than_nothing_keeps_no_share(regression_run, tmp_path):
    teacher = read_results(regression_run)["teacher"] | {"quality": {"R²": -0.25, "MAE": 4.0}}
    page = page_of(copied(regression_run, tmp_path, teacher=teacher))
    assert "R² in int8 (the teacher's -0.25)" in page and "kept in" not in page and "100 %</td>" not in page
    rows = metrics(read_results(tmp_path / "copy"))
    assert {row["retained"] for row in rows} == {None} and "|  |" in as_markdown(read_results(tmp_path / "copy"), rows)


def test_the_table_has_the_measure_that_decides(multi_label_run, regression_run):
    for run, measure, heading in ((multi_label_run, "mAP", "| mAP, % |"), (regression_run, "R²", "| R² |")):
        results = read_results(run)
        devices = read_devices(run, results)
        rows = metrics(results, devices)
        (file,) = [one for one in devices[0]["files"] if one["file"] == "model.pte"]
        (row,) = [one for one in rows if (one["device"], one["file"], one["threads"]) == ("board", "model.pte", 1)]
        assert (row["measure"], row["quality"], row["samples"]) == (measure, file["quality"][measure], 100)
        assert row["retained"] == pytest.approx(file["quality"][measure] / results["teacher"]["quality"][measure])
        assert qualities(results, devices)["board", "model.pte"] == file["quality"]
        assert heading in as_markdown(results, rows) and f",{measure}," in as_csv(rows)
        assert "(100 samples)" in as_markdown(results, rows)


def test_a_device_without_quality_is_in_the_table_and_on_the_page(multi_label_run, tmp_path):
    folder = copied(multi_label_run, tmp_path)
    board = json.loads((folder / "devices/board.json").read_text())
    for file in board["files"]:
        file["quality"] = None
    (folder / "devices/board.json").write_text(json.dumps(board | {"samples": None, "answers": {}}))
    results = read_results(folder)
    rows = [row for row in metrics(results, read_devices(folder, results)) if row["device"] == "board"]
    assert {(row["quality"], row["retained"], row["samples"]) for row in rows} == {(None, None, None)}
    assert "board" in page_of(folder)


def test_a_measurement_by_other_measures_is_refused(multi_label_run, regression_run, tmp_path):
    folder = copied(multi_label_run, tmp_path)
    shutil.copy(regression_run / "devices/board.json", folder / "devices/board.json")
    with pytest.raises(
        ResultsError, match=r"board\.json: .*files\[0\]\.quality: it has R², MAE; the task's measures are"
    ):
        write_report(folder)


def better(results, who, name, by):
    other = copy.deepcopy(results)
    other[who]["quality"][name] += by
    return other


@pytest.mark.parametrize(("run", "measure"), [("multi_label_run", "mAP"), ("regression_run", "R²")])
def test_nothing_is_better_within_the_noise(request, run, measure):
    """Two standard errors of the gains of both runs: 2 √(s² + s²)."""
    results = read_results(request.getfixturevalue(run))
    noise = 2 * math.sqrt(2) * results["gain_standard_error"]
    for by, verdict in ((0.9 * noise, "same"), (1.1 * noise, "better"), (-1.1 * noise, "worse")):
        changes = compare_runs(results, better(results, "student_distilled", measure, by))
        (change,) = [one for one in changes if (one.what, one.of) == (measure, "distilled student")]
        assert (change.noise, change.verdict) == (pytest.approx(noise), verdict)


def test_of_other_measures_and_without_a_standard_error_nothing_is_claimed(multi_label_run):
    results = read_results(multi_label_run)
    after = better(better(results, "teacher", "macro F1", 0.05), "teacher", "mAP", 0.02)
    found = {(one.what, one.of): one for one in compare_runs(results, after)}
    assert (found["macro F1", "teacher"].noise, found["macro F1", "teacher"].verdict) == (None, "unknown")
    assert found["macro F1", "baseline student"].verdict == "same"
    assert found["macro F1", "teacher"].shown()[2:] == ["+5.00", "unknown"]
    # Both students predict the same: that says nothing about the noise of others.
    before = results | {"gain_standard_error": 0.0}
    found = {(one.what, one.of): one for one in compare_runs(before, after)}
    assert (found["mAP", "teacher"].noise, found["mAP", "teacher"].verdict) == (None, "unknown")


def test_the_page_of_several_runs_says_what_the_noise_is(multi_label_run, version_1, tmp_path):
    for run, words in (
        (multi_label_run, "difference, as both runs know them of their gains,"),
        (version_1, "difference, a"),
    ):
        results = read_results(run)
        changes = compare_runs(results, results)
        page = write_comparison([run, run], tmp_path / "both.html", changes).read_text()
        main = results["task"]["measures"][0]["name"]
        assert f"The noise of {main} is two standard errors of the {words}" in " ".join(page.split())


def test_fewer_samples_are_noisier(multi_label_run):
    results = read_results(multi_label_run)
    devices = read_devices(multi_label_run, results)
    found = {(one.what, one.of): one for one in compare_runs(results, results, (devices, devices))}
    here, there = (found["mAP", f"{device} · model.pte"].noise for device in ("host", "board"))
    assert there == pytest.approx(here * math.sqrt(2000 / 100))


def test_runs_of_other_tasks_are_not_compared(multi_label_run, regression_run, tmp_path):
    first, second = read_results(multi_label_run), read_results(regression_run)
    with pytest.raises(ResultsError, match=r"they are for multi-label-classification \(mAP, macro F1\) and regression"):
        compare_runs(first, second)
    with pytest.raises(ResultsError, match="cannot be compared"):
        write_comparison([multi_label_run, regression_run], tmp_path / "both.html")
    assert not (tmp_path / "both.html").exists()


def test_samples_and_texts_must_belong_together(multi_label_run, tmp_path):
    folder = copied(multi_label_run, tmp_path, shown=read_results(multi_label_run)["shown"][:3])
    with pytest.raises(ResultsError, match="holds 24 images, and the results describe 3"):
        write_report(folder)


SCORES = np.zeros((2, 3), np.float32)


@pytest.mark.parametrize(
    ("change", "explored"),
    [
        ({}, True),
        ({"targets": np.zeros((2, 3), np.int64)}, False),  # several labels a sample
        ({"targets": np.zeros(2)}, False),  # a value
        ({"int8": np.zeros((2, 4), np.float32)}, False),  # no score for each label
        ({"int8": None}, False),
        ({"int8": np.array([[0, 0, 0], [0, np.nan, 0]], np.float32)}, False),
    ],
)
def test_soft_targets_are_explored_where_a_sample_has_one_class(change, explored):
    arrays = {"targets": np.array([0, 2]), "teacher": SCORES, "student": SCORES, "int8": SCORES} | change
    arrays = {name: array for name, array in arrays.items() if array is not None}
    assert (soft_targets(arrays, ["a", "b", "c"]) is not None) == explored
