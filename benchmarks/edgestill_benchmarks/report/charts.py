"""The charts of the report, as Vega-Lite specifications."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard

import altair as alt

from edgestill_runtime.tasks import Measure

from ..measures import difference_unit, main_measure
from ..metrics import Row
from ..results import MODEL_NAMES, Results, quantized_details

COLOURS = {"teacher": "#6b7280", "baseline student": "#d97706", "distilled student": "#0f766e"}
DEVICES = ["#0f766e", "#b45309", "#1d4ed8", "#be185d", "#6d28d9", "#4d7c0f"]
FONT = "system-ui, sans-serif"
NARROW = 90  # pixels; smaller charts have no room for the labels


def all_charts(results: Results, rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Id on the page → specification; charts without data are left out.

    Args:
        rows: of the run and all its devices; see `metrics`.
    """
    measure = main_measure(results["task"])
    charts: dict[str, Any] = {
        "validation": training_curve(results, "validation", f"validation {measure.name}", measure),
        "loss": training_curve(results, "loss", "training loss"),
        "size": size(rows),
    }
    details = quantized_details(results)[1]
    if details.get("confusion"):
        charts["confusion"] = confusion(details["confusion"], results["data"]["labels"])
    if details.get("per_class") and results["details"]["teacher"].get("per_class"):
        pair = results["details"]["teacher"]["per_class"], details["per_class"]
        charts["per-class"] = change_per_class(*pair, measure)
    drawn = {name: _styled(chart).to_dict() for name, chart in charts.items()}
    teachers = {"teacher": results["teacher"]["quality"][measure.name]}
    return drawn | charts_of_runs(rows, teachers, results["data"]["test"], measure)


def charts_of_runs(
    rows: Sequence[Row], teachers: Mapping[str, float], test: int, measure: Measure
) -> dict[str, dict[str, Any]]:
    """The charts that one run and several have in common.

    Args:
        teachers: what to write at each teacher's line → its quality. test: samples of the test split.
        measure: the main one, which the quality is by.
    """
    charts = {
        "quality-latency": quality_against_latency(rows, teachers, test, measure),
        "latency": latency(rows),
        "memory": memory(rows),
    }
    return {name: _styled(chart).to_dict() for name, chart in charts.items()}


def training_curve(results: Results, field: str, title: str, measure: Measure | None = None) -> alt.Chart:
    """One quantity over the epochs, a line for each model that was trained in this run.

    Args:
        measure: the quantity is by it; None for a loss.
    """
    rows = [
        {"model": MODEL_NAMES[name], "epoch": entry["epoch"], "value": entry[field]}
        for name, entries in results["curves"].items()
        for entry in entries
    ]
    present = [name for name in COLOURS if any(row["model"] == name for row in rows)]
    colour = alt.Color("model:N", title=None, scale=_scale(present), legend=alt.Legend(orient="top"))
    # Each model's loss has its own terms, so they share no zero.
    return (
        alt.Chart(_table(rows))
        .mark_line(point=len(rows) < 120)
        .encode(
            x=alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1, format="d")),
            y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=False), axis=_axis(measure)),
            color=colour,
            tooltip=["model:N", "epoch:Q", alt.Tooltip("value:Q", title=title, format=".4f")],
        )
        .properties(height=240)
    )


