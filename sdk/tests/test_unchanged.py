"""No function changes the module that it is given: not its place, layout, mode, weights, buffers or hooks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import edgestill as es
from edgestill.cache import cache_outputs
from edgestill.conversion import convert, describe_model
from edgestill.data import Augmentation
from edgestill.distillation import distill, distill_mutual
from edgestill.errors import ModelError
from edgestill.model_check import check_classes
from edgestill.models import multiply_accumulates
from edgestill.objectives import CrossEntropy
from edgestill.options import DistillOptions, TrainOptions
from edgestill.quantization import train_quantized
from edgestill.schedule import Schedule
from edgestill.teachers import Batch, LiveTeacher
from edgestill.training import outputs_of, quality_of, train

SHORT = Schedule(epochs=1, batch_size=32, views=1)


@pytest.fixture(scope="module")
def small(data):
    """Forty images."""
    return replace(data, train=data.train.take(np.arange(40)), validation=data.validation.take(np.arange(20)))


class Moved(nn.Module):
    """Notes every move of itself, as a change of device would make it."""

    moves = 0

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, stride=4)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(196, 10)

    def _apply(self, fn, recurse=True):
        self.moves += 1
        return super()._apply(fn, recurse)

    def forward(self, images):
        return self.head(self.drop(self.norm(self.conv(images))).flatten(1))


def model():
    """In a state that no default has: some parts train, some do not, one weight is frozen, a hook is there."""
    torch.manual_seed(0)
    made = Moved().train()
    made.norm.eval()
    made.conv.weight.requires_grad_(False)
    made.head.register_forward_hook(lambda *_: None)
    made.conv.weight.data = made.conv.weight.data.contiguous(memory_format=torch.channels_last)
    return made


USES = {
    "train": lambda one, data, _: train(one, data, CrossEntropy(), options=TrainOptions(SHORT)).model,
    "train, averaged": lambda one, data, _: (
        train(one, data, CrossEntropy(), options=TrainOptions(replace(SHORT, ema=0.9))).model
    ),
    "distill": lambda one, data, _: distill(None, one, data, options=DistillOptions(schedule=SHORT)).student,
    "qat": lambda one, data, _: train_quantized(one, data, data.calibration(8).images, TrainOptions(SHORT)),
    "predict": lambda one, data, _: outputs_of(one, data.validation, data)[0],
    "accuracy": lambda one, data, _: quality_of(one, data.validation, data)["accuracy"],
    "check_classes": lambda one, data, _: check_classes(one, data, "student"),
    "cache": lambda one, data, folder: cache_outputs(one, data, 1, folder, augmentation=Augmentation()),
    "MACs": lambda one, data, _: multiply_accumulates(one, (1, 28, 28)),
    "live": lambda one, data, _: LiveTeacher(one, ["conv"]).outputs(
        Batch(torch.zeros(2, 1, 28, 28), torch.zeros(2, 10), 0, torch.arange(2))
    ),
    "describe": lambda one, data, _: describe_model(one, data.calibration(8), "x"),
    "save": lambda one, data, folder: es.save_checkpoint(folder / "x.safetensors", one),
}


@pytest.mark.parametrize("use", USES)
def test_the_callers_module_is_as_it_was(small, tmp_path, use, unchanged):
    given = model()
    with unchanged(given):
        result = USES[use](given, small, tmp_path)
    assert result is not given
    if isinstance(result, nn.Module) and use != "qat":  # an exported graph has no mode
        assert not result.training and all(not part.training for part in result.modules())


@pytest.mark.parametrize("live", [False, True])
def test_teacher_and_student_are_as_they_were(small, live, unchanged):
    teacher, student = model(), model()
    with unchanged(teacher, student):
        done = distill(teacher, student, small, options=DistillOptions(schedule=SHORT, live=live, check_teacher=False))
    assert done.student is not student and done.student is not teacher


def test_a_teacher_can_be_its_own_student(small, unchanged):
    given = model()
    with unchanged(given):
        assert (
            distill(given, given, small, options=DistillOptions(schedule=SHORT, check_teacher=False)).student
            is not given
        )


def test_students_together_are_as_they_were(small, unchanged):
    first, second = model(), model()
    with unchanged(first, second):
        done = distill_mutual([first, second], small, options=TrainOptions(schedule=SHORT))
    assert done.student is not first and done.peers[0] is not second


def test_converting_leaves_the_module(small, tmp_path, monkeypatch, unchanged):
    """What describes it leaves it alone; the converters copy it themselves, and are not run here."""
    given, seen = model(), []
    monkeypatch.setattr("edgestill_converters.convert", lambda module, *_, **__: seen.append(module))
    with unchanged(given):
        convert(given, small.calibration(8), tmp_path / "x.edge")
    assert seen == [given]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("use", USES)
def test_the_callers_module_stays_on_the_cpu_beside_a_gpu(small, tmp_path, use, unchanged):
    given = model()
    with unchanged(given):
        USES[use](given, small, tmp_path)
    assert {value.device.type for value in given.state_dict().values()} == {"cpu"}


def test_what_a_forward_pass_left_behind_can_be_copied(small):
    given = nn.Sequential(nn.Flatten(), nn.utils.weight_norm(nn.Linear(784, 10)))
    given(torch.zeros(1, 1, 28, 28))
    assert train(given, small, CrossEntropy(), options=TrainOptions(SHORT)).model is not given


def test_a_compiled_module_gives_a_plain_one(small):
    given = torch.compile(model())
    done = train(given, small, CrossEntropy(), options=TrainOptions(SHORT))
    assert type(done.model) is Moved and set(done.model.state_dict()) == set(given._orig_mod.state_dict())


def test_a_module_that_cannot_be_copied_is_an_error(small):
    given = model()
    given.file = open(__file__)  # noqa: SIM115
    with pytest.raises(ModelError, match=r"Moved cannot be copied \(TypeError\)"), given.file:
        train(given, small, CrossEntropy(), options=TrainOptions(SHORT))


def test_a_student_with_nothing_to_train_is_an_error(small):
    with pytest.raises(ModelError, match="no weights to train"):
        train(model().requires_grad_(False), small, CrossEntropy(), options=TrainOptions(SHORT))
    with pytest.raises(ModelError, match="no weights to train"):
        train(nn.Flatten(), small, CrossEntropy(), options=TrainOptions(SHORT))
