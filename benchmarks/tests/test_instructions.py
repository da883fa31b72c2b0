"""Instructions per inference on emulated boards: against the stored count, so that nothing gets slower unseen."""

import json

import pytest
from benchmarks.suite.devices.instructions import BOARDS, count

from edgestill import zoo

TOLERANCE = 0.02
NAMES = [one.name for one in zoo.entries()]


@pytest.fixture(scope="module")
def stored(root):
    return json.loads((root / "docs/results/instructions.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_what_joins_the_zoo_is_counted(stored, name):
    assert name in stored, "count it: python -m benchmarks.suite.devices.instructions docs/results/instructions.json"
    assert stored[name]["boards"].keys() == BOARDS.keys()


@pytest.fixture(scope="module", params=BOARDS)
def board(request, make_pi, arm_wheels):
    edgestill, binding = (next(arm_wheels.glob(f"{name}-*")) for name in ("edgestill", "edgestill_executorch"))
    folder = make_pi(*BOARDS[request.param].split("-"), f"{edgestill}[litert,executorch]", binding)
    return request.param, folder


@pytest.mark.pi
@pytest.mark.parametrize("name", NAMES)
def test_an_inference_takes_as_many_instructions_as_it_did(board, stored, name):
    label, folder = board
    before = stored[name]["boards"][label]
    counted = count(folder, zoo.find(name).path)
    assert counted.keys() == before.keys()
    for file, instructions in counted.items():
        assert instructions == pytest.approx(before[file], rel=TOLERANCE), f"{file} on a {label}"


@pytest.mark.pi
def test_the_count_is_exact(board):
    _, folder = board
    path = zoo.find(NAMES[0]).path
    assert count(folder, path) == count(folder, path)
