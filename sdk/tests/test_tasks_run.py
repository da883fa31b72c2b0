"""Two tasks from drawn images to files: distilled, converted, gated, in the bundle, in results and report."""

import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest

import edgestill as es
from edgestill.data import DataOptions, load_data
from edgestill.errors import ModelError, RecipeError
from edgestill.gate import check_bundle
from edgestill.objectives import DIST, FitNets
from edgestill.recipe import load_recipe
from edgestill.run_data import known_of_run, read_again
from edgestill.tasks import TASKS, MultiLabelClassification, Regression, find_task
from edgestill_benchmarks.results import read_results
from edgestill_runtime import load, open_bundle, replay_golden, why_failed

NAMES = ["shapes", "disc"]


@pytest.fixture(scope="module", params=NAMES)
def finished(request, task_runs):
    """A run: its folder, its bundle, its results."""
    folder = task_runs / request.param
    return folder, open_bundle(folder / f"{request.param}.edge"), read_results(folder)


def test_both_files_keep_what_the_student_learnt(finished):
    _, bundle, results = finished
    main = results["task"]["measures"][0]["name"]
    assert results["teacher"]["quality"][main] > 0.9 and results["student_distilled"]["quality"][main] > 0.85
    int8 = [file for file in results["files"] if file["precision"] == "int8"]
    assert len(int8) == 2 and all(file["retained"] > 0.95 for file in int8)
    assert results["agreement"] == 1.0 and results["conversion"]["gate"]["passed"]
    assert int8[0]["quality"] == int8[1]["quality"]  # to the last bit
    assert bundle.manifest.quality["teacher"] == results["teacher"]["quality"]
    assert why_failed(replay_golden(bundle)) is None


def test_the_files_answer_photos_in_the_tasks_words(finished, task_runs):
    folder, bundle, _ = finished
    photos = sorted((task_runs / "data" / folder.name).glob("*.png"))[:20]
    for engine in ("litert", "executorch"):
        with load(bundle, engine=engine) as model:
            answers = [model.predict(photo) for photo in photos]
            texts = [model.task.describe(answer) for answer in answers]
    data = load_recipe(task_runs / f"{folder.name}.toml").load_data()
    if folder.name == "shapes":
        assert {one.label for answer in answers for one in answer} == {"bar", "circle", "cross"}
        assert all(one.score >= 0.4 for answer in answers for one in answer)
    else:
        assert [one.unit for one in answers[0]] == ["mm", "px"]
        spread = data.train.targets[:, 0].min(), data.train.targets[:, 0].max()
        assert all(spread[0] - 1 < answer[0].value < spread[1] + 1 for answer in answers)
    assert len(set(texts)) > 3


def test_the_report_shows_them(finished):
    folder, _, results = finished
    page = (folder / "report.html").read_text()
    assert results["task"]["measures"][1]["name"] in page and len(results["shown"]) > 10
    assert results["shown"][0]["truth"] in page


def test_the_data_of_a_run_are_read_again_with_its_task(finished, task_runs):
    folder, bundle, _ = finished
    # The runs were made elsewhere and copied here, with their data.
    data = read_again(known_of_run(folder), f"image-folder:{task_runs / 'data' / folder.name}")
    assert data.task.name == bundle.manifest.task
    assert dict(data.task_settings) == dict(bundle.manifest.task_settings)
    gate = check_bundle(bundle, data.validation, latency=False)
    assert gate.passed and gate.agreement == 1.0


def test_a_file_that_has_lost_its_weights_misses_the_budget(finished, task_runs):
    """The gate judges by the task's measure: files with another run's targets are no better than guessing."""
    folder, bundle, _ = finished
    data = load_recipe(task_runs / f"{folder.name}.toml").load_data()
    turned = replace(data.validation, targets=data.validation.targets[::-1].copy())
    gate = check_bundle(bundle, turned, latency=False)
    assert any("so they cannot tell what int8 costs" in one.text for one in gate.findings)
    failed = check_bundle(bundle, data.validation, float_quality=1.0, max_drop=0.0, latency=False)
    assert gate.quality.keys() == failed.quality.keys()
    assert any(re.search(r"reaches (mAP|R²) ", one.text) for one in failed.findings)


