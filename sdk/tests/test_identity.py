"""Who a module is: kept trainings and kept teacher's outputs are taken up by the same one alone."""

import subprocess
import sys
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgestill.cache import cache_outputs
from edgestill.data import Augmentation
from edgestill.distillation import distill
from edgestill.errors import DataError
from edgestill.models import create_model
from edgestill.models.copies import copied
from edgestill.models.identity import identity
from edgestill.objectives import CrossEntropy
from edgestill.options import DistillOptions, TrainOptions
from edgestill.schedule import Schedule
from edgestill.training import train

SHORT = Schedule(epochs=1, batch_size=32, views=1)


@pytest.fixture(scope="module")
def small(data):
    """Sixty-four images."""
    return replace(data, train=data.train.take(np.arange(64)), validation=data.validation.take(np.arange(20)))


class Table(nn.Module):
    """Answers by what is no weight of it, and counts its calls."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor
        self.calls = 0

    def forward(self, images):
        self.calls += 1
        return self.factor * images.flatten(1)[:, :10]


def closed(factor):
    class Closed(nn.Module):
        def forward(self, images):
            return factor * images

    return Closed()


def hooked(factor):
    made = nn.Identity()
    made.register_forward_hook(lambda module, inputs, output: factor * output)
    return made


def loose(factor):
    made = nn.Identity()
    made.parts = [nn.Linear(1, 1)]  # a list, not a ModuleList: no state_dict holds it
    nn.init.constant_(made.parts[0].weight, factor)
    nn.init.zeros_(made.parts[0].bias)
    made.above = [made]
    return made


def buffered(factor):
    made = nn.Identity()
    made.register_buffer("factor", torch.tensor(float(factor)), persistent=False)
    return made


@pytest.mark.parametrize("make", [Table, closed, hooked, loose, buffered])
def test_what_no_state_dict_holds_counts(make):
    assert identity(make(2)) == identity(make(2))
    assert identity(make(2)) != identity(make(3))


class Mode(Enum):
    """How to join."""

    SUM = 1
    MEAN = 2


@dataclass(frozen=True, slots=True)
class Settings:
    """Numbers of a net."""

    slope: float


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.relu, torch.tanh),
        (partial(F.leaky_relu, negative_slope=0.1), partial(F.leaky_relu, negative_slope=0.3)),
        (Mode.SUM, Mode.MEAN),
        (Settings(0.1), Settings(0.3)),
        (SimpleNamespace(slope=0.1), SimpleNamespace(slope=0.3)),
        (np.float32(0.1), np.float32(0.9)),
        (torch.float16, torch.float32),
        ({nn.ReLU, nn.Tanh}, {nn.ReLU, nn.Sigmoid}),
        ({nn.ReLU: 1, nn.Tanh: 2}, {nn.ReLU: 1, nn.Tanh: 3}),
    ],
    ids=lambda one: type(one).__name__,
)
def test_attributes_of_every_plain_kind_count(one, other):
    assert identity(Table(one)) == identity(Table(one)) != identity(Table(other))


def test_weights_classes_and_their_order_count():
    first, second = nn.Sequential(nn.ReLU(), nn.Sigmoid()), nn.Sequential(nn.Sigmoid(), nn.ReLU())
    assert identity(first) != identity(second)
    model = create_model("dscnn_xs", 10)
    assert identity(model) == identity(copied(model))
    assert identity(model) != identity(create_model("dscnn_xs", 10, seed=1))


@pytest.mark.slow
def test_another_process_finds_the_same():
    code = (
        "from edgestill.models import create_model; from edgestill.models.identity import identity; "
        "print(identity(create_model('dscnn_xs', 10)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == identity(create_model("dscnn_xs", 10))


def test_a_module_that_was_looked_at_is_as_before():
    """Observers of fake quantization give their buffers another size with the first batch."""
    made = nn.Identity()
    made.register_buffer("range", torch.zeros(0))
    identity(made)
    assert made.range.resize_(3).shape == (3,)


class Notes:
    """Keeps messages, and shows no bars."""

    def __init__(self):
        self.lines = []

    def task(self, *_):
        from edgestill.progress import SILENT

        return SILENT.task("", 0)

    def message(self, text):
        self.lines.append(text)


def weights(model):
    return torch.cat([value.flatten().float() for value in model.state_dict().values()])


@pytest.mark.parametrize("live", [False, True])
def test_a_training_goes_on_for_the_same_teacher_alone(small, untaught, tmp_path, live):
    def taught(teacher, seed=0, notes=None):
        student = create_model("dscnn_xs", 10, seed=seed)
        options = DistillOptions(SHORT, folder=tmp_path, live=live, check_teacher=False)
        return distill(teacher, student, small, options=options, progress=notes or Notes())

    first = taught(untaught(1))
    again, notes = taught(untaught(1)), Notes()
    assert again.history == first.history  # its seconds too: nothing was trained again
    other = taught(untaught(2), notes=notes)
    assert not torch.equal(weights(other.student), weights(first.student))
    assert "the state of a training with another teacher; this one starts anew" in notes.lines[-1]
    elsewhere = taught(untaught(2), seed=5, notes=notes)
    assert not torch.equal(weights(elsewhere.student), weights(other.student))
    assert "another students" in notes.lines[-1]


def test_a_training_on_other_pixels_is_another(small, tmp_path):
    first = train(create_model("dscnn_xs", 10), small, CrossEntropy(), options=TrainOptions(SHORT, folder=tmp_path))
    lighter = replace(small, processor=replace(small.processor, mean=(0.1,)))
    other = train(create_model("dscnn_xs", 10), lighter, CrossEntropy(), options=TrainOptions(SHORT, folder=tmp_path))
    assert not torch.equal(weights(other.model), weights(first.model))


def test_teachers_without_weights_do_not_share_a_cache(small, tmp_path):
    teacher = Table(1.0)
    distill(
        teacher,
        create_model("dscnn_xs", 10),
        small,
        options=DistillOptions(schedule=SHORT, cache=tmp_path, check_teacher=False),
    )
    cache_outputs(teacher, small, 1, tmp_path, augmentation=Augmentation())  # found; that it was asked changed nothing
    with pytest.raises(DataError, match="another teacher; remove it"):
        cache_outputs(Table(-1.0), small, 1, tmp_path, augmentation=Augmentation())
