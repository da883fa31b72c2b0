"""Putting the page together: the template, the charts with their JavaScript inlined, the sample images."""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import vl_convert
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from edgestill_runtime.files import write_bytes

from ..metrics import as_csv, metrics, read_devices
from ..results import Results, ResultsError, gain_is_noise, int8_against_fp32, read_results
from .charts import all_charts

WHO = {"teacher": "teacher", "student": "student, fp32", "int8": "student, int8"}  # array of samples.npz → on the page
HEADINGS = {
    "device": "device", "file": "file", "threads": "threads", "p50_ms": "p50 ms", "p90_ms": "p90 ms",
    "p99_ms": "p99 ms", "cold_start_ms": "cold start ms", "peak_bytes": "peak memory", "accuracy": "accuracy",
    "agreement": "as on host", "samples": "test images", "energy_mj": "mJ a call",
}  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """A test image as a data URL, its class, and whether the int8 student's first guess is that class."""

    image: str
    label: str
    right: bool


def write_report(folder: Path) -> Path:
    """Write `report.html` into a run's folder, from its `results.json` and `samples.npz`.

    Raises:
        ResultsError: no results there, or not as their schema says.
    """
    results = read_results(folder)
    with np.load(folder / results["samples"], allow_pickle=False) as arrays:
        samples = {name: arrays[name] for name in arrays.files}
    quantised = [file for file in results["files"] if file["precision"] != "fp32"]
    try:
        graphs = {
            file["path"].rpartition("/")[2]: (folder / file["inside"]["picture"]).read_text(encoding="utf-8")
            for file in quantised
        }
    except OSError as error:
        raise ResultsError(f"a picture of a graph is missing: {error}; make it with `edgestill run`") from error
    target = folder / "report.html"
    write_bytes(target, render(results, samples, graphs, read_devices(folder, results)).encode())
    return target


def render(
    results: Results,
    samples: Mapping[str, NDArray[Any]],
    graphs: Mapping[str, str],
    devices: Sequence[dict[str, Any]] = (),
) -> str:
    """The whole page as text; nothing in it is fetched from anywhere.

    Args:
        samples: the arrays of `samples.npz`: images, labels, and logits (N, classes) of teacher and students.
        graphs: file name → picture of its graph, SVG.
        devices: what `edgestill bench` measured.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__, ""), autoescape=True, undefined=jinja2.StrictUndefined
    )
    shown = {"percent": _percent, "points": _points, "count": _count, "size": _size, "ms": _ms, "cell": _cell}
    environment.filters |= shown
    rows = metrics(results, devices)
    classes = results["data"]["classes"]
    data = {
        "charts": all_charts(results, rows),
        "csv": as_csv(rows),
        "samples": {
            "classes": classes,
            "labels": samples["labels"].tolist(),
            "logits": {who: samples[name].round(4).tolist() for name, who in WHO.items()},
        },
    }
    library = vl_convert.javascript_bundle(
        "window.draw = (place, specification) => vegaEmbed(place, specification, {actions: false, renderer: 'svg'});"
    ).replace("</script", "<\\/script")
    return environment.get_template("page.html.j2").render(
        results=results,
        noise=gain_is_noise(results),
        ratios=int8_against_fp32(results),
        samples=_shown(samples, classes),
        graphs={name: Markup(picture) for name, picture in graphs.items()},
        devices=devices,
        rows=rows,
        headings=HEADINGS,
        boards={row["device"]: row["board"] for row in rows},
        doubts=list(dict.fromkeys(f"{one['device']}: {doubt}" for one in devices for doubt in one["warnings"])),
        # "</" would end the script element that the text stands in.
        data=Markup(json.dumps(data).replace("</", "<\\/")),
        library=Markup(library),
        style=Markup(_file("page.css")),
        script=Markup(_file("page.js")),
    )


def _shown(arrays: Mapping[str, NDArray[Any]], classes: Sequence[str]) -> list[Sample]:
    chosen = arrays["int8"].argmax(1)
    return [
        Sample(_data_url(image), classes[label], bool(guess == label))
        for image, label, guess in zip(arrays["images"], arrays["labels"], chosen, strict=True)
    ]


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _cell(value: Any, column: str) -> str:
    if value is None:
        return ""
    if column in ("accuracy", "retained", "agreement"):
        return _percent(value)
    if column.endswith("_bytes"):
        return _size(value)
    if column.endswith("_ms"):
        return _ms(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}" if isinstance(value, float) else str(value)


def _data_url(pixels: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _percent(value: float, digits: int = 2) -> str:
    return f"{100 * value:.{digits}f} %"


def _points(value: float) -> str:
    return f"{100 * value:+.2f}"


def _count(value: float) -> str:
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}"
    return f"{value:g}"


def _size(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value / 1e6:.1f} MB" if value >= 1e6 else f"{value / 1e3:.1f} kB"


def _ms(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"
