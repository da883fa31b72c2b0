"""Every way of teaching, through the one loop: live and cached, several teachers, itself, peers, unlabelled data."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import edgestill as es
from edgestill import cache as cache_module
from edgestill.cache import cache_outputs
from edgestill.data import Augmentation, DataOptions, load_data
from edgestill.distillation import distill, distill_born_again, distill_mutual
from edgestill.distillation_module import DistillationModule
from edgestill.errors import DataError, ModelError, TrainingError
from edgestill.models import create_model
from edgestill.objectives import DIST, CrossEntropy, FitNets, HintonKD, MutualLearning, Outputs, create_objective
from edgestill.options import DistillOptions, TrainOptions
from edgestill.schedule import Schedule
from edgestill.tasks.image_classification import combine
from edgestill.teachers import Batch, EmaTeacher, LiveTeacher, TeacherEnsemble
from edgestill.training import outputs_of, train

SHORT = Schedule(epochs=2, batch_size=64, views=2)
AUGMENTATION = Augmentation.parse(["flip", "shift:1", "mixup:0.2"])


def weights(model):
    return torch.cat([value.flatten().float() for value in model.state_dict().values()])


def test_a_live_teacher_and_a_cached_one_teach_the_same(data, teacher):
    """The cache rounds to float16; apart from that the student has heard the same of the same pictures."""

    def student(**how):
        new = create_model("dscnn_xs", 10)
        options = DistillOptions(**{"schedule": SHORT, "augmentation": AUGMENTATION} | how)
        return weights(distill(teacher, new, data, objective=HintonKD(), options=options).student)

    live = student(live=True)
    assert (live - student(live=False)).abs().mean() < 1e-3
    # The same from other views, for comparison: what a cache of the wrong pictures would do.
    assert (live - student(live=False, seed=1)).abs().mean() > 3e-3


def test_a_live_teacher_stays_as_it_was(data, teacher):
    before = weights(teacher).clone()
    distill(
        teacher, create_model("dscnn_xs", 10), data, options=DistillOptions(schedule=replace(SHORT, views=0), live=True)
    )
    assert torch.equal(weights(teacher), before) and not teacher.training


def test_layers_are_learnt_from_a_live_teacher(data, teacher):
    hints = create_objective(
        [
            {"kind": "cross-entropy", "weight": 0.1},
            {"kind": "fitnets", "layers": [["blocks.3", "stages.1"]], "weight": 5.0},
            {"kind": "attention-transfer", "layers": [["blocks.7", "stages.2"]]},
        ]
    )
    student = create_model("dscnn_xs", 10)
    names = set(student.state_dict())
    done = distill(teacher, student, data, options=DistillOptions(schedule=replace(SHORT, epochs=6)), objective=hints)
    assert done.history[-1]["loss"] < 0.8 * done.history[0]["loss"]
    # The projectors were trained, and are not part of the result; no hook is left on either model.
    assert set(done.student.state_dict()) == names
    assert not any(module._forward_hooks for model in (done.student, teacher) for module in model.modules())


def test_projectors_are_resumed_with_the_student(data, teacher, tmp_path):
    def run(folder, epochs):
        objective = FitNets([["blocks.3", "stages.1"]])
        schedule = replace(SHORT, epochs=4)
        calls = 0

        class StoppedError(Exception):
            pass

        class Stop:
            def task(self, *_):
                return self

            def __enter__(self):
                return self

            def __exit__(self, *_):
                pass

            def advance(self, steps=1, **facts):
                nonlocal calls
                calls += "epoch" in facts
                if calls == epochs:
                    raise StoppedError

        try:
            trained = train(
                create_model("dscnn_xs", 10),
                data,
                objective,
                options=TrainOptions(schedule, folder=folder),
                teacher=LiveTeacher(teacher, ["stages.1"]),
                progress=Stop(),
            )
        except StoppedError:
            return None
        return weights(trained.model)

    whole = run(tmp_path / "whole", None)
    assert run(tmp_path / "parts", 2) is None
    assert torch.equal(run(tmp_path / "parts", None), whole)


def test_a_cnn_learns_from_a_vision_transformer(data):
    class TinyViT(nn.Module):
        def __init__(self):
            super().__init__()
            import timm

            self.vit = timm.create_model(
                "vit_tiny_patch16_224", img_size=28, patch_size=7, in_chans=1, num_classes=10, depth=2, embed_dim=48,
                num_heads=3,
            )  # fmt: skip

        def forward(self, images):
            return self.vit(images)

    objective = create_objective([{"kind": "hinton-kd"}, {"kind": "fitnets", "layers": [["blocks.3", "vit.blocks.1"]]}])
    history = distill(
        TinyViT(),
        create_model("dscnn_xs", 10),
        data,
        options=DistillOptions(schedule=SHORT, check_teacher=False),
        objective=objective,
    ).history
    assert history[1]["loss"] < history[0]["loss"]


def test_layers_that_do_not_exist_or_are_not_shown(data, teacher):
    wrong = create_objective({"kind": "fitnets", "layers": [["block.3", "stages.1"]]})
    with pytest.raises(ModelError, match=r"the student has no layer 'block.3'; did you mean 'blocks.3'"):
        distill(teacher, create_model("dscnn_xs", 10), data, options=DistillOptions(schedule=SHORT), objective=wrong)
    objective = FitNets([["blocks.3", "blocks.3"]])
    with pytest.raises(ModelError, match="FitNets compares layers, so it needs a teacher that runs"):
        distill_mutual(
            [create_model("dscnn_xs", 10) for _ in range(2)],
            data,
            options=TrainOptions(schedule=SHORT),
            objective=objective,
        )


LOGITS = torch.tensor(np.random.default_rng(0).normal(size=(3, 5, 4)) * 3)


def test_a_team_averages_probabilities():
    said = combine(LOGITS, torch.zeros(5, 4), "average")
    torch.testing.assert_close(said.exp(), LOGITS.softmax(2).mean(0))


def test_a_team_listens_more_to_those_who_are_sure():
    p = LOGITS.softmax(2).numpy()
    weight = np.exp((p * np.log(p)).sum(2))
    expected = (p * (weight / weight.sum(0))[..., None]).sum(0)
    np.testing.assert_allclose(combine(LOGITS, torch.zeros(5, 4), "confidence").exp().numpy(), expected)


def test_a_team_chooses_one_teacher_a_sample():
    labels = torch.tensor([0, 1, 2, 3, 0])
    targets = torch.eye(4)[labels]
    targets[4] = 0  # no label: the one with the lowest entropy
    p = LOGITS.softmax(2)
    best = [int(p[:, row, label].argmax()) for row, label in enumerate(labels)]
    best[4] = int((p[:, 4] * p[:, 4].log()).sum(1).argmax())
    expected = torch.stack([p[one, row] for row, one in enumerate(best)])
    torch.testing.assert_close(combine(LOGITS, targets, "choice").exp(), expected)


@pytest.mark.parametrize("live", [False, True])
def test_several_teachers_teach_one_student(data, teacher, tmp_path, live):
    other = create_model("dscnn_s", 10).eval()
    student = distill(
        [teacher, other],
        create_model("dscnn_xs", 10),
        data,
        options=DistillOptions(schedule=SHORT, live=live, cache=tmp_path, check_teacher=False),
    ).student
    alone = distill(
        teacher, create_model("dscnn_xs", 10), data, options=DistillOptions(schedule=SHORT, live=live)
    ).student
    assert not torch.equal(weights(student), weights(alone))
    assert sorted(path.name for path in tmp_path.iterdir()) == ([] if live else ["teacher-0", "teacher-1"])


def test_a_team_shows_the_layers_of_its_first_member(data, teacher):
    members = [LiveTeacher(teacher, ["stages.1"]), LiveTeacher(teacher)]
    batch = Batch(torch.zeros(2, 1, 28, 28), torch.zeros(2, 10), 0, torch.arange(2))
    assert TeacherEnsemble(members).outputs(batch).features["stages.1"].shape == (2, 16, 7, 7)


def test_the_students_own_average_is_its_teacher(data):
    """After the first step the average is no longer the student, and from then on its answers matter."""
    schedule = replace(SHORT, ema=0.9)
    taught = distill(
        "self",
        create_model("dscnn_xs", 10),
        data,
        options=DistillOptions(schedule=schedule),
        objective=HintonKD(1.0, 0.5),
    )
    alone = distill(None, create_model("dscnn_xs", 10), data, options=DistillOptions(schedule=schedule))
    assert not torch.equal(weights(taught.student), weights(alone.student))
    with pytest.raises(ModelError, match="ema above 0"):
        distill("self", create_model("dscnn_xs", 10), data, options=DistillOptions(schedule=SHORT))


def test_an_ema_teacher_answers_as_the_average_does():
    teacher, average = EmaTeacher(), create_model("dscnn_xs", 10)
    teacher.attach(average)
    images = torch.rand(2, 1, 28, 28)
    with torch.no_grad():
        expected = average.eval()(images)
    said = teacher.outputs(Batch(images, torch.zeros(2, 10), 0, torch.arange(2))).logits
    torch.testing.assert_close(said, expected)
    assert not said.requires_grad


def test_generations_teach_each_other_in_turn(data, tmp_path):
    def create(number):
        return create_model("dscnn_xs", 10, seed=number)

    done = distill_born_again(
        create, data, 2, options=DistillOptions(schedule=SHORT, folder=tmp_path / "run", cache=tmp_path / "cache")
    )
    assert len(done) == 3
    alone = distill(None, create(0), data, options=DistillOptions(schedule=SHORT))
    assert torch.equal(weights(done[0].student), weights(alone.student))
    options = DistillOptions(SHORT, check_teacher=False)
    second = distill(done[0].student, create(1), data, objective=HintonKD(1.0, 0.5), options=options)
    assert torch.equal(weights(done[1].student), weights(second.student))
    assert (tmp_path / "run/generation-2/state.safetensors").is_file()


def test_students_teach_each_other(data):
    """Two different students; each one's loss is its own cross entropy and its distance from the other."""
    students = [create_model("dscnn_xs", 10), create_model("dscnn_s", 10)]
    done = distill_mutual(students, data, options=TrainOptions(schedule=replace(SHORT, epochs=4)))
    assert done.history[-1]["loss"] < done.history[0]["loss"]
    (peer,) = done.peers
    checked = [es.training.quality_of(one, data.validation, data)["accuracy"] for one in (done.student, peer)]
    last = done.history[-1]
    assert checked == [last["validation"], last["peer_1_validation"]]
    assert weights(done.student).numel() != weights(peer).numel()


