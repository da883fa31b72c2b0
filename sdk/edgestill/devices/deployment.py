"""A bundle onto a device: an environment, the runtime and engines, the files, a self-test, and only then the switch.

Whatever stops it, what worked before goes on working; doing it again takes up what is finished.
"""

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgestill_runtime import Bundle
from edgestill_runtime.bundle import pack_zip
from edgestill_runtime.files import sha256_of_file

from ..errors import DeviceError
from ..progress import SILENT, Progress
from .config import Device
from .connection import Connection
from .packages import PYTHONS, Target, check_engines, download, fitting, pack_runtime, requirements
from .phone import is_phone

FOLDER = "~/.local/share/edgestill"
_BLOCK = 1 << 16
# Prints the first fitting Python of those named, else the version of the first that is there at all.
_FIND = """
for python in "$@"; do
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
    echo "fits $python"; exit 0
  fi
done
for python in "$@"; do
  if version=$("$python" --version 2>&1); then echo "old $python $version"; exit 0; fi
done
echo none
"""


@dataclass(frozen=True)
class Installed:
    """A bundle that lies on a device, verified, with an environment that can run it.

    Args:
        version: of bundle and environment together. path: of the bundle there. python: of the environment there.
        facts: what the device said of itself.
        reused: neither environment nor files had to be sent.
    """

    name: str
    version: str
    path: str
    python: str
    facts: dict[str, Any]
    reused: bool


@dataclass(frozen=True)
class Deployment:
    """A bundle that is in use on a device.

    Args:
        version, previous: in use now; in use before, None if there was none.
        switched: whether this call changed it.
        golden: what the self-test said of each file.
    """

    device: str
    name: str
    version: str
    previous: str | None
    switched: bool
    path: str
    python: str
    golden: list[dict[str, Any]]


class Host:
    """What this machine asks a device's agent to do.

    Args:
        python: the interpreter there that runs the agent; found when None.
    """

    def __init__(self, connection: Connection, python: str | None = None) -> None:
        self.connection = connection
        self.device = connection.device
        self._python = python or find_python(connection)
        self._source = Path(__file__).with_name("remote_agent.py").read_bytes()

    def ask(self, command: str, on_line: Callable[[str], None] | None = None, **arguments: Any) -> dict[str, Any]:
        """One command of `remote_agent.py`; DeviceError when it refuses."""
        words = [self._python, "-", command, json.dumps(arguments)]
        answer = self.connection.run(words, [self._source], on_line)
        lines = answer.output.decode(errors="replace").strip().splitlines()
        if answer.code != 0 or not lines:
            raise DeviceError(f"{self.device.name}: {answer.last_words()}")
        found: dict[str, Any] = json.loads(lines[-1])
        if "refused" in found:
            raise DeviceError(f"{self.device.name}: {found['refused']}{_remedy(found['refused'])}")
        return found

    def look(self) -> dict[str, Any]:
        """Facts about the device; see `remote_agent.look`."""
        return self.ask("look", folder=self.device.folder or FOLDER)

    def send(self, files: Sequence[Path], target: str, progress: Progress) -> None:
        """Copy files into a folder there."""
        total = sum(path.stat().st_size for path in files)
        with progress.task("send", total) as task:
            answer = self.connection.run(["tar", "-x", "-f", "-", "-C", target], _tar(files, task.advance))
        if answer.code != 0:
            said = answer.last_words()
            raise DeviceError(f"{self.device.name}: the files could not be written: {said}{_remedy(answer.errors)}")

    def fetch(self, source: str) -> bytes:
        """Content of a file there."""
        answer = self.connection.run(["cat", source])
        if answer.code != 0:
            raise DeviceError(f"{self.device.name}: {answer.last_words()}")
        return answer.output


