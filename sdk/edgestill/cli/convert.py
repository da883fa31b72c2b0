"""`edgestill convert`: any trained model → a bundle, judged on real data before it goes out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from .console import TerminalProgress, say
from .paths import refuse_other_files

CALIBRATION = 256
UNNAMED = 1000  # classes, where none are named: those of ImageNet


@dataclass(frozen=True)
class _Pixels:
    """How the command line says what pixels become."""

    size: int | None
    mean: tuple[float, ...]
    std: tuple[float, ...]


def convert(
    model: Annotated[
        str,
        typer.Argument(
            help="A student's name, timm:NAME, module:factory, the folder of a run; with --from, a Keras file or a "
            "SavedModel's folder."
        ),
    ],
    output: Annotated[Path, typer.Option(help="The bundle to write, NAME.edge.")],
    checkpoint: Annotated[
        Path | None, typer.Option(help="Its weights: safetensors, or a state_dict by torch.save.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Of a checkpoint with several sets: ema, or a key of the file.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="A data set, to calibrate and judge with; that of its run or checkpoint without it."),
    ] = None,
    samples: Annotated[
        Path | None,
        typer.Option(help="Instead of a data set: a folder of images, or an .npz (see docs/converters.md)."),
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="With --samples: a text file with a class name a line.")] = None,
    image_size: Annotated[int | None, typer.Option(min=1, help="For folders of images, the side in pixels.")] = None,
    mean: Annotated[str, typer.Option(help="Of pixels in 0–1, a number a channel: 0.485,0.456,0.406.")] = "",
    std: Annotated[str, typer.Option(help="The same for the standard deviation.")] = "",
    calibration: Annotated[
        int | None, typer.Option(min=1, help="How many samples to calibrate with; as the run did, or 256, without it.")
    ] = None,
    target: Annotated[
        Literal["both", "executorch", "litert"], typer.Option(help="Which engine's files to make.")
    ] = "both",
    precision: Annotated[
        Literal["int8", "fp32", "mixed"],
        typer.Option(help="mixed: int8, but the fewest layers in float that keep the accuracy."),
    ] = "int8",
    quantize: Annotated[
        Literal["ptq", "qat", "auto"],
        typer.Option(help="Calibrate, train in int8, or the second only where the first loses too much."),
    ] = "ptq",
    max_drop: Annotated[float, typer.Option(min=0, max=100, help="Points of accuracy that int8 may lose.")] = 0.3,
    min_agreement: Annotated[
        float, typer.Option(help="Per cent of samples on which both int8 files must agree.")
    ] = 99.5,
    limit: Annotated[float, typer.Option(min=1, help="Seconds for one exporter and file.")] = 1800.0,
    source: Annotated[
        Literal["torch", "keras", "saved-model"], typer.Option("--from", help="What the model was made with.")
    ] = "torch",
    environment: Annotated[
        Path | None, typer.Option(help="With --from keras or saved-model: a Python environment that has tensorflow.")
    ] = None,
    log: Annotated[Path | None, typer.Option(help="Keep the exporters' own output here.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print manifest and gate as JSON.")] = False,
) -> None:
    """Quantise a trained model once, export it, and judge the files on real data.

    Exit code 1 when an int8 file loses more than the budget, or when the two int8 files disagree; the bundle is there
    to look at then.
    """
    from edgestill_runtime.files import refuse_existing

    from ..extras import require
    from ..progress import SILENT

    if not overwrite:
        refuse_existing(output)  # before anything takes time
    if source == "torch":
        refuse_other_files(model, checkpoint)
        require("convert")
    progress = SILENT if as_json else TerminalProgress()
    pixels = _Pixels(image_size, _numbers(mean, "--mean"), _numbers(std, "--std"))
    common: dict[str, Any] = {"log": log, "overwrite": overwrite, "limit_seconds": limit}
    if source != "torch":
        bundle, judged = _from_tensorflow(
            model, source, output, samples, labels, pixels, calibration or CALIBRATION, environment, progress, common
        )
    else:
        common["targets"] = ("executorch", "litert") if target == "both" else (target,)
        if samples is not None:
            if quantize != "ptq" or precision == "mixed":
                raise typer.BadParameter("--samples serves --quantize ptq and int8 or fp32; for more, give --data")
            bundle, judged = _from_samples(
                model,
                checkpoint,
                weights,
                output,
                samples,
                labels,
                pixels,
                calibration or CALIBRATION,
                precision,
                progress,
                common,
            )
        else:
            bundle, judged = _from_data(
                model,
                checkpoint,
                weights,
                output,
                data,
                pixels,
                calibration,
                quantize,
                precision,
                max_drop / 100,
                progress,
                common,
            )
    from edgestill_converters.quiet import logged_to

    from ..gate import check_bundle

    with progress.task("judge the files", 1) as task, logged_to(log):
        gate = check_bundle(bundle, judged, max_drop=max_drop / 100, min_agreement=min_agreement / 100)
        task.advance(1)
    if as_json:
        whole = {"manifest": bundle.manifest.to_json(), "gate": gate.to_json()}
        print(json.dumps(whole, indent=2, ensure_ascii=False))
    else:
        _show(bundle, gate)
    if not gate.passed:
        raise typer.Exit(1)


def show_findings(findings: Sequence[Any]) -> None:
    """A line each, failures in red."""
    for one in findings:
        say(f"{one['level']}: {one['text']}", style="red" if one["level"] == "failure" else "yellow")


def _from_data(
    name: str, checkpoint: Path | None, weights: str | None, output: Path, source: str | None, pixels: _Pixels,
    count: int | None, quantize: Any, precision: Any, max_drop: float, progress: Any, common: dict[str, Any],
) -> tuple[Any, Any]:  # fmt: skip
    from ..conversion import describe_model
    from ..data import load_data
    from ..models import MODELS, create_model, load_checkpoint
    from ..models.registry import find_model
    from ..quantisation import Budget, quantise
    from ..recipe_check import check_checkpoint
    from ..run_data import known_of_checkpoint, known_of_run, read_again, refuse_code
    from ..teachers import check_classes

    known = None
    if name not in MODELS and Path(name).is_dir():
        known = known_of_run(Path(name))
        refuse_code(known)
        name, checkpoint = known.model, checkpoint or known.checkpoint
    elif checkpoint is not None:
        known = known_of_checkpoint(checkpoint)
    find_model(name)

    def fits(classes: Sequence[str], _: str) -> None:
        if checkpoint is not None:
            check_checkpoint(name, checkpoint, weights, len(classes))

    said = {"image_size": pixels.size, "mean": pixels.mean, "std": pixels.std, "calibration": count}
    changes: dict[str, Any] = {key: value for key, value in said.items() if value}
    if known is not None:
        data = read_again(known, source, changes, fits, progress)
        count = count or known.recipe.data.calibration
    else:
        count = count or CALIBRATION
        data = load_data(source or "fashion-mnist-mini", check=fits, progress=progress, **changes)
    model = create_model(name, len(data.classes), data.processor.channels)
    if checkpoint is not None:
        load_checkpoint(checkpoint, model, weights=weights, progress=progress)
    check_classes(model, data, "model")
    description = describe_model(model, output.stem, data.calibration(count), {"student": name})
    budget = Budget(quantize, precision, max_drop)
    bundle = quantise(model.eval(), data, description, output, budget, samples=count, progress=progress, **common)
    return bundle, data.validation


def _from_samples(
    name: str, checkpoint: Path | None, weights: str | None, output: Path, path: Path, labels: Path | None,
    pixels: _Pixels, count: int, precision: Any, progress: Any, common: dict[str, Any],
) -> tuple[Any, Any]:  # fmt: skip
    import numpy as np

    from edgestill_converters import steps

    from ..conversion import convert as make_bundle
    from ..data.samples import read_samples
    from ..data.sources import Calibration
    from ..models import create_model, load_checkpoint
    from ..models.registry import find_model

    named = _classes(labels)
    find_model(name)
    if path.is_dir():
        _check_first(name, checkpoint, weights, len(named) or UNNAMED, pixels)
    read = read_samples(path, pixels.size, progress, classes=named)
    classes = named or read.classes
    channels = 0 if read.images is None else read.images.shape[3]
    model = create_model(name, len(classes) or UNNAMED, channels)
    if checkpoint is not None:
        load_checkpoint(checkpoint, model, weights=weights, progress=progress)
    chosen: Any = read.calibration(count)
    if read.images is not None:
        processor = _processor(read, pixels, getattr(model, "pretrained_cfg", {}))
        _check_labels(model, read.images.shape[1:], read.labels, classes)
        known = np.zeros(len(read.images), np.int64) if read.labels is None else read.labels
        chosen = Calibration(chosen, known[:count], classes, processor, read.facts)
    names = steps(common["targets"], precision)
    with progress.task("convert", len(names)) as task:
        bundle = make_bundle(
            model, chosen, output, training={"student": name, "data": read.facts}, precision=precision,
            on_step=lambda step: task.advance(step != names[0], step=step), **common,
        )  # fmt: skip
        task.advance(1)
    return bundle, read.judged()


def _from_tensorflow(
    name: str, kind: Any, output: Path, path: Path | None, labels: Path | None, pixels: _Pixels, count: int,
    environment: Path | None, progress: Any, common: dict[str, Any],
) -> tuple[Any, Any]:  # fmt: skip
    from edgestill_converters.tensorflow import STEPS, convert_tensorflow

    from ..data.samples import read_samples

    if path is None:
        raise typer.BadParameter(f"--from {kind} needs --samples: real inputs, a folder of images or an .npz")
    named = _classes(labels)
    if path.is_dir():
        _statistics(pixels, {}, (3, 1))
    read = read_samples(path, pixels.size, progress, classes=named)
    processor = None if read.images is None else _processor(read, pixels, {})
    with progress.task("convert", len(STEPS)) as task:
        bundle = convert_tensorflow(
            Path(name), kind, read.calibration(count), output, name=output.stem,
            labels=named or read.classes, processor=processor,
            training={"student": Path(name).name, "data": read.facts},
            environment=environment, on_step=lambda step: task.advance(step != STEPS[0], step=step), **common,
        )  # fmt: skip
        task.advance(1)
    return bundle, read.judged()


def _check_first(name: str, checkpoint: Path | None, weights: str | None, classes: int, pixels: _Pixels) -> None:
    """Refuse what cannot be converted before a folder is read: its images have one channel or three."""
    from ..models import create_model
    from ..recipe_check import check_checkpoint

    model = create_model(name, classes, len(pixels.mean) or 3)
    mean, _ = _statistics(pixels, getattr(model, "pretrained_cfg", {}), (3, 1))
    if checkpoint is not None:
        check_checkpoint(name, checkpoint, weights, classes, (len(mean),))


def _check_labels(model: Any, shape: Sequence[int], labels: Any, classes: Sequence[str]) -> None:
    """Refuse labels and names that the model has no outputs for, where its output is a number for each class."""
    import torch

    from ..errors import DataError
    from ..models.copies import eval_mode

    height, width, channels = shape
    with eval_mode(model), torch.inference_mode():
        try:
            outputs = model(torch.zeros(1, channels, height, width))
        except Exception:  # the user's own code; the conversion says what it does not take
            return
    if not isinstance(outputs, torch.Tensor) or outputs.ndim != 2:
        return
    count = outputs.shape[1]
    if classes and len(classes) != count:
        raise DataError(f"the model tells {count} classes apart, and {len(classes)} are named")
    if labels is not None and len(labels) and labels.max() >= count:
        raise DataError(
            f"the labels of the samples run to {labels.max()}, and the model tells {count} classes apart: 0 to "
            f"{count - 1}; give samples with the classes that it was trained on"
        )


def _processor(read: Any, pixels: _Pixels, known: dict[str, Any]) -> Any:
    """How the samples became pixels, with the model's own mean and std."""
    from edgestill_runtime import ImageProcessor

    from ..data.samples import with_statistics

    _, height, width, channels = read.images.shape
    mean, std = _statistics(pixels, known, (channels,))
    if read.processor is not None:
        return with_statistics(read.processor, mean, std)
    return ImageProcessor(height, width, mean, std)