def test_the_loss_of_students_together_is_the_sum_of_theirs(data):
    students = nn.ModuleList([create_model("dscnn_xs", 10, seed=seed) for seed in range(3)]).eval()
    module = DistillationModule(students, MutualLearning(), data.task)
    images, targets = torch.rand(4, 1, 28, 28), torch.eye(10)[:4]
    with torch.no_grad():
        said = [student(images) for student in students]
        total = module(images, None, targets)
    expected = 0.0
    for number, own in enumerate(said):
        expected += float(CrossEntropy()(Outputs(own), None, targets))
        peers = torch.stack([one.softmax(1) for other, one in enumerate(said) if other != number]).mean(0)
        expected += float((peers * (peers.log() - own.log_softmax(1))).sum(1).mean())
    assert float(total) == pytest.approx(expected, rel=1e-5)


def test_without_a_teacher_an_objective_that_needs_one_is_refused(data):
    with pytest.raises(ValueError, match="DIST needs a teacher, but there is none"):
        distill(None, create_model("dscnn_xs", 10), data, objective=DIST())


# Unlabelled data.


def test_few_labels_are_kept_and_the_classes_stay_in_proportion():
    data = load_data("fashion-mnist-mini", options=DataOptions(labelled=100))
    kept = data.train.targets[data.train.targets >= 0]
    assert len(kept) == 100 and np.bincount(kept).min() >= 9
    assert data.describe()["unlabelled"] == len(data.train) - 100
    alone = data.labelled()
    assert len(alone.train) == len(data.train) and alone.train.targets.min() == 0
    assert len(np.unique(alone.train.images.reshape(len(alone.train), -1), axis=0)) == 100


