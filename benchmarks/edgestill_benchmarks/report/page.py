"""The page of one run: everything in its `results.json`, its sample images, and what was measured on devices."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from edgestill_runtime.files import write_bytes

from ..metrics import metrics, read_devices
from ..results import Results, ResultsError, gain_is_noise, int8_against_fp32, quantized_files, read_results
from .charts import all_charts
from .rendering import render

WHO = {
    "teacher": "teacher",
    "student": "student, fp32",
    "int8": "student, quantized",
}  # array of samples.npz → on the page


@dataclass(frozen=True)
class Sample:
    """A test image as a data URL, its class, and whether the quantized student's first guess is that class."""

    image: str
    label: str
    right: bool


def write_report(folder: Path) -> Path:
    """Write `report.html` into a run's folder, from its `results.json` and `samples.npz`.

    Raises:
        ResultsError: no results there, or not as their schema says.
    """
    results = read_results(folder)
    path = folder / results["samples"]
    try:
        with np.load(path, allow_pickle=False) as arrays:
            samples = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise ResultsError(f"{path} is missing or damaged; copy it from where the run was made") from error
    quantised = [file for file in results["files"] if file["precision"] != "fp32"]
    try:
        graphs = {
            file["path"].rpartition("/")[2]: (folder / file["inside"]["picture"]).read_text(encoding="utf-8")
            for file in quantised
        }
    except OSError as error:
        raise ResultsError(f"a picture of a graph is missing: {error}; make it with `edgestill run`") from error
    target = folder / "report.html"
    write_bytes(target, _render(results, samples, graphs, read_devices(folder, results)).encode())
    return target


def _render(
    results: Results,
    samples: Mapping[str, NDArray[Any]],
    graphs: Mapping[str, str],
    devices: Sequence[dict[str, Any]],
) -> str:
    """The whole page as text.

    Args:
        samples: the arrays of `samples.npz`: images, labels, and logits (N, classes) of teacher and students.
        graphs: file name → picture of its graph, SVG.
        devices: what `edgestill bench` measured.
    """
    rows = metrics(results, devices)
    classes = results["data"]["classes"]
    explored = {
        "classes": classes,
        "labels": samples["labels"].tolist(),
        "logits": {who: samples[name].round(4).tolist() for name, who in WHO.items()},
    }
    return render(
        "page.html.j2",
        results["name"],
        rows,
        all_charts(results, rows),
        scripts=["soft_targets.js"],
        data={"samples": explored},
        results=results,
        noise=gain_is_noise(results),
        ratios=int8_against_fp32(results),
        quantized=quantized_files(results),
        kind=" and ".join(dict.fromkeys(file["precision"] for file in quantized_files(results))),
        samples=_shown(samples, classes),
        graphs={name: Markup(picture) for name, picture in graphs.items()},
        devices=devices,
        profiles=_profiles(results, devices),
        doubts=list(dict.fromkeys(f"{one['device']}: {doubt}" for one in devices for doubt in one["warnings"])),
    )


def _profiles(results: Results, devices: Sequence[dict[str, Any]]) -> list[tuple[str, str, dict[str, Any]]]:
    """Device, file and profile; quantized files first. An emulator's times say nothing."""
    places = [("host", file, file["path"].rpartition("/")[2]) for file in results["files"]]
    places += [(one["device"], file, file["file"]) for one in devices if not one["emulated"] for file in one["files"]]
    places.sort(key=lambda place: place[1]["precision"] == "fp32")
    return [(device, name, file["profile"]) for device, file, name in places]


def _shown(arrays: Mapping[str, NDArray[Any]], classes: Sequence[str]) -> list[Sample]:
    chosen = arrays["int8"].argmax(1)
    return [
        Sample(_data_url(image), classes[label], bool(guess == label))
        for image, label, guess in zip(arrays["images"], arrays["labels"], chosen, strict=True)
    ]


def _data_url(pixels: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
