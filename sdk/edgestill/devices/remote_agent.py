"""What the device does for itself: sent there as text and run by its own Python, before anything is installed.

    python3 - COMMAND ARGUMENTS < remote_agent.py

ARGUMENTS is JSON, the answer the last line of standard output, JSON as well; lines before it say how far it is. It
imports the standard library alone.

    FOLDER/environments/KEY/           a virtual environment; finished once `.complete` is in it
    FOLDER/bundles/NAME/versions/ID/   NAME.edge, `environment` (a link), `deployed.json`; never changed again
    FOLDER/bundles/NAME/current        a link to the version in use, switched in one step
    FOLDER/bundles/NAME/previous       a link to the one before it
    FOLDER/incoming/ID.RANDOM/         what is being sent
    FOLDER/.lock                       held by whoever changes links, versions or environments

Several deployments may be at it at once. Each command that changes what they share holds the lock; what one has removed
that another was about to use is refused, never linked.
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
    """Something that the user has to hear."""


def look(asked: Facts) -> Facts:
    """Facts that decide what can be installed."""
    folder = Path(asked["folder"]).expanduser().absolute()
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


def prepare(asked: Facts) -> Facts:
    """An empty folder to send files into; what connections that broke have left is removed after an hour."""
    incoming = Path(asked["folder"], "incoming")
    incoming.mkdir(parents=True, exist_ok=True)
    for left in inside(incoming):
        if time.time() - left.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    # Its own: another deployment may be sending the same.
    return {"target": tempfile.mkdtemp(prefix=f"{asked['id']}.", dir=incoming)}


def install(asked: Facts) -> Facts:
    """Make the environment, unless an earlier call finished it."""
    target = Path(asked["folder"], "environments", asked["key"])
    python = str(target / "bin" / "python")
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(lock_of(target), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another deployment may be at it; the system releases it in any case
        made = not (target / COMPLETE).exists()
        if made:
            shutil.rmtree(target, ignore_errors=True)
            try:
                say("virtual environment")
                shared = ["--system-site-packages"] if asked["system_packages"] else []
                follow([sys.executable, "-m", "venv", *shared, str(target)], "a virtual environment cannot be made")
                say("packages")
                pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-cache-dir"]
                pip += ["--only-binary", ":all:", "--find-links", asked["wheels"]]
                pip += [] if asked["index"] else ["--no-index"]
                follow([*pip, *asked["requirements"]], "packages cannot be installed")
            except BaseException:
                shutil.rmtree(target, ignore_errors=True)
                raise
            (target / COMPLETE).write_text("\n".join(asked["requirements"]))
    shutil.rmtree(asked["wheels"], ignore_errors=True)
    return {"python": python, "made": made}


def keep(asked: Facts) -> Facts:
    """Make a version of what was sent: compare the hashes, then move it to its place."""
    sent, target = Path(asked["sent"]), Path(asked["folder"], "bundles", asked["name"], "versions", asked["version"])
    for file, wanted in asked["files"].items():
        with open(sent / file, "rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != wanted:
                raise RefusedError(f"{file} did not arrive as it was sent; do it again")
    (sent / "environment").symlink_to(Path(asked["python"]).parent.parent)
    (sent / "deployed.json").write_text(json.dumps({"at": time.time(), "files": asked["files"]}))
    sent.chmod(0o755)
    with alone(asked):
        if not Path(asked["python"]).exists():
            raise RefusedError("another deployment has removed the environment meanwhile; do it again")
        if not target.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.sync()  # a device may lose its power at any time: the name comes after the content
            sent.rename(target)
            forget(Path(asked["folder"]), target)
    shutil.rmtree(sent, ignore_errors=True)
    return {"target": str(target)}


def activate(asked: Facts) -> Facts:
    """Switch `current` to a version."""
    folder = Path(asked["folder"])
    home = folder / "bundles" / asked["name"]
    with alone(asked):
        if not (home / "versions" / asked["version"]).is_dir():
            raise RefusedError(f"another deployment of {asked['name']} has replaced this one meanwhile; do it again")
        current = linked(home / "current")
        if current != asked["version"]:
            if current:
                link(home / "previous", current)
            link(home / "current", asked["version"])
        forget(folder, home / "versions" / asked["version"])
        switched = current != asked["version"]
        return {"current": asked["version"], "previous": linked(home / "previous"), "switched": switched}


def rollback(asked: Facts) -> Facts:
    """Let `current` and `previous` change places."""
    home = Path(asked["folder"], "bundles", asked["name"])
    if not home.is_dir():
        raise RefusedError(f"{asked['name']} was never deployed here")
    with alone(asked):
        current, previous = linked(home / "current"), linked(home / "previous")
        if current is None:
            raise RefusedError(f"{asked['name']} was never deployed here")
        if previous is None or previous == current:
            raise RefusedError(f"there is no version of {asked['name']} before {current}")
        # In this order: whatever stops it between the two, a version is in use.
        link(home / "current", previous)
        link(home / "previous", current)
        return {"current": previous, "previous": current}


@contextmanager
def alone(asked: Facts) -> Iterator[None]:
    """Hold the folder's lock; the system releases it in any case."""
    folder = Path(asked["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a") as lock:  # not "w", which would change its time each time
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def describe(home: Path) -> Facts:
    """The versions of a bundle, and which of them is in use."""
    versions = [path.name for path in inside(home / "versions")]
    return {"current": linked(home / "current"), "previous": linked(home / "previous"), "versions": versions}


def forget(folder: Path, wanted: Path) -> None:
    """Remove versions of a bundle that no link names, but for the wanted one, and environments that no version uses."""
    home = wanted.parent.parent
    for version in inside(wanted.parent):
        if version.name not in (wanted.name, linked(home / "current"), linked(home / "previous")):
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


def follow(command: list[str], trouble: str) -> None:
    """Run a command and pass its lines on; the telling ones explain a failure."""
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
            say(line)
    if process.returncode != 0:
        telling = [line for line in lines if line.startswith("ERROR") or "Errno" in line] or lines
        raise RefusedError(f"{trouble}: {' · '.join(telling[-3:]) or f'exit code {process.returncode}'}")


def say(text: str) -> None:
    """Tell the host how far it is."""
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
    """The folders in a folder, but for hidden ones."""
    return sorted(path for path in folder.glob("[!.]*") if path.is_dir())


def lock_of(environment: Path) -> Path:
    """The file that who makes or removes an environment holds locked."""
    return environment.with_name(f".{environment.name}.lock")


def main() -> None:
    """Do one command."""
    commands = {command.__name__: command for command in (look, prepare, install, keep, activate, rollback)}
    asked = json.loads(sys.argv[2])
    try:
        answer = commands[sys.argv[1]](asked)
    except RefusedError as error:
        answer = {"refused": str(error)}
    except OSError as error:
        answer = {"refused": f"{error.filename or asked['folder']}: {error.strerror or error}"}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
