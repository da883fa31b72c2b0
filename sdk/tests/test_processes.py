"""Two processes on one machine (gloo): the same training as one, shared out."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import safetensors.torch
import torch

import edgestill as es

pytestmark = pytest.mark.slow

PROGRAM = """
import json, sys
from dataclasses import replace
from pathlib import Path
import numpy as np, torch
import edgestill as es
from edgestill import cache, training_state
from edgestill.data import Views
from edgestill.objectives import CrossEntropy, create_objective
from edgestill.processes import processes
from edgestill.schedule import Schedule

folder = Path(sys.argv[1])
state = processes()
whole = es.load_data("fashion-mnist-mini", options=es.DataOptions(calibration=64))
data = replace(whole, train=whole.train.take(np.arange(640)), validation=whole.validation.take(np.arange(301)))

seen, written = [], []
batches, save, answer = Views.batches, training_state.write_bytes, cache._compute_outputs

def watched(self, view, indices, workers=None):
    if len(self) == 640 and len(indices) == 10 and len(indices[0]) < 256:
        seen.append(torch.cat(list(indices)).tolist())
    return batches(self, view, indices, workers)

def shards(teacher, data, mine, *rest):
    written.extend(path.name for one in mine for path in one.parts.values())
    return answer(teacher, data, mine, *rest)

def saved(path, content):
    written.append(Path(path).name)
    save(path, content)

Views.batches, cache._compute_outputs, training_state.write_bytes = watched, shards, saved
cache.SHARD = 128

class Plain(torch.nn.Module):
    # Without batch norm, whose statistics are each process's own, two processes compute what one does.
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = torch.nn.Sequential(
            torch.nn.Conv2d(1, 8, 3, stride=2), torch.nn.ReLU(), torch.nn.Conv2d(8, 16, 3, stride=2), torch.nn.ReLU()
        )
        self.head = torch.nn.Linear(16, 10)
    def forward(self, images):
        return self.head(self.body(images).mean((2, 3)))

schedule = Schedule(epochs=3, batch_size=64, views=2, learning_rate=1e-3)
teacher = es.create_model("resnet8", 10)
options = es.DistillOptions(schedule, check_teacher=False)
flipped = replace(options, augmentation=es.Augmentation(flip=0.5), folder=folder / "run", cache=folder / "cache")
done = es.distill(teacher, Plain(), data, objective=es.objectives.HintonKD(), options=flipped)
hints = create_objective([{"kind": "fitnets", "layers": [["body.3", "stages.2"]]}])
hinted = es.distill(teacher, Plain(), data, objective=hints, options=options)
student = es.create_model("dscnn_xs", 10)
temporary = es.distill(teacher, student, data, objective=CrossEntropy(), options=options)
facts = {"seen": seen[:3], "written": written, "history": done.history, "normed": temporary.history}
(folder / f"process-{state.process_index}.json").write_text(json.dumps(facts))
if state.is_main_process:
    for name, one in (("kd", done), ("hints", hinted)):
        es.save_checkpoint(folder / f"{name}.safetensors", one.student)
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One process, and two under torchrun."""
    found = {}
    for count in (1, 2):
        folder = tmp_path_factory.mktemp(f"processes-{count}")
        (folder / "program.py").write_text(PROGRAM)
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        command = [*(launcher if count == 2 else [sys.executable]), str(folder / "program.py"), str(folder)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        facts = [json.loads((folder / f"process-{number}.json").read_text()) for number in range(count)]
        found[count] = (folder, facts)
    return found


def test_every_sample_is_seen_once_in_an_epoch(runs):
    _, facts = runs[2]
    for epoch in range(3):
        halves = [set(one["seen"][epoch]) for one in facts]
        assert not halves[0] & halves[1] and halves[0] | halves[1] == set(range(640))


def test_the_cache_is_shared_out_and_the_same(runs):
    shards = [{name for name in one["written"] if "rows" in name} for one in runs[2][1]]
    assert len(shards[0]) == len(shards[1]) == 5 and not shards[0] & shards[1]
    caches = [[np.load(folder / "cache" / f"view-00{view}.npy") for view in range(2)] for folder, _ in runs.values()]
    for one, two in zip(*caches, strict=True):
        np.testing.assert_allclose(one, two, rtol=2e-3, atol=2e-3)


def test_one_process_writes_the_checkpoints(runs):
    _, (main, other) = runs[2]
    assert main["written"].count("state.safetensors") == 3 and "state.safetensors" not in other["written"]


@pytest.mark.parametrize("name", ["kd", "hints"])
def test_two_processes_end_where_one_does(runs, name):
    one, two = (safetensors.torch.load_file(folder / f"{name}.safetensors") for folder, _ in runs.values())
    for key in one:
        torch.testing.assert_close(one[key], two[key], rtol=1e-2, atol=2e-3)


def test_both_processes_report_the_same_whole_numbers(runs):
    (_, (alone,)), (_, (main, other)) = runs[1], runs[2]
    for name in ("history", "normed"):
        for single, mine, theirs in zip(alone[name], main[name], other[name], strict=True):
            assert mine["loss"] == theirs["loss"] and mine["validation"] == theirs["validation"]
            assert mine["loss"] == pytest.approx(single["loss"], rel=1e-3 if name == "history" else 0.1)
    # 301 validation images, shared out unevenly, are all counted.
    assert all((entry["validation"] * 301) == pytest.approx(round(entry["validation"] * 301))
               for entry in main["history"])  # fmt: skip


RECIPE = """
name = "small"
[teacher]
model = "dscnn_xs"
checkpoint = "teacher.safetensors"
check = false
[student]
model = "dscnn_xs"
[training]
epochs = 1
views = 1
"""


def test_the_command_line_under_torchrun(tmp_path):
    """Stages are made by both processes together and kept by one; a second call finds them."""
    es.save_checkpoint(tmp_path / "teacher.safetensors", es.create_model("dscnn_xs", 10))
    (tmp_path / "small.toml").write_text(RECIPE)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}

    def run(*words):
        command = [
            *launcher,
            "-m",
            "edgestill.cli",
            *words,
            str(tmp_path / "small.toml"),
            "--output",
            str(tmp_path / "run"),
        ]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    done = run("distill")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("student_distilled: validation accuracy") == 1
    stages = ("teacher", "teacher-outputs", "student-alone", "student-distilled")
    assert all("files" in json.loads((tmp_path / "run/stages" / name / "stage.json").read_text()) for name in stages)
    assert run("distill").stdout.count(": reused") == len(stages)
    refused = run("run")
    assert refused.returncode != 0 and "use `edgestill distill`, then `edgestill run` in one" in refused.stderr
