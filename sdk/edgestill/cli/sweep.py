"""`edgestill sweep`: one recipe, some of its values varied, several seeds."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from .console import CONSOLE, TerminalProgress, columns, say
from .flags import with_flags


@dataclass(frozen=True)
class SweepFlags:
    """See `sweep`."""

    recipe: Annotated[Path, typer.Argument(help="The recipe, a TOML file.")]
    over: Annotated[
        list[str] | None,
        typer.Option(help="KEY=VALUE,VALUE: a value of the recipe to vary, as TOML; several make a grid."),
    ] = None
    points: Annotated[
        Path | None, typer.Option(help="A TOML file of named points: a table each, with keys of the recipe in it.")
    ] = None
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds for each point, from 0.")] = 3
    jobs: Annotated[int | None, typer.Option(min=1, help="Trials at the same time; one a core without it.")] = None
    evaluate: Annotated[
        bool, typer.Option("--evaluate", help="Also convert, and measure the int8 files on the test split: at the end.")
    ] = False
    output: Annotated[Path | None, typer.Option(help="Folder for everything; runs/NAME-sweep without it.")] = None
    quick: Annotated[bool, typer.Option("--quick", help="Two epochs each, to try it out.")] = False
    as_json: Annotated[bool, typer.Option("--json", help="Print sweep.json instead of the table.")] = False


@with_flags
def sweep(flags: SweepFlags) -> None:
    """Try a recipe with several values and seeds; print mean ± standard deviation.

    Choose by the validation columns. What trials have in common (teacher, its outputs, the baseline student) is made
    once, and what an earlier sweep into the same folder finished is reused. With RAY_ADDRESS set, trials run on the
    hosts of that cluster (extra: sweep); all of them need access to the folder.
    """
    from ..locks import exclusive
    from ..progress import SILENT
    from ..recipe import load_recipe
    from ..workflow.sweep import run_sweep
    from ..workflow.sweep_plan import Sweep, grid, parse_over, read_points

    if flags.points is not None and flags.over:
        raise typer.BadParameter("give --over or --points, not both")
    points = (
        read_points(flags.points) if flags.points is not None else grid([parse_over(text) for text in flags.over or ()])
    )
    folder = flags.output or Path("runs") / f"{load_recipe(flags.recipe).name}-sweep"
    plan = Sweep(flags.recipe, points, range(flags.seeds), folder, flags.evaluate, flags.quick)
    with exclusive(folder):
        found = run_sweep(plan, flags.jobs, SILENT if flags.as_json else TerminalProgress())
    if flags.as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    CONSOLE.print(_table(found))
    say(f"{folder / 'sweep.json'} · {folder / 'sweep.md'}")


def _table(found: dict[str, Any]) -> Table:
    from ..workflow.sweep_summary import COLUMNS, shown

    quantities = ("validation_distilled", "validation_gain", "test_int8", "retained")
    names = [name for name in quantities if any(name in point["measured"] for point in found["points"])]
    count = len(found["seeds"])
    table = columns(
        [""],
        [COLUMNS[name] for name in names],
        f"{found['recipe']} · {count} seed{'s' if count > 1 else ''}{' · quick' if found['quick'] else ''}",
        "per cent, mean ± standard deviation over the seeds; gain: in points over the baseline student",
    )
    for point in found["points"]:
        table.add_row(point["name"], *(shown(point["measured"].get(name)) for name in names))
    return table
