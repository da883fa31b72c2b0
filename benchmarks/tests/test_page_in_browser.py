"""The report as people see it: in headless Chromium, with a keyboard, in light and dark, without a network."""

import csv
import json
import math
import shutil
from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

from edgestill_benchmarks.comparison import compare_runs
from edgestill_benchmarks.migration import migrate_measurement
from edgestill_benchmarks.report import write_comparison, write_report
from edgestill_benchmarks.results import read_results, upgrade

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: the page is NOT tested (Debian: chromium)")


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def folder(quick_run, tmp_path_factory):
    """A run beside which a second device was measured: the host's numbers, three times as slow, two answers other."""
    target = tmp_path_factory.mktemp("report") / "run"
    shutil.copytree(quick_run, target, ignore=shutil.ignore_patterns("stages", "devices"))
    results = read_results(target)
    labels = results["data"]["labels"]
    measured = json.loads((quick_run / "stages/measurement/measurement.json").read_text())
    measured = upgrade(measured, partial(migrate_measurement, labels=labels), "measurement")
    for file in measured["files"]:
        file["quality"] = {"accuracy": 0.8125}
        for row in file["threads"]:
            row["latency_ms"] = {name: 3 * value if value else value for name, value in row["latency_ms"].items()}
    answers = {"agreement": 0.98, "difference": 0.5, "differ": [[7, labels[0], labels[6]], [91, labels[2], labels[4]]]}
    measured |= {
        "device": "slow",
        "bundle": measured["bundle"] | {"digest": results["bundle"]},
        "emulated": False,
        "samples": {"digest": "sha256:" + "0" * 64, "count": 100, "of": results["data"]["test"]},
        "answers": {"model.tflite": answers},
        "warnings": ["the clock fell"],
    }
    (target / "devices").mkdir()
    (target / "devices/slow.json").write_text(json.dumps(measured))
    write_report(target)
    return target


@contextmanager
def opened(browser, path):
    """A page that must not complain, and must not ask the network for anything."""
    context = browser.new_context(accept_downloads=True)
    page = context.new_page()
    trouble, asked = [], []
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("#memory svg")
    yield page
    assert trouble == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    context.close()


@pytest.fixture
def page(browser, folder):
    with opened(browser, folder / "report.html") as page:
        yield page


def test_every_chart_is_drawn(page):
    places = page.eval_on_selector_all(
        ".chart", "all => all.map(one => [one.id, one.querySelectorAll('svg path').length])"
    )
    assert len(places) == 8 and all(count > 0 for _, count in places), places


def softmax(logits, temperature):
    powers = np.exp((logits - logits.max()) / temperature)
    return powers / powers.sum()


def shown_shares(page, who):
    column = page.locator("#targets > div").filter(has=page.get_by_role("heading", name=who, exact=True))
    rows = column.locator(".target")
    return {
        rows.nth(place).locator("span").first.inner_text(): float(
            rows.nth(place).locator("span").last.inner_text()[:-2]
        )
        for place in range(rows.count())
    }


def test_the_slider_moves_the_bars_to_what_the_formula_gives(page, folder):
    samples, classes = np.load(folder / "samples.npz"), read_results(folder)["data"]["labels"]
    slider = page.get_by_label("temperature", exact=True)
    page.locator(".thumb").nth(5).click()
    for place, temperature in ((0.0, 0.5), (0.5, 4.0), (1.0, 32.0)):
        slider.fill(str(place))
        assert float(slider.get_attribute("aria-valuetext")) == temperature
        for name, who in (("teacher", "teacher"), ("student", "student, fp32"), ("int8", "student, quantized")):
            expected = dict(zip(classes, 100 * softmax(samples[name][5].astype(np.float64), temperature), strict=True))
            shown = shown_shares(page, who)
            assert len(shown) == 8
            for label, share in shown.items():
                assert share == pytest.approx(expected[label], abs=0.06), (who, temperature, label)
    teacher = softmax(samples["teacher"][5].astype(np.float64), 32.0)
    assert f"{100 * (1 - teacher.max()):.1f} % of the teacher" in page.locator("#dark-knowledge").inner_text()


