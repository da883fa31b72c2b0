"""What several of these tests train on."""

from dataclasses import replace

import numpy as np
import pytest

from edgestill.data import load_data


@pytest.fixture(scope="session")
def data():
    """Real images, few of them: 600 to train on."""
    whole = load_data("fashion-mnist-mini", calibration=64)
    return replace(whole, train=whole.train.take(np.arange(600)), validation=whole.validation.take(np.arange(300)))