def test_unlabelled_images_teach_through_the_teacher_alone(data, teacher):
    hidden = replace(data, train=es.Split(data.train.images, np.full(600, -1)))
    untrained = create_model("dscnn_xs", 10)
    theirs = outputs_of(teacher, data.validation, data)[0].argmax(1)
    before = (outputs_of(untrained, data.validation, data)[0].argmax(1) == theirs).mean()
    student = distill(
        teacher, create_model("dscnn_xs", 10), hidden, options=DistillOptions(schedule=replace(SHORT, epochs=6))
    ).student
    assert (outputs_of(student, data.validation, data)[0].argmax(1) == theirs).mean() > before + 0.2
    with pytest.raises(DataError, match="the baseline student needs labels"):
        distill(None, create_model("dscnn_xs", 10), hidden, options=DistillOptions(schedule=SHORT))


def test_a_folder_of_unlabelled_images_joins_the_train_split(tmp_path):
    from PIL import Image

    plain = load_data("fashion-mnist-mini")
    (tmp_path / "some/where").mkdir(parents=True)
    for number in range(3):
        Image.fromarray(plain.test.images[number, ..., 0]).save(tmp_path / f"some/where/{number}.png")
    joined = load_data("fashion-mnist-mini", options=DataOptions(unlabelled=tmp_path))
    np.testing.assert_array_equal(joined.train.images[-3:], plain.test.images[:3])
    assert joined.train.targets[-3:].tolist() == [-1] * 3 and joined.digest != plain.digest
    with pytest.raises(DataError, match="does not exist"):
        load_data("fashion-mnist-mini", options=DataOptions(unlabelled=tmp_path / "nowhere"))
    with pytest.raises(DataError, match="labelled = 3: between 10"):
        load_data("fashion-mnist-mini", options=DataOptions(labelled=3))


