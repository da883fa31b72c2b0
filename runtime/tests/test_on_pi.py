"""ARM code, emulated: the binding, both engines and the command line as a Raspberry Pi runs them (make test-pi)."""

import json
import os
import subprocess

import numpy as np
import pytest

from edgestill_runtime import load, open_bundle

pytestmark = pytest.mark.pi
TOOLS = ["pytest", "pytest-timeout", "pillow"]


@pytest.fixture(scope="module", params=["pi4-bookworm", "pi5-trixie"])
def pi(request, root, arm_wheels, make_pi):
    """A function that runs that board's Python: 3.11 of Debian 12, 3.13 of Debian 13."""
    edgestill = next(arm_wheels.glob("edgestill-*"))
    # By its path: by its name, an earlier build of the same version could come out of the installer's cache.
    binding = next(arm_wheels.glob("edgestill_executorch-*"))
    folder = make_pi(*request.param.split("-"), f"{edgestill}[litert,executorch]", binding, *TOOLS)

    def run(*words, **variables):
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "PYTEST", "VIRTUAL_ENV"))
        }
        command = [folder / "python", *map(str, words)]
        return subprocess.run(command, env={**kept, **variables}, cwd=root, capture_output=True, text=True, check=False)

    run.python = folder / "python"
    return run


def test_this_is_arm_without_torch(pi):
    code = "import platform, importlib.util as u; print(platform.machine(), u.find_spec('torch'))"
    done = pi("-c", code)
    assert done.stdout.strip() == "aarch64 None", done.stderr


def test_the_binding_passes_its_tests(pi, programs):
    variables = {"EDGESTILL_TEST_PROGRAMS": str(programs), "EDGESTILL_PYTHON": str(pi.python)}
    done = pi("-m", "pytest", "-q", "-p", "no:cacheprovider", "runtime/native/tests", **variables)
    assert done.returncode == 0 and " passed" in done.stdout and "failed" not in done.stdout, done.stdout + done.stderr


def test_the_self_test_passes_with_both_engines(pi, bundle_path):
    done = pi("-m", "edgestill_runtime", "selftest", bundle_path, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row["file"]: row for row in json.loads(done.stdout)["golden"]}
    assert len(rows) == 4 and all(row["passed"] and not row["skipped"] for row in rows.values())
    # int8 arithmetic is exact: what x86-64 recorded comes out here to the last bit.
    assert rows["model.pte"]["difference"] == rows["model.tflite"]["difference"] == 0


def test_int8_answers_are_those_of_this_machine_bit_by_bit(pi, bundle_path, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (200, *open_bundle(bundle_path).manifest.processor.image_shape))
    np.save(tmp_path / "images.npy", images.astype(np.uint8))
    code = (
        "import sys, numpy; from edgestill_runtime import load\n"
        "images = numpy.load(sys.argv[2])\n"
        "for engine in ('litert', 'executorch'):\n"
        "    numpy.save(sys.argv[3] + '/' + engine, load(sys.argv[1], engine, threads=2).logits(images))\n"
    )
    done = pi("-c", code, bundle_path, tmp_path / "images.npy", tmp_path)
    assert done.returncode == 0, done.stderr
    for engine in ("litert", "executorch"):
        with load(bundle_path, engine) as model:
            np.testing.assert_array_equal(np.load(tmp_path / f"{engine}.npy"), model.logits(images.astype(np.uint8)))


def test_photos_and_recordings_become_the_same_pixels_there(pi, root):
    """Every orientation, depth, colour, size, rate and format without loss: difference 0 to every other machine."""
    done = pi("runtime/tests/golden_inputs.py")
    assert done.returncode == 0, done.stderr
    there = json.loads(done.stdout)
    expected = json.loads((root / "runtime/tests/golden_inputs.json").read_text(encoding="utf-8"))
    assert list(there) == list(expected)
    for kind, rows in expected.items():
        assert len(rows) > 20
        assert not {name: there[kind].get(name) for name, row in rows.items() if there[kind].get(name) != row}


def test_the_command_line_runs_there(pi, bundle_path, tmp_path):
    np.save(tmp_path / "image.npy", open_bundle(bundle_path).golden().inputs[0][0])
    for engine in ("litert", "executorch"):
        done = pi(
            "-m", "edgestill_runtime", "run", bundle_path, tmp_path / "image.npy", "--engine", engine, "--calls", 2
        )
        assert done.returncode == 0 and engine in done.stdout and "latency: p50" in done.stdout, done.stderr


@pytest.mark.parametrize("name", ["shapes", "disc"])
def test_several_labels_and_values_are_those_of_this_machine(pi, task_runs, name):
    """Photos from files, through both engines: the same words and the same numbers, to the last digit."""
    bundle, photos = task_runs / name / f"{name}.edge", sorted((task_runs / "data" / name).glob("*.png"))[:8]
    code = (
        "import sys; from edgestill_runtime import load\n"
        "for engine in ('litert', 'executorch'):\n"
        "    model = load(sys.argv[1], engine)\n"
        "    for photo in sys.argv[2:]: print(model.predict(photo))\n"
    )
    done = pi("-c", code, bundle, *photos)
    assert done.returncode == 0, done.stderr
    expected = []
    for engine in ("litert", "executorch"):
        with load(bundle, engine) as model:
            expected += [str(model.predict(photo)) for photo in photos]
    assert done.stdout.splitlines() == expected and len(set(expected)) > 2
    tested = pi("-m", "edgestill_runtime", "selftest", bundle)
    assert tested.returncode == 0 and tested.stdout.endswith("passed\n"), tested.stdout + tested.stderr


def test_an_isolated_engine_runs_there(pi, bundle_path):
    """The child is a Python that this machine starts through the emulator, as the parent was."""
    code = (
        "import sys, numpy; from edgestill_runtime import load\n"
        f"sys.executable = {str(pi.python)!r}\n"
        "model = load(sys.argv[1], isolated=True); print(model.engine, model.predict(numpy.zeros((28, 28), 'u1'), 1))\n"
    )
    done = pi("-c", code, bundle_path)
    assert done.returncode == 0 and "isolated" in done.stdout, done.stderr


def test_where_no_pi_can_be_made_it_is_said_and_does_not_count(root, tmp_path):
    script = (root / "runtime/pi/make_rootfs.sh").read_text()
    command = ["/bin/bash", "-s", tmp_path / "pi", "pi5", "trixie"]
    for change, why in (({"user": 65534}, "run this as root"), ({"env": {"PATH": "/nowhere"}}, "this is no Debian")):
        done = subprocess.run(command, input=script, cwd="/", capture_output=True, text=True, check=False, **change)
        assert done.returncode == 1 and "NO EMULATED RASPBERRY PI HERE" in done.stderr and why in done.stderr