@pytest.mark.parametrize("name", NAMES)
def test_objectives_that_look_at_other_targets_are_refused_before_training(task_runs, name):
    data = load_recipe(task_runs / f"{name}.toml").load_data()
    student = es.create_model("dscnn_xs", len(data.classes), 1)
    with pytest.raises(
        ModelError, match=r"DIST is for one class a sample, and the targets of .* objectives that fit: "
    ):
        es.distill(student, student, data, options=es.DistillOptions(check_teacher=False), objective=DIST())
    data.task.check_objective(FitNets(["stem"]))  # looks at no targets


def test_a_recipe_says_which_objectives_fit(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text('name = "x"\ntask = "regression"\n[distillation]\nobjective = { kind = "binary-kd" }\n')
    with pytest.raises(RecipeError, match=r"r.toml, line 4: unknown objective 'binary-kd'"):
        load_recipe(path)
    path.write_text('name = "x"\ntask = "regresion"\n')
    with pytest.raises(RecipeError, match=r"unknown task 'regresion'.*regression"):
        load_recipe(path)
    path.write_text('name = "x"\ntask = "regression"\n[task_options]\ntolerence = 1\n')
    with pytest.raises(RecipeError, match=r"has no option 'tolerence'.*tolerance"):
        load_recipe(path)


def test_a_teacher_that_learnt_other_numbers_is_refused(task_runs):
    folder = task_runs / "disc"
    data = load_recipe(task_runs / "disc.toml").load_data()
    checkpoint = folder / "stages" / "teacher" / "model.safetensors"
    es.load_teacher("resnet8", data, checkpoint=checkpoint)
    other = replace(data, task_settings={**data.task_settings, "mean": [0.0, 0.0]})
    with pytest.raises(ModelError, match=r"does not fit .*: it was trained on values of mean"):
        es.load_teacher("resnet8", other, checkpoint=checkpoint)


# Guessing, by hand.


def test_guessing_a_number_is_answering_its_mean():
    task, targets = Regression(), np.linspace(0, 1, 100, dtype=np.float32)[:, None]
    device = task.on_device(("x",), task.settings(targets, ("x",)))
    noise = np.random.default_rng(0).normal(size=(100, 1))
    found = task.against_chance(device, [noise], targets)
    assert found.near and found.chance == 0.0 and found.quality < 0
    right = [task.encode(targets, ("x",), device.settings)]
    assert not task.against_chance(device, right, targets).near


def test_guessing_labels_reaches_their_frequency():
    task, generator = MultiLabelClassification(), np.random.default_rng(0)
    targets = (generator.random((300, 2)) < (0.2, 0.5)).astype(np.uint8)
    device = task.on_device(("a", "b"), {})
    found = task.against_chance(device, [generator.normal(size=(300, 2))], targets)
    assert found.near and found.chance == pytest.approx(targets.mean())
    assert not task.against_chance(device, [targets * 2.0 - 1], targets).near


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_an_objective_for_every_way_to_train(name):
    task = find_task(name)
    for method in ("alone", "teacher", "generations", "together", "int8"):
        objective = task.default_objective(method)
        task.check_objective(objective)
        assert objective.needs_teacher == (method != "alone")


# A task of one's own, as docs/tasks.md has it.


def test_the_documented_task_of_ones_own_works(root, tmp_path, monkeypatch):
    text = (root / "docs" / "tasks.md").read_text(encoding="utf-8")
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.S) if block.startswith("# ordinal.py"))
    (tmp_path / "ordinal.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    data = load_data(options=DataOptions(calibration=64), task="ordinal:Ordinal")
    few = replace(data, train=data.train.take(np.arange(600)), validation=data.validation.take(np.arange(200)))
    student = es.distill(None, es.create_model("dscnn_xs", 10), few, epochs=3).student
    bundle = es.convert(
        student, few.calibration(64), tmp_path / "x.edge", options=es.ConversionOptions(targets=("litert",))
    )
    assert bundle.manifest.task == "ordinal:Ordinal"
    gate = check_bundle(bundle, few.validation, latency=False, task=few.task)
    assert set(gate.quality["model.tflite"]) == {"within one", "accuracy"} and gate.measure.name == "within one"
    assert "Ordinal" in json.dumps(few.learnt_from())
    with load(bundle, task=sys.modules["ordinal"].OrdinalOnDevice) as model:
        assert model.predict(few.test.images[0])[0].label in few.classes


def test_code_that_only_a_file_names_is_not_imported(tmp_path):
    from edgestill.run_data import refuse_task

    with pytest.raises(es.EdgestillError, match="code that only the file names"):
        refuse_task("ordinal:Ordinal", tmp_path)
