"""The remote agent: its source is sent to a device and run by the Python there, before anything is installed.

    python3 - COMMAND ARGUMENTS < remote_agent.py

ARGUMENTS is JSON; so is the result, the last line of standard output. Lines before it report progress. It imports the
standard library alone.

    FOLDER/environments/KEY/           a virtual environment; finished once `.complete` is in it
    FOLDER/bundles/NAME/versions/ID/   NAME.edge, `environment` (a link), `deployed.json`; never changed again
    FOLDER/bundles/NAME/current        a link to the version in use, switched in one step
    FOLDER/bundles/NAME/previous       a link to the one before it
    FOLDER/incoming/ID.RANDOM/         what is being sent
    FOLDER/.lock                       held by a process that changes links, versions or environments

Several deployments may run at once. A command that changes what they share holds the lock. A version or environment
that another one has removed is refused, never linked.
"""

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

COMPLETE = ".complete"
STALE_SECONDS = 3600

Facts = dict[str, Any]


class RefusedError(Exception):
    """The command is refused; the message is for the user."""


def look(arguments: Facts) -> Facts:
    """Facts that decide what can be installed."""
    folder = Path(arguments["folder"]).expanduser().absolute()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return {
        "folder": str(folder),
        "python": sys.executable,
        "version": list(sys.version_info[:3]),
        "architecture": platform.machine(),
        "libc": list(platform.libc_ver()),
        "free_bytes": shutil.disk_usage(existing).free,
        "writable": os.access(existing, os.W_OK),
        "bundles": {home.name: describe(home) for home in inside(folder / "bundles")},
        "environments": [path.name for path in inside(folder / "environments") if (path / COMPLETE).exists()],
    }


def prepare(arguments: Facts) -> Facts:
    """An empty folder to send files into; leftovers of broken connections are removed after an hour."""
    incoming = Path(arguments["folder"], "incoming")
    incoming.mkdir(parents=True, exist_ok=True)
    for leftover in inside(incoming):
        if time.time() - leftover.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(leftover, ignore_errors=True)
    # A random name: another deployment may be sending the same version.
    return {"target": tempfile.mkdtemp(prefix=f"{arguments['id']}.", dir=incoming)}


