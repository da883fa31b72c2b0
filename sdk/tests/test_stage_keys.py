"""A stage's key changes with everything that its result depends on; nothing is trained or converted here."""

from pathlib import Path

import pytest
import torch

from edgestill.models import create_model
from edgestill.recipe import load_recipe
from edgestill.workflow import binding, conversion
from edgestill.workflow.graph import ends_of_run, ends_of_training, ends_of_trial, make
from edgestill.workflow.key import key_of
from edgestill.workflow.plan import make_plan, read_data
from edgestill.workflow.stage import Context, Finished
from edgestill_benchmarks import machine

RECIPE = """
name = "keys"
[teacher]
checkpoint = "teacher.pt"
model = "dscnn_xs"
"""
STAGES = ("teacher", "student-alone", "student-distilled", "conversion", "gate", "evaluation", "measurement")


class Keys:
    """In the place of `Store`: makes none, and keeps the inputs and their key."""

    def __init__(self):
        self.inputs = {}
        self.order = []

    def run(self, stage, inputs, context):
        assert type(inputs) is stage.inputs
        self.inputs[stage.name] = inputs
        self.order.append(stage.name)
        return Finished(Path(stage.name), key_of(stage.name, inputs), reused=True)


def save_teacher(folder, seed=0):
    state = create_model("dscnn_xs", 10, seed=seed).state_dict()
    torch.save({"model": state, "ema": state}, folder / "teacher.pt")


@pytest.fixture
def plan(tmp_path):
    """A function of changes to the recipe."""
    save_teacher(tmp_path)
    (tmp_path / "recipe.toml").write_text(RECIPE)

    def made(**changes):
        recipe = load_recipe(tmp_path / "recipe.toml", changes)
        return make_plan(recipe, read_data(recipe))

    return made


@pytest.fixture
def keys(plan):
    def found(**changes):
        made = plan(**changes)
        stages = make(made, Keys(), Context(), ends_of_run(made.recipe))
        return {name: stages[name].key for name in STAGES}

    return found


def differ(one, other):
    return {stage for stage in one if one[stage] != other[stage]}


def order(made, ends):
    store = Keys()
    make(made, store, Context(), ends)
    return store.order


@pytest.mark.parametrize(
    ("changes", "stages"),
    [
        ({"name": "other"}, set()),
        ({"teacher.check": False}, set()),
        ({"measure.min_calls": 7}, {"measurement"}),
        ({"conversion.min_agreement": 90.0}, {"gate"}),
        ({"conversion.max_drop": 1.0}, {"conversion", "gate", "evaluation", "measurement"}),
        ({"data.calibration": 32}, {"conversion", "gate", "evaluation", "measurement"}),
        ({"data.seed": 1}, set(STAGES)),
        ({"data.validation": 0.2}, set(STAGES)),
        ({"data.resize": "letterbox"}, set(STAGES)),
        ({"training.epochs": 2}, set(STAGES) - {"teacher"}),
        ({"student.model": "dscnn_m"}, set(STAGES) - {"teacher"}),
        ({"seed": 2}, set(STAGES) - {"teacher"}),
        ({"distillation.combine": "choice"}, set(STAGES) - {"teacher", "student-alone"}),
        ({"training.views": 2}, set(STAGES) - {"teacher"}),
        ({"teacher.mean": [0.5], "teacher.std": [0.5]}, set(STAGES) - {"student-alone"}),
        ({"teacher.image_size": 32}, set(STAGES) - {"student-alone"}),
        ({"teacher.weights": "ema"}, set(STAGES) - {"student-alone"}),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, dict) else "",  # a set has another order in each process
)
def test_a_key_of_the_recipe_changes_what_depends_on_it(keys, changes, stages):
    assert differ(keys(), keys(**changes)) == stages


def test_other_weights_of_the_teacher_change_what_it_teaches(keys, tmp_path):
    before = keys()
    save_teacher(tmp_path, seed=1)
    assert differ(before, keys()) == set(STAGES) - {"student-alone"}


def test_other_converters_make_other_files(keys, monkeypatch):
    before = keys()
    version = binding.metadata.version
    for package in ("torch", "torchao", "executorch", "litert-torch", "ai-edge-litert"):
        with monkeypatch.context() as patch:
            patch.setattr(binding.metadata, "version", lambda name, one=package: "99" if name == one else version(name))
            assert differ(before, keys()) == {"conversion", "gate", "evaluation", "measurement"}


