"""Devices: this machine, a Raspberry Pi or any Linux over ssh, anything with Python over adb.

config.py             the devices: devices.toml
connection.py         running commands there and sending data, through the system's own `ssh` and `adb`
remote_agent.py       the agent that runs there, sent as text
host.py               commands of the remote agent, and files there and back
packages.py           the packages that a device has to install
environments.py       virtual environments there
deployment.py         a bundle onto a device, and rollback to the version before
benchmark_request.py  what to measure, and the comparison of a device's outputs with this machine's
phone.py              an Android phone, which its app measures
measuring.py          a bundle measured on devices, all at once
probing.py            facts about devices, and whether they respond
"""

from .benchmark_request import BenchmarkRequest, Samples
from .config import LOCAL, Device, find_device, load_devices
from .connection import Connection, connect
from .deployment import Deployment, Installed, deploy, install, rollback
from .host import Host
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
