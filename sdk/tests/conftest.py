"""What several of these tests train on."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from edgestill.data import load_data
from edgestill.models.copies import kept_randomness
from edgestill.models.resnet import ResNet
from edgestill.objectives import CrossEntropy
from edgestill.schedule import Schedule
from edgestill.training import train


def small_resnet(num_classes=10, in_channels=1):
    """A teacher with the layers of `resnet8` and a fortieth of its work."""
    return ResNet(num_classes, in_channels, stem=8, widths=(8, 16, 32), strides=(2, 2, 2))


@pytest.fixture(scope="session")
def untaught():
    """A function that makes a small teacher with fresh weights, of a seed."""

    def make(seed=0):
        with kept_randomness():
            torch.manual_seed(seed)
            return small_resnet()

    return make


@pytest.fixture(scope="session")
def teacher(data, untaught):
    """A small teacher that was trained for some epochs, once for all tests."""
    schedule = Schedule(epochs=6, batch_size=32, learning_rate=8e-3)
    return train(untaught(), data, CrossEntropy(), schedule).model


@pytest.fixture(scope="session")
def data():
    """Real images, few of them: 600 to train on."""
    whole = load_data("fashion-mnist-mini", calibration=64)
    return replace(whole, train=whole.train.take(np.arange(600)), validation=whole.validation.take(np.arange(300)))
