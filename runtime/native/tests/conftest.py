"""Where the programs are: exported here once, or in EDGESTILL_TEST_PROGRAMS where there is no exporter."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    if folder := os.environ.get("EDGESTILL_TEST_PROGRAMS"):
        return Path(folder)
    folder = tmp_path_factory.mktemp("programs")
    script = Path(__file__).parent / "make_programs.py"
    done = subprocess.run([sys.executable, script, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def answers(programs):
    with np.load(programs / "answers.npz") as arrays:
        return dict(arrays)
