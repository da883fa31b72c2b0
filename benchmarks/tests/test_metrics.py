"""The numbers of a run as a table, and two runs side by side."""

import copy
import csv
import io
import json
import shutil
from functools import partial

import pytest

from edgestill_benchmarks.comparison import compare_runs
from edgestill_benchmarks.metrics import COLUMNS, as_csv, as_json, as_markdown, metrics, read_devices
from edgestill_benchmarks.migration import migrate_measurement
from edgestill_benchmarks.results import ResultsError, read_results, upgrade


@pytest.fixture(scope="module")
def results(quick_run):
    return read_results(quick_run)


@pytest.fixture
def measured(quick_run, results):
    """What `edgestill bench` would have found on a board, from what was found here."""
    found = json.loads((quick_run / "stages/measurement/measurement.json").read_text())
    found = upgrade(found, partial(migrate_measurement, labels=results["data"]["labels"]), "measurement")
    found["bundle"]["digest"] = results["bundle"]
    samples = {"digest": "sha256:" + "0" * 64, "count": 100, "of": results["data"]["test"]}
    return found | {"device": "board", "emulated": False, "samples": samples, "answers": {}}


@pytest.fixture
def run(quick_run, measured, tmp_path):
    """A folder of a run with that measurement in it."""
    target = tmp_path / "run"
    shutil.copytree(quick_run, target, ignore=shutil.ignore_patterns("stages", "devices"))
    (target / "devices").mkdir()
    (target / "devices/board.json").write_text(json.dumps(measured))
    return target


def test_a_row_for_each_device_file_and_number_of_threads(results, measured):
    rows = metrics(results, [measured])
    threads = {row["threads"] for row in results["files"][0]["threads"]}
    assert len(rows) == 2 * 4 * len(threads)
    assert all(list(row) == list(COLUMNS) for row in rows)
    host = next(row for row in rows if row["device"] == "host" and row["file"] == "model.pte")
    (file,) = [one for one in results["files"] if one["path"].endswith("/model.pte")]
    assert host["p50_ms"] == file["latency_ms"]["p50"] and host["peak_bytes"] == file["memory"]["peak_bytes"]
    assert host["retained"] == pytest.approx(file["quality"]["accuracy"] / results["teacher"]["quality"]["accuracy"])


def test_every_format_holds_the_same_numbers(results, measured):
    rows = metrics(results, [measured])
    for row, written in zip(rows, csv.DictReader(io.StringIO(as_csv(rows))), strict=True):
        assert written == {name: "" if value is None else str(value) for name, value in row.items()}
    assert json.loads(as_json(rows))["rows"] == rows
    table = as_markdown(results, rows)
    assert table.count("\n| ") == 2 + 8 and "| accuracy, % |" in table
    assert f"(accuracy {100 * results['teacher']['quality']['accuracy']:.2f} %)" in table
    assert f"| {min(row['p50_ms'] for row in rows if row['file'] == 'model.tflite'):.3f} |" in table


def test_times_of_an_emulator_are_in_no_model_card(results, measured):
    measured["emulated"] = True
    table = as_markdown(results, metrics(results, [measured]))
    emulated = [line for line in table.splitlines() if line.startswith("| board")]
    assert len(emulated) == 4 and all(", emulated" in line and line.endswith("|  |  |  |") for line in emulated)


def test_a_measurement_of_another_bundle_or_of_none(run, results, measured):
    assert len(read_devices(run, results)) == 1
    other = results | {"bundle": "sha256:" + "1" * 64}
    assert read_devices(run, other) == [], "a bundle that was made anew is not what was measured"
    del measured["files"][0]["threads"][0]["latency_ms"]["p90"]
    (run / "devices/board.json").write_text(json.dumps(measured))
    with pytest.raises(ResultsError, match=r"board\.json: .*threads\[0\].*'p90' is a required.*measure again"):
        read_devices(run, results)
    (run / "devices/board.json").write_text("[")
    with pytest.raises(ResultsError, match=r"board\.json: .*measure again"):
        read_devices(run, results)


