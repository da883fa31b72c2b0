"""Packages of npm, each pinned by its hash and unpacked without being run."""

import hashlib
import subprocess
import tarfile
from pathlib import Path


def fetch_package(name: str, sha256: str, target: Path) -> Path:
    """The files of `NAME@VERSION`, in `target/package`."""
    target.mkdir(parents=True, exist_ok=True)
    words = ["npm", "pack", "--silent", name]
    done = subprocess.run(words, cwd=target, check=True, capture_output=True, text=True)
    archive = target / done.stdout.split()[-1]
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != sha256:
        raise SystemExit(f"{name} has sha256 {found}, not {sha256}: it is not what this was written for")
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="data")
    archive.unlink()
    return target / "package"
