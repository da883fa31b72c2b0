import copy
import json
import re
import shutil

import numpy as np
import pytest

from edgestill_benchmarks.report import write_report
from edgestill_benchmarks.results import (
    ResultsError,
    check_results,
    gain_is_noise,
    int8_against_fp32,
    quantized_details,
    read_results,
)


@pytest.fixture(scope="module")
def results(quick_run):
    return read_results(quick_run)


def test_results_have_what_scripts_read(results, quick_run):
    assert results["schema_version"] == 2 and results["quick"] is True
    for name in ("teacher", "student_alone", "student_distilled"):
        assert 0 < results[name]["quality"]["accuracy"] < 1 and results[name]["parameters"] > 0
    names = ("student_distilled", "teacher", "student_alone")
    distilled, teacher, alone = (results[name]["quality"]["accuracy"] for name in names)
    assert results["retained"] == pytest.approx(distilled / teacher)
    assert results["gain"] == pytest.approx(distilled - alone)
    assert results["task"]["name"] == "image-classification" and results["task"]["same_answer"] == "the same class"
    assert {(file["engine"], file["precision"]) for file in results["files"]} == {
        ("executorch", "int8"), ("executorch", "fp32"), ("litert", "int8"), ("litert", "fp32"),
    }  # fmt: skip
    for file in results["files"]:
        assert (quick_run / file["path"]).stat().st_size == file["bytes"]
        assert file["latency_ms"]["p50"] <= file["latency_ms"]["p90"] <= file["latency_ms"]["p99"]
    assert 0 <= results["agreement"] <= 1
    assert np.array(quantized_details(results)[1]["confusion"]).sum() == results["data"]["test"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda results: results.update(schema_version=3), "schema version 3"),
        (lambda results: results.pop("task"), "'task' is a required property"),
        (lambda results: results["task"].update(measures=[]), "$.task.measures"),
        (lambda results: results["task"]["measures"][0].update(higher_is_better=False), "$.task.measures[0]"),
        (lambda results: results["task"].update(labels=[]), "'labels' was unexpected"),
        (lambda results: results["teacher"].update(quality={"mAP": 0.5}), "$.teacher.quality: it has mAP"),
        (lambda results: results["files"][1].update(quality={}), "$.files[1].quality"),
        (lambda results: results["files"][1]["quality"].update(accuracy=-0.1), "$.files[1].quality.accuracy"),
        (lambda results: results["files"][1].update(retained=-0.1), "$.files[1].retained"),
        (lambda results: results["details"].pop("teacher"), "'teacher' is a required property"),
        (lambda results: results["details"]["teacher"]["per_class"].update(Bag=93.0), "per_class['Bag']: 93.0"),
        (lambda results: results.update(shown=[{"truth": "Bag"}]), "$.shown[0]"),
        (lambda results: results["conversion"]["quantization"].pop("attempts"), "$.conversion.quantization"),
        (lambda results: results.pop("agreement"), "'agreement' is a required property"),
        (lambda results: results["teacher"]["quality"].update(accuracy=93.1), "$.teacher.quality.accuracy"),
        (lambda results: results["files"][0].update(engine="ONNX!"), "$.files[0].engine"),
    ],
)
def test_results_that_break_the_schema_are_refused_with_the_place(results, change, message):
    damaged = copy.deepcopy(results)
    change(damaged)
    with pytest.raises(ResultsError) as caught:
        check_results(damaged)
    assert message in str(caught.value)


def test_what_did_not_pay_is_said(quick_run, results, tmp_path):
    changed = copy.deepcopy(results) | {"gain": 0.001, "gain_standard_error": 0.002}
    for file in changed["files"]:
        file["latency_ms"]["p50"] = {"int8": 3.0, "fp32": 2.0}[file["precision"]]
    assert int8_against_fp32(changed) == {"executorch": 1.5, "litert": 1.5} and gain_is_noise(changed)
    page = page_of(quick_run, changed, tmp_path)
    assert "no gain can be claimed" in page
    assert "LiteRT: the int8 file takes 1.50 × the time of fp32, it is slower on this machine." in page
    assert not gain_is_noise(changed | {"gain": -0.005})