def targets_of(folder):
    with np.load(folder / "samples.npz") as arrays:
        return arrays["targets" if "targets" in arrays.files else "labels"]


def test_the_explorer_works_from_the_keyboard(page, folder):
    targets, classes = targets_of(folder), read_results(folder)["data"]["labels"]
    page.locator(".thumb").nth(2).focus()
    page.keyboard.press("Enter")
    assert page.locator(".thumb").nth(2).get_attribute("aria-pressed") == "true"
    assert page.locator(".thumb[aria-pressed=true]").count() == 1
    assert page.locator("#chosen").get_attribute("alt") == classes[targets[2]]
    before = page.locator("#targets").inner_text()
    page.get_by_label("temperature", exact=True).focus()
    page.keyboard.press("End")
    assert page.locator("#temperature-shown").inner_text() == "T = 32"
    assert page.locator("#targets").inner_text() != before


def column_of(page, key):
    """The values of a column of the table, from top to bottom."""
    keys = page.eval_on_selector_all("#metrics th button", "all => all.map(one => one.dataset.key)")
    cells = f"all => all.map(row => row.cells[{keys.index(key)}].dataset.value)"
    return page.eval_on_selector_all("#metrics tbody tr", cells)


def test_the_table_sorts_both_ways(page):
    heading = page.get_by_role("button", name="p50 ms")

    def values():
        return [float(value) for value in column_of(page, "p50_ms")]

    heading.click()
    assert values() == sorted(values()) and len(values()) >= 16
    assert heading.locator("..").get_attribute("aria-sort") == "ascending"
    heading.focus()
    page.keyboard.press("Enter")
    assert values() == sorted(values(), reverse=True)
    # Words too; and what is empty comes last both ways.
    page.get_by_role("button", name="device", exact=True).click()
    first = column_of(page, "device")
    assert first == sorted(first) and set(first) == {"host", "slow"}
    same = page.get_by_role("button", name="as on host")
    for _ in range(2):
        same.click()
        cells = column_of(page, "agreement")
        assert cells[0] != "" and cells[-1] == ""


def test_the_table_is_saved_as_csv(page, folder, tmp_path):
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download as CSV").click()
    waiting.value.save_as(tmp_path / "metrics.csv")
    assert waiting.value.suggested_filename == f"{read_results(folder)['name']}.csv"
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert {row["device"] for row in rows} == {"host", "slow"}
    slow = [row for row in rows if row["device"] == "slow"]
    assert {(row["measure"], row["quality"], row["samples"]) for row in slow} == {("accuracy", "0.8125", "100")}


def test_the_slowest_operators_are_listed(page, folder):
    profile = next(file["profile"] for file in read_results(folder)["files"] if file["path"].endswith("/model.tflite"))
    slowest = max(profile["operators"], key=lambda one: one["us"])
    part = page.locator("section:has(#operators) details", has_text="model.tflite on host: 11 operators")
    part.locator("summary").click()
    rows = part.locator("tr:has(td)")
    assert rows.count() == 10
    first = rows.first.locator("td").all_inner_texts()
    assert first[0] == slowest["name"] and first[1] == f"{profile['operators'].index(slowest) + 1} of 11"
    assert first[2] == f"{slowest['us']:.1f} µs" and first[3] == f"{100 * slowest['us'] / profile['call_us']:.1f} %"
    assert page.locator("section:has(#operators) details").count() == 8, "four files, here and on the second device"