def install(arguments: Facts) -> Facts:
    """Make the environment, unless an earlier call finished it."""
    target = Path(arguments["folder"], "environments", arguments["key"])
    python = str(target / "bin" / "python")
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(lock_of(target), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another deployment may be making it; released even if this process dies
        made = not (target / COMPLETE).exists()
        if made:
            shutil.rmtree(target, ignore_errors=True)
            try:
                report("virtual environment")
                shared = ["--system-site-packages"] if arguments["system_packages"] else []
                follow([sys.executable, "-m", "venv", *shared, str(target)], "a virtual environment cannot be made")
                report("packages")
                pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-cache-dir"]
                pip += ["--only-binary", ":all:", "--find-links", arguments["wheels"]]
                pip += [] if arguments["index"] else ["--no-index"]
                follow([*pip, *arguments["requirements"]], "packages cannot be installed")
            except BaseException:
                shutil.rmtree(target, ignore_errors=True)
                raise
            (target / COMPLETE).write_text("\n".join(arguments["requirements"]))
    shutil.rmtree(arguments["wheels"], ignore_errors=True)
    return {"python": python, "made": made}


def keep(arguments: Facts) -> Facts:
    """Make a version of the files that were sent: compare their hashes, then move them to its folder."""
    sent, folder = Path(arguments["sent"]), Path(arguments["folder"])
    target = folder / "bundles" / arguments["name"] / "versions" / arguments["version"]
    for file, expected in arguments["files"].items():
        with open(sent / file, "rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != expected:
                raise RefusedError(f"{file} did not arrive as it was sent; do it again")
    (sent / "environment").symlink_to(Path(arguments["python"]).parent.parent)
    (sent / "deployed.json").write_text(json.dumps({"at": time.time(), "files": arguments["files"]}))
    sent.chmod(0o755)
    with alone(arguments):
        if not Path(arguments["python"]).exists():
            raise RefusedError("another deployment has removed the environment meanwhile; do it again")
        if not target.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.sync()  # the content first, then the name: the device may lose power at any time
            sent.rename(target)
            forget(folder, target)
    shutil.rmtree(sent, ignore_errors=True)
    return {"target": str(target)}


def activate(arguments: Facts) -> Facts:
    """Switch `current` to a version."""
    folder, name = Path(arguments["folder"]), arguments["name"]
    home = folder / "bundles" / name
    with alone(arguments):
        if not (home / "versions" / arguments["version"]).is_dir():
            raise RefusedError(f"another deployment of {name} has replaced this one meanwhile; do it again")
        current = linked(home / "current")
        if current != arguments["version"]:
            if current:
                link(home / "previous", current)
            link(home / "current", arguments["version"])
        forget(folder, home / "versions" / arguments["version"])
        switched = current != arguments["version"]
        return {"current": arguments["version"], "previous": linked(home / "previous"), "switched": switched}


def rollback(arguments: Facts) -> Facts:
    """Swap `current` and `previous`."""
    home = Path(arguments["folder"], "bundles", arguments["name"])
    if not home.is_dir():
        raise RefusedError(f"{arguments['name']} was never deployed here")
    with alone(arguments):
        current, previous = linked(home / "current"), linked(home / "previous")
        if current is None:
            raise RefusedError(f"{arguments['name']} was never deployed here")
        if previous is None or previous == current:
            raise RefusedError(f"there is no version of {arguments['name']} before {current}")
        # In this order: if it stops between the two, a version is still in use.
        link(home / "current", previous)
        link(home / "previous", current)
        return {"current": previous, "previous": current}


@contextmanager
def alone(arguments: Facts) -> Iterator[None]:
    """Hold the folder's lock, which is released even if this process dies."""
    folder = Path(arguments["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a") as lock:  # not "w", which would change its time each time
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def describe(home: Path) -> Facts:
    """The versions of a bundle, and which of them is in use."""
    versions = [path.name for path in inside(home / "versions")]
    return {"current": linked(home / "current"), "previous": linked(home / "previous"), "versions": versions}


def forget(folder: Path, kept: Path) -> None:
    """Remove versions of a bundle that no link names, except `kept`, and environments that no version uses."""
    home = kept.parent.parent
    for version in inside(kept.parent):
        if version.name not in (kept.name, linked(home / "current"), linked(home / "previous")):
            shutil.rmtree(version, ignore_errors=True)
    used = {link.resolve() for link in folder.glob("bundles/*/versions/*/environment")}
    for environment in inside(folder / "environments"):
        if environment.resolve() not in used:
            with open(lock_of(environment), "w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    continue  # it is being made
                shutil.rmtree(environment, ignore_errors=True)


def follow(command: list[str], failure: str) -> None:
    """Run a command and report its lines; those about errors explain a failure."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    lines = []
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout
        for line in map(str.strip, process.stdout):
            lines.append(line)
            report(line)
    if process.returncode != 0:
        errors = [line for line in lines if line.startswith("ERROR") or "Errno" in line] or lines
        raise RefusedError(f"{failure}: {' · '.join(errors[-3:]) or f'exit code {process.returncode}'}")


def report(text: str) -> None:
    """Report progress to the host."""
    print(json.dumps({"doing": text}), flush=True)


def link(path: Path, version: str) -> None:
    """Point a link at a version in one step."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.unlink(missing_ok=True)
    part.symlink_to(Path("versions", version))
    part.rename(path)


def linked(path: Path) -> str | None:
    """The version that a link names; None when there is no link, or no such version."""
    return path.readlink().name if path.is_symlink() and path.is_dir() else None


def inside(folder: Path) -> list[Path]:
    """The folders in a folder, except hidden ones."""
    return sorted(path for path in folder.glob("[!.]*") if path.is_dir())


def lock_of(environment: Path) -> Path:
    """The lock file of an environment, held while it is made or removed."""
    return environment.with_name(f".{environment.name}.lock")


def main() -> None:
    """Run one command."""
    commands = {command.__name__: command for command in (look, prepare, install, keep, activate, rollback)}
    arguments = json.loads(sys.argv[2])
    try:
        result = commands[sys.argv[1]](arguments)
    except RefusedError as error:
        result = {"refused": str(error)}
    except OSError as error:
        result = {"refused": f"{error.filename or arguments['folder']}: {error.strerror or error}"}
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
