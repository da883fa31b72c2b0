"""A picture of a file's graph: one line for each operator in the order of execution, tensors that skip lines as arcs.

Plain SVG, for reports and on its own; colours follow the light or dark scheme of the page.
"""

from html import escape
from pathlib import Path

from edgestill_runtime.files import write_bytes

from ..contents import Inspection, Operator

LINE, LANE, WIDTH = 22, 150, 860
STYLE = """
.graph { font: 12px system-ui, sans-serif; fill: currentColor; }
.graph .int8 { fill: #2a9d6f; } .graph .float { fill: #d98324; } .graph .other { fill: #8a8f98; }
.graph .outside { stroke: #c8352b; stroke-width: 2; }
.graph .flow { fill: none; stroke: currentColor; opacity: .35; }
.graph .bar { fill: #4a7fd0; } .graph .quiet { opacity: .65; }
"""


def draw(seen: Inspection) -> str:
    """The graph as an SVG element."""
    operators = seen.operators
    height = LINE * (len(operators) + 2)
    most = max((one.macs for one in operators), default=0) or 1
    parts = [
        f'<svg class="graph" role="img" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{len(operators)} operators of a {seen.engine} file</title>'
        f"<style>{STYLE}</style>",
        f'<text class="quiet" x="{LANE + 20}" y="15">operator</text><text class="quiet" x="{LANE + 330}" y="15">'
        f'output</text><text class="quiet" x="{LANE + 480}" y="15">multiply-accumulates</text>'
        f'<text class="quiet" x="{WIDTH - 10}" y="15" text-anchor="end">weights</text>',
    ]
    parts += [_line(number, one, most) for number, one in enumerate(operators)]
    parts += _arcs(operators)
    return "".join(parts) + "</svg>"


def write_picture(seen: Inspection, path: Path, title: str) -> None:
    """Write a self-contained page with the picture and the totals."""
    facts = (
        f"{len(seen.operators)} operators · {seen.macs / 1e6:.3g} M multiply-accumulates · "
        f"{100 * seen.delegated_macs:.1f} % of them in {escape(seen.delegate)}, in {seen.partitions} partition(s) · "
        f"{seen.conversions} conversions · {seen.transposes} transposes inside · {seen.bytes / 1e3:,.1f} kB"
    )
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>:root {{ color-scheme: light dark; }} body {{ font: 15px system-ui, "
        "sans-serif; max-width: 900px; margin: 2em auto; padding: 0 1em; } "
        "svg { max-width: 100%; height: auto; }</style>"
        f"<h1>{escape(title)}</h1><p>{facts}</p><p>{legend()}</p>{draw(seen)}</html>\n"
    )
    write_bytes(path, page.encode())


def legend() -> str:
    """What the colours mean, as HTML."""
    squares = (("#2a9d6f", "int8"), ("#d98324", "float"), ("#8a8f98", "conversion between them, or other types"))
    words = " &nbsp; ".join(f'<span style="color:{colour}">■</span> {word}' for colour, word in squares)
    return f'{words} &nbsp; <span style="color:#c8352b">□</span> outside the delegate'


def _line(number: int, one: Operator, most: int) -> str:
    y = LINE * (number + 1)
    kind = "int8" if one.precision == "int8" else "float" if one.precision.startswith("float32") else "other"
    if "→" in one.precision:
        kind = "other"
    outside = " outside" if one.partition is None else ""
    shape = "×".join(str(size) for size in one.shape)
    bar = 150 * one.macs / most
    title = f"{one.name}, {one.precision}" + (f"; outside the delegate: {one.why}" if one.why else "")
    precision = f'<tspan class="quiet">{escape(one.precision)}</tspan>'
    parts = [
        f"<g><title>{escape(title)}</title>",
        f'<rect class="{kind}{outside}" x="{LANE}" y="{y + 4}" width="12" height="14"/>',
        f'<text x="{LANE + 20}" y="{y + 15}">{escape(one.name)} {precision}</text>',
        f'<text class="quiet" x="{LANE + 330}" y="{y + 15}">{shape}</text>',
    ]
    if one.macs:
        parts.append(f'<rect class="bar" x="{LANE + 480}" y="{y + 6}" width="{max(bar, 1):.1f}" height="10"/>')
    if one.weights:
        parts.append(f'<text class="quiet" x="{WIDTH - 10}" y="{y + 15}" text-anchor="end">{_size(one.weights)}</text>')
    return "".join(parts) + "</g>"


def _arcs(operators: tuple[Operator, ...]) -> list[str]:
    """A tensor read by the next line as a stroke, by a later one as an arc, wider with the distance."""
    made: dict[int, int] = {}
    arcs = []
    for number, one in enumerate(operators):
        for tensor in one.inputs:
            if tensor in made:
                start, end = LINE * (made[tensor] + 1) + 11, LINE * (number + 1) + 11
                far = number - made[tensor]
                if far == 1:
                    arcs.append(f'<path class="flow" d="M{LANE + 6} {start + 7}V{end - 7}"/>')
                else:
                    side = LANE - min(12 + 6 * far, LANE - 10)
                    arcs.append(f'<path class="flow" d="M{LANE} {start}C{side} {start} {side} {end} {LANE} {end}"/>')
        made |= dict.fromkeys(one.outputs, number)
    return arcs


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB" if count >= 1e3 else f"{count} B"
