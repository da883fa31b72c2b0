"""Instructions per inference on emulated boards: against the stored count, so that nothing gets slower unseen."""

import json

import pytest
from benchmarks.suite.devices.instructions import BOARDS, count

from edgestill import zoo

pytestmark = pytest.mark.pi
TOLERANCE = 0.02


@pytest.fixture(scope="module", params=BOARDS)
def board(request, make_pi, arm_wheels):
    edgestill, binding = (next(arm_wheels.glob(f"{name}-*")) for name in ("edgestill", "edgestill_executorch"))
    folder = make_pi(*BOARDS[request.param].split("-"), f"{edgestill}[litert,executorch]", binding)
    return request.param, folder


@pytest.mark.parametrize("name", [one.name for one in zoo.entries()])
def test_an_inference_takes_as_many_instructions_as_it_did(board, root, name):
    label, folder = board
    stored = json.loads((root / "docs/results/instructions.json").read_text())[name]["boards"][label]
    counted = count(folder, zoo.find(name).path)
    assert counted.keys() == stored.keys()
    for file, instructions in counted.items():
        assert instructions == pytest.approx(stored[file], rel=TOLERANCE), f"{file} on a {label}"


def test_the_count_is_exact(board):
    _, folder = board
    path = zoo.find(zoo.entries()[0].name).path
    assert count(folder, path) == count(folder, path)
