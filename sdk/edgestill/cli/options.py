"""Options that several commands share."""

from pathlib import Path

import typer

from ..devices import Device, find_device, load_devices

DEVICES = typer.Option(help="The devices.toml to read instead of ./devices.toml and ~/.config/edgestill/devices.toml.")


def the_device(name: str, file: Path | None) -> Device:
    """A device by name or address."""
    return find_device(name, load_devices(*([file] if file else [])))
