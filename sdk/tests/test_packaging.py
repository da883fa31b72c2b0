"""The wheel, in clean environments without this checkout: what a device gets is numpy and an engine, never torch."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

UV = Path(sys.executable).parent / "uv"


@pytest.fixture(scope="module")
def wheel(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, root]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def binding(root, tmp_path_factory):
    """The wheel of edgestill-executorch for this machine."""
    folder = tmp_path_factory.mktemp("binding")
    script = root / "runtime/native/build_wheel.py"
    done = subprocess.run(
        [sys.executable, script, os.uname().machine, "--output", folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def pythons():
    """Every Python 3.11–3.13 that can be found; the one that runs the tests at the least."""
    found = {"{}.{}".format(*sys.version_info[:2]): sys.executable}
    for version in ("3.11", "3.12", "3.13"):
        candidates = [shutil.which(f"python{version}"), *Path.home().glob(f".pyenv/versions/{version}.*/bin/python3")]
        for candidate in candidates:
            if version in found or candidate is None:
                continue
            check = "import sys; print('{}.{}'.format(*sys.version_info[:2]))"
            done = subprocess.run([candidate, "-c", check], capture_output=True, text=True, check=False)
            if done.stdout.strip() == version:
                found[version] = str(candidate)
    return found


def environment(folder, python, *requirements):
    subprocess.run([UV, "venv", "--quiet", "--python", python, folder], check=True)
    subprocess.run([UV, "pip", "install", "--quiet", "--python", folder / "bin" / "python", *requirements], check=True)
    return folder / "bin"


def run(*command, cwd, **more):
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")} | more
    return subprocess.run(list(map(str, command)), cwd=cwd, env=variables, capture_output=True, text=True, check=False)


def test_the_wheel_holds_the_four_packages_and_their_data(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    packages = {"edgestill", "edgestill_converters", "edgestill_runtime", "edgestill_benchmarks"}
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == packages
    for needed in (
        "edgestill/data/assets/fashion-mnist-mini.npz",
        "edgestill/data/assets/FASHION-MNIST-LICENSE",
        "edgestill_benchmarks/results.schema.json",
        "edgestill_benchmarks/report/page.html.j2",
        *(f"{package}/py.typed" for package in packages),
    ):
        assert needed in names
    assert not any("tests" in name for name in names)


DEVICE = """
import sys, numpy
from edgestill_runtime import installed_engines, load, open_bundle, replay_golden, why_failed
bundle = open_bundle(sys.argv[1])
bundle.verify()
replays = replay_golden(bundle)
assert why_failed(replays) is None, replays
print(sorted(installed_engines()), sum(replay.passed for replay in replays))
assert load(bundle).predict(bundle.golden().inputs[0][0])[0].label in bundle.manifest.labels
"""


def python_of(version):
    if (python := pythons().get(version)) is None:
        pytest.skip(f"no Python {version} on this machine")
    return python


@pytest.mark.environments
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_a_device_runs_a_bundle_with_numpy_and_engines_alone(wheel, binding, bundle_path, tmp_path, version):
    python = python_of(version)
    folder = environment(tmp_path / "device", python, f"{wheel}[litert,executorch]", binding)
    done = run(folder / "python", "-c", DEVICE, bundle_path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    # One wheel of the binding serves all of them.
    assert done.stdout.startswith("['executorch', 'litert'] 4")
    tested = run(folder / "python", "-m", "edgestill_runtime", "selftest", bundle_path, cwd=tmp_path)
    assert tested.returncode == 0 and "passed" in tested.stdout
    listed = run(UV, "pip", "list", "--python", folder / "python", cwd=tmp_path).stdout
    assert "torch" not in listed.replace("executorch", "") and "numpy" in listed
    measured = run(
        *(folder / "python", "-m", "edgestill_benchmarks", "measure", bundle_path),
        *("--min-calls", 5, "--min-seconds", 0.01),
        cwd=tmp_path,
    )
    assert measured.returncode == 0, measured.stderr


@pytest.mark.environments
@pytest.mark.parametrize(
    ("package", "version", "requirements"),
    [
        ("litert/tflite-runtime", "3.11", ["tflite-runtime==2.14.0", "numpy<2"]),
        ("litert/tensorflow", "3.11", ["tensorflow==2.21.0"]),
        ("executorch/executorch-numpy-runtime", "3.12", ["executorch-numpy-runtime==1.4.0"]),
    ],
)
def test_every_other_package_answers_as_recorded(wheel, bundle_path, tmp_path, package, version, requirements):
    """The packages that are taken where the best one is not installed: same file, same face, same answers."""
    folder = environment(tmp_path / "device", python_of(version), wheel, *requirements)
    done = run(folder / "python", "-W", "always", "-c", DEVICE, bundle_path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    family, _, name = package.partition("/")
    assert done.stdout.startswith(f"['{family}'] 2")
    chosen = f"from edgestill_runtime import load; print(load({str(bundle_path)!r}, {package!r}).engine)"
    assert run(folder / "python", "-c", chosen, cwd=tmp_path).stdout.startswith(f"{family} ({name} ")
    slow = "tflite-runtime runs int8 models without its fast kernels, 18 to 32 times slower"
    assert (slow in done.stderr) == (name == "tflite-runtime")


def test_the_base_install_says_which_extra_is_missing(wheel, bundle_path, tmp_path):
    folder = environment(tmp_path / "base", sys.executable, str(wheel))
    command = run(folder / "edgestill", "doctor", cwd=tmp_path)
    assert command.returncode == 1 and "pip install 'edgestill[all]'" in command.stderr
    assert "Traceback" not in command.stderr
    script = f"from edgestill_runtime import load; load({str(bundle_path)!r})"
    loading = run(folder / "python", "-c", script, cwd=tmp_path)
    assert "EngineError" in loading.stderr and "pip install 'edgestill[litert]'" in loading.stderr
    training = run(folder / "python", "-c", "import edgestill; edgestill.load_data()", cwd=tmp_path)
    assert "MissingExtraError" in training.stderr and "pip install 'edgestill[all]'" in training.stderr


@pytest.fixture(scope="module")
def training_host(wheel, tmp_path_factory):
    """A GPU host whose torch is not ours to choose: the extras `distill` and `sweep` alone, with torch 2.9."""
    return environment(tmp_path_factory.mktemp("host"), sys.executable, f"{wheel}[distill,sweep]", "torch==2.9.1")


@pytest.mark.environments
def test_a_training_host_needs_no_exporter_and_may_have_an_older_torch(training_host, root, tmp_path):
    place = training_host
    exporters = ("executorch", "litert_torch", "torchao", "ai_edge_litert")
    look = f"import importlib.util as u; print([name for name in {exporters} if u.find_spec(name)])"
    assert run(place / "python", "-c", look, cwd=tmp_path).stdout.strip() == "[]"
    shutil.copytree(root / "recipes", tmp_path / "recipes")
    points = tmp_path / "points.toml"
    points.write_text(
        "[hints]\n"
        'distillation.objective = [{ kind = "dkd" }, { kind = "fitnets", layers = [["blocks.3", "stages.1"]] }]\n'
    )
    sweep = ("sweep", tmp_path / "recipes/demo.toml", "--quick", "--seeds", 1, "--points", points, "--json")
    done = run(place / "edgestill", *sweep, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (point,) = json.loads(done.stdout)["points"]
    assert point["runs"][0]["validation_distilled"] > 0.6
    # Converting there says what is missing, and how to get it.
    convert = ("convert", "dscnn_s", "--data", "fashion-mnist-mini", "--output", tmp_path / "x.edge")
    refused = run(place / "edgestill", *convert, cwd=tmp_path)
    assert refused.returncode == 1 and "edgestill[" in refused.stderr, refused.stderr


@pytest.mark.environments
def test_a_sweep_through_ray(training_host, root, tmp_path):
    """A real Ray cluster of one node; a sweep joins it by its address, as it would one of many hosts."""
    ray = training_host / "ray"
    start = run(ray, "start", "--head", "--port=6399", "--num-cpus=2", "--include-dashboard=false", cwd=tmp_path)
    assert start.returncode == 0, start.stdout + start.stderr
    try:
        sweep = ("sweep", root / "recipes/demo.toml", "--quick", "--seeds", 2, "--output", tmp_path / "sweep", "--json")
        variables = {"RAY_ADDRESS": "127.0.0.1:6399", "OMP_NUM_THREADS": "1"}
        done = run(training_host / "edgestill", *sweep, cwd=tmp_path, **variables)
    finally:
        run(ray, "stop", "--force", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (point,) = json.loads(done.stdout[done.stdout.index("{\n") :])["points"]
    assert [one["seed"] for one in point["runs"]] == [0, 1]
    assert list((tmp_path / "sweep/ray").glob("**/result.json")), "Ray Tune kept no record: the trials ran without it"
