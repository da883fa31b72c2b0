"""Virtual environments on devices: one for each set of packages, made once and then reused."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgestill_runtime.files import sha256_of_file

from ..errors import DeviceError
from ..progress import Progress
from .config import Device
from .host import Host
from .packages import Target, download, fitting, pack_runtime, requirements


@dataclass(frozen=True)
class EnvironmentRequest:
    """The packages that an environment needs, and where they come from.

    Args:
        engines: to install. wheels: folders of wheels to bring along.
        offline: bring everything along: nothing is fetched by the device.
    """

    engines: Sequence[str]
    wheels: Sequence[Path] = ()
    offline: bool = False


def make_environment(
    host: Host, facts: dict[str, Any], request: EnvironmentRequest, scratch: Path, progress: Progress
) -> tuple[str, bool]:
    """The Python of an environment on the device, made there unless it exists.

    Args:
        facts: about the device; see `remote_agent.look`. scratch: an empty folder here, for wheels.

    Returns:
        Path of the interpreter there, and whether the environment had to be made.

    Raises:
        EngineError: an unknown engine. DeviceError: no space, or packages that cannot be fetched or installed.
    """
    packages, device, folder = requirements(request.engines), host.device, facts["folder"]
    target = Target.from_facts(facts)
    brought = [pack_runtime(scratch), *fitting(request.wheels, target)]
    key = _key(packages, facts, device, brought)
    if key in facts["environments"]:
        return f"{folder}/environments/{key}/bin/python", False
    if request.offline:
        wheels = scratch / "wheels"
        wheels.mkdir()
        progress.message("fetch wheels")
        brought = download(packages, brought, target, wheels)
    # Four times: the wheels, and what they unpack to.
    check_space(device, facts, 4 * sum(path.stat().st_size for path in brought))
    sent = host.ask("prepare", folder=folder, id=f"wheels-{key}")["target"]
    host.send(brought, sent, progress)
    with progress.task("install there", 0) as task:

        def follow(line: str) -> None:
            doing = json.loads(line).get("doing") if line.startswith("{") else None
            if doing:
                task.advance(1, doing=doing[:60])

        installed = host.ask(
            "install", follow, folder=folder, key=key, wheels=sent, index=not request.offline, requirements=packages,
            system_packages=device.system_packages,
        )  # fmt: skip
    return installed["python"], installed["made"]


def check_space(device: Device, facts: dict[str, Any], needed: int) -> None:
    """Refuse to send what the device has no room for.

    Args:
        needed: bytes.

    Raises:
        DeviceError: its folder cannot be written, or too little space is free.
    """
    if not facts["writable"]:
        raise DeviceError(f"{device.name}: {facts['folder']} cannot be written there; name another (folder = …)")
    if needed > facts["free_bytes"]:
        raise DeviceError(
            f"{device.name}: {needed / 1e6:.0f} MB are needed in {facts['folder']} and only "
            f"{facts['free_bytes'] / 1e6:.0f} MB are free: make room there, or name another folder (folder = …)"
        )


def _key(packages: Sequence[str], facts: dict[str, Any], device: Device, brought: Sequence[Path]) -> str:
    """Of everything that the content of an environment depends on."""
    hashes = (f"{path.name} {sha256_of_file(path)}" for path in brought)
    content = [*packages, facts["version"], device.system_packages, *hashes]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]
