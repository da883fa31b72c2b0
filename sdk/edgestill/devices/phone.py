"""An Android phone over adb: it has no Python, so the app of `android-demo/` measures, and writes the same format.

Only the app's external files can be read and written by both adb and the app.
"""

import json
import secrets
import shlex
from typing import Any

from edgestill_benchmarks.machine import FEATURES
from edgestill_runtime import Bundle
from edgestill_runtime.bundle import everything

from ..errors import DeviceError
from ..progress import SILENT, Progress
from .benchmark_request import BenchmarkRequest, add_outputs, pack_samples
from .connection import CommandResult, Connection

APP = "dev.edgestill.demo"
FILES = f"/sdcard/Android/data/{APP}/files"
# Prints the app's progress until it has finished or died.
_FOLLOW = """\
cd {folder} || exit 1
while [ ! -e found.json ] && [ ! -e error.txt ]; do
  pidof {app} > /dev/null || exit 0
  [ -e progress.txt ] && cat progress.txt
  sleep 0.5
done
"""


def is_phone(connection: Connection) -> bool:
    """Whether this is Android, which alone has system properties."""
    return connection.run(["getprop", "ro.build.version.sdk"], seconds=30).output.strip().isdigit()


def describe_phone(connection: Connection) -> dict[str, Any]:
    """Facts about a phone, in the form of `probe`.

    Returns:
        `machine`: see `describe_machine`; `agent`: free space, no bundles; `app`: version of the app there, or None.
    """
    names = {
        "maker": "ro.product.manufacturer",
        "model": "ro.product.model",
        "abi": "ro.product.cpu.abi",
        "version": "ro.build.version.release",
    }
    properties = {key: connection.run(["getprop", name]).output.decode().strip() for key, name in names.items()}
    cores = connection.run(["nproc"]).output.decode().strip()
    memory = _after(connection.run(["cat", "/proc/meminfo"]).output.decode(), "MemTotal:")
    free = connection.run(["df", "-k", "/sdcard"]).output.decode().split()
    flags = _flags(connection.run(["cat", "/proc/cpuinfo"]).output.decode(errors="replace"))
    package = connection.run(["dumpsys", "package", APP]).output.decode(errors="replace")
    machine: dict[str, Any] = {
        "cpu": f"{properties['maker']} {properties['model']}".strip(),
        "features": [name for name, flag in FEATURES.items() if flag in flags],
        "architecture": properties["abi"],
        "cores": int(cores) if cores.isdigit() else None,
        "memory_bytes": int(memory) * 1024 if memory else None,
        "os": f"Android {properties['version']}",
        "python": "none",
        "packages": {},
    }
    spaces = [int(word) for word in free if word.isdigit()]
    return {
        "machine": machine,
        "agent": {"free_bytes": 1024 * spaces[2] if len(spaces) > 2 else 0, "bundles": {}},
        "app": _after(package, "versionName="),
    }


def measure_phone(
    connection: Connection, bundle: Bundle, request: BenchmarkRequest, progress: Progress = SILENT
) -> dict[str, Any]:
    """Send a bundle to the app, which measures it.

    Raises:
        DeviceError: the app is not installed, ended without a result, or reports an error.
    """
    name = connection.device.name
    if not connection.run(["pm", "path", APP]).output.strip():
        raise DeviceError(
            f"{name}: the app that measures is not installed; build android-demo/ and install it (`adb install`), see "
            "its README"
        )
    token = f"bench-{secrets.token_hex(4)}"
    folder = f"{FILES}/{token}"
    try:
        _send(connection, bundle, request, folder, progress)
        rule = request.rule
        extras = {"folder": token, "threads": ",".join(request.threads), "rule": rule.name, "headline": rule.headline}
        extras |= {key: str(getattr(rule, key)) for key in ("min_calls", "min_seconds", "turn_seconds")}
        words = ["am", "start", "-W", "-n", f"{APP}/.BenchmarkActivity"]
        for key, value in extras.items():
            words += ["--es", key, value]
        started = connection.run(words, seconds=60)
        if started.code != 0 or b"Error" in started.output:
            raise DeviceError(f"{name}: the app does not start: {started.summary()}")
        with progress.task(f"measure {name}", 0) as task:

            def follow(line: str) -> None:
                share, _, step = line.partition(" ")
                if step:
                    task.advance(1, doing=f"{step} {100 * float(share):.0f} %")

            connection.run(["sh", "-c", _FOLLOW.format(folder=shlex.quote(folder), app=APP)], on_line=follow)
        return _fetch(connection, folder, request)
    finally:
        connection.run(["rm", "-r", "-f", folder])


def _send(connection: Connection, bundle: Bundle, request: BenchmarkRequest, folder: str, progress: Progress) -> None:
    files = {f"bundle.edge/{name}": content for name, content in everything(bundle).items()}
    if request.samples is not None:
        files["samples.npz"] = pack_samples(request.samples)
    _check(connection, connection.run(["mkdir", "-p", f"{folder}/bundle.edge"]))
    with progress.task(f"send to {connection.device.name}", len(files)) as task:
        for name, content in files.items():
            target = shlex.quote(f"{folder}/{name}")
            _check(connection, connection.run(["sh", "-c", f"cat > {target}"], [content]))
            task.advance(1)


def _fetch(connection: Connection, folder: str, request: BenchmarkRequest) -> dict[str, Any]:
    name = connection.device.name
    error = connection.run(["cat", f"{folder}/error.txt"])
    if error.code == 0:
        raise DeviceError(f"{name}: {error.output.decode(errors='replace').strip()}")
    result = connection.run(["cat", f"{folder}/found.json"])
    if result.code != 0:
        raise DeviceError(f"{name}: the app ended without a result; `adb logcat` says more")
    found: dict[str, Any] = json.loads(result.output)
    if request.samples is not None:
        outputs = _check(connection, connection.run(["cat", f"{folder}/answers.npz"]))
        add_outputs(found, outputs.output, request.samples)
    return found


def _check(connection: Connection, result: CommandResult) -> CommandResult:
    if result.code != 0:
        raise DeviceError(f"{connection.device.name}: {result.summary()}")
    return result


def _after(text: str, word: str) -> str | None:
    """The word after another one in a text."""
    _, found, rest = text.partition(word)
    return rest.split()[0] if found and rest.split() else None


def _flags(cpuinfo: str) -> list[str]:
    """The processor's features: `Features` on ARM, `flags` on x86."""
    lines = (line.partition(":") for line in cpuinfo.splitlines())
    return next((rest.split() for key, _, rest in lines if key.strip() in ("Features", "flags")), [])
