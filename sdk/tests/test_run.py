"""The main job as a user runs it: the command line, real exporters, real engines, real images."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edgestill_runtime import load, open_bundle

STAGES = (
    "teacher", "teacher-outputs", "student-alone", "student-distilled", "conversion", "gate", "evaluation",
    "measurement",
)  # fmt: skip


def test_a_run_leaves_bundle_results_and_report(quick_run):
    present = {path.name for path in quick_run.iterdir()}
    assert {"demo-quick.edge", "results.json", "report.html", "samples.npz", "stages"} <= present
    assert not list(quick_run.rglob("state.safetensors"))  # needed while a training runs, and large
    assert "LiteRT-Torch" in (quick_run / "stages/conversion/conversion.log").read_text(errors="replace")


def test_what_a_run_prints(quick_run):
    if not (quick_run / "terminal.txt").exists():
        pytest.skip("this run was given from outside, without what it printed")
    said = (quick_run / "terminal.txt").read_text()
    for words in (
        "baseline student",
        "distilled student",
        "model.tflite",
        "retained",
        "distillation gain",
        "report.html",
    ):
        assert words in said
    assert "LiteRT-Torch" not in said  # the exporters' chatter is in the log


def test_accuracies_are_those_of_the_files(quick_run, bundle_path):
    """What results.json says of a file is what the file does, run again from the bundle."""
    from edgestill.data import load_data

    results, test = json.loads((quick_run / "results.json").read_text()), load_data("fashion-mnist-mini").test
    for file in results["files"]:
        with load(bundle_path, engine=file["engine"], precision=file["precision"]) as model:
            assert (model.logits(test.images).argmax(1) == test.targets).mean() == pytest.approx(
                file["quality"]["accuracy"]
            )
    manifest = open_bundle(bundle_path).manifest
    assert manifest.agreement == results["agreement"]
    assert {name: entry.quality for name, entry in manifest.models.items()} == {
        Path(file["path"]).name: file["quality"] for file in results["files"]
    }


def test_the_int8_files_agree_and_stay_near_the_float_student(quick_run):
    results = json.loads((quick_run / "results.json").read_text())
    assert results["agreement"] >= 0.999
    accuracies = {(file["engine"], file["precision"]): file["quality"]["accuracy"] for file in results["files"]}
    fp32 = results["student_distilled"]["quality"]["accuracy"]
    for engine in ("litert", "executorch"):
        assert accuracies[engine, "fp32"] == pytest.approx(fp32, abs=0.001)
        assert abs(accuracies[engine, "int8"] - fp32) <= 0.01  # two epochs: logits close together


def test_a_second_run_reuses_every_stage(cli, quick_run):
    before = json.loads((quick_run / "results.json").read_text())
    again = cli("run", "recipes/demo.toml", "--quick", "--output", quick_run)
    assert again.returncode == 0, again.stderr
    for stage in STAGES:
        assert f"{stage}: reused" in again.stdout
    after = json.loads((quick_run / "results.json").read_text())
    assert before | {"created": ""} == after | {"created": ""}


def test_a_run_under_another_name_names_its_bundle(root, quick_run, tmp_path, monkeypatch):
    from edgestill.recipe import load_recipe
    from edgestill.workflow.graph import make
    from edgestill.workflow.plan import make_plan, read_data
    from edgestill.workflow.run import context_of, finish_bundle
    from edgestill.workflow.store import Store

    folder = tmp_path / "run"
    shutil.copytree(quick_run, folder)
    recipe = load_recipe(root / "recipes/demo.toml", {"name": "other"}).shortened()
    plan = make_plan(recipe, read_data(recipe))
    stages = make(plan, Store(folder / "stages"), context_of(plan), ["evaluation"])
    assert all(stage.reused for stage in stages.values())
    # In somebody's process their standard output and error are left alone; a command asks for more.
    with monkeypatch.context() as patch:
        patch.setattr(os, "dup2", lambda *_: pytest.fail("a descriptor of the whole process was redirected"))
        made = finish_bundle(plan, stages, folder)
    assert made.manifest.name == recipe.name == made.path.stem != "demo-quick"


def test_json_on_the_command_line_is_the_results_file(cli, quick_run):
    done = cli("run", "recipes/demo.toml", "--quick", "--output", quick_run, "--json")
    printed = json.loads(done.stdout)
    assert printed["schema_version"] == 2
    assert printed == json.loads((quick_run / "results.json").read_text())


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(root, cli, tmp_path):
    """SIGKILL during the student's training; the next run goes on from the last finished epoch."""
    recipe = tmp_path / "killed.toml"
    recipe.write_text(
        'name = "killed"\n[teacher]\nmodel = "resnet8"\n[teacher.training]\nepochs = 1\n'
        '[student]\nmodel = "dscnn_xs"\n[training]\nepochs = 12\nviews = 1\n'
    )
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "edgestill.cli", "distill", str(recipe), "--output", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log, deadline = folder / "stages/student-alone/metrics.jsonl", time.monotonic() + 240
    while not log.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (folder / "stages/student-alone/model.safetensors").exists()
    kept = log.read_text()
    done = cli("distill", recipe, "--output", folder)
    assert done.returncode == 0, done.stderr
    # The finished epochs were kept, their times included, and only the rest was trained.
    assert kept and log.read_text().startswith(kept) and len(log.read_text().splitlines()) == 12
    again = cli("distill", recipe, "--output", folder)
    assert all(f"{stage}: reused" in again.stdout for stage in STAGES[:4])


