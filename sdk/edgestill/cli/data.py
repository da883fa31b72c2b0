"""`edgestill data`: what is in a source, before anything is trained."""

import json
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich import box
from rich.table import Table

from .console import CONSOLE, TerminalProgress, say
from .flags import TASK_NAMES, with_flags

_CLASSES = 20  # shown; --json has all
_LINES = 10


@dataclass(frozen=True)
class DataFlags:
    """See `data`."""

    source: Annotated[
        str,
        typer.Argument(
            help="As `source` under [data]: image-folder:PATH, audio-folder:PATH, parquet:PATH, …; or a recipe."
        ),
    ]
    task: Annotated[
        str | None,
        typer.Option(
            help=f"What the targets are: {TASK_NAMES}, or module:Class; that of the recipe, or image-classification, "
            "without it."
        ),
    ] = None
    image_size: Annotated[int | None, typer.Option(help="Side in pixels to which photos are brought.")] = None
    resize: Annotated[
        Literal["crop", "letterbox", "stretch"] | None, typer.Option(help="How photos get that size.")
    ] = None
    rate: Annotated[int | None, typer.Option(help="Samples a second of the model, for recordings.")] = None
    seconds: Annotated[float | None, typer.Option(help="How much of a recording the model hears.")] = None
    check: Annotated[bool, typer.Option("--check", help="Decode every sample, to find damaged ones.")] = False
    sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet, a .png, here.")] = None
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False


@with_flags
def data(flags: DataFlags) -> None:
    """Show what is in a data source: splits, classes or values, sizes, formats, what is skipped, and a recipe's cut.

    Nothing is trained and nothing is changed. Exit code 1 where a source cannot be used: a training would stop.
    """
    from ..data.sheet import check_sheet, write_sheet

    if flags.sheet is not None:
        check_sheet(flags.sheet)
    found, names_word = _inspect(flags)
    if flags.as_json:
        print(json.dumps(found.facts, indent=2, ensure_ascii=False))
    else:
        _show(found.facts, names_word)
    if flags.sheet is not None:
        write_sheet(flags.sheet, found.examples())
        if not flags.as_json:
            say(f"contact sheet: {flags.sheet}")
    if found.facts["errors"]:
        raise typer.Exit(1)


def _inspect(flags: DataFlags) -> tuple[Any, str]:
    """What is in the source, and the task's word for its classes or values."""
    from ..data import DataOptions
    from ..data.inspection import inspect_source
    from ..progress import SILENT
    from ..tasks import find_task

    source, task, options = flags.source, flags.task, DataOptions()
    task_options: dict[str, Any] = {}
    if source.endswith(".toml"):
        from ..recipe import load_recipe

        recipe = load_recipe(source)
        source, options = recipe.data.source, recipe.data.options()
        if task in (None, recipe.task):
            task, task_options = recipe.task, recipe.task_options
    overrides: dict[str, Any] = {name: getattr(flags, name) for name in ("image_size", "resize", "rate", "seconds")}
    options = replace(options, **{name: value for name, value in overrides.items() if value is not None})
    progress = SILENT if flags.as_json else TerminalProgress()
    chosen = find_task(task or "image-classification", task_options)
    found = inspect_source(source, chosen, options, check=flags.check, progress=progress)
    return found, chosen.names_word


def _show(facts: dict[str, Any], names_word: str) -> None:
    total = sum(split["samples"] for split in facts["splits"].values())
    word = "images" if facts["kind"] == "image" else "recordings"
    say(f"{facts['name']}: {total:,} {word} of {_count(len(facts['classes']), names_word)}")
    CONSOLE.print(_table(facts, names_word))
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


def _table(facts: dict[str, Any], names_word: str) -> Table:
    """What the task says of each split: samples of each class, ranges of values, or samples alone."""
    splits = facts["splits"].values()
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column(_one_of(names_word), overflow="fold")
    for name in facts["splits"]:
        table.add_column(name, justify="right", no_wrap=True)
    rows = len(facts["classes"])
    if all("classes" in split for split in splits):
        _add_classes(table, facts)
    elif all("values" in split for split in splits):
        for name in facts["classes"][:_CLASSES]:
            table.add_row(name, *(_range(split["values"][name]) for split in splits))
    else:
        rows = 0
    if any(split.get("without") for split in splits):
        table.add_row(f"without {names_word}", *(f"{split['without']:,}" for split in splits))
    if rows > 1 or rows == 0 or names_word != "classes":
        table.add_section()
        table.add_row("all" if names_word == "classes" else "samples", *(f"{split['samples']:,}" for split in splits))
    return table


def _add_classes(table: Table, facts: dict[str, Any]) -> None:
    for name in facts["classes"][:_CLASSES]:
        table.add_row(name, *(f"{split['classes'][name]:,}" for split in facts["splits"].values()))
    if (more := len(facts["classes"]) - _CLASSES) > 0:
        rest = facts["classes"][_CLASSES:]
        sums = (sum(split["classes"][name] for name in rest) for split in facts["splits"].values())
        table.add_row(f"… {more:,} more", *(f"{count:,}" for count in sums))


def _range(value: dict[str, float]) -> str:
    """`1.5 to 80, mean 33.1 ± 12`."""
    return f"{value['least']:.4g} to {value['most']:.4g}, mean {value['mean']:.4g} ± {value['std']:.2g}"


def _count(number: int, word: str) -> str:
    return f"{number:,} {_one_of(word) if number == 1 and word != 'classes' else word}"


def _one_of(word: str) -> str:
    return "class" if word == "classes" else word.removesuffix("s")


def _input(processor: dict[str, Any]) -> str:
    if processor["kind"] == "audio":
        return (
            f"{processor['seconds']:g} s at {processor['rate']:,} Hz as {processor['height']}×{processor['width']} "
            "log-mel values"
        )
    parts = {"crop": "its middle", "letterbox": "all of it, with bars", "stretch": "all of it, stretched"}
    return (
        f"{processor['height']}×{processor['width']} pixels: {parts[processor['resize']]} "
        f'(resize = "{processor["resize"]}", {processor["filter"]})'
    )


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _line(name: str, text: str, style: str | None = None) -> None:
    width = max(40, CONSOLE.width)
    for line in textwrap.wrap(f"{name}: {text}", width, subsequent_indent="  ", break_on_hyphens=False):
        say(line, style=style)
