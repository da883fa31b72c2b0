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
    """Train the teacher and the student, alone and distilled, and stop before conversion.

    Prints validation accuracies: the test split stays unread. `edgestill run` with the same recipe goes on from here.
    """
    from ..locks import exclusive
    from ..progress import SILENT
    from ..recipe import load_recipe
    from ..training_stages import TrainingStages

    chosen = load_recipe(recipe)
    chosen = chosen.shortened() if quick else chosen
    folder = output or Path("runs") / chosen.name
    steps = TrainingStages(chosen, folder, force, SILENT if as_json else TerminalProgress())
    with exclusive(folder):
        steps.check()
        found: dict[str, dict[str, Any]] = {
            name: {
                "checkpoint": str(stage.folder / "model.safetensors"),
                "validation_accuracy": steps.history(stage)[-1]["validation_accuracy"],
            }
            for name, stage in (("student_alone", steps.student_alone), ("student_distilled", steps.student_distilled))
        }
    if as_json and FIRST:
        print(json.dumps(found, indent=2))
    if as_json:
        return
    for name, facts in found.items():
        accuracy = 100 * facts["validation_accuracy"]
        say(f"{name}: validation accuracy {accuracy:.2f} %, {facts['checkpoint']}")
