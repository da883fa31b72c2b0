"""What tests of several packages share, made once: a run of the demo recipe, some small programs, wheels.

What takes a minute to make is kept in `build/test-cache/`, under the hash of every source that it is made from, so a
change is never hidden behind an older result; two workers (pytest -n 2) wait for each other rather than make it twice.
"""

import contextlib
import fcntl
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
CACHE = ROOT / "build" / "test-cache"
SOURCES = ("sdk/edgestill", "converters/edgestill_converters", "runtime", "benchmarks/edgestill_benchmarks", "recipes")
# The longest files, which come first: no worker then ends long after the other, and one makes the run that many tests
# share while the other is in a file that needs none.
LONGEST = (
    "sdk/tests/test_run.py",
    "sdk/tests/test_methods.py",
    "converters/tests/test_convert.py",
    "converters/tests/test_carried.py",
    "sdk/tests/test_conversion.py",
)
WIDE = 200  # columns of a terminal in which no message is cut


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first."""
    places = {ROOT / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def command_of(*words: object, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user would, in a process of its own: seconds more than `in_process`."""
    command = [sys.executable, "-m", "edgestill.cli", *(str(word) for word in words)]
    variables = {**os.environ, "COLUMNS": str(WIDE), **environment}
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False, timeout=550)


def in_process(*words: object, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in this process: the same code from the arguments to the exit code."""
    from edgestill.cli import app, console

    out, err, path = io.StringIO(), io.StringIO(), list(sys.path)
    streams = (console.CONSOLE, out), (console.ERRORS, err)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["edgestill", *(str(word) for word in words)])
        for name, value in environment.items():
            patch.setenv(name, value)
        for one, stream in streams:
            patch.setattr(one, "file", stream)
            patch.setattr(one, "_width", int(environment.get("COLUMNS", WIDE)))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                app.run_app()
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
    sys.path[:] = path
    return subprocess.CompletedProcess(["edgestill", *map(str, words)], code, out.getvalue(), err.getvalue())


def kept(name: str, make: Callable[[Path], None], sources: tuple[str, ...] = SOURCES) -> Path:
    """A folder that `make` filled, now or in an earlier session from the same sources."""
    hasher = hashlib.sha256(f"{sys.version} {sys.platform}".encode())
    for file in sorted(_files(sources)):
        hasher.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    folder = CACHE / f"{name}-{hasher.hexdigest()[:16]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            for old in CACHE.glob(f"{name}-*"):
                shutil.rmtree(old)
            part = CACHE / f".{name}.part"
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            make(part)
            part.rename(folder)
    return folder


def _files(sources: tuple[str, ...]) -> Iterator[Path]:
    yield ROOT / "requirements.lock"
    for source in sources:
        if (ROOT / source).is_file():
            yield ROOT / source
        for path in (ROOT / source).rglob("*"):
            if path.is_file() and not {"__pycache__", "tests"} & set(path.relative_to(ROOT).parts):
                yield path


@pytest.fixture(scope="session")
def cli():
    """The command line, in this process."""
    return in_process


@pytest.fixture
def device_cli(monkeypatch, capsys):
    """A function that runs `python -m edgestill_runtime` in this process, which must succeed; what it printed."""
    from edgestill_runtime.__main__ import main

    def run(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["edgestill_runtime", *(str(word) for word in words)])
        code = main()
        printed = capsys.readouterr()
        assert code == 0, printed.err
        return str(printed.out)

    return run


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def quick_run(tmp_path_factory):
    """The folder of `edgestill run recipes/demo.toml --quick`: real data, both exporters, both engines, two epochs."""
    made = os.environ.get("EDGESTILL_TEST_RUN")  # one that was made before
    folder = tmp_path_factory.mktemp("runs") / "demo"
    shutil.copytree(Path(made) if made else kept("quick-run", _make_quick_run), folder)
    return folder


def _make_quick_run(folder: Path) -> None:
    done = command_of("run", "recipes/demo.toml", "--quick", "--output", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "terminal.txt").write_text(done.stdout)


@pytest.fixture(scope="session")
def task_runs(tmp_path_factory):
    """The folder of `sdk/tests/make_task_runs.py`: data, recipes and runs of the tasks beside image classification."""
    script = "sdk/tests/make_task_runs.py"
    folder = tmp_path_factory.mktemp("tasks") / "runs"
    shutil.copytree(
        kept("task-runs", lambda place: _call(sys.executable, ROOT / script, place), (*SOURCES, script)), folder
    )
    for recipe in folder.glob("*.toml"):  # whose data lie in the copy
        recipe.write_text(
            re.sub(r'image-folder:[^"]*', f"image-folder:{folder / 'data' / recipe.stem}", recipe.read_text())
        )
    return folder


@pytest.fixture(scope="session")
def bundle_path(quick_run):
    return quick_run / "demo-quick.edge"


@pytest.fixture(scope="session")
def programs():
    """The folder of `runtime/native/tests/make_programs.py`; given from outside where there is no exporter."""
    if made := os.environ.get("EDGESTILL_TEST_PROGRAMS"):
        return Path(made)
    script = "runtime/native/tests/make_programs.py"
    return kept("programs", lambda folder: _call(sys.executable, ROOT / script, folder), (script,))


def _call(*command: object) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


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
def bring_package(tmp_path, monkeypatch):
    """A function that installs a package for this process and its children: its modules, and its entry points."""
    count = 0

    def bring(name, modules, entry_points, version="1.0"):
        nonlocal count
        count += 1
        folder = tmp_path / f"site-{count}"
        about = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        groups = (f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())
                  for group, entries in entry_points.items())  # fmt: skip
        (about / "entry_points.txt").write_text("\n".join(groups))
        for module, source in modules.items():
            monkeypatch.delitem(sys.modules, module, raising=False)
            (folder / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(folder)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]).strip(":"))

    return bring


@pytest.fixture
def bundle_copy(bundle_path, tmp_path):
    """A bundle that a test may damage."""
    return Path(shutil.copytree(bundle_path, tmp_path / "copy.edge"))


@pytest.fixture(scope="session")
def arm_wheels(tmp_path_factory):
    """The folder of what `make wheels` builds for a Raspberry Pi: edgestill itself, and its binding for aarch64."""
    folder = tmp_path_factory.mktemp("wheels")
    _call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    _call(sys.executable, ROOT / "runtime/native/build_wheel.py", "aarch64", "--output", folder)
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
