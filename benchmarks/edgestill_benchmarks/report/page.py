"""The page of one run: everything in its `results.json`, its sample images, and what was measured on devices."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from edgestill_runtime.engines import find_family
from edgestill_runtime.files import write_bytes

from ..metrics import metrics, qualities, read_devices
from ..results import (
    Results,
    ResultsError,
    gain_is_noise,
    int8_against_fp32,
    quantized_details,
    quantized_files,
    read_results,
)
from .charts import all_charts
from .rendering import render
from .samples import Sample, read_samples, soft_targets


def _title(engine: str) -> str:
    """The engine's official spelling; its name where it is not known on this machine."""
    family = find_family(engine)
    return family.title or engine if family else engine


def write_report(folder: Path) -> Path:
    """Write `report.html` into a run's folder, from its `results.json` and `samples.npz`.

    Raises:
        ResultsError: no results there, or not as their schema says.
    """
    results = read_results(folder)
    arrays, samples = read_samples(folder, results)
    quantized = [file for file in results["files"] if file["precision"] != "fp32"]
    try:
        graphs = {
            file["path"].rpartition("/")[2]: (folder / file["inside"]["picture"]).read_text(encoding="utf-8")
            for file in quantized
            if file["inside"] is not None
        }
    except OSError as error:
        raise ResultsError(f"a picture of a graph is missing: {error}; make it with `edgestill run`") from error
    explored = soft_targets(arrays, results["data"]["labels"])
    target = folder / "report.html"
    page = _render(results, samples, explored, graphs, read_devices(folder, results))
    write_bytes(target, page.encode())
    return target


def _render(
    results: Results,
    samples: Sequence[Sample],
    explored: dict[str, Any] | None,
    graphs: Mapping[str, str],
    devices: Sequence[dict[str, Any]],
) -> str:
    """The whole page as text.

    Args:
        explored: see `soft_targets`; None leaves out the explorer, and shows the samples with their predictions alone.
        graphs: file name → picture of its graph, SVG.
        devices: measurements by `edgestill bench`.
    """
    rows = metrics(results, devices)
    charts = all_charts(results, rows)
    return render(
        "page.html.j2",
        results["name"],
        rows,
        charts,
        results["task"],
        qualities(results, devices),
        scripts=[] if explored is None else ["soft_targets.js"],
        data={} if explored is None else {"samples": explored},
        drawn=set(charts),
        results=results,
        noise=gain_is_noise(results),
        ratios=int8_against_fp32(results),
        titles={name: _title(name) for name in int8_against_fp32(results)},
        quantized=quantized_files(results),
        kind=" and ".join(dict.fromkeys(file["precision"] for file in quantized_files(results))),
        samples=samples,
        explored=explored is not None,
        errors=_errors(results),
        graphs={name: Markup(picture) for name, picture in graphs.items()},
        devices=devices,
        profiles=_profiles(results, devices),
        warnings=list(dict.fromkeys(f"{one['device']}: {text}" for one in devices for text in one["warnings"])),
    )


def _errors(results: Results) -> list[tuple[str, list[str]]]:
    """Each value's name → its mean absolute error for teacher, student and quantized student, with its unit.

    Empty for a task whose details have no such errors.
    """
    who = ("teacher", "student_distilled", quantized_details(results)[0])
    columns = [results["details"][one].get("mae", {}) for one in who]
    labels = results["data"]["labels"]
    units = dict(zip(labels, results["task"]["settings"].get("units") or [], strict=False))
    return [
        (name, [f"{column[name]:.4g} {units.get(name, '')}".rstrip() if name in column else "" for column in columns])
        for name in columns[0]
    ]


def _profiles(results: Results, devices: Sequence[dict[str, Any]]) -> list[tuple[str, str, dict[str, Any]]]:
    """Device, file and profile; quantized files first, emulated devices left out."""
    places = [("host", file, file["path"].rpartition("/")[2]) for file in results["files"]]
    places += [(one["device"], file, file["file"]) for one in devices if not one["emulated"] for file in one["files"]]
    places.sort(key=lambda place: place[1]["precision"] == "fp32")
    return [(device, name, file["profile"]) for device, file, name in places]
