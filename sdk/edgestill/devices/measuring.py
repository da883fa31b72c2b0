"""A bundle measured on devices, all at once, each by `python -m edgestill_benchmarks measure`: numpy and engines alone.

What a device answers is compared with this machine sample by sample.
"""

import json
import secrets
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgestill_benchmarks import INTERLEAVED, Rule
from edgestill_benchmarks.survey import PROGRESS
from edgestill_runtime import Bundle

from ..errors import DeviceError, EdgestillError
from ..progress import SILENT, Progress
from .config import Device
from .connection import connect
from .deployment import Host, install


@dataclass(frozen=True)
class Samples:
    """Test images to send along, and what is known of them.

    Args:
        images: uint8 (N, H, W, C). labels: int64 (N,). of: how many the test split has.
        reference: name of a model or a file → logits (N, classes) of this machine.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    of: int
    reference: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Wanted:
    """What is to be measured.

    Args:
        threads: numbers, or `all`. samples: None measures no accuracy. engines, wheels, offline: see `install`.
    """

    threads: Sequence[str] = ("1", "all")
    rule: Rule = INTERLEAVED
    samples: Samples | None = None
    engines: Sequence[str] | None = None
    wheels: Sequence[Path] = ()
    offline: bool = False


def measure_on(
    devices: Sequence[Device], bundle: Bundle, wanted: Wanted, progress: Progress = SILENT
) -> dict[str, dict[str, Any] | EdgestillError]:
    """Measure a bundle on several devices at the same time.

    Returns:
        Name of the device → its measurement (see `survey_bundle`) with `device`, `emulated`, and `answers` where
        samples were sent; or the error that kept it from being measured. One device's trouble is not another's.
    """

    def one(device: Device) -> dict[str, Any] | EdgestillError:
        try:
            return _measure(device, bundle, wanted, progress)
        except EdgestillError as error:
            return error

    with ThreadPoolExecutor(len(devices)) as pool:
        return dict(zip([device.name for device in devices], pool.map(one, devices), strict=True))


def compare(answers: Mapping[str, NDArray[np.float32]], samples: Samples) -> dict[str, Any]:
    """A device's answers beside those of this machine, sample by sample.

    Returns:
        File → share of samples with the same class, largest difference of the logits, and the samples (their numbers in
        the test split, this machine's class, the device's) whose class differs.
    """
    found = {}
    for name, logits in answers.items():
        own = samples.reference.get(name)
        if own is None:
            continue
        here, there = own.argmax(1), logits.argmax(1)
        differ = np.flatnonzero(here != there)
        found[name] = {
            "agreement": float((here == there).mean()),
            "difference": float(np.abs(own - logits).max()),
            "differ": [[int(number), int(here[number]), int(there[number])] for number in differ],
        }
    return found


def _measure(device: Device, bundle: Bundle, wanted: Wanted, progress: Progress) -> dict[str, Any]:
    connection = connect(device)
    try:
        if device.kind == "local" and device.environment is None and device.folder is None:
            # This very environment, and the bundle where it lies.
            with TemporaryDirectory() as scratch:
                host = Host(connection, sys.executable)
                return _run(host, sys.executable, str(bundle.path.absolute()), scratch, wanted, progress)
        host = Host(connection)
        done = install(host, bundle, wanted.engines, wheels=wanted.wheels, offline=wanted.offline, progress=progress)
        scratch = host.ask("prepare", folder=done.facts["folder"], id=f"measuring-{secrets.token_hex(4)}")["target"]
        try:
            return _run(host, done.python, done.path, scratch, wanted, progress)
        finally:
            connection.run(["rm", "-r", "-f", scratch])
    finally:
        connection.close()


def _run(host: Host, python: str, bundle: str, scratch: str, wanted: Wanted, progress: Progress) -> dict[str, Any]:
    words = [python, "-m", "edgestill_benchmarks", "measure", bundle, "--progress", "--output", f"{scratch}/found.json"]
    rule = wanted.rule
    words += ["--rule", rule.name, "--min-calls", str(rule.min_calls), "--min-seconds", str(rule.min_seconds)]
    for threads in wanted.threads:
        words += ["--threads", threads]
    if wanted.samples is not None:
        with TemporaryDirectory() as here:
            packed = Path(here) / "samples.npz"
            np.savez_compressed(packed, images=wanted.samples.images, labels=wanted.samples.labels)
            host.send([packed], scratch, progress)
        words += ["--samples", f"{scratch}/samples.npz", "--answers", f"{scratch}/answers.npz"]
    with progress.task(f"measure {host.device.name}", 0) as task:

        def follow(line: str) -> None:
            if line.startswith(PROGRESS):
                share, _, doing = line.removeprefix(PROGRESS).partition(" ")
                task.advance(1, doing=f"{doing} {100 * float(share):.0f} %")

        answer = host.connection.run(words, on_line=follow)
    if answer.code != 0:
        raise DeviceError(f"{host.device.name}: {answer.last_words().removeprefix('error: ')}")
    found: dict[str, Any] = json.loads(host.fetch(f"{scratch}/found.json"))
    found |= {"device": host.device.name, "emulated": host.device.emulated}
    if host.device.emulated:
        found["warnings"].append("emulated: the answers are the board's; times and memory are not, and mean nothing")
    if wanted.samples is not None:
        with TemporaryDirectory() as here:
            file = Path(here) / "answers.npz"
            file.write_bytes(host.fetch(f"{scratch}/answers.npz"))
            with np.load(file, allow_pickle=False) as arrays:
                answers = {name: arrays[name] for name in arrays.files}
        found["samples"] |= {"count": len(wanted.samples.labels), "of": wanted.samples.of}
        found["answers"] = compare(answers, wanted.samples)
    return found
