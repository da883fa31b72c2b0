"""Connections to devices, all with the same interface: run a command there, and send it data.

The system's own `ssh` and `adb` do the work, so the user's keys, configuration and agents apply.
"""

import os
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from edgestill_runtime.errors import reason

from ..errors import DeviceError
from .config import Device


@dataclass(frozen=True)
class CommandResult:
    """Exit code and output of a command on a device."""

    code: int
    output: bytes
    errors: str

    def summary(self) -> str:
        """The most informative line of the output: about a full disk, else the last."""
        lines = (self.errors.strip() or self.output.decode(errors="replace").strip()).splitlines()
        informative = [line for line in lines if "No space left" in line] or lines[-1:]
        return informative[0].strip() if informative else f"exit code {self.code}, and no message"


class Connection(Protocol):
    """An open connection to a device."""

    device: Device

    def run(
        self,
        words: Sequence[str],
        data: Iterable[bytes] = (),
        on_line: Callable[[str], None] | None = None,
        seconds: float | None = None,
    ) -> CommandResult:
        """Run a command, in the home folder of the user there.

        Args:
            words: the command and its arguments; no shell interprets them.
            data: for its standard input.
            on_line: called with each line of its standard output, at once.
            seconds: time limit.

        Raises:
            DeviceError: the device does not respond, the connection broke, or the time limit is over.
        """

    def close(self) -> None:
        """End the connection."""


def connect(device: Device) -> Connection:
    """Open a connection, and check it by running a command.

    Raises:
        DeviceError: it cannot be opened; has the message of `ssh` or `adb`.
    """
    kinds: dict[str, type[_Local | _Ssh | _Adb]] = {"local": _Local, "ssh": _Ssh, "adb": _Adb}
    connection: Connection = kinds[device.kind](device)
    result = connection.run(["true"], seconds=60)
    if result.code != 0:
        connection.close()
        raise DeviceError(f"{device.name}: {result.summary()}")
    return connection


class _Local:
    def __init__(self, device: Device) -> None:
        self.device = device

    def run(
        self,
        words: Sequence[str],
        data: Iterable[bytes] = (),
        on_line: Callable[[str], None] | None = None,
        seconds: float | None = None,
    ) -> CommandResult:
        # The variables of this virtual environment must not affect the one that is made.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        return _run(self.device, list(words), data, on_line, seconds, Path.home(), kept)

    def close(self) -> None:
        pass


class _Ssh:
    """One connection shared by all commands (ControlMaster): they start quickly, and a passphrase is asked for once."""

    def __init__(self, device: Device) -> None:
        if shutil.which("ssh") is None:
            raise DeviceError("there is no `ssh` on this machine; install OpenSSH's client")
        self.device = device
        self._folder = tempfile.mkdtemp(prefix="edgestill-")
        options = {
            "ControlMaster": "auto",
            "ControlPath": f"{self._folder}/%C",
            "ControlPersist": "60",
            "ConnectTimeout": "15",
            "ServerAliveInterval": "5",
            "ServerAliveCountMax": "3",
        }
        self._words = ["ssh", "-T"]
        for name, value in options.items():
            self._words += ["-o", f"{name}={value}"]
        for flag, setting in (("-F", device.config), ("-l", device.user), ("-p", device.port), ("-i", device.key)):
            if setting is not None:
                self._words += [flag, str(Path(str(setting)).expanduser())]
        assert device.host is not None
        self._host = ["--", device.host]

    def run(
        self,
        words: Sequence[str],
        data: Iterable[bytes] = (),
        on_line: Callable[[str], None] | None = None,
        seconds: float | None = None,
    ) -> CommandResult:
        # ssh passes one line to the device's shell.
        result = _run(self.device, [*self._words, *self._host, shlex.join(words)], data, on_line, seconds)
        if result.code == 255:  # ssh's own errors; a command may end with it too
            raise DeviceError(f"{self.device.name}: {result.summary()}{_hint(result.errors)}")
        return result

    def close(self) -> None:
        subprocess.run(
            [*self._words, "-O", "exit", *self._host],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        shutil.rmtree(self._folder, ignore_errors=True)


class _Adb:
    def __init__(self, device: Device) -> None:
        if shutil.which("adb") is None:
            raise DeviceError("there is no `adb` on this machine; install Android's platform tools (Debian: adb)")
        self.device = device
        self._words = ["adb", *(["-s", device.serial] if device.serial else [])]

    def run(
        self,
        words: Sequence[str],
        data: Iterable[bytes] = (),
        on_line: Callable[[str], None] | None = None,
        seconds: float | None = None,
    ) -> CommandResult:
        command = [*self._words, "shell", "-T", shlex.join(words)]
        result = _run(self.device, command, data, on_line, seconds)
        if result.code != 0 and result.errors.startswith(("adb: ", "error: ")):
            raise DeviceError(f"{self.device.name}: {result.summary()}; `adb devices` lists what is connected")
        return result

    def close(self) -> None:
        pass


def _run(
    device: Device,
    command: Sequence[str],
    data: Iterable[bytes],
    on_line: Callable[[str], None] | None,
    seconds: float | None,
    folder: Path | None = None,
    environment: dict[str, str] | None = None,
) -> CommandResult:
    """Run a process. Three threads serve its three streams, so that none can block; this one reads the output."""
    try:
        process = subprocess.Popen(
            command, cwd=folder, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        return CommandResult(127, b"", f"{command[0]}: {reason(error)}")
    assert process.stdin and process.stdout and process.stderr
    over = threading.Timer(seconds or 0, process.kill)
    with process, ThreadPoolExecutor(2) as pool:
        try:
            fed = pool.submit(_feed, process.stdin, data)
            errors = pool.submit(process.stderr.read)
            if seconds is not None:
                over.start()
            output = []
            for line in process.stdout:
                output.append(line)
                if on_line is not None:
                    on_line(line.decode(errors="replace").rstrip("\n"))
            code = process.wait()
        except BaseException:
            process.kill()
            raise
        finally:
            timed_out = over.finished.is_set()
            over.cancel()
        fed.result()
    if timed_out and code < 0:
        raise DeviceError(f"{device.name}: no response within {seconds:.0f} s")
    return CommandResult(code, b"".join(output), errors.result().decode(errors="replace"))


def _feed(stream: IO[bytes], data: Iterable[bytes]) -> None:
    # A command that failed does not read all of its input; its exit code and messages explain why.
    with suppress(BrokenPipeError):
        for block in data:
            stream.write(block)
    with suppress(BrokenPipeError):
        stream.close()


def _hint(message: str) -> str:
    for part, hint in {
        "Permission denied": "; the key or the user is not the one that the device knows",
        "Host key verification failed": "; connect once by hand (`ssh HOST`) and compare the key's fingerprint",
        "Could not resolve hostname": "; is the device on, and in this network?",
        "Connection refused": "; is ssh switched on there (on a Raspberry Pi: `sudo raspi-config`)?",
        "timed out": "; is the device on, and in this network?",
    }.items():
        if part in message:
            return hint
    return "; the connection broke, and the device stays as it was: do it again"
