"""`edgestill run`: the main job."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from edgestill_benchmarks.measures import difference, difference_unit, main_measure
from edgestill_benchmarks.results import gain_is_noise, int8_against_fp32

from ..budget import retained
from .console import CONSOLE, TerminalProgress, columns, say
from .convert import show_findings


def run(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a TOML file; see docs/recipes.md.")],
    output: Annotated[Path | None, typer.Option(help="Folder for everything; runs/NAME without it.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Do every stage again, also the finished ones.")] = False,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Two epochs and short measurements, to try it out. The numbers mean nothing."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print results.json instead of the table.")] = False,
) -> None:
    """Teacher → student → two int8 files → bundle → quality and latency → report.

    Stages that an earlier run finished are reused; a run that was stopped goes on. Exit code 1, after everything is
    done, when an int8 file loses more than the budget or the two int8 files disagree.
    """
    from edgestill_converters.output_capture import capture_output

    from ..progress import SILENT
    from ..recipe import load_recipe
    from ..workflow.run import run as carry_out

    chosen = load_recipe(recipe)
    chosen = chosen.shortened() if quick else chosen
    progress = SILENT if as_json else TerminalProgress()
    done = carry_out(chosen, output, force=force, progress=progress, capture=capture_output)
    gate = done.results["conversion"]["gate"]
    if as_json:
        print(json.dumps(done.results, indent=2))
    else:
        CONSOLE.print(summary(done.results))
        for warning in done.results["warnings"]:
            say(f"warning: {warning}", style="yellow")
        show_findings(gate["findings"])
        say(f"bundle {done.bundle.path}\nreport {done.folder / 'report.html'}")
    if not gate["passed"] and not quick:
        raise typer.Exit(1)


def summary(results: dict[str, Any]) -> Table:
    """The one table: models first, then files."""
    teacher, alone, distilled = (results[name] for name in ("teacher", "student_alone", "student_distilled"))
    title = f"{results['name']} · {results['data']['name']} · {results['machine']['cpu']}"
    ratios = ", ".join(f"{engine} {ratio:.2f}" for engine, ratio in int8_against_fp32(results).items())
    threads = results["files"][0]["threads"][0]["threads"]
    agreement, main = results["agreement"], main_measure(results["task"])
    same = "" if agreement is None else f" · the quantized files agree on {100 * agreement:.2f} %"
    caption = (
        f"size: parameters or bytes · latency of one image on {threads} thread\n"
        f"time of quantized / fp32: {ratios or 'not measured'}\n"
        f"distillation gain {difference(main, results['gain'])} ± "
        f"{difference(main, results['gain_standard_error'], sign=False)} {difference_unit(main)} "
        f"({'within noise' if gain_is_noise(results) else 'more than noise'}, seed {results['seed']})\n"
        f"{results['compression']:.0f}× fewer parameters{same}"
    )
    table = columns([""], ("size", main.name, "retained", "p50 ms", "p90 ms", "p99 ms"), title, caption)
    best = teacher["quality"][main.name]
    for name, model in (("teacher", teacher), ("baseline student", alone), ("distilled student", distilled)):
        value = model["quality"][main.name]
        size = f"{model['parameters'] / 1000:,.1f} k"
        table.add_row(f"{name}, {model['model']}", size, main.show(value), _percent(retained(value, best)))
    table.add_section()
    for file in results["files"]:
        table.add_row(
            file["path"].rpartition("/")[2],
            f"{file['bytes'] / 1000:.1f} kB",
            main.show(file["quality"][main.name]),
            _percent(file["retained"]),
            *(f"{file['latency_ms'][name]:.3f}" for name in ("p50", "p90", "p99")),
            style=None if file["precision"] == "fp32" else "bold",
        )
    return table


def _percent(share: float) -> str:
    """Empty for 0, which stands for no share: see `retained`."""
    return f"{100 * share:.2f} %" if share else ""
