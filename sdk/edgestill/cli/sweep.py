"""`edgestill sweep`: one recipe, some of its values varied, several seeds."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from .console import CONSOLE, TerminalProgress, columns, say


def sweep(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a TOML file.")],
    over: Annotated[
        list[str] | None,
        typer.Option(help="KEY=VALUE,VALUE: a value of the recipe to vary, as TOML; several make a grid."),
    ] = None,
    points: Annotated[
        Path | None, typer.Option(help="A TOML file of named points: a table each, with keys of the recipe in it.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds for each point, from 0.")] = 3,
    jobs: Annotated[int | None, typer.Option(min=1, help="Trials at the same time; one a core without it.")] = None,
    evaluate: Annotated[
        bool, typer.Option("--evaluate", help="Also convert, and measure the int8 files on the test split: at the end.")
    ] = False,
    output: Annotated[Path | None, typer.Option(help="Folder for everything; runs/NAME-sweep without it.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Two epochs each, to try it out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print sweep.json instead of the table.")] = False,
) -> None:
    """Try a recipe with several values and seeds; print mean ± standard deviation.

    Choose by the validation columns. What trials have in common (teacher, its outputs, the student alone) is made once,
    and what an earlier sweep into the same folder finished is not done again. With RAY_ADDRESS set, trials run on the
    hosts of that cluster (extra: sweep); the folder has to be one that all of them see.
    """
    from ..locks import exclusive
    from ..progress import SILENT
    from ..recipe import load_recipe
    from ..workflow.sweep import run_sweep
    from ..workflow.sweep_plan import Sweep, grid, parse_over, read_points

    if points is not None and over:
        raise typer.BadParameter("give --over or --points, not both")
    chosen = read_points(points) if points is not None else grid([parse_over(text) for text in over or ()])
    folder = output or Path("runs") / f"{load_recipe(recipe).name}-sweep"
    plan = Sweep(recipe, chosen, range(seeds), folder, evaluate, quick)
    with exclusive(folder):
        found = run_sweep(plan, jobs, SILENT if as_json else TerminalProgress())
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    CONSOLE.print(_table(found))
    say(f"{folder / 'sweep.json'} · {folder / 'sweep.md'}")


def _table(found: dict[str, Any]) -> Table:
    from ..workflow.sweep_summary import COLUMNS, shown

    told = ("validation_distilled", "validation_gain", "test_int8", "retained")
    names = [name for name in told if any(name in point["measured"] for point in found["points"])]
    count = len(found["seeds"])
    table = columns(
        [""],
        [COLUMNS[name] for name in names],
        f"{found['recipe']} · {count} seed{'s' if count > 1 else ''}{' · quick' if found['quick'] else ''}",
        "per cent, mean ± standard deviation over the seeds; gain: in points over the student alone",
    )
    for point in found["points"]:
        table.add_row(point["name"], *(shown(point["measured"].get(name)) for name in names))
    return table