def changed(results, **accuracy):
    other = copy.deepcopy(results)
    for file in other["files"]:
        for row in [file, *file["threads"]]:
            row["latency_ms"] |= {"p50": 2 * row["latency_ms"]["p50"], "drift": 0.01}
        file["bytes"] -= 1
    for name, value in accuracy.items():
        other[name]["quality"] = {"accuracy": value}
    return other


def test_what_changed_is_told_apart_from_noise(results):
    before = copy.deepcopy(results)
    before["data"]["test"] = 2000
    before["teacher"]["quality"], before["student_alone"]["quality"] = {"accuracy": 0.90}, {"accuracy": 0.90}
    for file in before["files"]:
        for row in file["threads"]:
            row["latency_ms"]["drift"] = 0.0
    after = changed(before, teacher=0.91, student_alone=0.94)
    found = {(one.what, one.of): one for one in compare_runs(before, after)}
    # Two standard errors: 2 √((0.9·0.1 + 0.91·0.09) / 2000) = 0.0185.
    teacher = found["accuracy", "teacher"]
    assert teacher.noise == pytest.approx(0.01854, abs=1e-5) and teacher.verdict == "same"
    assert found["accuracy", "baseline student"].verdict == "better"
    slower = found["p50", "host · model.pte · 1 thread"]
    assert (slower.verdict, slower.change, slower.noise) == ("worse", pytest.approx(1.0), 0.03)
    assert found["bytes", "host · model.pte"].verdict == "better"
    assert {one.verdict for one in compare_runs(before, before)} == {"same"}


def test_a_measurement_that_drifted_claims_less(results):
    before, after = copy.deepcopy(results), changed(results)
    for file in before["files"]:
        for row in file["threads"]:
            row["latency_ms"]["drift"] = -1.2
    assert {one.verdict for one in compare_runs(before, after) if one.what == "p50"} == {"same"}


def test_the_command_line(cli, run, results, tmp_path):
    done = cli("report", run)
    assert done.returncode == 0 and "board" in (run / "report.html").read_text()
    (tmp_path / "later").mkdir()
    (tmp_path / "later/results.json").write_text(json.dumps(changed(results)))
    compared = cli("report", run, tmp_path / "later")
    assert compared.returncode == 0 and "worse" in compared.stdout and "+100.0 %" in compared.stdout, compared.stderr
    page = (tmp_path / "later/comparison.html").read_text()
    assert "+100.0 %" in page and "host · model.pte · 1 thread" in page
    assert len(json.loads(cli("report", run, tmp_path / "later", "--json").stdout)) > 10
    several = cli("report", run, tmp_path / "later", run, "--output", tmp_path / "all.html")
    assert several.returncode == 0 and "What changed" not in (tmp_path / "all.html").read_text(), several.stderr
    many = cli("report", run, run, run, "--json")
    assert many.returncode == 1 and "between two runs, not 3" in many.stderr
    alone = cli("report", run, "--json")
    assert alone.returncode == 1 and "several runs" in alone.stderr
    other = changed(results)
    other["data"]["digest"] = "sha256:" + "2" * 64
    (tmp_path / "later/results.json").write_text(json.dumps(other))
    (tmp_path / "later/comparison.html").unlink()
    refused = cli("report", run, tmp_path / "later")
    assert refused.returncode == 1 and "their results cannot be compared" in refused.stderr
    assert not (tmp_path / "later/comparison.html").exists()
    exported = cli("export-metrics", run)
    assert exported.stdout.splitlines()[0] == ",".join(COLUMNS) and "board" in exported.stdout
    written = cli("export-metrics", run, "--format", "markdown", "--output", tmp_path / "card.md")
    assert written.returncode == 0 and (tmp_path / "card.md").read_text().startswith("dscnn_s (")
    missing = cli("export-metrics", tmp_path)
    assert missing.returncode == 1 and "no results.json" in missing.stderr