def find_python(connection: Connection) -> str:
    """A Python on the device that the runtime works with.

    Raises:
        DeviceError: there is none, or only others.
    """
    device = connection.device
    wanted = [device.python] if device.python else ["python3", "python3.13", "python3.12", "python3.11"]
    answer = connection.run(["sh", "-c", _FIND, "sh", *wanted], seconds=60)
    state, _, rest = answer.output.decode(errors="replace").strip().partition(" ")
    if state == "fits":
        return rest
    needs = "Edgestill needs Python {}.{}–{}.{} there".format(*PYTHONS[0], *PYTHONS[1])
    name = device.python or "a Python"
    if state == "old":
        python, _, version = rest.partition(" ")
        raise DeviceError(f"{device.name}: {python} is {version}; {needs}: install one, or name it (python = …)")
    if device.kind == "adb" and is_phone(connection):
        raise DeviceError(
            f"{device.name} is a phone, which has no Python: put the bundle into an app (`edgestill "
            "export-android`), and measure it with `edgestill bench`"
        )
    raise DeviceError(f"{device.name}: {name} is not there ({needs}); on Debian: sudo apt install python3 python3-venv")


def install(
    host: Host,
    bundle: Bundle,
    engines: Sequence[str] | None = None,
    *,
    wheels: Sequence[Path] = (),
    offline: bool = False,
    progress: Progress = SILENT,
) -> Installed:
    """Put a bundle and what runs it on a device, without putting it into use.

    Args:
        engines: to install; those that the bundle has files for when None.
        wheels: folders of wheels to bring along, such as `dist/` of `make wheels`; they go before the index.
        offline: bring everything along: nothing is fetched by the device.

    Raises:
        EngineError: an unknown engine. DeviceError: the device cannot be reached or refuses; it stays as it was.
    """
    check_engines(engines or ())
    facts = host.look()
    device, folder = host.device, facts["folder"]
    chosen = list(engines or bundle.manifest.engines)
    target = Target(facts["architecture"], (facts["version"][0], facts["version"][1]), _glibc(facts["libc"]))
    with TemporaryDirectory() as scratch:
        if device.environment:
            python, made = f"{device.environment}/bin/python", False
        else:
            python, made = _environment(host, facts, chosen, target, wheels, offline, Path(scratch), progress)
        packed = pack_zip(bundle, Path(scratch) / f"{bundle.manifest.name}.edge").path
        version = hashlib.sha256(f"{sha256_of_file(packed)} {python}".encode()).hexdigest()[:12]
        name = bundle.manifest.name
        path = f"{folder}/bundles/{name}/versions/{version}"
        known = facts["bundles"].get(name, {}).get("versions", ())
        if version not in known:
            _check_space(device, facts, packed.stat().st_size)
            sent = host.ask("prepare", folder=folder, id=version)["target"]
            host.send([packed], sent, progress)
            hashes = {packed.name: sha256_of_file(packed)}
            host.ask("keep", folder=folder, name=name, version=version, sent=sent, files=hashes, python=python)
    return Installed(name, version, f"{path}/{packed.name}", python, facts, version in known and not made)


def deploy(
    host: Host,
    bundle: Bundle,
    engines: Sequence[str] | None = None,
    *,
    wheels: Sequence[Path] = (),
    offline: bool = False,
    progress: Progress = SILENT,
) -> Deployment:
    """Install a bundle, run its self-test on the device, and put it into use there. Arguments as in `install`.

    Raises:
        DeviceError: as `install`; or the self-test failed, and what was in use before still is.
    """
    done = install(host, bundle, engines, wheels=wheels, offline=offline, progress=progress)
    golden = self_test(host, done)
    switched = host.ask("activate", folder=done.facts["folder"], name=done.name, version=done.version)
    path = f"{done.facts['folder']}/bundles/{done.name}/current/{done.name}.edge"
    return Deployment(
        host.device.name, done.name, done.version, switched["previous"], switched["switched"], path, done.python, golden
    )


