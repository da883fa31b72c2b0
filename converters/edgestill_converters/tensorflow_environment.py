"""A Python environment with TensorFlow, which cannot be installed beside torch's converters.

It is one that the user names, or one that is made once under the user's cache and kept.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import ConversionError
from .output_capture import with_log

REQUIREMENT = "tensorflow>=2.21,<2.22"


def find_environment(folder: Path | None, log: Path) -> Path:
    """The Python of an environment with tensorflow; without a folder, of one that is made once under the user's cache.

    Raises:
        ConversionError: it has no tensorflow, or none could be installed.
    """
    if folder is not None:
        python = folder / "bin" / "python"
        if not python.exists() or run_command([python, "-c", "import tensorflow"], log) != 0:
            raise ConversionError(
                f"{folder} is no environment with tensorflow; make one: python3 -m venv {folder} && "
                f"{folder}/bin/pip install '{REQUIREMENT}'"
            )
        return python
    try:
        return cached_environment("tensorflow-2.21", [REQUIREMENT], log)
    except ConversionError as error:
        raise ConversionError(
            f"{error}; make one yourself with `pip install '{REQUIREMENT}'` and name it with --environment"
        ) from error


def cached_environment(name: str, requirements: Sequence[str], log: Path) -> Path:
    """The Python of an environment under the user's cache, which is made if it is not there.

    Raises:
        ConversionError: a package cannot be installed.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "edgestill" / name
    python, ready = folder / "bin" / "python", folder / ".ready"
    if ready.exists():
        return python
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Another command may be making it: this one waits, and uses it then.
    with open(folder.with_name(f".{name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            _make_environment(folder, name, requirements, log)
            ready.touch()
    return python


def _make_environment(folder: Path, name: str, requirements: Sequence[str], log: Path) -> None:
    python = folder / "bin" / "python"
    shutil.rmtree(folder, ignore_errors=True)
    uv = [sys.executable, "-m", "uv"] if run_command([sys.executable, "-m", "uv", "--version"], log) == 0 else []
    if uv:
        commands = [
            [*uv, "venv", "--python", sys.executable, folder],
            [*uv, "pip", "install", "--python", python, *requirements],
        ]
    else:
        commands = [[sys.executable, "-m", "venv", folder], [python, "-m", "pip", "install", *requirements]]
    for command in commands:
        if run_command(command, log) != 0:
            failed = ConversionError(f"an environment with {name.partition('-')[0]} could not be made in {folder}")
            raise with_log(failed, log, None)


def run_command(command: Sequence[Any], log: Path, limit_seconds: float | None = None) -> int:
    """Run a command of such an environment, its output appended to the log; returns the exit code.

    Raises:
        subprocess.TimeoutExpired: it ran longer than the limit.
    """
    # Variables of this environment must not leak into the other.
    variables = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    with open(log, "ab") as file:
        done = subprocess.run(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=False,
            timeout=limit_seconds, env={**variables, "TF_CPP_MIN_LOG_LEVEL": "2"},
        )  # fmt: skip
    return done.returncode
