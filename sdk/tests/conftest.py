"""What several of these tests train on, and how they see that a module was left alone."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from edgestill.data import DataOptions, load_data
from edgestill.models.copies import preserved_rng
from edgestill.models.resnet import ResNet
from edgestill.objectives import CrossEntropy
from edgestill.options import TrainOptions
from edgestill.schedule import Schedule
from edgestill.training import train


def small_resnet(num_classes=10, in_channels=1):
    """A teacher with the layers of `resnet8` and a fortieth of its work."""
    return ResNet(num_classes, in_channels, stem=8, widths=(8, 16, 32), strides=(2, 2, 2))


@pytest.fixture(scope="session")
def untaught():
    """A function that makes a small teacher with fresh weights, of a seed."""

    def make(seed=0):
        with preserved_rng():
            torch.manual_seed(seed)
            return small_resnet()

    return make


@pytest.fixture(scope="session")
def teacher(data, untaught):
    """A small teacher that was trained for some epochs, once for all tests."""
    schedule = Schedule(epochs=6, batch_size=32, learning_rate=8e-3)
    return train(untaught(), data, CrossEntropy(), options=TrainOptions(schedule)).model


@pytest.fixture(scope="session")
def data():
    """Real images, few of them: 600 to train on."""
    whole = load_data("fashion-mnist-mini", options=DataOptions(calibration=64))
    return replace(whole, train=whole.train.take(np.arange(600)), validation=whole.validation.take(np.arange(300)))


def state_of(module):
    tensors = dict([*module.named_parameters(), *module.named_buffers()])
    return {
        "values": {name: value.detach().cpu().clone() for name, value in tensors.items()},
        "places": {name: (one.data_ptr(), one.device, one.dtype, one.stride()) for name, one in tensors.items()},
        "grad": {name: (value.requires_grad, value.grad) for name, value in tensors.items()},
        "modes": [part.training for part in module.modules()],
        "hooks": [(len(part._forward_hooks), len(part._forward_pre_hooks)) for part in module.modules()],
        "names": [sorted(vars(part)) for part in module.modules()],
        "moves": getattr(module, "moves", 0),
    }  # fmt: skip


@contextmanager
def left_alone(*modules):
    """Everything about the modules, and torch's random numbers, is as before."""
    before, random = [state_of(one) for one in modules], torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), random)
    for was, module in zip(before, modules, strict=True):
        now = state_of(module)
        values, kept = now.pop("values"), was.pop("values")
        assert now == was
        assert all(torch.equal(value, kept[name]) for name, value in values.items())


@pytest.fixture(scope="session")
def unchanged():
    """A context manager: at its end the modules that it was given must be as they were at its beginning."""
    return left_alone