def test_verify_and_inspect(cli, bundle_copy):
    done = cli("verify", bundle_copy, "--json")
    said = json.loads(done.stdout)
    assert done.returncode == 0 and said["passed"] and len(said["golden"]) == 4
    shown = cli("inspect", bundle_copy)
    assert shown.returncode == 0 and "model.fp32.tflite" in shown.stdout and "Ankle boot" in shown.stdout
    assert json.loads(cli("inspect", bundle_copy, "--json").stdout)["format_version"] == 4
    (bundle_copy / "model.pte").write_bytes(b"else")
    damaged = cli("verify", bundle_copy)
    assert damaged.returncode == 1
    assert "changed: model.pte" in damaged.stderr and "Traceback" not in damaged.stderr


def test_verify_notices_files_that_answer_differently(cli, bundle_copy):
    """Hashes that fit are not enough: here the golden logits were exchanged and the manifest made to match."""
    from edgestill_runtime import Golden, write_bundle
    from edgestill_runtime.bundle import GOLDEN, golden_npz

    bundle = open_bundle(bundle_copy)
    golden = bundle.golden()
    shifted = Golden(golden.inputs, {name: (given[0] + np.float32(1),) for name, given in golden.outputs.items()})
    contents = {name: bundle.read(name) for name in bundle.files} | {GOLDEN: golden_npz(shifted)}
    write_bundle(bundle_copy, bundle.manifest, contents, overwrite=True)
    done = cli("verify", bundle_copy)
    assert done.returncode == 1 and "DIFFERENT" in done.stdout


def test_bench_prints_a_table_or_json(cli, bundle_path):
    done = cli("bench", bundle_path, "--threads", "1", "--quick")
    assert done.returncode == 0 and "p99 ms" in done.stdout and "model.pte" in done.stdout
    assert cli("bench", bundle_path, "--threads", "many").returncode == 2
    missing = cli("bench", "/no/such.edge", "--json")
    assert missing.returncode == 1 and "does not exist" in missing.stderr and "Traceback" not in missing.stderr


