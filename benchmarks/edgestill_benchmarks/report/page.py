"""Putting the page together: the template, the charts with their JavaScript inlined, the sample images."""

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import vl_convert
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from edgestill_runtime.files import write_bytes

from ..results import Results, ResultsError, gain_is_noise, int8_against_fp32, read_results
from .charts import all_charts

TOP = 3


@dataclass(frozen=True)
class Guess:
    """A class and its probability, 0–1."""

    label: str
    score: float
    right: bool


@dataclass(frozen=True)
class Sample:
    """A test image as a data URL, its class, and what teacher and int8 student think of it, best first."""

    image: str
    label: str
    teacher: list[Guess]
    student: list[Guess]

    @property
    def right(self) -> bool:
        """Whether the student's first guess is the label."""
        return self.student[0].right


def write_report(folder: Path) -> Path:
    """Write `report.html` into a run's folder, from its `results.json` and `samples.npz`.

    Raises:
        ResultsError: no results there, or not as their schema says.
    """
    results = read_results(folder)
    with np.load(folder / results["samples"], allow_pickle=False) as arrays:
        samples = read_samples({name: arrays[name] for name in arrays.files}, results["data"]["classes"])
    quantised = [file for file in results["files"] if file["precision"] != "fp32"]
    try:
        graphs = {
            file["path"].rpartition("/")[2]: (folder / file["inside"]["picture"]).read_text(encoding="utf-8")
            for file in quantised
        }
    except OSError as error:
        raise ResultsError(f"a picture of a graph is missing: {error}; make it with `edgestill run`") from error
    target = folder / "report.html"
    write_bytes(target, render(results, samples, graphs).encode())
    return target


def render(results: Results, samples: list[Sample], graphs: Mapping[str, str]) -> str:
    """The whole page as text; nothing in it is fetched from anywhere.

    Args:
        graphs: file name → picture of its graph, SVG.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__, ""), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"percent": _percent, "points": _points, "count": _count, "size": _size, "ms": _ms}
    # "</" would end the script element that the text stands in.
    charts = json.dumps(all_charts(results)).replace("</", "<\\/")
    library = vl_convert.javascript_bundle(
        "window.draw = (place, specification) => vegaEmbed(place, specification, {actions: false, renderer: 'svg'});"
    ).replace("</script", "<\\/script")
    return environment.get_template("page.html.j2").render(
        results=results,
        noise=gain_is_noise(results),
        ratios=int8_against_fp32(results),
        samples=samples,
        graphs={name: Markup(picture) for name, picture in graphs.items()},
        charts=Markup(charts),
        library=Markup(library),
    )


def read_samples(arrays: dict[str, NDArray[Any]], classes: list[str]) -> list[Sample]:
    """Samples from the arrays of `samples.npz`: images, labels, teacher and student probabilities (N, classes)."""
    return [
        Sample(_data_url(image), classes[label], _guesses(teacher, label, classes), _guesses(student, label, classes))
        for image, label, teacher, student in zip(
            arrays["images"], arrays["labels"], arrays["teacher"], arrays["student"], strict=True
        )
    ]


def _guesses(scores: NDArray[np.float32], label: int, classes: list[str]) -> list[Guess]:
    best = np.argsort(-scores, kind="stable")[:TOP]
    return [Guess(classes[index], float(scores[index]), bool(index == label)) for index in best]


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
