"""A device as the host uses it: commands of the remote agent, and files there and back."""

import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import DeviceError
from ..progress import Progress
from .connection import Connection
from .packages import PYTHONS
from .phone import is_phone

FOLDER = "~/.local/share/edgestill"
_BLOCK = 1 << 16
# Prints the first Python of a supported version among those named, else the version of the first that exists.
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


class Host:
    """Runs commands of the remote agent on a device, and copies files.

    Args:
        python: the interpreter that runs the agent there; None finds one.
    """

    def __init__(self, connection: Connection, python: str | None = None) -> None:
        self.connection = connection
        self.device = connection.device
        self._python = python or find_python(connection)
        self._source = Path(__file__).with_name("remote_agent.py").read_bytes()

    def ask(self, command: str, on_line: Callable[[str], None] | None = None, **arguments: Any) -> dict[str, Any]:
        """Run one command of `remote_agent.py`; DeviceError when it refuses."""
        words = [self._python, "-", command, json.dumps(arguments)]
        result = self.connection.run(words, [self._source], on_line)
        lines = result.output.decode(errors="replace").strip().splitlines()
        if result.code != 0 or not lines:
            raise DeviceError(f"{self.device.name}: {result.summary()}")
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
            result = self.connection.run(["tar", "-x", "-f", "-", "-C", target], _tar(files, task.advance))
        if result.code != 0:
            message = result.summary()
            raise DeviceError(f"{self.device.name}: the files could not be written: {message}{_remedy(result.errors)}")

    def fetch(self, source: str) -> bytes:
        """Content of a file there."""
        result = self.connection.run(["cat", source])
        if result.code != 0:
            raise DeviceError(f"{self.device.name}: {result.summary()}")
        return result.output


def find_python(connection: Connection) -> str:
    """A Python on the device of a version that the runtime supports.

    Raises:
        DeviceError: there is none, or only other versions.
    """
    device = connection.device
    candidates = [device.python] if device.python else ["python3", "python3.13", "python3.12", "python3.11"]
    result = connection.run(["sh", "-c", _FIND, "sh", *candidates], seconds=60)
    state, _, rest = result.output.decode(errors="replace").strip().partition(" ")
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


def _remedy(message: str) -> str:
    if "No space left" in message:
        return "; make room there and deploy again, what was in use before still is"
    if "ensurepip" in message:
        return "; on Debian: sudo apt install python3-venv"
    if "edgestill-executorch" in message:
        return "; build it with `make wheels` and bring it along (--wheels dist), or leave it out (--engine litert)"
    return ""


def _tar(files: Sequence[Path], advance: Callable[[float], None]) -> Iterator[bytes]:
    """A tar archive, a block at a time; `advance` gets the number of each block's bytes.

    `tarfile.open(mode="w|")` would push whole files into a stream, and a connection pulls."""
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