def _statistics(
    pixels: _Pixels, known: dict[str, Any], channels: Sequence[int]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std, as given or as published; channels: how many the images may have."""
    mean = pixels.mean or tuple(known.get("mean") or ())
    std = pixels.std or tuple(known.get("std") or ())
    if len(mean) not in channels or len(std) != len(mean):
        raise typer.BadParameter(
            f"--mean and --std need {' or '.join(map(str, channels))} numbers each: how the model was trained to see "
            "pixels, such as --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225; 0 and 1 where pixel / 255 is all"
        )
    return mean, std


def _numbers(text: str, option: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in text.split(",") if word.strip())
    except ValueError as error:
        raise typer.BadParameter(f"{option} takes numbers with commas between them, not {text!r}") from error


def _classes(path: Path | None) -> tuple[str, ...]:
    if path is None:
        return ()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise typer.BadParameter(f"--labels {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"--labels {path} is no text in UTF-8; it needs a class name a line") from error
    names = tuple(line.strip() for line in lines if line.strip())
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names:
        raise typer.BadParameter(f"--labels {path} has no names in it; it needs a class name a line")
    if twice:
        raise typer.BadParameter(f"--labels {path} names {twice[0]!r} more than once; each class needs its own name")
    return names


def _precision(entry: Any) -> str:
    """What a model file computes in, and how much of it in float."""
    if entry is None:
        return ""
    partly = entry.precision != "fp32" and entry.float_macs
    return f"  {entry.precision}" + (f", {100 * entry.float_macs:.2f} % of the MACs in float" if partly else "")


def _show(bundle: Any, gate: Any) -> None:
    models = bundle.manifest.models
    for name, entry in sorted(bundle.files.items()):
        share = f"  {100 * gate.accuracy[name]:.2f} %" if name in gate.accuracy else ""
        say(f"{entry.bytes:>10,} bytes  {bundle.path / name}{_precision(models.get(name))}{share}")
    if gate.agreement is not None:
        what = f"{gate.samples} samples" if gate.differences[0].agreement_of == "samples" else "the values"
        both = " and ".join(f"{name} ({models[name].precision})" for name in gate.differences[0].files)
        say(f"{both} agree on {100 * gate.agreement:.2f} % of {what}")
    for one in gate.differences[:1]:
        steps = "" if one.largest_quanta is None else f" ({one.largest_quanta:.2f} quantization steps)"
        if one.largest is not None and one.mean is not None:
            say(f"{' and '.join(one.files)}, {one.output}: at most {one.largest:.3g} apart{steps}, mean {one.mean:.2g}")
    for engine, ratio in gate.latency_ratio.items():
        precision = models[bundle.manifest.deployable()[engine]].precision
        say(f"{engine}: {precision} takes {ratio:.2f} × the time of fp32 here")
    tried = bundle.manifest.training.get("quantisation", {})
    for one in tried.get("attempts", ()):
        say(f"tried {one['method']}: {100 * one['accuracy']:.2f} % (float model {100 * tried['float_accuracy']:.2f} %)")
    show_findings([{"level": one.level, "text": one.text} for one in gate.findings])
