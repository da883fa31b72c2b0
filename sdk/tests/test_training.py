import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

import edgestill as es
from edgestill.cache import cache_outputs
from edgestill.data import Augmentation
from edgestill.errors import ModelError, TrainingError
from edgestill.models import create_model
from edgestill.objectives import DIST, CrossEntropy, Objective
from edgestill.options import TrainOptions
from edgestill.schedule import Schedule
from edgestill.training import outputs_of, quality_of, train

SHORT = Schedule(epochs=3, batch_size=64, views=2, ema=0.9)
AUGMENTATION = Augmentation.parse(["flip", "shift:1"])


def test_the_learning_rate_rises_and_falls_along_a_cosine():
    schedule = Schedule(epochs=11, learning_rate=0.2, warmup_epochs=1)
    # Half-way up the warm-up, its end, the middle of the cosine, the end.
    assert [schedule.rate(epoch) for epoch in (0.5, 1, 6, 11)] == pytest.approx([0.1, 0.2, 0.1, 0.0])


def test_views_repeat_or_never_do():
    assert [Schedule(views=3).view(epoch) for epoch in range(5)] == [0, 1, 2, 0, 1]
    assert [Schedule(views=0).view(epoch) for epoch in range(3)] == [0, 1, 2]


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"batch_size": 1}, {"learning_rate": 0}, {"ema": 1.0}, {"views": -1}])
def test_schedules_that_make_no_sense(wrong):
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} "):
        Schedule(**wrong)


def test_training_learns_and_logs_every_epoch(data, tmp_path):
    student = create_model("dscnn_xs", 10)
    untrained = quality_of(student, data.validation, data)["accuracy"]
    trained = train(
        student, data, CrossEntropy(), options=TrainOptions(replace(SHORT, epochs=8, ema=0.0), folder=tmp_path)
    )
    history = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert history == trained.history and [entry["epoch"] for entry in history] == list(range(1, 9))
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    assert history[-1]["validation"] == quality_of(trained.model, data.validation, data)["accuracy"] > untrained + 0.2


def test_the_same_seed_gives_the_same_weights_and_another_does_not(data):
    def weights(seed):
        student = create_model("dscnn_xs", 10, seed=seed)
        model = train(
            student, data, CrossEntropy(), options=TrainOptions(SHORT, augmentation=AUGMENTATION, seed=seed)
        ).model
        return safetensors.torch.save(dict(model.state_dict()))

    assert weights(0) == weights(0)
    assert weights(0) != weights(1)


TRAINING = """
import numpy as np, sys, torch
from dataclasses import replace
from pathlib import Path
from edgestill.cache import cache_outputs
from edgestill.data import Augmentation, DataOptions, load_data
from edgestill.models import create_model, save_checkpoint
from edgestill.objectives import CrossEntropy
from edgestill.options import TrainOptions
from edgestill.schedule import Schedule
from edgestill.training import train
folder = Path(sys.argv[1])
whole = load_data("fashion-mnist-mini", options=DataOptions(calibration=64))
data = replace(whole, train=whole.train.take(np.arange(600)), validation=whole.validation.take(np.arange(300)))
schedule = Schedule(epochs=10, batch_size=64, views=2, ema=0.9)
augmentation = Augmentation.parse(["flip", "shift:1"])
student = torch.nn.Sequential(torch.nn.Dropout(0.1), create_model("dscnn_xs", 10))
done = train(student, data, CrossEntropy(), TrainOptions(schedule, augmentation, folder=folder))
save_checkpoint(folder / "model.safetensors", done.model)
"""


@pytest.mark.slow
def test_a_killed_training_goes_on_and_ends_with_the_same_bytes(tmp_path):
    """SIGKILL, twice, at whatever point it has reached; then to the end. The student has dropout, which draws lots."""
    command = [sys.executable, "-c", TRAINING]
    subprocess.run([*command, str(tmp_path / "whole")], check=True)
    interrupted = tmp_path / "interrupted"
    for epochs in (2, 5):
        process = subprocess.Popen([*command, str(interrupted)])
        log, deadline = interrupted / "metrics.jsonl", time.monotonic() + 120
        while not (log.exists() and len(log.read_text().splitlines()) >= epochs):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not (interrupted / "model.safetensors").exists()
    subprocess.run([*command, str(interrupted)], check=True)
    whole, resumed = ((folder / "model.safetensors").read_bytes() for folder in (tmp_path / "whole", interrupted))
    assert whole == resumed


def test_a_state_of_another_training_is_not_taken_up(data, tmp_path):
    train(create_model("dscnn_xs", 10), data, CrossEntropy(), options=TrainOptions(SHORT, folder=tmp_path))
    other = train(
        create_model("dscnn_xs", 10),
        data,
        CrossEntropy(),
        options=TrainOptions(replace(SHORT, epochs=1), folder=tmp_path),
    )
    assert len(other.history) == 1


def test_a_loss_that_is_not_finite_stops_the_training(data):
    with pytest.raises(
        TrainingError, match=r"nan at step \d of epoch 1; no earlier state was kept; lower learning_rate"
    ):
        train(
            create_model("dscnn_xs", 10),
            data,
            CrossEntropy(),
            options=TrainOptions(replace(SHORT, learning_rate=1e25, warmup_epochs=0)),
        )


def test_mixed_precision_leaves_a_plain_float_model(data):
    trained = train(
        create_model("dscnn_xs", 10),
        data,
        CrossEntropy(),
        options=TrainOptions(replace(SHORT, ema=0.0, precision="bf16")),
    )
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]
    assert "forward" not in vars(trained.model)
    assert {parameter.dtype for parameter in trained.model.parameters()} == {torch.float32}
    assert trained.model(torch.zeros(1, 1, 28, 28)).dtype == torch.float32