def quality_against_latency(
    rows: Sequence[Row], teachers: Mapping[str, float], test: int, measure: Measure
) -> alt.LayerChart:
    """Every file on every device, at its smallest number of threads: p50 against quality; a teacher is a line.

    Devices that are emulated, or that ran on a part of the test split only, are left out: they are not comparable. So
    are files without a quality, or with one that is not finite.
    A line joins a device's Pareto front: the files that no other one beats in both.
    """
    first = _fewest_threads(
        row for row in rows if row["samples"] == test and not row["emulated"] and _finite(row["quality"])
    )
    devices = list(dict.fromkeys(row["device"] for row in first))
    front = [row for device in devices for row in pareto([one for one in first if one["device"] == device])]
    colour = alt.Color("device:N", title=None, scale=_colours(devices), legend=alt.Legend(orient="top"))
    x = alt.X("p50_ms:Q", title="p50 of one image, milliseconds", scale=alt.Scale(type="log", nice=False, padding=20))
    y = alt.Y("quality:Q", title=f"test {measure.name}", scale=alt.Scale(zero=False, padding=20), axis=_axis(measure))
    line = alt.Chart(_table(front)).mark_line(opacity=0.5).encode(x=x, y=y, color=colour)
    points = (
        alt.Chart(_table(first))
        .mark_point(size=140, filled=True, opacity=0.85)
        .encode(
            x=x,
            y=y,
            color=colour,
            shape=alt.Shape("file:N", title=None, legend=alt.Legend(orient="bottom", columns=2)),
            tooltip=[
                "device:N",
                "file:N",
                alt.Tooltip("p50_ms:Q", title="p50, ms", format=".4f"),
                alt.Tooltip("quality:Q", title=measure.name, format=_precise(measure)),
                alt.Tooltip("bytes:Q", format=","),
            ],
        )
    )
    values = [value for value in teachers.values() if _finite(value)]
    lines = {value: [name for name in teachers if teachers[name] == value] for value in values}
    teacher = _table([{"quality": value, "label": ", ".join(names)} for value, names in lines.items()])
    rule = alt.Chart(teacher).mark_rule(strokeDash=[6, 4], color=COLOURS["teacher"]).encode(y="quality:Q")
    text = (
        alt.Chart(teacher)
        .mark_text(align="left", dx=4, dy=-6, color=COLOURS["teacher"])
        .encode(y="quality:Q", x=alt.value(0), text="label:N")
    )
    return alt.layer(line, points, rule, text).properties(height=260)


def pareto(rows: Sequence[Row]) -> list[Row]:
    """The rows that no other beats in both quality, of which more is better, and p50; from fast to slow."""
    front: list[Row] = []
    for row in sorted(rows, key=lambda row: (row["p50_ms"], -row["quality"])):
        if not front or row["quality"] > front[-1]["quality"]:
            front.append(row)
    return front


def latency(rows: Sequence[Row]) -> alt.LayerChart:
    """Every device and number of threads: p50 of each file as a point, and a line from there to its p99."""
    shown = [
        row | {"where": f"{row['device']}, {row['threads']} thread{'s' * (row['threads'] != 1)}"}
        for row in rows
        if not row["emulated"]
    ]
    base = alt.Chart(_table(shown)).encode(
        y=alt.Y("where:N", title=None, sort=None),
        yOffset=alt.YOffset("file:N"),
        color=alt.Color("file:N", title=None, legend=alt.Legend(orient="top", columns=2)),
        tooltip=[
            "where:N",
            "file:N",
            *(alt.Tooltip(f"{name}_ms:Q", title=f"{name}, ms", format=".4f") for name in ("p50", "p90", "p99")),
        ],
    )
    x = alt.X("p50_ms:Q", title="milliseconds, p50 to p99", scale=alt.Scale(type="log", nice=True))
    lines = base.mark_rule(strokeWidth=2, opacity=0.5).encode(x=x, x2="p99_ms:Q")
    places = len({row["where"] for row in shown})
    return alt.layer(lines, base.mark_point(filled=True, size=70).encode(x=x)).properties(height=70 * places)


def memory(rows: Sequence[Row]) -> alt.Chart:
    """Peak memory of a process that runs one file, on each device."""
    first = _fewest_threads(row for row in rows if row["peak_bytes"] is not None and not row["emulated"])
    shown = [{"device": row["device"], "file": row["file"], "megabytes": row["peak_bytes"] / 1e6} for row in first]
    return (
        alt.Chart(_table(shown))
        .mark_bar()
        .encode(
            x=alt.X("megabytes:Q", title="peak memory of a process, megabytes"),
            y=alt.Y("device:N", title=None, sort=None),
            yOffset=alt.YOffset("file:N"),
            color=alt.Color("file:N", title=None, legend=alt.Legend(orient="top", columns=2)),
            tooltip=["device:N", "file:N", alt.Tooltip("megabytes:Q", format=".1f")],
        )
        .properties(height=60 * len({row["device"] for row in shown}))
    )


def size(rows: Sequence[Row]) -> alt.Chart:
    """Bytes of each file."""
    shown = [
        {"file": name, "kilobytes": count / 1e3} for name, count in {row["file"]: row["bytes"] for row in rows}.items()
    ]
    return (
        alt.Chart(_table(shown))
        .mark_bar()
        .encode(
            x=alt.X("kilobytes:Q", title="size of the file, kilobytes"),
            y=alt.Y("file:N", title=None, sort=None),
            color=alt.Color("file:N", legend=None),
            tooltip=["file:N", alt.Tooltip("kilobytes:Q", format=".1f")],
        )
        .properties(height=24 * len(shown))
    )


def confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> alt.LayerChart:
    """Confusion matrix: rows are true classes, columns predicted ones."""
    rows = [
        {"true": classes[row], "chosen": classes[column], "images": count, "share": count / max(sum(counts), 1)}
        for row, counts in enumerate(matrix)
        for column, count in enumerate(counts)
    ]
    base = alt.Chart(_table(rows)).encode(
        x=alt.X("chosen:N", sort=classes, title="chosen", axis=alt.Axis(labelAngle=-45)),
        y=alt.Y("true:N", sort=classes, title="true"),
        tooltip=["true:N", "chosen:N", "images:Q", alt.Tooltip("share:Q", format=".1%")],
    )
    cells = base.mark_rect(color="#0f766e").encode(
        opacity=alt.Opacity("share:Q", scale=alt.Scale(range=[0, 1], domain=[0, 1]), legend=None)
    )
    if len(classes) > 25:
        return alt.layer(cells).properties(height=420)
    numbers = (
        base.transform_filter("datum.images > 0")
        .mark_text(fontSize=10)
        .encode(text="images:Q", color=alt.condition("datum.share > 0.5", alt.value("white"), alt.value("#6b7280")))
    )
    return alt.layer(cells, numbers).properties(height=max(NARROW, 34 * len(classes)))


def change_per_class(
    teacher: Mapping[str, float | None], student: Mapping[str, float | None], measure: Measure
) -> alt.Chart:
    """What each label gains or loses from the teacher to the quantized student; in points where it is a share.

    Args:
        teacher, student: label → its value by the measure; None, or not finite, where there is none.
    """
    scale = 100 if measure.unit == "%" else 1
    rows = [
        {"class": name, "teacher": before, "int8": after, "change": scale * (after - before)}
        for name, before, after in ((name, before, student.get(name)) for name, before in teacher.items())
        if _finite(before) and _finite(after)
    ]
    counted = difference_unit(measure) or measure.name
    return (
        alt.Chart(_table(rows))
        .mark_bar()
        .encode(
            x=alt.X("change:Q", title=f"{counted}, quantized student minus teacher"),
            y=alt.Y("class:N", sort=list(teacher), title=None),
            color=alt.condition("datum.change < 0", alt.value("#b91c1c"), alt.value("#0f766e")),
            tooltip=[
                "class:N",
                alt.Tooltip("teacher:Q", format=_format(measure)),
                alt.Tooltip("int8:Q", title="quantized student", format=_format(measure)),
                alt.Tooltip("change:Q", title=counted, format="+.1f" if scale == 100 else "+.3f"),
            ],
        )
        .properties(height=max(NARROW, 26 * len(rows)))
    )


def _table(rows: Sequence[dict[str, Any]]) -> alt.Data:
    """The rows as data of a chart; without NaN and infinity, which JSON cannot express."""
    return alt.Data(values=[{name: _drawable(value) for name, value in row.items()} for row in rows])


def _drawable(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _fewest_threads(rows: Iterable[Row]) -> list[Row]:
    """Each file of each device once: at its smallest number of threads."""
    found: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = row["device"], row["file"]
        if key not in found or row["threads"] < found[key]["threads"]:
            found[key] = row
    return list(found.values())


def _colours(devices: Sequence[str]) -> alt.Scale:
    return alt.Scale(domain=list(devices), range=[DEVICES[place % len(DEVICES)] for place in range(len(devices))])


def _scale(names: Sequence[str]) -> alt.Scale:
    return alt.Scale(domain=list(names), range=[COLOURS[name] for name in names])


def _axis(measure: Measure | None) -> alt.Axis:
    return alt.Axis(format=".1%") if measure is not None and measure.unit == "%" else alt.Axis()


def _format(measure: Measure) -> str:
    return ".1%" if measure.unit == "%" else ".3f"


def _precise(measure: Measure) -> str:
    return ".2%" if measure.unit == "%" else ".4f"


def _finite(value: float | None) -> TypeGuard[float]:
    """Whether it can be drawn."""
    return value is not None and math.isfinite(value)


def _styled(chart: Any) -> Any:
    return (
        chart.properties(width="container", background="transparent")
        .configure(font=FONT, autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))
        .configure_view(stroke=None)
        .configure_axis(labelLimit=200, titlePadding=12)  # colours are the page's: page.js
    )
