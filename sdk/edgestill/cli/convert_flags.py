"""The flags of `edgestill convert`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from .flags import TASK_NAMES


@dataclass(frozen=True)
class ConvertFlags:
    """See `convert`; `context` tells which of them are on the command line."""

    context: typer.Context
    model: Annotated[
        str,
        typer.Argument(
            help="A student's name, timm:NAME, module:factory, the folder of a run; with --from, a Keras file or a "
            "SavedModel's folder."
        ),
    ]
    output: Annotated[Path, typer.Option(help="The bundle to write, NAME.edge.")]
    checkpoint: Annotated[
        Path | None, typer.Option(help="Its weights: safetensors, or a state_dict by torch.save.")
    ] = None
    weights: Annotated[
        str | None, typer.Option(help="Of a checkpoint with several sets: ema, or a key of the file.")
    ] = None
    data: Annotated[
        str | None,
        typer.Option(help="A data set, to calibrate and judge with; that of its run or checkpoint without it."),
    ] = None
    samples: Annotated[
        Path | None,
        typer.Option(
            help="Instead of a data set: a folder of photos or recordings, one such file, or an .npz (see "
            "docs/converters.md)."
        ),
    ] = None
    task: Annotated[
        str | None,
        typer.Option(
            help=f"What the outputs are, where it is another model's than a run's: {TASK_NAMES}, or module:Class. "
            "Without it class scores are told by the labels."
        ),
    ] = None
    labels: Annotated[Path | None, typer.Option(help="With --samples: a text file with a class name a line.")] = None
    image_size: Annotated[int | None, typer.Option(min=1, help="Side in pixels, where the model's own is another.")] = (
        None
    )
    mean: Annotated[str, typer.Option(help="Of pixels in 0–1, a number a channel: 0.485,0.456,0.406.")] = ""
    std: Annotated[str, typer.Option(help="The same for the standard deviation.")] = ""
    calibration: Annotated[
        int | None, typer.Option(min=1, help="How many samples to calibrate with; as the run did, or 256, without it.")
    ] = None
    target: Annotated[
        list[str] | None,
        typer.Option(help="Whose files to make: executorch, litert, another backend; repeat it. Both without it."),
    ] = None
    precision: Annotated[
        Literal["int8", "fp32", "mixed"],
        typer.Option(help="mixed: int8, but the fewest layers in float that keep the accuracy."),
    ] = "int8"
    quantize: Annotated[
        Literal["ptq", "qat", "auto"],
        typer.Option(help="Calibrate, train in int8, or the second only where the first loses too much."),
    ] = "ptq"
    max_drop: Annotated[float, typer.Option(min=0, max=100, help="Points of accuracy that int8 may lose.")] = 0.3
    min_agreement: Annotated[
        float,
        typer.Option(min=0, max=100, help="Per cent of samples on which both int8 files must agree."),
    ] = 99.5
    limit: Annotated[
        float,
        typer.Option(min=1, help="Seconds to export one file, and for its engine to load it."),
    ] = 1800.0
    source: Annotated[
        Literal["torch", "keras", "saved-model"], typer.Option("--from", help="What the model was made with.")
    ] = "torch"
    environment: Annotated[
        Path | None, typer.Option(help="With --from keras or saved-model: a Python environment that has tensorflow.")
    ] = None
    log: Annotated[Path | None, typer.Option(help="Keep the exporters' own output here.")] = None
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle that is there.")] = False
    as_json: Annotated[bool, typer.Option("--json", help="Print manifest and gate as JSON.")] = False