def test_predictions_are_the_models_own_in_order(data):
    model = create_model("dscnn_xs", 10).eval()
    with torch.inference_mode():
        expected = model(torch.from_numpy(data.processor.tensor(data.validation.images))).numpy()
    np.testing.assert_allclose(outputs_of(model, data.validation, data)[0], expected, atol=1e-5)


def test_the_cache_holds_what_the_teacher_says_of_each_view(data, teacher, tmp_path):
    cached = cache_outputs(teacher, data, 2, tmp_path, augmentation=AUGMENTATION)
    views = es.data.Views(data.train.images, data.encoded(data.train), data.processor, AUGMENTATION, 0)
    for view in range(2):
        (name, kept) = next(iter(cached[view].items()))
        assert name == "logits" and kept.dtype == np.float16 and isinstance(kept, np.memmap)
        with torch.inference_mode():
            live = teacher(views.batch(view, torch.arange(600))[0]).numpy()
        np.testing.assert_allclose(kept, live, rtol=2e-3, atol=2e-3)


def test_an_interrupted_cache_keeps_its_finished_views(data, teacher, tmp_path):
    cache_outputs(teacher, data, 2, tmp_path, augmentation=AUGMENTATION)
    (tmp_path / "view-001.npy").unlink()
    kept = (tmp_path / "view-000.npy").stat().st_mtime_ns
    assert len(cache_outputs(teacher, data, 2, tmp_path, augmentation=AUGMENTATION)) == 2
    assert (tmp_path / "view-000.npy").stat().st_mtime_ns == kept


def test_distillation_moves_the_student_towards_the_teacher(data, teacher):
    schedule = Schedule(epochs=8, batch_size=32, learning_rate=8e-3, views=2)
    alone = es.distill(None, create_model("dscnn_xs", 10), data, options=es.DistillOptions(schedule=schedule))
    taught = es.distill(
        teacher,
        create_model("dscnn_xs", 10),
        data,
        options=es.DistillOptions(schedule=schedule),
        objective=DIST(hard=0.0),
    )
    assert len(taught.history) == 8
    theirs = outputs_of(teacher, data.validation, data)[0].argmax(1)
    agrees = [(outputs_of(one.student, data.validation, data)[0].argmax(1) == theirs).mean() for one in (alone, taught)]
    untrained = (outputs_of(create_model("dscnn_xs", 10), data.validation, data)[0].argmax(1) == theirs).mean()
    # Whether it beats the baseline student depends on teacher and schedule; that it learns from outputs alone does not.
    assert agrees[1] > untrained + 0.2


def test_epochs_is_short_for_a_schedule(data, teacher):
    assert len(es.distill(teacher, create_model("dscnn_xs", 10), data, epochs=1).history) == 1


def test_classes_must_be_the_same_everywhere(data, teacher):
    with pytest.raises(ModelError, match=r"the student's output for one image has shape \(1, 7\).*10 classes"):
        es.distill(teacher, create_model("dscnn_xs", 7), data, options=es.DistillOptions(schedule=SHORT))
    with pytest.raises(ModelError, match=r"the teacher's output for one image has shape \(1, 100\)"):
        es.distill(
            es.create_model("resnet8", 100),
            create_model("dscnn_xs", 10),
            data,
            options=es.DistillOptions(schedule=SHORT),
        )


def test_the_teacher_is_not_changed_by_teaching(data, teacher):
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    es.distill(teacher, create_model("dscnn_xs", 10), data, epochs=1)
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


class Own(Objective):
    """An objective of a user's own: a class with one method."""

    def forward(self, student, teacher, targets):
        return (student.logits - teacher.logits).square().mean()


def test_an_objective_of_the_users_own(data, teacher):
    history = es.distill(
        teacher, create_model("dscnn_xs", 10), data, options=es.DistillOptions(schedule=SHORT), objective=Own()
    ).history
    assert history[-1]["loss"] < history[0]["loss"]


def test_any_module_can_be_a_student(data, teacher):
    student = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(49, 10))
    assert len(es.distill(teacher, student, data, epochs=2).history) == 2


def test_what_this_machine_cannot_do_is_said_in_words_of_the_schedule(data, monkeypatch):
    student, one = create_model("dscnn_xs", 10), replace(data, train=data.train.take(np.arange(1)))
    with pytest.raises(TrainingError, match="a batch of 1 is too small for 1 process"):
        train(student, one, CrossEntropy(), options=TrainOptions(SHORT))
    if not torch.cuda.is_available():
        with pytest.raises(TrainingError, match="fp16 needs a GPU"):
            train(student, data, CrossEntropy(), options=TrainOptions(replace(SHORT, precision="fp16")))

    class Full(CrossEntropy):
        def forward(self, *_):
            raise torch.OutOfMemoryError("CUDA out of memory. Set PYTORCH_ALLOC_CONF")

    with pytest.raises(TrainingError, match=r"memory is full with batches of 64: lower batch_size") as caught:
        train(student, data, Full(), options=TrainOptions(SHORT))
    assert "PYTORCH" not in str(caught.value)


def test_paths_are_not_needed(data):
    before = set(Path.cwd().iterdir())
    train(create_model("dscnn_xs", 10), data, CrossEntropy(), options=TrainOptions(replace(SHORT, epochs=1)))
    assert set(Path.cwd().iterdir()) == before
