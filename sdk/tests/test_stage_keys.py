"""A stage's key changes with everything that its result depends on; nothing is trained or converted here."""

import json
from pathlib import Path

import pytest
import torch

from edgestill import pipeline
from edgestill.models import create_model
from edgestill.pipeline import STAGES, Pipeline
from edgestill.recipe import load_recipe
from edgestill.stages import Stage

RECIPE = """
name = "keys"
[teacher]
checkpoint = "teacher.pt"
model = "dscnn_xs"
"""


class Keys:
    """In the place of `Stages`: makes none, and each key is what it would be hashed from."""

    def run(self, name, inputs, make):
        return Stage(Path(name), json.dumps([name, inputs], sort_keys=True, default=str), reused=True)


def save_teacher(folder, seed=0):
    state = create_model("dscnn_xs", 10, seed=seed).state_dict()
    torch.save({"model": state, "ema": state}, folder / "teacher.pt")


@pytest.fixture
def keys(tmp_path):
    save_teacher(tmp_path)
    (tmp_path / "recipe.toml").write_text(RECIPE)

    def found(**changes):
        made = Pipeline(load_recipe(tmp_path / "recipe.toml", changes), tmp_path / "run")
        made._stages = Keys()
        return {stage: getattr(made, stage).key for stage in STAGES}

    return found


def differ(one, other):
    return {stage for stage in one if one[stage] != other[stage]}


@pytest.mark.parametrize(
    ("changes", "stages"),
    [
        ({"name": "other"}, set()),
        ({"teacher.check": False}, set()),
        ({"measure.min_calls": 7}, {"measurement"}),
        ({"conversion.max_drop": 1.0}, {"conversion", "gate", "evaluation", "measurement"}),
        ({"data.calibration": 32}, {"conversion", "gate", "evaluation", "measurement"}),
        ({"data.seed": 1}, set(STAGES)),
        ({"data.validation": 0.2}, set(STAGES)),
        ({"data.resize": "letterbox"}, set(STAGES)),
        ({"training.epochs": 2}, set(STAGES) - {"teacher"}),
        ({"student.model": "dscnn_m"}, set(STAGES) - {"teacher"}),
        ({"seed": 2}, set(STAGES) - {"teacher"}),
        ({"distillation.combine": "choice"}, set(STAGES) - {"teacher", "student_alone"}),
        ({"training.views": 2}, set(STAGES) - {"teacher"}),
        ({"teacher.mean": [0.5], "teacher.std": [0.5]}, set(STAGES) - {"student_alone"}),
        ({"teacher.image_size": 32}, set(STAGES) - {"student_alone"}),
        ({"teacher.weights": "ema"}, set(STAGES) - {"student_alone"}),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, dict) else "",  # a set has another order in each process
)
def test_a_key_of_the_recipe_changes_what_depends_on_it(keys, changes, stages):
    assert differ(keys(), keys(**changes)) == stages


def test_other_weights_of_the_teacher_change_what_it_teaches(keys, tmp_path):
    before = keys()
    save_teacher(tmp_path, seed=1)
    assert differ(before, keys()) == set(STAGES) - {"student_alone"}


def test_other_converters_make_other_files(keys, monkeypatch):
    before = keys()
    for package in ("torch", "torchao", "executorch", "litert-torch", "ai-edge-litert"):
        assert f'"{package}": "' in before["conversion"]
    version = pipeline.metadata.version
    monkeypatch.setattr(pipeline.metadata, "version", lambda name: "99" if name == "torchao" else version(name))
    assert differ(before, keys()) == {"conversion", "gate", "evaluation", "measurement"}


def test_other_engines_are_evaluated_and_measured_again(keys, monkeypatch):
    before = keys()
    assert "ai-edge-litert" in before["evaluation"]
    monkeypatch.setattr(pipeline, "installed_engines", lambda: {"litert": "ai-edge-litert 99"})
    assert differ(before, keys()) == {"gate", "evaluation", "measurement"}


def test_another_machine_judges_and_measures_again(keys, monkeypatch):
    before = keys()
    real = pipeline.machine.describe_machine()
    monkeypatch.setattr(pipeline.machine, "describe_machine", lambda: real | {"cpu": "another"})
    assert differ(before, keys()) == {"gate", "measurement"}


@pytest.mark.parametrize(
    ("changes", "taught"),
    [
        ({}, True),
        ({"distillation.method": "alone"}, False),
        ({"distillation.method": "self"}, False),
        ({"distillation.method": "alone", "conversion.learn_from": "teacher"}, True),
    ],
    ids=lambda one: " ".join(map(str, one.values())) if isinstance(one, dict) else "",
)
def test_a_bundle_names_the_teacher_where_one_has_taught(tmp_path, monkeypatch, changes, taught):
    save_teacher(tmp_path)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    made, facts = Pipeline(load_recipe(tmp_path / "recipe.toml", changes), tmp_path / "run"), []
    made._stages = Keys()
    monkeypatch.setattr(Pipeline, "_student", lambda *_: None)
    monkeypatch.setattr(Pipeline, "_teacher_model", lambda *_: None)
    monkeypatch.setattr(pipeline, "describe_model", lambda *words: facts.append(words[3]))
    monkeypatch.setattr(pipeline, "quantise", lambda *_, **__: None)
    made._make_conversion(tmp_path)
    assert ("teacher" in facts[0]) == taught


def test_edited_code_of_a_model_makes_another_student(keys, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_keys_net.py").write_text("a = 1")
    before = keys(**{"student.model": "own_keys_net:net"})
    (tmp_path / "own_keys_net.py").write_text("a = 2")
    assert "student_alone" in differ(before, keys(**{"student.model": "own_keys_net:net"}))
