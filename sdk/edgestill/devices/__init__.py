"""Devices: this machine, a Raspberry Pi or any Linux over ssh, anything with Python over adb.

config.py       which devices there are: devices.toml
connection.py   one way to run a command there and to send data: the system's own `ssh` and `adb`
agent.py        what a device does for itself, sent there as text
packages.py     what it has to install
deployment.py   a bundle onto a device, and back to the one before
wanted.py       what is to be measured, and a device's answers beside this machine's
phone.py        an Android phone, which the app measures
measuring.py    a bundle measured on devices, all at once
probing.py      what a device is, and whether it answers
"""

from .config import LOCAL, Device, find_device, load_devices
from .connection import Connection, connect
from .deployment import Deployment, Host, Installed, deploy, install, rollback
from .measuring import measure_on
from .probing import probe
from .wanted import Samples, Wanted

__all__ = [
    "LOCAL",
    "Connection",
    "Deployment",
    "Device",
    "Host",
    "Installed",
    "Samples",
    "Wanted",
    "connect",
    "deploy",
    "find_device",
    "install",
    "load_devices",
    "measure_on",
    "probe",
    "rollback",
]
