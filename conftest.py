"""What tests of several packages share, made once a session: a run of the demo recipe, and some small programs."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent


def edgestill(*words: object, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user would, in a process of its own."""
    command = [sys.executable, "-m", "edgestill.cli", *(str(word) for word in words)]
    # A wide terminal, so that no message is cut.
    variables = {**os.environ, "COLUMNS": "200", **environment}
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False, timeout=550)


@pytest.fixture(scope="session")
def cli():
    return edgestill


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def quick_run(tmp_path_factory):
    """The folder of `edgestill run recipes/demo.toml --quick`: real data, both exporters, both engines, two epochs."""
    if kept := os.environ.get("EDGESTILL_TEST_RUN"):  # one that was made before: saves a minute while writing tests
        return Path(kept)
    folder = tmp_path_factory.mktemp("runs") / "demo"
    done = edgestill("run", "recipes/demo.toml", "--quick", "--output", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "terminal.txt").write_text(done.stdout)
    return folder


@pytest.fixture(scope="session")
def bundle_path(quick_run):
    return quick_run / "demo-quick.edge"


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """The folder of `runtime/native/tests/make_programs.py`; given from outside where there is no exporter."""
    if kept := os.environ.get("EDGESTILL_TEST_PROGRAMS"):
        return Path(kept)
    folder = tmp_path_factory.mktemp("programs")
    command = [sys.executable, ROOT / "runtime/native/tests/make_programs.py", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def without_engines(tmp_path_factory):
    """A function that runs Python code where no engine is installed: this environment's other packages, linked."""
    folder = tmp_path_factory.mktemp("no-engines")
    engines = ("ai_edge_litert", "edgestill_executorch", "executorch", "tensorflow", "tflite_runtime")
    for place in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for path in Path(place).iterdir():
            if not path.name.startswith((*engines, "__editable__")):
                (folder / path.name).symlink_to(path)
    own = [str(ROOT / package) for package in ("sdk", "converters", "benchmarks", "runtime")]
    paths = [*own, str(folder), *(path for path in sys.path if path and "site-packages" not in path)]

    def run(code, *words):
        command = [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {paths!r}; {code}", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def bundle_copy(bundle_path, tmp_path):
    """A bundle that a test may damage."""
    import shutil

    return Path(shutil.copytree(bundle_path, tmp_path / "copy.edge"))


@pytest.fixture(scope="session")
def arm_wheels(tmp_path_factory):
    """The folder of what `make wheels` builds for a Raspberry Pi: edgestill itself, and its binding for aarch64."""
    folder = tmp_path_factory.mktemp("wheels")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    binding = [sys.executable, ROOT / "runtime/native/build_wheel.py", "aarch64", "--output", folder]
    for command in (build, binding):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def make_pi():
    """A function of board, Debian and requirements that makes an emulated Raspberry Pi, or finds it made."""

    def make(board, suite, *requirements):
        folder = ROOT / "build" / "pi" / f"{board}-{suite}"
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        command = [ROOT / "runtime/pi/make_rootfs.sh", folder, board, suite, *requirements]
        made = subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
        return folder

    return make
