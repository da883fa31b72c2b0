"""A bundle measured on devices, all at once, each by `python -m edgestill_benchmarks measure`: numpy and engines alone.

A phone is measured by its app. The device's outputs are compared with this machine's, sample by sample.
"""

import json
import secrets
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgestill_benchmarks.benchmark import PROGRESS
from edgestill_runtime import Bundle

from ..errors import DeviceError, EdgestillError
from ..progress import SILENT, Progress
from .benchmark_request import BenchmarkRequest, add_outputs, pack_samples
from .config import Device
from .connection import connect
from .deployment import install
from .host import Host
from .phone import is_phone, measure_phone


def measure_on(
    devices: Sequence[Device], bundle: Bundle, request: BenchmarkRequest, progress: Progress = SILENT
) -> dict[str, dict[str, Any] | EdgestillError]:
    """Measure a bundle on several devices at the same time.

    Returns:
        Name of the device → its measurement (see `benchmark_bundle`) with `device`, `emulated`, and `answers`, the
        comparison of the outputs, where samples were sent; or the error. A failing device does not stop the others.
    """

    def one(device: Device) -> dict[str, Any] | EdgestillError:
        try:
            return _measure(device, bundle, request, progress)
        except EdgestillError as error:
            return error

    with ThreadPoolExecutor(len(devices)) as pool:
        return dict(zip([device.name for device in devices], pool.map(one, devices), strict=True))


def _measure(device: Device, bundle: Bundle, request: BenchmarkRequest, progress: Progress) -> dict[str, Any]:
    found = _measured(device, bundle, request, progress)
    found |= {"device": device.name, "emulated": device.emulated}
    if device.emulated:
        found["warnings"].append("emulated: the outputs are the board's; times and memory are not, and mean nothing")
    return found


def _measured(device: Device, bundle: Bundle, request: BenchmarkRequest, progress: Progress) -> dict[str, Any]:
    connection = connect(device)
    try:
        if device.kind == "local" and device.environment is None and device.folder is None:
            # Neither environment nor bundle is copied.
            _report_engines(device, request, progress)
            with TemporaryDirectory() as scratch:
                host = Host(connection, sys.executable)
                return _run(host, sys.executable, str(bundle.path.absolute()), scratch, request, progress)
        if device.kind == "adb" and is_phone(connection):
            _report_engines(device, request, progress)
            return measure_phone(connection, bundle, request, progress)
        host = Host(connection)
        installed = install(
            host, bundle, request.engines, wheels=request.wheels, offline=request.offline, progress=progress
        )
        name = f"measuring-{secrets.token_hex(4)}"
        scratch = host.ask("prepare", folder=installed.facts["folder"], id=name)["target"]
        try:
            return _run(host, installed.python, installed.path, scratch, request, progress)
        finally:
            connection.run(["rm", "-r", "-f", scratch])
    finally:
        connection.close()


def _report_engines(device: Device, request: BenchmarkRequest, progress: Progress) -> None:
    if request.engines:
        progress.message(f"{device.name}: nothing is installed there, so every engine that it has is measured")


def _run(
    host: Host, python: str, bundle: str, scratch: str, request: BenchmarkRequest, progress: Progress
) -> dict[str, Any]:
    words = [python, "-m", "edgestill_benchmarks", "measure", bundle, "--progress", "--output", f"{scratch}/found.json"]
    rule = request.rule
    words += ["--rule", rule.name, "--min-calls", str(rule.min_calls), "--min-seconds", str(rule.min_seconds)]
    for threads in request.threads:
        words += ["--threads", threads]
    if request.samples is not None:
        with TemporaryDirectory() as here:
            file = Path(here) / "samples.npz"
            file.write_bytes(pack_samples(request.samples))
            host.send([file], scratch, progress)
        words += ["--samples", f"{scratch}/samples.npz", "--answers", f"{scratch}/answers.npz"]
    with progress.task(f"measure {host.device.name}", 0) as task:

        def follow(line: str) -> None:
            if line.startswith(PROGRESS):
                share, _, step = line.removeprefix(PROGRESS).partition(" ")
                task.advance(1, doing=f"{step} {100 * float(share):.0f} %")

        result = host.connection.run(words, on_line=follow)
    if result.code != 0:
        raise DeviceError(f"{host.device.name}: {result.summary().removeprefix('error: ')}")
    found: dict[str, Any] = json.loads(host.fetch(f"{scratch}/found.json"))
    if request.samples is not None:
        add_outputs(found, host.fetch(f"{scratch}/answers.npz"), request.samples)
    return found
