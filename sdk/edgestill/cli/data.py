"""`edgestill data`: what is in a source, before anything is trained."""

import json
import textwrap
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich import box
from rich.table import Table

from .console import CONSOLE, TerminalProgress, say

_CLASSES = 20  # shown; --json has all
_LINES = 10


def data(
    source: Annotated[
        str,
        typer.Argument(
            help="As `source` under [data]: image-folder:PATH, audio-folder:PATH, parquet:PATH, …; or a recipe."
        ),
    ],
    image_size: Annotated[int | None, typer.Option(help="Side in pixels to which photos are brought.")] = None,
    resize: Annotated[
        Literal["crop", "letterbox", "stretch"] | None, typer.Option(help="How photos get that size.")
    ] = None,
    rate: Annotated[int | None, typer.Option(help="Samples a second of the model, for recordings.")] = None,
    seconds: Annotated[float | None, typer.Option(help="How much of a recording the model hears.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Decode every sample, to find damaged ones.")] = False,
    sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet, a .png, here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show what is in a data source: splits, classes, sizes, formats, what is skipped, and the cut of a recipe.

    Nothing is trained and nothing is changed. Exit code 1 where a source cannot be used: a training would stop.
    """
    from ..data import Reading
    from ..data.sheet import check_sheet, write_sheet
    from ..data.survey import survey
    from ..progress import SILENT

    if sheet is not None:
        check_sheet(sheet)
    arguments: dict[str, Any] = {"source": source}
    if source.endswith(".toml"):
        from ..recipe import load_recipe

        arguments = load_recipe(source).data.arguments()
    given = {"image_size": image_size, "resize": resize, "rate": rate, "seconds": seconds}
    arguments |= {name: value for name, value in given.items() if value is not None}
    reading = Reading(**{name: arguments[name] for name in Reading.__dataclass_fields__ if name in arguments})
    cut = ("validation", "calibration", "seed", "labelled", "unlabelled")
    shares = {name: arguments[name] for name in cut if name in arguments}
    progress = SILENT if as_json else TerminalProgress()
    found = survey(arguments["source"], reading, check=check, progress=progress, **shares)
    if as_json:
        print(json.dumps(found.facts, indent=2, ensure_ascii=False))
    else:
        _show(found.facts)
    if sheet is not None:
        write_sheet(sheet, found.examples())
        if not as_json:
            say(f"contact sheet: {sheet}")
    if found.facts["errors"]:
        raise typer.Exit(1)


def _show(facts: dict[str, Any]) -> None:
    total = sum(split["samples"] for split in facts["splits"].values())
    word = "images" if facts["kind"] == "image" else "recordings"
    say(f"{facts['name']}: {total:,} {word} of {len(facts['classes'])} classes")
    CONSOLE.print(_table(facts))
    _line("formats", _counted(facts["formats"]))
    if "sizes" in facts:
        sizes = (f"{name} {height}×{width}" for name, (height, width) in facts["sizes"].items())
        _line("height × width", ", ".join(sizes))
        _line(
            "colours", _counted(facts["modes"]) + (f"; {facts['turned']:,} turned by EXIF" if facts["turned"] else "")
        )
    if "rates" in facts:
        _line("rates, Hz", _counted(facts["rates"]))
        _line("channels", _counted(facts["channels"]))
        _line("seconds", ", ".join(f"{name} {value:g}" for name, value in facts["seconds"].items()))
    _line("model's input", _input(facts["input"]))
    if facts["cut"]:
        cut = facts["cut"]
        _line(
            "cut",
            f"{cut['train']:,} to train, {cut['calibration']:,} of which calibrate too; "
            f"{cut['validation']:,} to validate, {cut['test']:,} to test",
        )
    if facts["unlabelled"]:
        _line("unlabelled", f"{facts['unlabelled']:,} {word} more to train")
    for kind, style in (("notes", None), ("warnings", "yellow"), ("errors", "red")):
        for text in facts[kind][:_LINES]:
            _line(kind.removesuffix("s"), text, style)
        if len(facts[kind]) > _LINES:
            _line(kind.removesuffix("s"), f"and {len(facts[kind]) - _LINES:,} more; --json has them all", style)


def _table(facts: dict[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column("class", overflow="fold")
    for name in facts["splits"]:
        table.add_column(name, justify="right", no_wrap=True)
    for name in facts["classes"][:_CLASSES]:
        table.add_row(name, *(f"{split['classes'][name]:,}" for split in facts["splits"].values()))
    if (more := len(facts["classes"]) - _CLASSES) > 0:
        rest = facts["classes"][_CLASSES:]
        sums = (sum(split["classes"][name] for name in rest) for split in facts["splits"].values())
        table.add_row(f"… {more:,} more", *(f"{count:,}" for count in sums))
    if len(facts["classes"]) > 1:
        table.add_section()
        table.add_row("all", *(f"{split['samples']:,}" for split in facts["splits"].values()))
    return table


def _input(processor: dict[str, Any]) -> str:
    if processor["kind"] == "audio":
        return (
            f"{processor['seconds']:g} s at {processor['rate']:,} Hz as {processor['height']}×{processor['width']} "
            "log-mel values"
        )
    how = {"crop": "its middle", "letterbox": "all of it, with bars", "stretch": "all of it, stretched"}
    return (
        f"{processor['height']}×{processor['width']} pixels: {how[processor['resize']]} "
        f'(resize = "{processor["resize"]}", {processor["filter"]})'
    )


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _line(name: str, text: str, style: str | None = None) -> None:
    width = max(40, CONSOLE.width)
    for line in textwrap.wrap(f"{name}: {text}", width, subsequent_indent="  ", break_on_hyphens=False):
        say(line, style=style)
