"""`edgestill convert`: a checkpoint → a bundle."""

import json
from pathlib import Path
from typing import Annotated

import typer

from .console import TerminalProgress, say


def convert(
    model: Annotated[str, typer.Argument(help="A student's name, timm:NAME, or module:factory.")],
    checkpoint: Annotated[Path, typer.Option(help="Its weights, a safetensors file.")],
    output: Annotated[Path, typer.Option(help="The bundle to write, NAME.edge.")],
    data: Annotated[str, typer.Option(help="Where calibration images come from.")] = "fashion-mnist-mini",
    calibration: Annotated[int, typer.Option(min=1, help="How many of them.")] = 256,
    image_size: Annotated[int | None, typer.Option(help="For image-folder:PATH, the side in pixels.")] = None,
    log: Annotated[Path | None, typer.Option(help="Keep the exporters' own output here.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
) -> None:
    """Quantise a trained student once and export it to .pte and .tflite, int8 and fp32."""
    from edgestill_converters import STEPS

    from ..conversion import convert as make_bundle
    from ..data import load_data
    from ..models import create_student, load_checkpoint
    from ..progress import SILENT

    progress = SILENT if as_json else TerminalProgress()
    source = load_data(data, calibration=calibration, image_size=image_size, progress=progress)
    student = create_student(model, len(source.classes), source.preprocessing.channels)
    load_checkpoint(checkpoint, student)
    with progress.task("convert", len(STEPS)) as task:
        bundle = make_bundle(
            student,
            source.calibration(calibration),
            output,
            training={"student": model},
            overwrite=overwrite,
            log=log,
            on_step=lambda step: task.advance(step != STEPS[0], step=step),
        )
        task.advance(1)
    if as_json:
        print(json.dumps(bundle.manifest.to_json(), indent=2, ensure_ascii=False))
        return
    for name, entry in sorted(bundle.files.items()):
        say(f"{entry.bytes:>10,} bytes  {bundle.path / name}")