def test_other_engines_are_evaluated_and_measured_again(keys, monkeypatch):
    before = keys()
    assert any("ai-edge-litert" in name for name in binding.installed_engines().values())
    monkeypatch.setattr(binding, "installed_engines", lambda: {"litert": "ai-edge-litert 99"})
    assert differ(before, keys()) == {"gate", "evaluation", "measurement"}


def test_another_machine_judges_and_measures_again(keys, monkeypatch):
    before = keys()
    real = machine.describe_machine()
    monkeypatch.setattr(machine, "describe_machine", lambda: real | {"cpu": "another"})
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
def test_a_bundle_names_the_teacher_where_one_has_taught(plan, tmp_path, monkeypatch, changes, taught):
    made, store, facts = plan(**changes), Keys(), []
    make(made, store, Context(), ["conversion"])
    monkeypatch.setattr(conversion, "load_student", lambda *_: None)
    monkeypatch.setattr(conversion, "load_any_teacher", lambda *_: None)
    monkeypatch.setattr(conversion, "describe_model", lambda *words: facts.append(words[3]))
    monkeypatch.setattr(conversion, "quantize", lambda *_, **__: None)
    conversion.convert_student.make(store.inputs["conversion"], tmp_path, Context())
    assert ("teacher" in facts[0]) == taught


@pytest.mark.parametrize("role", ["student", "peer"])
def test_edited_code_of_a_model_makes_another_student(keys, tmp_path, monkeypatch, role):
    monkeypatch.syspath_prepend(tmp_path)
    changes = {
        "student": {"student.model": "own_keys_net:net"},
        "peer": {"distillation.method": "together", "distillation.peers": ["own_keys_net:net"]},
    }[role]
    (tmp_path / "own_keys_net.py").write_text("a = 1")
    before = keys(**changes)
    (tmp_path / "own_keys_net.py").write_text("a = 2")
    found = differ(before, keys(**changes))
    assert "student-distilled" in found and ("student-alone" in found) == (role == "student")


# One graph with different ends.


def test_a_run_a_training_and_a_trial_want_different_ends_of_one_graph(plan):
    made = plan()
    training = ["teacher-check", "student-alone", "teacher", "teacher-outputs", "student-distilled"]
    assert order(made, ends_of_training(made.recipe)) == training
    assert order(made, ends_of_trial(made.recipe, evaluate=False)) == training
    evaluated = [*training, "conversion", "teacher-evaluation", "evaluation"]
    assert order(made, ends_of_trial(made.recipe, evaluate=True)) == evaluated
    whole = order(made, ends_of_run(made.recipe))
    assert set(whole) == {*evaluated, "gate", "measurement"} and len(whole) == len(set(whole))


def test_a_baseline_student_needs_no_teacher(plan):
    made = plan(**{"distillation.method": "alone", "teacher.check": False})
    assert order(made, ends_of_training(made.recipe)) == ["student-alone", "student-distilled"]


@pytest.mark.parametrize(
    ("changes", "quick", "checked"),
    [
        ({}, False, "teacher-check"),
        ({}, True, "teacher-check"),
        ({"teacher.check": False}, False, None),
        ({"teacher": {"model": "dscnn_xs"}}, False, "trained-teacher-check"),
        ({"teacher": {"model": "dscnn_xs"}}, True, None),  # a trial run's epoch teaches it nothing
        ({"teacher": {"model": "dscnn_xs", "check": False}}, False, None),
    ],
)
def test_a_teacher_is_checked_before_anybody_learns_from_it(plan, changes, quick, checked):
    made = plan(**changes)
    recipe = made.recipe.shortened() if quick else made.recipe
    names = order(make_plan(recipe, made.data), ["student-distilled"])
    assert [name for name in names if name.endswith("check")] == ([] if checked is None else [checked])
    assert checked is None or names.index(checked) < names.index("teacher-outputs")


def test_the_check_of_a_trained_teacher_belongs_to_that_teacher(plan):
    found = []
    for epochs in (3, 4):
        made = plan(teacher={"model": "dscnn_xs", "training": {"epochs": epochs}})
        found.append(make(made, Keys(), Context(), ["trained-teacher-check"])["trained-teacher-check"].key)
    assert found[0] != found[1]
