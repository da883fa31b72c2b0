"""`edgestill distill`: the training half of `run`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from .console import FIRST, TerminalProgress, say


def distill(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a TOML file.")],
    output: Annotated[Path | None, typer.Option(help="Folder for everything; runs/NAME without it.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Train again, also what is finished.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Two epochs, to try it out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train the teacher, the baseline student and the distilled student, and stop before conversion.

    Prints validation accuracies: the test split stays unread. `edgestill run` with the same recipe goes on from here.
    """
    from ..progress import SILENT
    from ..recipe import load_recipe
    from ..workflow.checkpoints import read_history
    from ..workflow.run import train_students

    chosen = load_recipe(recipe)
    chosen = chosen.shortened() if quick else chosen
    stages = train_students(chosen, output, force=force, progress=SILENT if as_json else TerminalProgress())
    summary: dict[str, dict[str, Any]] = {
        name: {
            "checkpoint": str(stage.folder / "model.safetensors"),
            "validation": read_history(stage)[-1]["validation"],
        }
        for name, stage in stages.items()
    }
    if as_json and FIRST:
        print(json.dumps(summary, indent=2))
    if as_json:
        return
    main = chosen.new_task().device.measures[0]
    for name, facts in summary.items():
        say(f"{name}: validation {main.name} {main.show(facts['validation'])}, {facts['checkpoint']}")
