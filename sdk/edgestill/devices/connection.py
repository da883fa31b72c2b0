"""One way to every device: run a command there, and send it data. The system's own `ssh` and `adb` do the work, so
people's keys, configurations and agents just work.
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
class Answer:
    """What a command on a device gave."""

    code: int
    output: bytes
    errors: str

    def last_words(self) -> str:
        """The line that tells most of what it said: of a full disk, else the last."""
        lines = (self.errors.strip() or self.output.decode(errors="replace").strip()).splitlines()
        telling = [line for line in lines if "No space left" in line] or lines[-1:]
        return telling[0].strip() if telling else f"exit code {self.code}, without a word"


class Connection(Protocol):
    """A device that can be reached."""

    device: Device

    def run(
        self,
        words: Sequence[str],
        data: Iterable[bytes] = (),
        on_line: Callable[[str], None] | None = None,
        seconds: float | None = None,
    ) -> Answer:
        """Run a command, in the home folder of the user there.

        Args:
            words: the command and its arguments; nothing of them is interpreted by a shell.
            data: what it reads from its standard input.
            on_line: is called with each line of its standard output as it comes.
            seconds: how long it may take.

        Raises:
            DeviceError: the device cannot be reached, the connection broke, or the time is over.
        """

    def close(self) -> None:
        """End the connection."""


def connect(device: Device) -> Connection:
    """Open a connection, and see that it holds.

    Raises:
        DeviceError: it cannot be opened; says what the system's own tool said.
    """
    kinds: dict[str, type[_Local | _Ssh | _Adb]] = {"local": _Local, "ssh": _Ssh, "adb": _Adb}
    connection: Connection = kinds[device.kind](device)
    answer = connection.run(["true"], seconds=60)
    if answer.code != 0:
        connection.close()
        raise DeviceError(f"{device.name}: {answer.last_words()}")
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
    ) -> Answer:
        # The environment that runs this must not leak into the one that is made.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        return _run(self.device, list(words), data, on_line, seconds, Path.home(), kept)

    def close(self) -> None:
        pass


class _Ssh:
    """One connection that all commands share (ControlMaster): they start at once, and a key is asked for once."""

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
        for flag, given in (("-F", device.config), ("-l", device.user), ("-p", device.port), ("-i", device.key)):
            if given is not None:
                self._words += [flag, str(Path(str(given)).expanduser())]
        assert device.host is not None
        self._host = ["--", device.host]

    def run(
        self,
        words: Sequence[str],
        data: Iterable[bytes] = (),
        on_line: Callable[[str], None] | None = None,
        seconds: float | None = None,
    ) -> Answer:
        # ssh hands the device one line for its shell.
        answer = _run(self.device, [*self._words, *self._host, shlex.join(words)], data, on_line, seconds)
        if answer.code == 255:  # ssh's own; a command that ends with it looks the same
            raise DeviceError(f"{self.device.name}: {answer.last_words()}{_hint(answer.errors)}")
        return answer

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
    ) -> Answer:
        command = [*self._words, "shell", "-T", shlex.join(words)]
        answer = _run(self.device, command, data, on_line, seconds)
        if answer.code != 0 and answer.errors.startswith(("adb: ", "error: ")):
            raise DeviceError(f"{self.device.name}: {answer.last_words()}; `adb devices` lists what is connected")
        return answer

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
) -> Answer:
    """Run a process: this thread reads what it says, one feeds it, one gathers its errors, so that none can block."""
    try:
        process = subprocess.Popen(
            command, cwd=folder, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        return Answer(127, b"", f"{command[0]}: {reason(error)}")
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
        raise DeviceError(f"{device.name}: no answer within {seconds:.0f} s")
    return Answer(code, b"".join(output), errors.result().decode(errors="replace"))


def _feed(stream: IO[bytes], data: Iterable[bytes]) -> None:
    # What a command does not read, because it failed, is its own answer to explain.
    with suppress(BrokenPipeError):
        for block in data:
            stream.write(block)
    with suppress(BrokenPipeError):
        stream.close()


def _hint(said: str) -> str:
    for part, hint in {
        "Permission denied": "; the key or the user is not the one that the device knows",
        "Host key verification failed": "; connect once by hand (`ssh HOST`) and compare the key's fingerprint",
        "Could not resolve hostname": "; is the device on, and in this network?",
        "Connection refused": "; is ssh switched on there (on a Raspberry Pi: `sudo raspi-config`)?",
        "timed out": "; is the device on, and in this network?",
    }.items():
        if part in said:
            return hint
    return "; the connection broke, and the device stays as it was: do it again"
