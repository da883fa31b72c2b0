"""An Android phone over adb: it has no Python, so the app of `android-demo/` measures, and writes what others write.

The app's external files are the one place that both adb and the app can read and write.
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
from .benchmark_request import BenchmarkRequest, add_answers, packed
from .connection import Answer, Connection

APP = "dev.edgestill.demo"
FILES = f"/sdcard/Android/data/{APP}/files"
# As long as the app lives and has not finished, a line that says how far it is.
_FOLLOW = """\
cd {folder} || exit 1
while [ ! -e found.json ] && [ ! -e error.txt ]; do
  pidof {app} > /dev/null || exit 0
  [ -e progress.txt ] && cat progress.txt
  sleep 0.5
done
"""


def is_phone(connection: Connection) -> bool:
    """Whether this is Android: only that has system properties."""
    return connection.run(["getprop", "ro.build.version.sdk"], seconds=30).output.strip().isdigit()


def describe_phone(connection: Connection) -> dict[str, Any]:
    """What a phone says of itself, as `probe` tells it of other devices.

    Returns:
        `machine`: see `describe_machine`; `agent`: free space, no bundles; `app`: version of the app there, or None.
    """
    names = {
        "maker": "ro.product.manufacturer",
        "model": "ro.product.model",
        "abi": "ro.product.cpu.abi",
        "version": "ro.build.version.release",
    }
    said = {key: connection.run(["getprop", name]).output.decode().strip() for key, name in names.items()}
    cores = connection.run(["nproc"]).output.decode().strip()
    memory = _after(connection.run(["cat", "/proc/meminfo"]).output.decode(), "MemTotal:")
    free = connection.run(["df", "-k", "/sdcard"]).output.decode().split()
    flags = _flags(connection.run(["cat", "/proc/cpuinfo"]).output.decode(errors="replace"))
    package = connection.run(["dumpsys", "package", APP]).output.decode(errors="replace")
    machine: dict[str, Any] = {
        "cpu": f"{said['maker']} {said['model']}".strip(),
        "features": [name for name, flag in FEATURES.items() if flag in flags],
        "architecture": said["abi"],
        "cores": int(cores) if cores.isdigit() else None,
        "memory_bytes": int(memory) * 1024 if memory else None,
        "os": f"Android {said['version']}",
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
    """Let the app measure a bundle, which is sent to it.

    Raises:
        DeviceError: the app is not installed, ended without a result, or says why it could not.
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
        given = {"folder": token, "threads": ",".join(request.threads), "rule": rule.name, "headline": rule.headline}
        given |= {key: str(getattr(rule, key)) for key in ("min_calls", "min_seconds", "turn_seconds")}
        words = ["am", "start", "-W", "-n", f"{APP}/.BenchmarkActivity"]
        for key, value in given.items():
            words += ["--es", key, value]
        started = connection.run(words, seconds=60)
        if started.code != 0 or b"Error" in started.output:
            raise DeviceError(f"{name}: the app does not start: {started.last_words()}")
        with progress.task(f"measure {name}", 0) as task:

            def follow(line: str) -> None:
                share, _, doing = line.partition(" ")
                if doing:
                    task.advance(1, doing=f"{doing} {100 * float(share):.0f} %")

            connection.run(["sh", "-c", _FOLLOW.format(folder=shlex.quote(folder), app=APP)], on_line=follow)
        return _fetch(connection, folder, request)
    finally:
        connection.run(["rm", "-r", "-f", folder])


def _send(connection: Connection, bundle: Bundle, request: BenchmarkRequest, folder: str, progress: Progress) -> None:
    files = {f"bundle.edge/{name}": content for name, content in everything(bundle).items()}
    if request.samples is not None:
        files["samples.npz"] = packed(request.samples)
    _done(connection, connection.run(["mkdir", "-p", f"{folder}/bundle.edge"]))
    with progress.task(f"send to {connection.device.name}", len(files)) as task:
        for name, content in files.items():
            target = shlex.quote(f"{folder}/{name}")
            _done(connection, connection.run(["sh", "-c", f"cat > {target}"], [content]))
            task.advance(1)


def _fetch(connection: Connection, folder: str, request: BenchmarkRequest) -> dict[str, Any]:
    name = connection.device.name
    error = connection.run(["cat", f"{folder}/error.txt"])
    if error.code == 0:
        raise DeviceError(f"{name}: {error.output.decode(errors='replace').strip()}")
    answer = connection.run(["cat", f"{folder}/found.json"])
    if answer.code != 0:
        raise DeviceError(f"{name}: the app ended without a result; `adb logcat` says more")
    found: dict[str, Any] = json.loads(answer.output)
    if request.samples is not None:
        answers = _done(connection, connection.run(["cat", f"{folder}/answers.npz"]))
        add_answers(found, answers.output, request.samples)
    return found


def _done(connection: Connection, answer: Answer) -> Answer:
    if answer.code != 0:
        raise DeviceError(f"{connection.device.name}: {answer.last_words()}")
    return answer


def _after(text: str, word: str) -> str | None:
    """The word that follows another in a text."""
    _, found, rest = text.partition(word)
    return rest.split()[0] if found and rest.split() else None


def _flags(cpuinfo: str) -> list[str]:
    """What a processor says it can do: `Features` on ARM, `flags` on x86."""
    lines = (line.partition(":") for line in cpuinfo.splitlines())
    return next((rest.split() for key, _, rest in lines if key.strip() in ("Features", "flags")), [])
