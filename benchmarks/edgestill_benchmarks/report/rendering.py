"""Common parts of all pages: the frame, the charts with their JavaScript inlined, the table, formatted numbers."""

import json
from collections.abc import Mapping, Sequence
from functools import cache, partial
from importlib import resources
from typing import Any

import jinja2
import vl_convert
from markupsafe import Markup

from edgestill_runtime.tasks import Measure

from ..measures import Task, difference, difference_unit, measures_of
from ..measures import title as heading
from ..metrics import Row, as_csv

Qualities = Mapping[tuple[str, str], Mapping[str, float] | None]

SLOWEST = 10
HEADINGS = {
    "device": "device", "file": "file", "threads": "threads", "p50_ms": "p50 ms", "p90_ms": "p90 ms",
    "p99_ms": "p99 ms", "cold_start_ms": "cold start ms", "peak_bytes": "peak memory", "quality": "quality",
    "agreement": "as on host", "samples": "test images", "energy_mj": "mJ a call",
}  # fmt: skip


def render(
    template: str,
    title: str,
    rows: Sequence[Row],
    charts: Mapping[str, dict[str, Any]],
    task: Task,
    qualities: Qualities,
    *,
    scripts: Sequence[str] = (),
    data: Mapping[str, Any] | None = None,
    **content: Any,
) -> str:
    """A page as text; it loads nothing from elsewhere.

    Args:
        rows: of the table; see `metrics`. charts: place on the page → specification.
        task: of the results. qualities: device and file, as in the rows, → its quality; see `metrics.qualities`.
        scripts: file names in this folder, run after `page.js`. data: for the scripts. content: for the template.
    """
    main, *others = measures_of(task)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__, ""), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {
        "percent": _percent, "count": _count, "size": _size, "ms": _ms, "us": _us, "slowest": _slowest,
        "cell": partial(_cell, main),
    }  # fmt: skip
    whole = {"charts": charts, "csv": as_csv(rows), **(data or {})}
    return environment.get_template(template).render(
        title=title,
        rows=rows,
        headings=HEADINGS | {"quality": main.name},
        main=main,
        others=others,
        main_title=heading(main),
        difference=partial(difference, main),
        points=difference_unit(main),
        qualities=qualities,
        boards={row["device"]: row["board"] for row in rows},
        # "</" would end the script element that the text stands in.
        data=Markup(json.dumps(whole, allow_nan=False).replace("</", "<\\/")),
        library=Markup(_library()),
        style=Markup(_file("page.css")),
        scripts=[Markup(_file(name)) for name in ("page.js", *scripts)],
        **content,
    )


@cache
def _library() -> str:
    """The JavaScript that draws charts: the same on every page, and it takes seconds to bundle."""
    bundle: str = vl_convert.javascript_bundle(
        "window.draw = (place, specification) => vegaEmbed(place, specification, {actions: false, renderer: 'svg'});"
    )
    return bundle.replace("</script", "<\\/script")


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _slowest(operators: Sequence[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    """The slowest, with their number in the order of computation, from 1."""
    return sorted(enumerate(operators, 1), key=lambda pair: -pair[1]["us"])[:SLOWEST]


def _cell(main: Measure, value: Any, column: str) -> str:
    if value is None:
        return ""
    if column == "quality":
        return main.show(value)
    if column == "agreement":
        return _percent(value)
    if column.endswith("_bytes"):
        return _size(value)
    if column.endswith("_ms"):
        return _ms(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}" if isinstance(value, float) else str(value)


def _percent(value: float, digits: int = 2) -> str:
    return f"{100 * value:.{digits}f} %"


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


def _us(value: float) -> str:
    return f"{value / 1000:.2f} ms" if value >= 1000 else f"{value:.1f} µs"
