"""Options that several commands share."""

from collections.abc import Sequence
from pathlib import Path

import typer

from ..devices import Device, find_device, load_devices
from ..devices.packages import check_engines
from ..errors import EdgestillError


def _engines(names: Sequence[str] | None) -> Sequence[str] | None:
    try:
        check_engines(names or ())  # before anything takes time
    except EdgestillError as error:
        raise typer.BadParameter(str(error)) from error
    return names


DEVICES = typer.Option(help="The devices.toml to read instead of ./devices.toml and ~/.config/edgestill/devices.toml.")

ENGINES = typer.Option(
    "--engine",
    help="To install there, such as litert or executorch; those of the bundle's files without it.",
    callback=_engines,
)


def the_device(name: str, file: Path | None) -> Device:
    """A device by name or address."""
    return find_device(name, load_devices(*([file] if file else [])))