def test_two_runs_on_one_page(browser, folder, tmp_path):
    later = shutil.copytree(folder, tmp_path / "later")
    results = read_results(later)
    results["teacher"]["quality"]["accuracy"] = 0.5
    (later / "results.json").write_text(json.dumps(results))
    changes = compare_runs(read_results(folder), read_results(later))
    target = write_comparison([folder, later], tmp_path / "both.html", changes)
    with opened(browser, target) as page:
        worse = page.locator("table.changes tr.worse").all_inner_texts()
        assert len(worse) == 1 and worse[0].startswith("accuracy\tteacher\t") and "50.00 %" in worse[0]
        devices = column_of(page, "device")
        # Both runs have one name, so their folders tell them apart.
        assert set(devices) == {f"{name}, {where}" for name in ("run", "later") for where in ("host", "slow")}
        page.get_by_role("button", name="p50 ms").click()
        values = [float(value) for value in column_of(page, "p50_ms")]
        assert values == sorted(values) and len(values) >= 32
        assert "teacher of later" in page.locator("#quality-latency").text_content()


def test_samples_that_differ_and_warnings_are_shown(page, folder):
    classes = read_results(folder)["data"]["labels"]
    assert page.get_by_text("slow: the clock fell").count() == 1
    page.get_by_text("slow, model.tflite: 2 of 100 test images").click()
    assert page.get_by_text(f"#7 {classes[0]} → {classes[6]}, #91 {classes[2]} → {classes[4]}").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(browser, folder, scheme):
    opened = browser.new_page(color_scheme=scheme)
    opened.goto((folder / "report.html").as_uri())
    opened.wait_for_selector("#size svg")

    def luminance(colour):
        channels = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    read = "(place) => getComputedStyle(document.querySelector(place[0]))[place[1]]"
    paper = luminance(opened.evaluate(read, ["section", "backgroundColor"]))
    assert (paper < 0.05) == (scheme == "dark")
    for place in ("h2", ".soft", ".right, td"):
        ink = luminance(opened.evaluate(read, [place, "color"]))
        contrast = (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05)
        assert contrast >= 4.5, f"{place}: {contrast:.1f}"  # WCAG 2.2, level AA
    label = luminance(opened.evaluate(read, ["#validation .role-axis-label text", "fill"]))
    assert (max(label, paper) + 0.05) / (min(label, paper) + 0.05) >= 4.5
    opened.close()


def test_it_fits_a_phone(browser, folder):
    opened = browser.new_page(viewport={"width": 390, "height": 844})
    opened.goto((folder / "report.html").as_uri())
    opened.wait_for_selector("#size svg")
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    opened.close()


@pytest.mark.parametrize(("run", "second"), [("multi_label_run", "macro F1"), ("regression_run", "MAE")])
def test_runs_of_other_tasks_are_drawn(request, browser, tmp_path, run, second):
    folder = shutil.copytree(request.getfixturevalue(run), tmp_path / "run")
    write_report(folder)
    with opened(browser, folder / "report.html") as page:
        count = "all => all.map(one => [one.id, one.querySelectorAll('svg path').length])"
        places = dict(page.eval_on_selector_all(".chart", count))
        assert len(places) == 7 and all(places.values()) and "confusion" not in places, places
        # All measures are columns, and sort.
        page.get_by_role("button", name=second, exact=True).click()
        values = [float(value) for value in column_of(page, second)]
        assert values == sorted(values) and len(set(values)) == 4
        assert page.locator("table.samples img").count() == 24
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    target = write_comparison([folder, folder], tmp_path / "both.html", compare_runs(*[read_results(folder)] * 2))
    with opened(browser, target) as page:
        assert page.locator("table.changes tr", has_text=second).count() == 7  # three models and four files


def test_a_quality_that_is_no_number_leaves_a_gap_in_the_charts(browser, regression_run, tmp_path):
    """A file that answers NaN has an R² of -∞, which JSON has no word for."""
    folder = shutil.copytree(regression_run, tmp_path / "run")
    results = read_results(folder)
    results["files"][0]["quality"] = {"R²": -math.inf, "MAE": math.inf}
    results["details"]["model.tflite"]["per_class"]["width"] = -math.inf
    (folder / "results.json").write_text(json.dumps(results))
    write_report(folder)
    with opened(browser, folder / "report.html") as page:
        assert page.locator("#quality-latency svg path").count() > 0
        assert page.get_by_text("-inf").count() > 0