# The cache.


def test_a_cache_of_another_teacher_is_refused(data, teacher, untaught, tmp_path):
    cache_outputs(teacher, data, 1, tmp_path, augmentation=AUGMENTATION)
    kept = (tmp_path / "view-000.npy").read_bytes()
    with pytest.raises(DataError, match="holds a teacher's outputs for another teacher; remove it"):
        cache_outputs(untaught(5), data, 1, tmp_path, augmentation=AUGMENTATION)
    with pytest.raises(DataError, match="another augmentation and another seed"):
        cache_outputs(teacher, replace(data, seed=3), 1, tmp_path, augmentation=Augmentation())
    assert (tmp_path / "view-000.npy").read_bytes() == kept


CACHING = """
import sys
from pathlib import Path
from edgestill import cache
from edgestill.data import Augmentation, load_data
from edgestill.models import create_model
cache.SHARD = 512
data = load_data("fashion-mnist-mini")
cache.cache_outputs(create_model("resnet8", 10), data, 3, Path(sys.argv[1]), augmentation=Augmentation(flip=0.5))
"""


@pytest.mark.slow
def test_a_killed_cache_keeps_its_shards_and_ends_with_the_same_bytes(tmp_path):
    command = [sys.executable, "-c", CACHING]
    subprocess.run([*command, str(tmp_path / "whole")], check=True)
    folder = tmp_path / "parts"
    for wanted in (3, 12):
        process = subprocess.Popen([*command, str(folder)])
        deadline = time.monotonic() + 120
        while len(list(folder.glob("*.rows-*.npy"))) < wanted:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("*.rows-*.npy")}
    assert len(kept) >= 12
    subprocess.run([*command, str(folder)], check=True)
    names = [f"view-{view:03d}.npy" for view in range(3)]
    assert sorted(path.name for path in folder.iterdir()) == ["cache.json", *names]
    assert all((folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes() for name in names)


def test_shards_are_joined_in_order(data, teacher, tmp_path, monkeypatch):
    whole = cache_outputs(teacher, data, 1, tmp_path / "whole", augmentation=AUGMENTATION)
    monkeypatch.setattr(cache_module, "SHARD", 256)
    parts = cache_outputs(teacher, data, 1, tmp_path / "parts", augmentation=AUGMENTATION)
    np.testing.assert_array_equal(parts[0]["logits"], whole[0]["logits"])


# The loop.


def test_a_loss_that_is_not_finite_names_the_step_and_the_last_good_state(data, tmp_path):
    class Bad(CrossEntropy):
        calls = 0

        def forward(self, student, teacher, targets):
            Bad.calls += 1
            loss = super().forward(student, teacher, targets)
            return loss * math.nan if Bad.calls == 9 + 4 else loss

    with pytest.raises(TrainingError) as caught:
        train(
            create_model("dscnn_xs", 10), data, Bad(), options=TrainOptions(replace(SHORT, epochs=3), folder=tmp_path)
        )
    # 600 samples are 9 steps of 64: the 13th step is the fourth of epoch 2.
    state = tmp_path / "state.safetensors"
    assert f"nan at step 4 of epoch 2; {state} holds the state after epoch 1" in str(caught.value)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 1
    from safetensors import safe_open

    with safe_open(state, framework="pt") as file:
        assert len(json.loads(file.metadata()["history"])) == 1
        assert all(torch.isfinite(file.get_tensor(name)).all() for name in file.keys())  # noqa: SIM118


MEMORY = """
import ctypes, gc, resource
import numpy as np
from dataclasses import replace
from pathlib import Path
import edgestill as es
from edgestill.objectives import create_objective
from edgestill.schedule import Schedule
whole = es.load_data("fashion-mnist-mini", options=es.DataOptions(calibration=64))
data = replace(whole, train=whole.train.take(np.arange(600)), validation=whole.validation.take(np.arange(300)))
teacher = es.create_model("resnet8", 10)
objective = create_objective([{"kind": "dkd"}, {"kind": "fitnets", "layers": [["blocks.3", "stages.1"]]}])
class Watch:
    def task(self, *_): return self
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def message(self, text): pass
    def advance(self, steps=1, **facts):
        if "epoch" in facts:
            gc.collect()
            ctypes.CDLL(None).malloc_trim(0)  # else glibc keeps up to 25 MB of what was freed, now and then
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            print(pages * resource.getpagesize(), flush=True)
schedule = Schedule(epochs=24, batch_size=64, views=0, ema=0.9)
augmentation = es.Augmentation(flip=0.5, shift=2, mixup=0.2)
options = es.DistillOptions(schedule, augmentation, live=True, check_teacher=False)
student = es.create_model("dscnn_xs", 10)
es.distill(teacher, student, data, objective=objective, options=options, progress=Watch())
"""


@pytest.mark.slow
def test_memory_stays_flat_over_epochs():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    resident = [int(line) for line in done.stdout.split()]
    assert len(resident) == 24
    # One epoch's images are 1.9 MB as floats, the teacher's features more: a leak of either would be 20 MB and more.
    assert max(resident[12:]) - max(resident[4:12]) < 4 << 20


def test_compiled_training_gives_a_plain_model(data):
    # Few operators, as each is compiled, forwards, backwards and for evaluation.
    student = nn.Sequential(nn.Conv2d(1, 8, 4, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 49, 10))
    done = train(student, data, CrossEntropy(), options=TrainOptions(replace(SHORT, compile=True)))
    eager = train(student, data, CrossEntropy(), options=TrainOptions(SHORT))
    assert set(done.model.state_dict()) == set(eager.model.state_dict()) and done.model._compiled_call_impl is None
    assert done.history[-1]["loss"] == pytest.approx(eager.history[-1]["loss"], rel=0.05)
