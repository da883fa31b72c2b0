"""A bundle onto a device: an environment with the runtime and engines, the files, a self-test, then the switch.

If a step fails, the version in use stays in use; a repeated call reuses the finished steps.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgestill_runtime import Bundle
from edgestill_runtime.bundle import pack_zip
from edgestill_runtime.files import sha256_of_file

from ..errors import DeviceError
from ..progress import SILENT, Progress
from .environments import EnvironmentRequest, check_space, make_environment
from .host import Host
from .packages import check_engines


@dataclass(frozen=True)
class Installed:
    """A bundle on a device, verified, with an environment that can run it.

    Args:
        version: of bundle and environment together. path: of the bundle there. python: of the environment there.
        facts: about the device; see `remote_agent.look`.
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
        golden: result of the self-test for each file.
    """

    device: str
    name: str
    version: str
    previous: str | None
    switched: bool
    path: str
    python: str
    golden: list[dict[str, Any]]


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
    facts, device, name = host.look(), host.device, bundle.manifest.name
    folder, known = facts["folder"], facts["bundles"].get(name, {}).get("versions", ())
    request = EnvironmentRequest(list(engines or bundle.manifest.engines), wheels, offline)
    with TemporaryDirectory() as scratch:
        if device.environment:
            python, made = f"{device.environment}/bin/python", False
        else:
            python, made = make_environment(host, facts, request, Path(scratch), progress)
        packed = pack_zip(bundle, Path(scratch) / f"{name}.edge").path
        version = hashlib.sha256(f"{sha256_of_file(packed)} {python}".encode()).hexdigest()[:12]
        if version not in known:
            check_space(device, facts, packed.stat().st_size)
            sent = host.ask("prepare", folder=folder, id=version)["target"]
            host.send([packed], sent, progress)
            hashes = {packed.name: sha256_of_file(packed)}
            host.ask("keep", folder=folder, name=name, version=version, sent=sent, files=hashes, python=python)
    path = f"{folder}/bundles/{name}/versions/{version}/{packed.name}"
    return Installed(name, version, path, python, facts, version in known and not made)


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
    installed = install(host, bundle, engines, wheels=wheels, offline=offline, progress=progress)
    golden = self_test(host, installed)
    switched = host.ask("activate", folder=installed.facts["folder"], name=installed.name, version=installed.version)
    path = f"{installed.facts['folder']}/bundles/{installed.name}/current/{installed.name}.edge"
    return Deployment(
        host.device.name,
        installed.name,
        installed.version,
        switched["previous"],
        switched["switched"],
        path,
        installed.python,
        golden,
    )


def self_test(host: Host, installed: Installed) -> list[dict[str, Any]]:
    """Check the hashes and replay the golden samples on the device; one entry a file.

    Raises:
        DeviceError: a file has other outputs there, or none could be run.
    """
    words = [installed.python, "-m", "edgestill_runtime", "selftest", installed.path, "--json"]
    done = host.connection.run(words)
    try:
        found = json.loads(done.output)
    except ValueError:
        raise DeviceError(f"{host.device.name}: the self-test did not run: {done.summary()}") from None
    rows: list[dict[str, Any]] = found["golden"]
    # An older runtime in the user's own environment may report `passed` although a file failed.
    if done.code != 0 or not found["passed"] or not any(row["passed"] for row in rows):
        reason = found.get("reason") or "no file was run, or a file has other outputs there; update edgestill there"
        raise DeviceError(f"{host.device.name}: the self-test failed: {reason}; what was in use before still is")
    return rows


def rollback(host: Host, name: str) -> dict[str, Any]:
    """Put the version before into use again; `current` and `previous` change places.

    Raises:
        DeviceError: there is none.
    """
    return host.ask("rollback", folder=host.look()["folder"], name=name)