def page_of(quick_run, results, folder):
    shutil.copy(quick_run / "samples.npz", folder)
    shutil.copytree(quick_run / "graphs", folder / "graphs")
    (folder / "results.json").write_text(json.dumps(results))
    return " ".join(write_report(folder).read_text().split())


def test_a_run_that_kept_layers_in_float_has_a_page(quick_run, results, tmp_path):
    mixed = copy.deepcopy(results)
    for file in mixed["files"]:
        file["precision"] = file["precision"].replace("int8", "mixed")
    assert int8_against_fp32(mixed) == int8_against_fp32(results) != {}
    mixed["conversion"]["quantization"] |= {"verdict": "undecided", "validation": 1000}
    mixed["conversion"]["gate"]["findings"] = [{"level": "undecided", "text": "too few samples to tell"}]
    page = page_of(quick_run, mixed, tmp_path)
    assert "which 1,000 images are too few to tell." in page and "undecided: too few samples to tell" in page
    assert "the smaller mixed file" in page and "LiteRT: the mixed file takes" in page
    assert page.count('<tr class="strong">') == 3  # the distilled student and the two mixed files


@pytest.mark.parametrize(
    ("kept", "ratios"),
    [
        ({("litert", "int8"), ("litert", "fp32")}, {"litert"}),
        ({("litert", "int8")}, set()),
        ({("litert", "fp32"), ("executorch", "fp32")}, set()),
        ({("litert", "mixed"), ("litert", "fp32"), ("executorch", "int8")}, {"litert"}),
    ],
)
def test_a_run_with_other_files_has_a_page(quick_run, results, tmp_path, kept, ratios):
    """One engine alone, no fp32 file, fp32 alone, two precisions side by side."""
    changed = copy.deepcopy(results)
    for file in changed["files"]:
        if file["precision"] == "int8" and (file["engine"], "mixed") in kept:
            file["precision"] = "mixed"
    changed["files"] = [file for file in changed["files"] if (file["engine"], file["precision"]) in kept]
    quantized = [file for file in changed["files"] if file["precision"] != "fp32"]
    changed["agreement"] = changed["agreement"] if len(quantized) == 2 else None
    assert int8_against_fp32(changed).keys() == ratios
    page = page_of(quick_run, changed, tmp_path)
    assert ("of the predictions agree between" in page) == (len(quantized) == 2)


def test_a_folder_without_results_says_so(tmp_path):
    with pytest.raises(ResultsError, match="no results.json"):
        write_report(tmp_path)
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(ResultsError, match="not JSON"):
        write_report(tmp_path)


def test_the_page_stands_alone(quick_run):
    """Nothing is fetched: no element refers to anything outside the file."""
    page = (quick_run / "report.html").read_text()
    body = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    references = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)["']|url\(([^)]*)\)""", body)
    assert references and all("".join(one).startswith("data:") for one in references)
    assert "@import" not in body


def test_the_page_shows_the_numbers_of_the_results(quick_run, results):
    page = (quick_run / "report.html").read_text()
    qualities = (results[who]["quality"]["accuracy"] for who in ("teacher", "student_distilled"))
    for share in (*qualities, results["agreement"]):
        assert f"{100 * share:.2f} %" in page
    assert f"{results['files'][0]['latency_ms']['p50']:.3f}" in page
    assert "A shortened run." in page
    assert page.count('<button class="thumb') == 24


def test_class_names_cannot_break_out_of_the_page(quick_run, results, tmp_path):
    hostile = copy.deepcopy(results)
    hostile["data"]["labels"][0] = "</script><img src=x onerror=alert(1)>"
    shutil.copy(quick_run / "samples.npz", tmp_path)
    shutil.copytree(quick_run / "graphs", tmp_path / "graphs")
    (tmp_path / "results.json").write_text(json.dumps(hostile))
    page = write_report(tmp_path).read_text()
    assert "<img src=x" not in page.replace("<\\/script><img src=x", "")
    assert page.count("</script>") == 4
