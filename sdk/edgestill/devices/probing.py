"""Facts about devices, and whether they respond; the source of `edgestill_benchmarks.machine` is run there."""

import json
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib import util
from pathlib import Path
from typing import Any

from edgestill_benchmarks.machine import machine_packages

from ..errors import EdgestillError
from .config import Device
from .connection import connect
from .host import Host
from .phone import describe_phone, is_phone

_PRINT = "\n\nimport json\nprint(json.dumps(describe_machine({packages!r})))\n"


def probe(devices: Iterable[Device]) -> dict[str, dict[str, Any]]:
    """Query devices, all at once.

    Returns:
        Name → `kind`, and either `error`: why it does not respond, or `machine`: see `describe_machine`, `agent`: see
        `remote_agent.look`, and `engines`: package → version in the newest environment there, or in this one.
    """
    devices = list(devices)
    with ThreadPoolExecutor(max(len(devices), 1)) as pool:
        return dict(zip([device.name for device in devices], pool.map(_probe, devices), strict=True))


def _probe(device: Device) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": device.kind}
    try:
        connection = connect(device)
    except EdgestillError as error:
        return found | {"error": str(error)}
    try:
        if device.kind == "adb" and is_phone(connection):
            return found | describe_phone(connection)
        host = Host(connection, sys.executable if device.kind == "local" and device.python is None else None)
        facts = host.look()
        # Engines are listed by the environment that runs bundles there; without one, by the device's Python.
        pythons = [f"{facts['folder']}/environments/{key}/bin/python" for key in facts["environments"]]
        python = f"{device.environment}/bin/python" if device.environment else [facts["python"], *pythons][-1]
        result = connection.run([python, "-"], [_machine_source()])
        if result.code != 0:
            return found | {"error": f"{device.name}: {result.summary()}"}
        return found | {"agent": facts, "machine": json.loads(result.output)}
    except EdgestillError as error:
        return found | {"error": str(error)}
    finally:
        connection.close()


def _machine_source() -> bytes:
    spec = util.find_spec("edgestill_benchmarks.machine")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).read_bytes() + _PRINT.format(packages=machine_packages()).encode()