def test_report_draws_the_page_again(cli, quick_run, tmp_path):
    for name in ("results.json", "samples.npz"):
        shutil.copy(quick_run / name, tmp_path)
    missing = cli("report", tmp_path)
    assert missing.returncode == 1 and "picture of a graph is missing" in missing.stderr
    shutil.copytree(quick_run / "graphs", tmp_path / "graphs")
    assert cli("report", tmp_path).returncode == 0
    assert (tmp_path / "report.html").stat().st_size > 100_000
    assert cli("report", tmp_path / "nothing").returncode == 1
    (tmp_path / "samples.npz").unlink()
    incomplete = cli("report", tmp_path)
    assert incomplete.returncode == 1 and "samples.npz is missing or damaged" in incomplete.stderr


@pytest.mark.slow
def test_convert_makes_a_bundle_of_a_checkpoint(cli, quick_run, tmp_path):
    """Of a run's folder: its student, its data. One engine's files are enough to see that."""
    output = tmp_path / "own.edge"
    words = ("convert", quick_run, "--output", output, "--calibration", 32, "--max-drop", 2, "--target", "litert")
    done = cli(*words)
    assert done.returncode == 0, done.stderr
    bundle = open_bundle(output)
    bundle.verify()
    known = json.loads((quick_run / "results.json").read_text())
    expected = known["data"] | {"calibration": 32}
    assert {key: expected[key] for key in bundle.manifest.training["data"]} == bundle.manifest.training["data"]
    assert bundle.manifest.labels == tuple(known["data"]["labels"])
    again = cli(*words)
    assert again.returncode == 1 and "exists already" in again.stderr
    checkpoint = quick_run / "stages/student-distilled/model.safetensors"
    misfit = cli("convert", "dscnn_m", "--checkpoint", checkpoint, "--output", tmp_path / "m.edge")
    assert misfit.returncode == 1 and "does not fit DSCNN" in misfit.stderr and "Traceback" not in misfit.stderr


def test_doctor_says_what_there_is(cli):
    done = cli("doctor", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert found["engines"]["litert"]["loads"] and found["engines"]["executorch"]["loads"]
    assert all(extra["complete"] for extra in found["extras"].values())
    assert "loads" in cli("doctor").stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "x"\n[trainig]\n', "line 2: unknown key 'trainig'; did you mean 'training'?"),
        ('name = "x"\n[data]\nsource = "image-folder:/no/such"\n', "image folder /no/such does not exist"),
        ('name = "x"\n[student]\nmodel = "dscnn_q"\n', "unknown model 'dscnn_q'; did you mean 'dscnn_"),
        ('name = "x"\n[student]\nmodel = "own:three_classes"\n', "the student's output for one image has shape (1, 3)"),
        ('name = "x"\n[training]\nlearning_rate = 1e30\n[teacher]\nmodel = "dscnn_xs"\n', "lower learning_rate"),
        ('name = "x"\n[teacher]\ncheckpoint = "none.safetensors"\n', "none.safetensors cannot be read"),
    ],
)
def test_a_users_mistake_is_one_line_without_a_traceback(cli, tmp_path, text, said):
    recipe = tmp_path / "wrong.toml"
    recipe.write_text(text)
    (tmp_path / "own.py").write_text(
        "from torch import nn\n"
        "def three_classes(num_classes, in_channels): return nn.Sequential(nn.Flatten(), nn.Linear(784, 3))\n"
    )
    done = cli("run", recipe, "--quick", "--output", tmp_path / "run", cwd=tmp_path)
    assert done.returncode == 1
    assert said in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


def test_usage_errors_have_their_own_exit_code(cli):
    assert cli("run").returncode == 2
    assert cli("no-such-command").returncode == 2
    assert "Usage" in cli("--help").stdout


@pytest.mark.slow
def test_the_example_converts_and_deploys(root, tmp_path):
    done = subprocess.run(
        [sys.executable, root / "examples" / "convert_and_deploy.py", "--epochs", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "accuracy" in done.stdout
    open_bundle(tmp_path / "fashion.edge").verify()
