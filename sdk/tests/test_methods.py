"""Every method of `[distillation]` through a recipe and the workflow, and sweeps over them."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch

import edgestill as es
from edgestill.distillation import cache_teachers
from edgestill.errors import EdgestillError, RecipeError
from edgestill.quantization import quantize
from edgestill.recipe import flatten, load_recipe
from edgestill.teacher_inputs import processor_of
from edgestill.workflow import inputs
from edgestill.workflow.checkpoints import read_history
from edgestill.workflow.graph import make
from edgestill.workflow.plan import make_plan, prepare, read_data
from edgestill.workflow.stage import Context
from edgestill.workflow.store import Store
from edgestill.workflow.sweep import run_sweep
from edgestill.workflow.sweep_plan import Sweep, grid, parse_over, read_points
from edgestill.workflow.sweep_summary import markdown
from edgestill_runtime import open_bundle

SOURCE = """
import edgestill as es
from edgestill.data import open_source
import numpy as np

def tiny():
    whole = open_source("fashion-mnist-mini")
    return es.ImageSource("tiny", whole.classes, whole.train.take(np.arange(800)), whole.test.take(np.arange(200)),
                          whole.mean, whole.std)
"""
RECIPE = """
name = "tiny"
augmentation = ["flip"]
[data]
source = "tiny_source:tiny"
calibration = 32
[teacher]
model = "resnet8"
check = false
[teacher.training]
epochs = 2
[student]
model = "dscnn_xs"
[training]
epochs = 2
batch_size = 64
views = 2
[measure]
threads = [1]
min_calls = 10
min_seconds = 0.0
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the recipe, its data, and a pool of stages that the tests share."""
    folder = tmp_path_factory.mktemp("methods")
    (folder / "tiny_source.py").write_text(SOURCE)
    (folder / "tiny.toml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
        yield folder


def plan_of(place, changes):
    recipe = load_recipe(place / "tiny.toml", changes)
    return make_plan(recipe, read_data(recipe))


def stages(place, changes, *ends):
    """These stages and all that they need, in the shared pool."""
    return make(plan_of(place, changes), Store(place / "stages", pooled=True), Context(), ends)


def checkpoint(stage):
    return safetensors.torch.load_file(stage.folder / "model.safetensors")


HINTS = [{"kind": "cross-entropy"}, {"kind": "fitnets", "layers": [["blocks.3", "stages.1"]]}]


@pytest.mark.parametrize(
    "changes",
    [
        {"distillation.objective": {"kind": "dkd"}},
        {"distillation.objective": HINTS, "training.views": 0},
        {"distillation.live": True},
        {"distillation.method": "self", "training.ema": 0.9, "distillation.objective": {"kind": "hinton-kd"}},
        {"distillation.method": "generations", "distillation.generations": 1},
        {"distillation.method": "together", "distillation.peers": ["dscnn_xs"]},
    ],
    ids=["cached", "layers", "live", "self", "generations", "together"],
)
def test_each_method_makes_a_student_of_its_own(place, changes):
    ends = ("teacher", "student-alone", "student-distilled")  # as a run asks for them; a live teacher has no cache
    made = stages(place, changes, *ends)
    alone, distilled = checkpoint(made["student-alone"]), checkpoint(made["student-distilled"])
    assert alone.keys() == distilled.keys()
    assert any(not np.array_equal(alone[name], distilled[name]) for name in alone)
    history = read_history(made["student-distilled"])
    assert len(history) == 2 and history[-1]["validation"] > 0
    assert stages(place, changes, "student-distilled")["student-distilled"].reused


def test_alone_is_the_student_alone(place):
    made = stages(place, {"distillation.method": "alone"}, "student-distilled")
    alone, distilled = checkpoint(made["student-alone"]), checkpoint(made["student-distilled"])
    assert all(np.array_equal(alone[name], distilled[name]) for name in alone)


@pytest.mark.slow
def test_peers_are_kept_and_can_be_converted(place):
    changes = {"distillation.method": "together", "distillation.peers": ["dscnn_xs"]}
    folder = stages(place, changes, "student-distilled")["student-distilled"].folder
    peer = es.create_model("dscnn_xs", 10)
    es.load_checkpoint(folder / "peer-1.safetensors", peer)
    calibration = plan_of(place, changes).data.calibration(32)
    bundle = es.convert(peer.eval(), calibration, place / "peer.edge")
    assert {"model.pte", "model.tflite"} <= set(bundle.manifest.models)


def test_a_team_teaches_through_a_recipe(place, monkeypatch):
    asked = []

    def watched(teachers, *arguments, **options):
        asked.extend(teachers)
        return cache_teachers(teachers, *arguments, **options)

    monkeypatch.setattr("edgestill.workflow.teacher.cache_teachers", watched)
    teacher = stages(place, {}, "teacher")["teacher"].folder / "model.safetensors"
    team = [{"model": "resnet8", "checkpoint": str(teacher), "mean": [0.5], "std": [0.25], "image_size": 24}]
    changes = {"teacher.team": team, "distillation.combine": "confidence"}
    made = stages(place, changes, "student-distilled")
    assert made["student-distilled"].folder.is_dir()
    assert {path.name for path in made["teacher-outputs"].folder.iterdir()} >= {"teacher-0", "teacher-1"}
    # The first sees what the data gives, the member what its own table says.
    own = plan_of(place, changes).data.processor
    first, member = map(processor_of, asked)
    assert first in (None, own)
    assert (member.image_shape, member.mean, member.std) == ((24, 24, 1), (0.5,), (0.25,)) != own.image_shape


def test_a_teacher_that_training_left_near_chance_stops_the_run(place):
    """With so small a learning rate it is what it began as; a second run does not take the check for passed."""
    changes = {"teacher.model": "dscnn_xs", "teacher.training.learning_rate": 1e-9, "teacher.training.epochs": 1}
    for _ in range(2):
        with pytest.raises(EdgestillError, match=r"the teacher reaches accuracy .* guessing \d+\.\d\d %: a student"):
            stages(place, changes | {"teacher.check": True}, "student-distilled")
    # It is trained once: who wants it all the same goes on with it.
    assert stages(place, changes, "teacher")["teacher"].reused


def test_a_teacher_that_was_trained_unchecked_is_checked_when_that_is_asked_for(place):
    changes = {"teacher.model": "dscnn_xs", "teacher.training.learning_rate": 1e-9, "teacher.training.epochs": 1}
    assert stages(place, changes, "student-distilled")["student-distilled"].folder.is_dir()
    with pytest.raises(EdgestillError, match="a student would learn nothing from it"):
        stages(place, changes | {"teacher.check": True}, "student-distilled")


@pytest.mark.slow
def test_a_student_can_be_trained_in_int8_against_the_teacher(place, monkeypatch):
    asked = []

    def watched(model, data, output, budget, *arguments, **options):
        asked.append(budget.teacher)
        return quantize(model, data, output, budget, *arguments, **options)

    monkeypatch.setattr("edgestill.workflow.conversion.quantize", watched)
    changes = {"conversion.quantize": "qat", "conversion.learn_from": "teacher", "conversion.qat.epochs": 1}
    made = stages(place, changes | {"conversion.qat.views": 1}, "conversion")
    bundle = open_bundle(made["conversion"].folder / "student.edge")
    assert bundle.manifest.training["quantization"]["chosen"] == "qat"
    (teacher,) = asked
    kept = checkpoint(made["teacher"])
    assert all(np.array_equal(value, kept[name]) for name, value in teacher.state_dict().items())


def test_few_labels_through_a_recipe(place):
    few, all_of_them = ({"data.labelled": 50}, {})
    data = plan_of(place, few).data
    assert data.describe()["unlabelled"] == len(data.train) - 50
    keys = {stages(place, one, "student-distilled")["student-distilled"].key for one in (few, all_of_them)}
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"distillation.method": "together"}, "`peers`"),
        ({"distillation.peers": ["resnet8"]}, "`peers`"),
        ({"distillation.method": "teach"}, "distillation.method = 'teach'"),
        ({"training.views": 0}, "training.views must be at least 1"),
        ({"distilation.method": "self"}, "unknown key 'distilation'; did you mean 'distillation'"),
        ({"name.first": "x"}, "name is a value, not a table"),
    ],
)
def test_changes_that_make_no_sense(place, changes, said):
    with pytest.raises(RecipeError) as caught:
        load_recipe(place / "tiny.toml", changes)
    assert said in str(caught.value)


def test_layers_are_checked_before_anything_takes_time(place):
    wrong = [{"kind": "fitnets", "layers": [["block.3", "stages.1"]]}]
    with pytest.raises(EdgestillError, match=r"the student has no layer 'block.3'; did you mean 'blocks.3'"):
        prepare(load_recipe(place / "tiny.toml", {"distillation.objective": wrong}))


# Sweeps.


def test_over_is_toml_and_words_need_no_quotes():
    assert parse_over("training.epochs=10,20") == ("training.epochs", [10, 20])
    assert parse_over("student.model = dscnn_s,resnet8") == ("student.model", ["dscnn_s", "resnet8"])
    key, values = parse_over('distillation.objective={kind="dkd",beta=2.0},{kind="dist"}')
    assert key == "distillation.objective" and values == [{"kind": "dkd", "beta": 2.0}, {"kind": "dist"}]
    for wrong in ("training.epochs", "=3", "training.epochs=", 'a={kind="dkd"'):
        with pytest.raises(RecipeError, match="--over"):
            parse_over(wrong)


def test_a_grid_is_every_combination():
    points = grid([("training.epochs", [1, 2]), ("distillation.objective", [{"kind": "dkd", "beta": 2.0}])])
    assert list(points) == ["epochs 1, objective dkd 2.0", "epochs 2, objective dkd 2.0"]
    assert points["epochs 2, objective dkd 2.0"]["training.epochs"] == 2
    assert grid([]) == {"recipe": {}}


def test_named_points_use_the_recipes_own_keys(tmp_path):
    path = tmp_path / "points.toml"
    path.write_text('[kd]\ndistillation.objective = { kind = "hinton-kd", temperature = 2.0 }\ntraining.epochs = 3\n')
    kept = {"distillation.objective": {"kind": "hinton-kd", "temperature": 2.0}, "training.epochs": 3}
    assert read_points(path) == {"kd": kept}
    assert flatten({"conversion": {"qat": {"epochs": 1}}, "seed": 3}) == {"conversion.qat.epochs": 1, "seed": 3}
    path.write_text("training = 3\n")
    with pytest.raises(RecipeError, match="each point is a table"):
        read_points(path)


POINTS = {"kd": {"distillation.objective": {"kind": "hinton-kd"}}, "alone": {"distillation.method": "alone"}}


@pytest.fixture(scope="module")
def swept(place):
    """A sweep that has been run, and what it found."""
    sweep = Sweep(place / "tiny.toml", POINTS, range(2), place / "sweep")
    return sweep, run_sweep(sweep, jobs=2)


@pytest.mark.slow
def test_a_finished_trial_is_run_again_where_what_it_used_has_changed(swept, monkeypatch):
    sweep, _ = swept
    started = []

    def carry_out(sweep, trials, jobs):
        started.append([trial.point for trial in trials])
        return iter(())

    monkeypatch.setattr("edgestill.workflow.sweep._carry_out", carry_out)
    run_sweep(sweep)
    code = inputs.code_of
    # The student's module:function says something else now; then the teacher's; then the data do.
    monkeypatch.setattr(inputs, "code_of", lambda name: "edited" if name == "dscnn_xs" else code(name))
    run_sweep(sweep)
    monkeypatch.setattr(inputs, "code_of", lambda name: "edited" if name == "resnet8" else code(name))
    run_sweep(sweep)
    monkeypatch.setattr(inputs, "code_of", code)
    monkeypatch.setattr(es.Data, "describe", lambda data: {"digest": "of other images"})
    run_sweep(sweep)
    everything = ["kd", "kd", "alone", "alone"]
    assert started == [[], everything, ["kd", "kd"], everything], "a baseline student needs no teacher"


def test_a_sweep_shares_goes_on_and_averages(place, swept):
    found = swept[1]
    kd, alone = found["points"]
    values = [run["validation_distilled"] for run in kd["runs"]]
    assert kd["measured"]["validation_distilled"]["mean"] == pytest.approx(np.mean(values))
    assert kd["measured"]["validation_distilled"]["sd"] == pytest.approx(np.std(values, ddof=1))
    assert alone["measured"]["validation_gain"] == {"mean": 0.0, "sd": 0.0}
    assert "| alone |" in markdown(found) and (place / "sweep/sweep.md").read_text() == markdown(found)
    # One teacher and one cache for all, one baseline student for each seed.
    names = [path.name.rpartition("-")[0] for path in (place / "sweep/stages").iterdir() if path.is_dir()]
    count = {name: names.count(name) for name in set(names)}
    assert count == {"teacher": 1, "teacher-outputs": 1, "student-alone": 2, "student-distilled": 4}
    before = {path: path.stat().st_mtime_ns for path in (place / "sweep/trials").glob("*/result.json")}
    more = run_sweep(Sweep(place / "tiny.toml", POINTS, range(3), place / "sweep"), jobs=2)
    assert len(before) == 4 and all(path.stat().st_mtime_ns == when for path, when in before.items())
    assert [run["seed"] for run in more["points"][0]["runs"]] == [0, 1, 2]


@pytest.mark.slow
def test_a_sweep_that_trained_elsewhere_is_evaluated_here(place):
    """Training and conversion need different machines: nothing is trained again, and the teacher is asked once."""
    points = {"kd": {"distillation.objective": {"kind": "hinton-kd"}}, "alone": {"distillation.method": "alone"}}
    trained = Sweep(place / "tiny.toml", points, [0], place / "trained")
    run_sweep(trained, jobs=2)
    stages = place / "trained/stages"
    before = {path: path.stat().st_mtime_ns for path in stages.glob("*/model.safetensors")}
    assert len(before) == 4 and not list(stages.rglob("state.safetensors"))
    found = run_sweep(replace(trained, evaluate=True), jobs=2)
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    assert len(list(stages.glob("teacher-evaluation-*/outputs.npz"))) == 1
    assert len(list(stages.glob("evaluation-*/logits.npz"))) == 2
    kd, alone = (point["runs"][0] for point in found["points"])
    assert kd["test_int8"] == min(kd["files"].values()) and kd["test_teacher"] == alone["test_teacher"]
    assert kd["test_alone"] == alone["test_distilled"] == alone["test_alone"]


@pytest.mark.slow
def test_another_teacher_is_evaluated_again(place):
    """Also where the student does not depend on it."""
    changes = {"distillation.method": "alone"}
    first, other = (stages(place, changes | {"teacher.seed": seed}, "evaluation") for seed in (0, 1))
    assert first["student-distilled"].key == other["student-distilled"].key
    assert first["evaluation"].key != other["evaluation"].key


@pytest.mark.slow
def test_a_trial_that_fails_is_named_and_the_others_are_kept(place):
    points = {"good": {}, "bad": {"training.learning_rate": 1e25, "training.warmup_epochs": 0.0}}
    sweep = Sweep(place / "tiny.toml", points, [0], place / "failing")
    with pytest.raises(EdgestillError, match=r"1 of 2 trials failed; bad, .* itself gives nan at step"):
        run_sweep(sweep, jobs=1)
    kept = json.loads((place / "failing/sweep.json").read_text())
    assert [len(point["runs"]) for point in kept["points"]] == [1, 0]


@pytest.mark.slow
def test_a_killed_sweep_goes_on(place):
    command = [sys.executable, "-m", "edgestill.cli", "sweep", str(place / "tiny.toml"), "--seeds", "2", "--jobs", "1"]
    command += ["--output", str(place / "killed"), "--over", "training.epochs=6"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 200
    while not list((place / "killed/trials").glob("*/result.json")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (first,) = (place / "killed/trials").glob("*/result.json")
    when = first.stat().st_mtime_ns
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    (point,) = json.loads(done.stdout)["points"]
    assert len(point["runs"]) == 2 and first.stat().st_mtime_ns == when


def test_the_command_line_shows_the_table(place, cli):
    sweep = ("sweep", place / "tiny.toml", "--seeds", 2, "--output", place / "sweep", "--points", place / "points.toml")
    (place / "points.toml").write_text(
        '[kd]\ndistillation.objective = { kind = "hinton-kd" }\n[alone]\ndistillation.method = "alone"\n'
    )
    done = cli(*sweep)
    assert done.returncode == 0, done.stderr
    assert "tiny.toml · 2 seeds" in done.stdout and "0.00 ± 0.00" in done.stdout
    wrong = cli(*sweep, "--over", "seed=1")
    assert wrong.returncode == 2 and "not both" in wrong.stderr
    missing = cli("sweep", place / "tiny.toml", "--over", "training.epoch=1", "--output", place / "sweep")
    assert missing.returncode == 1 and "did you mean 'epochs'" in missing.stderr
