"""Devices: this machine, a Raspberry Pi or any Linux over ssh, anything with Python over adb.

config.py       which devices there are: devices.toml
connection.py   one way to run a command there and to send data: the system's own `ssh` and `adb`
remote_agent.py        what a device does for itself, sent there as text
packages.py     what it has to install
deployment.py   a bundle onto a device, and back to the one before
benchmark_request.py what is to be measured, and a device's answers beside this machine's
phone.py        an Android phone, which the app measures
measuring.py    a bundle measured on devices, all at once
probing.py      what a device is, and whether it answers
"""

from .benchmark_request import BenchmarkRequest, Samples
from .config import LOCAL, Device, find_device, load_devices
from .connection import Connection, connect
from .deployment import Deployment, Host, Installed, deploy, install, rollback
from .measuring import measure_on
from .probing import probe

__all__ = [
    "LOCAL",
    "BenchmarkRequest",
    "Connection",
    "Deployment",
    "Device",
    "Host",
    "Installed",
    "Samples",
    "connect",
    "deploy",
    "find_device",
    "install",
    "load_devices",
    "measure_on",
    "probe",
    "rollback",
]