def self_test(host: Host, installed: Installed) -> list[dict[str, Any]]:
    """Check the hashes and replay the golden samples on the device; one entry a file.

    Raises:
        DeviceError: a file answers differently there, or nothing could be run at all.
    """
    words = [installed.python, "-m", "edgestill_runtime", "selftest", installed.path, "--json"]
    answer = host.connection.run(words)
    try:
        found = json.loads(answer.output)
    except ValueError:
        raise DeviceError(f"{host.device.name}: the self-test did not run: {answer.last_words()}") from None
    rows: list[dict[str, Any]] = found["golden"]
    # An environment of the user's own may hold an older runtime: what it calls passed has to be so.
    if answer.code != 0 or not found["passed"] or not any(row["passed"] for row in rows):
        reason = found.get("reason") or "nothing was run, or a file answers differently there; update edgestill there"
        raise DeviceError(f"{host.device.name}: the self-test failed: {reason}; what was in use before still is")
    return rows


def rollback(host: Host, name: str) -> dict[str, Any]:
    """Put the version before into use again; `current` and `previous` change places.

    Raises:
        DeviceError: there is none.
    """
    return host.ask("rollback", folder=host.look()["folder"], name=name)


def _environment(
    host: Host,
    facts: dict[str, Any],
    engines: Sequence[str],
    target: Target,
    folders: Sequence[Path],
    offline: bool,
    scratch: Path,
    progress: Progress,
) -> tuple[str, bool]:
    """The interpreter of a finished environment there, and whether it had to be made."""
    wanted = requirements(engines)
    runtime = pack_runtime(scratch)
    brought = [runtime, *fitting(folders, target)]
    described = [
        *wanted,
        facts["version"],
        host.device.system_packages,
        *(f"{path.name} {sha256_of_file(path)}" for path in brought),
    ]
    key = hashlib.sha256(json.dumps(described).encode()).hexdigest()[:12]
    folder = facts["folder"]
    if key in facts["environments"]:
        return f"{folder}/environments/{key}/bin/python", False
    if offline:
        place = scratch / "wheels"
        place.mkdir()
        progress.message("fetch wheels")
        brought = download(wanted, brought, target, place)
    sizes = sum(path.stat().st_size for path in brought)
    _check_space(host.device, facts, 4 * sizes)  # the wheel, and what comes out of it
    sent = host.ask("prepare", folder=folder, id=f"wheels-{key}")["target"]
    host.send(brought, sent, progress)
    with progress.task("install there", 0) as task:

        def follow(line: str) -> None:
            doing = json.loads(line).get("doing") if line.startswith("{") else None
            if doing:
                task.advance(1, doing=doing[:60])

        answer = host.ask(
            "install", follow, folder=folder, key=key, wheels=sent, index=not offline, requirements=wanted,
            system_packages=host.device.system_packages,
        )  # fmt: skip
    return answer["python"], answer["made"]


def _check_space(device: Device, facts: dict[str, Any], needed: int) -> None:
    if not facts["writable"]:
        raise DeviceError(f"{device.name}: {facts['folder']} cannot be written there; name another (folder = …)")
    if needed > facts["free_bytes"]:
        raise DeviceError(
            f"{device.name}: {needed / 1e6:.0f} MB are needed in {facts['folder']} and only "
            f"{facts['free_bytes'] / 1e6:.0f} MB are free: make room there, or name another folder (folder = …)"
        )


def _remedy(said: str) -> str:
    if "No space left" in said:
        return "; make room there and deploy again, what was in use before still is"
    if "ensurepip" in said:
        return "; on Debian: sudo apt install python3-venv"
    if "edgestill-executorch" in said:
        return "; build it with `make wheels` and bring it along (--wheels dist), or leave it out (--engine litert)"
    return ""


def _glibc(libc: Sequence[str]) -> tuple[int, int] | tuple[()]:
    name, version = libc
    if name != "glibc":
        return ()
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def _tar(files: Sequence[Path], advance: Callable[[float], None]) -> Iterator[bytes]:
    """A tar archive, a block at a time, so that a bar can follow it."""
    for path in files:
        header = tarfile.TarInfo(path.name)
        header.size = path.stat().st_size
        header.mode = 0o644
        yield header.tobuf(tarfile.USTAR_FORMAT)
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                yield block
                advance(len(block))
        yield bytes(-header.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)
