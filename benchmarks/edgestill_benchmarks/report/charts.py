"""The charts of the report, as Vega-Lite specifications."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from ..results import Results

NAMES = {"teacher": "teacher", "student_alone": "student alone", "student_distilled": "student distilled"}
COLOURS = {"teacher": "#6b7280", "student alone": "#d97706", "student distilled": "#0f766e"}
FONT = "system-ui, sans-serif"
NARROW = 90  # smaller charts leave the labels no room


def all_charts(results: Results) -> dict[str, dict[str, Any]]:
    """Name of the place on the page → specification."""
    charts = {
        "validation": training_curve(results, "validation_accuracy", "validation accuracy"),
        "loss": training_curve(results, "loss", "training loss"),
        "accuracy-latency": accuracy_against_latency(results),
        "confusion": confusion(results),
        "per-class": change_per_class(results),
    }
    return {name: _styled(chart).to_dict() for name, chart in charts.items()}


def training_curve(results: Results, field: str, title: str) -> alt.Chart:
    """One quantity over the epochs, a line for each model that was trained in this run."""
    rows = [
        {"model": NAMES[name], "epoch": entry["epoch"], "value": entry[field]}
        for name, entries in results["curves"].items()
        for entry in entries
    ]
    present = [name for name in COLOURS if any(row["model"] == name for row in rows)]
    colour = alt.Color("model:N", title=None, scale=_scale(present), legend=alt.Legend(orient="top"))
    # A loss counts other things for each model (and with a teacher other terms), so it gets no common zero.
    return (
        alt.Chart(_table(rows))
        .mark_line(point=len(rows) < 120)
        .encode(
            x=alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1, format="d")),
            y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=False), axis=_percent(field != "loss")),
            color=colour,
            tooltip=["model:N", "epoch:Q", alt.Tooltip("value:Q", title=title, format=".4f")],
        )
        .properties(height=240)
    )


def accuracy_against_latency(results: Results) -> alt.LayerChart:
    """Every file: p50 of one image on the smallest number of threads, against test accuracy; the teacher as a line."""
    rows = [
        {
            "file": file["path"].rpartition("/")[2],
            "engine": {"executorch": "ExecuTorch", "litert": "LiteRT"}[file["engine"]],
            "precision": file["precision"],
            "latency": file["latency_ms"]["p50"],
            "accuracy": file["accuracy"],
            "kilobytes": file["bytes"] / 1000,
        }
        for file in results["files"]
    ]
    points = (
        alt.Chart(_table(rows))
        .mark_point(size=140, filled=True, opacity=0.85)
        .encode(
            x=alt.X("latency:Q", title="p50 of one image, milliseconds", scale=alt.Scale(zero=True, nice=True)),
            y=alt.Y("accuracy:Q", title="test accuracy", scale=alt.Scale(zero=False, padding=20), axis=_percent(True)),
            color=alt.Color(
                "engine:N",
                title=None,
                scale=alt.Scale(domain=["ExecuTorch", "LiteRT"], range=["#b91c1c", "#1d4ed8"]),
                legend=alt.Legend(orient="top"),
            ),
            shape=alt.Shape(
                "precision:N",
                title=None,
                scale=alt.Scale(domain=["int8", "fp32"], range=["circle", "square"]),
                legend=alt.Legend(orient="top"),
            ),
            tooltip=[
                "file:N",
                alt.Tooltip("latency:Q", title="p50, ms", format=".4f"),
                alt.Tooltip("accuracy:Q", format=".2%"),
                alt.Tooltip("kilobytes:Q", title="kB", format=".1f"),
            ],
        )
    )
    teacher = _table([{"accuracy": results["teacher"]["accuracy"], "label": "teacher"}])
    rule = alt.Chart(teacher).mark_rule(strokeDash=[6, 4], color=COLOURS["teacher"]).encode(y="accuracy:Q")
    text = (
        alt.Chart(teacher)
        .mark_text(align="left", dx=4, dy=-6, color=COLOURS["teacher"])
        .encode(y="accuracy:Q", x=alt.value(0), text="label:N")
    )
    return alt.layer(points, rule, text).properties(height=260)


def confusion(results: Results) -> alt.LayerChart:
    """Rows the true class, columns what the int8 student chose."""
    classes = results["data"]["classes"]
    rows = [
        {"true": classes[row], "chosen": classes[column], "images": count, "share": count / max(sum(counts), 1)}
        for row, counts in enumerate(results["confusion"])
        for column, count in enumerate(counts)
    ]
    base = alt.Chart(_table(rows)).encode(
        x=alt.X("chosen:N", sort=classes, title="chosen", axis=alt.Axis(labelAngle=-45)),
        y=alt.Y("true:N", sort=classes, title="true"),
        tooltip=["true:N", "chosen:N", "images:Q", alt.Tooltip("share:Q", format=".1%")],
    )
    cells = base.mark_rect().encode(
        color=alt.Color(
            "share:Q", scale=alt.Scale(range=["#ffffff", "#0f766e"], domain=[0, 1], interpolate="rgb"), legend=None
        )
    )
    if len(classes) > 25:
        return alt.layer(cells).properties(height=420)
    numbers = (
        base.transform_filter("datum.images > 0")
        .mark_text(fontSize=10)
        .encode(text="images:Q", color=alt.condition("datum.share > 0.5", alt.value("white"), alt.value("#374151")))
    )
    return alt.layer(cells, numbers).properties(height=max(NARROW, 34 * len(classes)))


def change_per_class(results: Results) -> alt.Chart:
    """Points of accuracy that each class gains or loses from the teacher to the int8 student."""
    classes = results["data"]["classes"]
    pairs = zip(results["per_class"]["teacher"], results["per_class"]["model.tflite"], strict=True)
    rows = [
        {"class": name, "teacher": before, "int8": after, "points": 100 * (after - before)}
        for name, (before, after) in zip(classes, pairs, strict=True)
        if before is not None and after is not None
    ]
    return (
        alt.Chart(_table(rows))
        .mark_bar()
        .encode(
            x=alt.X("points:Q", title="points, int8 student minus teacher"),
            y=alt.Y("class:N", sort=classes, title=None),
            color=alt.condition("datum.points < 0", alt.value("#b91c1c"), alt.value("#0f766e")),
            tooltip=[
                "class:N",
                alt.Tooltip("teacher:Q", format=".1%"),
                alt.Tooltip("int8:Q", title="int8 student", format=".1%"),
                alt.Tooltip("points:Q", format="+.1f"),
            ],
        )
        .properties(height=max(NARROW, 26 * len(rows)))
    )


def _table(rows: Sequence[dict[str, Any]]) -> alt.Data:
    return alt.Data(values=list(rows))


def _scale(names: Sequence[str]) -> alt.Scale:
    return alt.Scale(domain=list(names), range=[COLOURS[name] for name in names])


def _percent(wanted: bool) -> alt.Axis:
    return alt.Axis(format=".1%") if wanted else alt.Axis()


def _styled(chart: Any) -> Any:
    return (
        chart.properties(width="container", background="transparent")
        .configure(font=FONT, autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))
        .configure_view(stroke=None)
        .configure_axis(
            gridColor="#e5e7eb", domainColor="#9ca3af", tickColor="#9ca3af", labelLimit=110, titlePadding=12
        )
    )
