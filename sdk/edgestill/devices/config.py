"""The devices: read from `devices.toml`, or by address.

    [pi5]
    kind = "ssh"                  # ssh (without it), adb, local
    host = "raspberrypi.local"    # whatever `ssh` understands: a name, an address, a Host of ~/.ssh/config
    user = "pi"                   # user, port and key only where ssh's own configuration does not say
    port = 22
    key = "~/.ssh/id_pi"
    python = "/usr/bin/python3.11"      # the interpreter; without it the first of a supported version
    environment = "/home/pi/venv"       # an environment to use as it is, instead of making one
    folder = "/home/pi/edgestill"       # for all files; ~/.local/share/edgestill without it
    system_packages = false             # true: the environment sees the system's packages, such as picamera2
    emulated = false                    # true: its outputs count, times and memory do not

    [phone]
    kind = "adb"
    serial = "R58M123ABC"

`local` always exists. `ssh:USER@HOST:PORT` and `adb:SERIAL` work in place of a name, without a file.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import DeviceError, nearest
from ..file_kinds import no_toml

Kind = Literal["local", "ssh", "adb"]
_NEEDS: dict[str, tuple[str, ...]] = {"local": (), "ssh": ("host",), "adb": ()}
_OWN = {"ssh": {"host", "user", "port", "key", "config"}, "adb": {"serial"}, "local": set[str]()}
_SHARED = {"kind", "python", "environment", "folder", "system_packages", "emulated"}
_SWITCH = (bool, "true or false")
_TYPES = {"port": (int, "a number"), "emulated": _SWITCH, "system_packages": _SWITCH}


@dataclass(frozen=True)
class Device:
    """How to reach one device; see the top of this file.

    Args:
        config: an ssh configuration file to use instead of the user's own.
    """

    name: str
    kind: Kind = "ssh"
    host: str | None = None
    user: str | None = None
    port: int | None = None
    key: str | None = None
    config: str | None = None
    serial: str | None = None
    python: str | None = None
    environment: str | None = None
    folder: str | None = None
    system_packages: bool = False
    emulated: bool = False


LOCAL = Device("local", "local")


def device_files() -> list[Path]:
    """Paths of `devices.toml`; of two devices with one name, that of the later file counts."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return [home / "edgestill" / "devices.toml", Path("devices.toml")]


def load_devices(*files: Path) -> dict[str, Device]:
    """Name → device, `local` first.

    Args:
        files: to read, which have to exist; without any, those of `device_files` that exist.

    Raises:
        DeviceError: a file cannot be read, or has other content than devices.
    """
    found = {"local": LOCAL}
    for file in files or [path for path in device_files() if path.is_file()]:
        found |= _read(file)
    return found


def find_device(name: str, devices: Mapping[str, Device]) -> Device:
    """A device by its name, or by an address: `ssh:USER@HOST:PORT`, `adb:SERIAL`.

    Raises:
        DeviceError: no such device; names the nearest.
    """
    if name in devices:
        return devices[name]
    kind, colon, address = name.partition(":")
    if colon and kind == "adb":
        return Device(name, "adb", serial=address or None)
    if colon and kind == "ssh" and address:
        user, at, rest = address.rpartition("@")
        host, _, port = rest.partition(":")
        if host and (not port or port.isdecimal()):
            return Device(name, "ssh", host=host, user=user if at else None, port=int(port) if port else None)
    raise DeviceError(
        f"there is no device {name!r}{nearest(name, devices)}; write it into devices.toml, or give its address: "
        "ssh:USER@HOST or adb:SERIAL"
    )


def _read(file: Path) -> dict[str, Device]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DeviceError(no_toml(file, error)) from error
    return {name: _device(file, name, table) for name, table in content.items()}


def _device(file: Path, name: str, table: Any) -> Device:
    where = f"{file}: [{name}]"
    if not isinstance(table, dict):
        raise DeviceError(f"{file}: {name!r} is a value; every device is a table, [{name}]")
    kind = table.get("kind", "ssh")
    if kind not in get_args(Kind):
        raise DeviceError(f"{where} kind = {kind!r} is none of {', '.join(get_args(Kind))}")
    allowed = _OWN[kind] | _SHARED
    for key, value in table.items():
        if key not in allowed:
            raise DeviceError(f"{where} has no key {key!r} for kind = {kind!r}{nearest(key, allowed)}")
        expected, description = _TYPES.get(key, (str, "text"))
        if type(value) is not expected:
            raise DeviceError(f"{where} {key} = {value!r} should be {description}")
    for key in _NEEDS[kind]:
        if not table.get(key):
            raise DeviceError(f"{where} needs {key} = …")
    assert set(table) <= {field.name for field in fields(Device)}
    return Device(name, **table)
